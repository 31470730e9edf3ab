// SPDX-License-Identifier: Apache-2.0
// The folders of the packages that a change touches, those above them included, as JSON: the matrix of the workflow.
// `node tools/affected.mjs BASE`: since the commit BASE; without one that exists here, all packages.
import { packages, run } from './workspace.mjs'

const [base = ''] = process.argv.slice(2)

/** @returns {Set<string> | undefined} undefined: not known */
function affectedNames() {
  const known = base !== '' && run('git', ['cat-file', '-e', `${base}^{commit}`]).status === 0
  if (!known) return undefined
  const { status, stdout, output } = run('turbo', ['ls', '--affected', '--output=json'], {
    env: { TURBO_SCM_BASE: base },
  })
  if (status !== 0) throw new Error(output)
  const { items } = JSON.parse(stdout).packages
  return new Set(items.map((/** @type {{ name: string }} */ item) => item.name))
}

const names = affectedNames()
const folders = packages()
  .filter(({ manifest }) => !names || names.has(manifest.name))
  .map(({ folder }) => folder)
console.log(JSON.stringify(folders))
