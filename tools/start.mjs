// SPDX-License-Identifier: Apache-2.0
// `npm start`: from a fresh clone to the first result. What is shown stands in `shown`, and only there.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { root } from './workspace.mjs'

const shown = [['replay', 'packages/iommufd/test/traces'], ['demo']]

/**
 * @param {string} program
 * @param {string[]} args
 */
function step(program, args) {
  const { status } = spawnSync(program, args, { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}

step(process.execPath, ['tools/setup.mjs'])
step('npx', ['turbo', 'run', 'build', '--output-logs=errors-only'])
for (const args of shown) {
  console.log(`\n$ npx iommufd ${args.join(' ')}`)
  step(process.execPath, [join('packages/iommufd/bin/iommufd.js'), ...args])
}
