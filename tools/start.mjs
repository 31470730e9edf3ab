// SPDX-License-Identifier: Apache-2.0
// `npm start`: from a fresh clone to the first result. What is shown stands in `shown`, and only there. The recordings
// of calls that are not implemented yet make `replay` answer 1, which is a result and no failure of this script.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { root } from './workspace.mjs'

const shown = [['replay', 'packages/iommufd/test/traces'], ['demo']]

const DIVERGES = 1

/**
 * @param {string} program
 * @param {string[]} args
 * @param {number} [tolerated] an exit code beside 0 that is no failure
 */
function step(program, args, tolerated = 0) {
  const { status } = spawnSync(program, args, { cwd: root, stdio: 'inherit' })
  if (status !== 0 && status !== tolerated) process.exit(status ?? 1)
}

step(process.execPath, ['tools/setup.mjs'])
step('npx', ['turbo', 'run', 'build', '--output-logs=errors-only'])
for (const args of shown) {
  console.log(`\n$ npx iommufd ${args.join(' ')}`)
  step(process.execPath, [join('packages/iommufd/bin/iommufd.js'), ...args], DIVERGES)
}
