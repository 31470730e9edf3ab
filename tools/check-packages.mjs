// SPDX-License-Identifier: Apache-2.0
// Part of `npm run lint`: what every package has in common, and what is said twice says the same: the manifests follow
// the layers, project references follow the dependencies, what is published follows what is developed.
// `node tools/check-packages.mjs [PACKAGE…]`
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { forbiddenFor, layers } from './layers.mjs'
import { conclude, filesBelow, findPackage, packages, readJson, root } from './workspace.mjs'

/** @typedef {import('./workspace.mjs').Package} Package */

/** @type {string[]} */
const complaints = []
/**
 * @param {boolean} holds
 * @param {string} complaint
 */
function expect(holds, complaint) {
  if (!holds) complaints.push(complaint)
}

/** @param {unknown} a @param {unknown} b */
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)

const COMMON = {
  license: 'Apache-2.0',
  type: 'module',
  sideEffects: false,
  engines: { node: '>=20.19.0' },
}
const SCRIPTS = {
  build: 'tsup --config ../../tsup.config.ts && tsc -p tsconfig.build.json',
  test: 'vitest run --config ../../vitest.config.ts',
  'test:browser': 'vitest run --config ../../vitest.browser.config.ts',
  typecheck: 'tsc -p tsconfig.json',
  'pack:tarball': 'pnpm pack --out .pack.tgz',
  'pack:check': 'publint .pack.tgz --strict && attw .pack.tgz --profile esm-only',
  'pack:alone': 'node ../../tools/check-alone.mjs',
}
const FILES = ['dist', 'src', '!dist/*.tsbuildinfo', '!src/**/*.test.ts', '!src/**/*.bench.ts']

/** @param {Package} p */
function checkManifest({ folder, manifest }) {
  const expected = folder === 'iommufd' ? 'iommufd' : `@iommufd/${folder}`
  expect(manifest.name === expected, `${folder}: its name should be ${expected}`)
  expect(Boolean(manifest.description), `${folder}: no description`)
  for (const [key, value] of Object.entries(COMMON)) {
    expect(same(manifest[key], value), `${folder}: ${key} should be ${JSON.stringify(value)}`)
  }
  for (const [name, script] of Object.entries(SCRIPTS)) {
    const own = name === 'pack:alone' ? `${script} ${folder}` : script
    expect(manifest.scripts[name] === own, `${folder}: the script ${name} should be "${own}"`)
  }
  for (const file of FILES) expect(manifest.files.includes(file), `${folder}: files lacks ${file}`)
}

/** @param {Record<string, string>} target */
function withoutSource({ '@iommufd/source': _, ...published }) {
  return published
}

/**
 * publishConfig.exports is exports without the condition that leads to the sources, and without the bundle that only
 * the package's own command starts.
 * @param {Package} p
 */
function checkExports({ folder, manifest }) {
  /** @type {import('./workspace.mjs').Exports} */
  const published = {}
  for (const [key, target] of Object.entries(manifest.exports)) {
    if (manifest.bin && key === './cli') continue
    if (typeof target === 'string') published[key] = target
    else published[key] = withoutSource(target)
  }
  expect(
    same(manifest.publishConfig, { access: 'public', exports: published }),
    `${folder}: publishConfig should be access public and the exports without @iommufd/source`,
  )
  expect(manifest.exports['./package.json'] === './package.json', `${folder}: no ./package.json`)
}

/** @param {Package} p */
function checkLayer({ folder, path, manifest }) {
  expect(layers.flat().includes(folder), `${folder}: has no layer in tools/layers.mjs`)
  const forbidden = forbiddenFor(folder)
  const uses = workspaceFolders({ ...manifest.dependencies, ...manifest.devDependencies })
  for (const other of uses) {
    expect(!forbidden.includes(other), `${folder}: may not depend on ${other}, not a lower layer`)
  }
  for (const range of Object.values(manifest.dependencies ?? {}).filter((r) => /^work/.test(r))) {
    expect(range === 'workspace:^', `${folder}: depends by ${range}, should be workspace:^`)
  }
  const config = ts.readConfigFile(join(path, 'tsconfig.build.json'), ts.sys.readFile).config
  const references = (config?.references ?? []).map((/** @type {{path: string}} */ r) => r.path)
  const wanted = workspaceFolders(manifest.dependencies).map((f) => `../${f}/tsconfig.build.json`)
  expect(
    same(references.sort(), wanted.sort()),
    `${folder}: the references of tsconfig.build.json should be ${wanted.join(', ') || 'none'}`,
  )
}

/** @param {Record<string, string>} [dependencies] */
function workspaceFolders(dependencies = {}) {
  return Object.keys(dependencies).flatMap((name) => findPackage(name)?.folder ?? [])
}

/** A package without tests, or without a README whose example is tested, is not finished. @param {Package} p */
function checkContents({ folder, path }) {
  const files = filesBelow(path)
  expect(
    files.some((file) => /^(src|test)\/.*(?<!readme)\.test\.ts$/.test(file)),
    `${folder}: has no tests`,
  )
  expect(files.includes('src/readme.test.ts'), `${folder}: no src/readme.test.ts tests the README`)
  const readme = join(path, 'README.md')
  const text = existsSync(readme) ? readFileSync(readme, 'utf8') : ''
  const examples = text.match(/^```ts$/gm)?.length ?? 0
  expect(examples === 1, `${folder}: README.md has ${examples} \`\`\`ts examples, should be one`)
  const index = join(path, 'src/index.ts')
  const star = existsSync(index) && /^export \* from/m.test(readFileSync(index, 'utf8'))
  expect(folder === 'uapi' || !star, `${folder}: src/index.ts should name its exports, no export *`)
}

/** The version of pnpm is said three times. */
function checkPnpm() {
  const { packageManager, devDependencies, scripts } = readJson(join(root, 'package.json'))
  const version = devDependencies.pnpm
  const agree = packageManager === `pnpm@${version}` && scripts.setup.includes(`pnpm@${version} `)
  expect(agree, 'package.json: packageManager, devDependencies and setup name different pnpm')
}

const wanted = process.argv.slice(2)
const checked = wanted.length === 0 ? packages() : wanted.flatMap((name) => findPackage(name) ?? [])
for (const p of checked) {
  for (const check of [checkManifest, checkExports, checkLayer, checkContents]) check(p)
}
for (const folder of layers.flat()) {
  expect(Boolean(findPackage(folder)), `tools/layers.mjs: there is no package ${folder}`)
}
checkPnpm()
conclude(complaints, `${checked.length} packages are as they should be`)
