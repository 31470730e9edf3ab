// SPDX-License-Identifier: Apache-2.0
// `npm run bench`: builds, then measures the built packages. Arguments (such as --json) go to the benchmark; what the
// build says goes to standard error, so that standard output is the benchmark's alone.
import { spawnSync } from 'node:child_process'
import { root } from './workspace.mjs'

/**
 * @param {string} program
 * @param {string[]} args
 * @param {import('node:child_process').StdioOptions} stdio
 */
function step(program, args, stdio) {
  const { status } = spawnSync(program, args, { cwd: root, stdio })
  if (status !== 0) process.exit(status ?? 1)
}

step(process.execPath, ['tools/setup.mjs'], ['inherit', process.stderr, 'inherit'])
step(
  'npx',
  ['turbo', 'run', 'build', '--output-logs=errors-only'],
  ['inherit', process.stderr, 'inherit'],
)
step(
  process.execPath,
  [
    '--expose-gc',
    '--max-semi-space-size=256',
    'packages/iommufd/bench/main.mjs',
    ...process.argv.slice(2),
  ],
  'inherit',
)
