// SPDX-License-Identifier: Apache-2.0
// `npm start`: from a fresh clone to the first result. What is shown stands in `shown`, and only there. The recordings
// of calls that are not implemented yet make `replay` answer 1, which is a result and no failure of this script; nor is it
// one when the machine lets no program be intercepted (125) or has no perl (127): then `run` says so.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { root } from './workspace.mjs'

const shown = [
  ['replay', 'packages/iommufd/test/traces', 'packages/iommufd/test/pagetables'],
  ['pagetable', '--format', 'x86_64', '0x1ff000:0x80000000:12K:r', '0x40000000:0:1G'],
  ['run', '--trace', '--', 'perl', 'examples/first-map.pl'],
]

const TOLERATED = [0, 1, 125, 127]

/**
 * @param {string} program
 * @param {string[]} args
 * @param {number[]} [tolerated] the exit codes that are no failure
 */
function step(program, args, tolerated = [0]) {
  const { status } = spawnSync(program, args, { cwd: root, stdio: 'inherit' })
  if (!tolerated.includes(status ?? -1)) process.exit(status ?? 1)
}

step(process.execPath, ['tools/setup.mjs'])
step('npx', ['turbo', 'run', 'build', '--output-logs=errors-only'])
for (const args of shown) {
  console.log(`\n$ npx iommufd ${args.join(' ')}`)
  step(process.execPath, [join('packages/iommufd/bin/iommufd.js'), ...args], TOLERATED)
}
