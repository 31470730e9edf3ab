// SPDX-License-Identifier: Apache-2.0
// Does a package work alone? Takes the tarballs that pack:tarball left (.pack.tgz), installs one of them into an empty
// project (the packages it depends on come from their tarballs, nothing else of the repository is in reach), imports
// every entry under plain Node, starts its command, checks and runs the example of its README.
// The script pack:alone of every package; `node tools/check-alone.mjs PACKAGE`.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findPackage, run } from './workspace.mjs'

/** @typedef {import('./workspace.mjs').Package} Package */

/**
 * @param {string} folder
 * @param {string} name
 * @param {unknown} content text, or what becomes JSON
 */
function write(folder, name, content) {
  writeFileSync(
    join(folder, name),
    typeof content === 'string' ? content : JSON.stringify(content, null, 2),
  )
}

/**
 * @param {string} what
 * @param {string} program
 * @param {string[]} args
 * @param {string} cwd
 */
function must(what, program, args, cwd) {
  const { status, output } = run(program, args, { cwd, env: { NODE_OPTIONS: '' } })
  if (status !== 0) throw new Error(`${what} fails:\n${output}`)
}

/** @param {Package} p */
function tarball({ path, manifest }) {
  const file = join(path, '.pack.tgz')
  if (!existsSync(file)) throw new Error(`${manifest.name} is not packed: npm run pack:alone`)
  return `file:${file}`
}

/** The packages of this repository that a package needs, directly or not. @param {Package} p @returns {Package[]} */
function needs({ manifest }) {
  const direct = Object.keys(manifest.dependencies ?? {}).flatMap((n) => findPackage(n) ?? [])
  return [...new Map([...direct.flatMap(needs), ...direct].map((p) => [p.folder, p])).values()]
}

/** @param {Package} p @param {string} project */
function install(p, project) {
  write(project, 'package.json', {
    private: true,
    type: 'module',
    dependencies: { [p.manifest.name]: tarball(p) },
    overrides: Object.fromEntries(needs(p).map((other) => [other.manifest.name, tarball(other)])),
  })
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error', '--prefer-offline']
  must('npm install', 'npm', ['install', '--ignore-scripts', ...quiet], project)
}

/** @param {Package} p @param {string} project @returns {number} how many entries were imported */
function importEntries({ manifest }, project) {
  const entries = Object.keys(manifest.publishConfig.exports).map(
    (key) => `${manifest.name}${key.slice(1)}`,
  )
  const lines = entries.map((entry) =>
    entry.endsWith('.json')
      ? `await import('${entry}', { with: { type: 'json' } })`
      : `if (!Object.keys(await import('${entry}')).length) throw new Error('${entry} exports nothing')`,
  )
  write(project, 'entries.mjs', lines.join('\n'))
  must('importing the entries', process.execPath, ['entries.mjs'], project)
  return entries.length
}

/** @param {Package} p @param {string} project */
function runExample({ path }, project) {
  const readme = readFileSync(join(path, 'README.md'), 'utf8')
  const source = /^```ts\n([\s\S]*?)^```$/m.exec(readme)?.[1]
  if (!source) throw new Error('README.md has no ```ts example')
  write(project, 'example.ts', source)
  write(project, 'console.d.ts', 'declare const console: { log(...data: unknown[]): void }')
  write(project, 'tsconfig.json', {
    compilerOptions: {
      target: 'ES2022',
      module: 'NodeNext',
      lib: ['ES2022'],
      types: [],
      strict: true,
      exactOptionalPropertyTypes: true,
      verbatimModuleSyntax: true,
      noEmitOnError: true,
    },
    files: ['example.ts', 'console.d.ts'],
  })
  must("type checking README's example", 'tsc', ['-p', 'tsconfig.json'], project)
  must("README's example", process.execPath, ['example.js'], project)
}

/** @param {Package} p */
function check(p) {
  const project = mkdtempSync(join(tmpdir(), 'iommufd-alone-'))
  try {
    install(p, project)
    const entries = importEntries(p, project)
    for (const command of Object.keys(p.manifest.bin ?? {})) {
      must(`${command} --help`, join('node_modules/.bin', command), ['--help'], project)
    }
    runExample(p, project)
    console.log(`${p.manifest.name}: installed alone, ${entries} entries, README's example`)
  } finally {
    rmSync(project, { recursive: true, force: true })
  }
}

const wanted = process.argv[2] ?? ''
const found = findPackage(wanted)
if (!found) throw new Error(`there is no package ${wanted}`)
check(found)
