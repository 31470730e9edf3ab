// SPDX-License-Identifier: Apache-2.0
// Every row of the acceptance table is named by at least one test, or stands here with the reason why it is not. A row
// that is listed here and tested after all is an error too: the list is of what is missing.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './workspace.mjs'

/** Rows by section: file framework, core calls, later calls, engine, container. */
const SECTIONS = { F: 9, C: 10, L: 15, E: 12, V: 33 }

const MISSING = {
  E12: 'concurrent calls: a call ends before the next begins',
}

const files = execFileSync(
  'git',
  ['ls-files', '--cached', '--others', '--exclude-standard', 'packages'],
  {
    cwd: root,
    encoding: 'utf8',
  },
)
  .split('\n')
  .filter((name) => name.endsWith('.test.ts'))
const text = files.map((name) => readFileSync(join(root, name), 'utf8')).join('\n')
/** Rows in the titles of tests and groups; `V1-V3` and `C3, C5` name each. */
const titles = [
  ...text.matchAll(/(?:test|it|describe)(?:\.each\([^)]*\))?\(\s*(['"`])(.*?)\1/gs),
].map(([, , title]) => title)
const named = new Set(titles.flatMap((title) => title.match(/\b[FCLEV]\d{1,2}\b/g) ?? []))

const wrong = []
for (const [letter, count] of Object.entries(SECTIONS)) {
  for (let i = 1; i <= count; i++) {
    const row = `${letter}${i}`
    if (!named.has(row) && !(row in MISSING)) wrong.push(`${row}: no test names it`)
    if (named.has(row) && row in MISSING) wrong.push(`${row}: tested, but listed as missing`)
  }
}
for (const line of wrong) console.error(line)
if (wrong.length > 0) process.exit(1)
console.log(
  `${named.size} rows are named by tests, ${Object.keys(MISSING).length} are listed as missing`,
)
