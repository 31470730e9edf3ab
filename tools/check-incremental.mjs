// SPDX-License-Identifier: Apache-2.0
// Is the work incremental? In a copy of the repository, asks turbo (without running anything) whose build and tests
// would have to run after a source file of one package changed: that package and those above it, nothing else.
// Prints the table. A change of a README concerns the tests of its package alone.
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { conclude, packages, run, withCopy } from './workspace.mjs'

const all = packages()

/** The package and everything that depends on it, directly or not. @param {string} name @returns {Set<string>} */
function atOrAbove(name) {
  const found = new Set([name])
  for (let size = 0; size !== found.size; ) {
    size = found.size
    for (const { manifest } of all) {
      if (Object.keys(manifest.dependencies ?? {}).some((n) => found.has(n)))
        found.add(manifest.name)
    }
  }
  return found
}

/** @param {string} copy @returns {Map<string, string>} the hash of each task */
function hashes(copy) {
  const result = run('turbo', ['run', 'build', 'test', '--dry=json'], { cwd: copy })
  if (result.status !== 0) throw new Error(result.output)
  /** @type {{tasks: {taskId: string, package: string, hash: string}[]}} */
  const { tasks } = JSON.parse(result.stdout)
  // The examples stand above everything and are no packages of ours.
  const ours = tasks.filter((task) => all.some(({ manifest }) => manifest.name === task.package))
  return new Map(ours.map((task) => [task.taskId, task.hash]))
}

/** @type {string[]} */
const failures = []

/**
 * @param {string} copy
 * @param {string} file
 * @param {string[]} expected the tasks that have to run
 */
function expectAfterChange(copy, file, expected) {
  const before = hashes(copy)
  appendFileSync(join(copy, file), '\n')
  const after = hashes(copy)
  const ran = [...before.keys()].filter(
    (task) => /#(build|test)$/.test(task) && before.get(task) !== after.get(task),
  )
  console.log(`${file}\n    ${ran.sort().join(' ') || 'nothing'}`)
  if (ran.join() !== expected.sort().join()) {
    failures.push(`${file}: expected ${expected.join(' ')}, but would run ${ran.join(' ')}`)
  }
}

withCopy((copy) => {
  for (const { folder, manifest } of all) {
    const tasks = [...atOrAbove(manifest.name)].flatMap((name) => [`${name}#build`, `${name}#test`])
    expectAfterChange(copy, `packages/${folder}/src/index.ts`, tasks)
  }
  for (const { folder, manifest } of all) {
    expectAfterChange(copy, `packages/${folder}/README.md`, [`${manifest.name}#test`])
  }
})
conclude(failures, 'a change rebuilds its package and what stands above it, nothing else')
