// SPDX-License-Identifier: Apache-2.0
// Can the pending changesets be released? Applies them in a copy of the repository: each package they name must get a
// new version and a changelog. `node tools/check-changesets.mjs BASE` (a pull request) also wants a changeset for each
// package changed since the commit BASE.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { conclude, packages, readJson, root, run, withCopy } from './workspace.mjs'

/** @type {string[]} */
const failures = []

/** @param {string} cwd @param {string[]} args */
function git(cwd, ...args) {
  return run('git', ['-c', 'user.name=check', '-c', 'user.email=check@localhost', ...args], { cwd })
}

/** The names that stand in the heads of the changesets. */
function announced() {
  const folder = join(root, '.changeset')
  const files = readdirSync(folder).filter((file) => /(?<!README)\.md$/.test(file))
  const heads = files.map((file) => readFileSync(join(folder, file), 'utf8').split('---')[1] ?? '')
  return new Set(heads.flatMap((head) => [...head.matchAll(/^['"](.+)['"]:/gm)].map((m) => m[1])))
}

/** @param {string} copy */
function applyIn(copy) {
  git(copy, 'init', '--quiet', '--initial-branch=main')
  git(copy, 'add', '--all')
  git(copy, 'commit', '--quiet', '--message=copy')
  const { status, output } = run('changeset', ['version'], { cwd: copy })
  if (status !== 0) return failures.push(`changeset version fails:\n${output}`)
  for (const { folder, manifest } of packages().filter((p) => announced().has(p.manifest.name))) {
    const { version } = readJson(join(copy, 'packages', folder, 'package.json'))
    console.log(`${manifest.name}: ${manifest.version} -> ${version}`)
    const changelog = existsSync(join(copy, 'packages', folder, 'CHANGELOG.md'))
    if (version === manifest.version || !changelog) failures.push(`${folder}: nothing released`)
  }
}

/** @param {string} base */
function compareWith(base) {
  const { status, output } = run('changeset', ['status', `--since=${base}`])
  if (status !== 0) failures.push(`changeset status --since=${base}:\n${output}`)
}

withCopy(applyIn)
if (process.argv[2]) compareWith(process.argv[2])
conclude(failures, `${announced().size} packages have pending changesets`)
