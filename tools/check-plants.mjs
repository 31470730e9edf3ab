// SPDX-License-Identifier: Apache-2.0
// Do the rules bite? Plants a violation of each in a copy of the repository and expects the tool in charge to fail and
// to name it. Each tool must first pass on the unchanged copy, else its failure would prove nothing. The work tree is
// never touched.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { conclude, run, withCopy } from './workspace.mjs'

/**
 * @typedef {{ what: string, files: Record<string, string | Edit>, complaint: RegExp }} Plant
 *   files: what stands in each file of the copy, or how it is changed; complaint: what the tool has to say.
 * @typedef {(text: string) => string} Edit
 * @typedef {{ name: string, run: (copy: string) => { status: number, output: string }, plants: Plant[] }} Tool
 */

const SPDX = '// SPDX-License-Identifier: Apache-2.0\n'

/** @param {string} dependency @returns {Edit} */
const depend = (dependency) => (text) => {
  const manifest = JSON.parse(text)
  manifest.dependencies = { ...manifest.dependencies, [dependency]: 'workspace:^' }
  return JSON.stringify(manifest)
}

/** @param {string} specifier */
const importing = (specifier) => `${SPDX}export * from '${specifier}'\n`

/** @type {Tool} */
const imports = {
  name: 'dependency-cruiser',
  run: (cwd) => run('depcruise', ['packages', '--config', '.dependency-cruiser.mjs'], { cwd }),
  plants: [
    {
      what: 'an import from a higher layer',
      files: { 'packages/pages/src/planted-up.ts': importing('../../access/src/index.js') },
      complaint: /downward-only-from-pages: packages\/pages\/src\/planted-up\.ts/,
    },
    {
      what: 'an import from the own layer',
      files: { 'packages/access/src/planted-same.ts': importing('../../hw-iommu/src/index.js') },
      complaint: /downward-only-from-access: packages\/access\/src\/planted-same\.ts/,
    },
    {
      what: 'an import from a higher layer, of a type only',
      files: {
        'packages/uapi/src/planted-type.ts': `${SPDX}export type * from '../../core/src/index.js'\n`,
      },
      complaint: /downward-only-from-uapi: packages\/uapi\/src\/planted-type\.ts/,
    },
    {
      what: 'an import that package.json does not declare',
      files: { 'packages/uapi/src/planted-undeclared.ts': importing('@iommufd/host') },
      complaint: /no-unresolvable: packages\/uapi\/src\/planted-undeclared\.ts/,
    },
    {
      what: 'an import of a file that a package does not export',
      files: { 'packages/core/src/planted-inner.ts': importing('@iommufd/host/src/index.js') },
      complaint: /no-unresolvable: packages\/core\/src\/planted-inner\.ts/,
    },
    {
      what: "a path into another package's folder",
      files: { 'packages/core/src/planted-deep.ts': importing('../../host/src/index.js') },
      complaint: /no-deep-imports: packages\/core\/src\/planted-deep\.ts/,
    },
    {
      what: 'a circle of imports',
      files: {
        'packages/core/src/planted-a.ts': importing('./planted-b.js'),
        'packages/core/src/planted-b.ts': importing('./planted-a.js'),
      },
      complaint: /no-circular: packages\/core\/src\/planted-[ab]\.ts/,
    },
    {
      what: 'node:* below the command',
      files: { 'packages/selftest/src/planted-node.ts': importing('node:fs') },
      complaint: /no-node-below-the-command: packages\/selftest\/src\/planted-node\.ts/,
    },
    {
      what: 'node:* in the engine of the package that has the command',
      files: { 'packages/iommufd/src/planted-node.ts': importing('node:fs') },
      complaint: /no-node-below-the-command: packages\/iommufd\/src\/planted-node\.ts/,
    },
    {
      what: 'the command imported by the engine',
      files: {
        'packages/iommufd/src/planted-cli.ts': importing('./cli/planted.js'),
        'packages/iommufd/src/cli/planted.ts': `${SPDX}export {}\n`,
      },
      complaint: /engine-without-the-command: packages\/iommufd\/src\/planted-cli\.ts/,
    },
    {
      what: 'a test imported by a source',
      files: {
        'packages/host/src/planted-test.ts': importing('./planted.test.js'),
        'packages/host/src/planted.test.ts': `${SPDX}export {}\n`,
      },
      complaint: /no-test-code-in-sources: packages\/host\/src\/planted-test\.ts/,
    },
  ],
}

/** @type {Tool} */
const compiler = {
  name: 'tsc with project references',
  run: (cwd) => run('tsc', ['-b', 'packages/core/tsconfig.build.json'], { cwd }),
  plants: [
    {
      what: 'an import that package.json does not declare',
      files: { 'packages/core/src/planted-undeclared.ts': importing('@iommufd/pages') },
      complaint: /core\/src\/planted-undeclared\.ts\(2,15\): error TS2307/,
    },
    {
      what: "a path into another package's folder",
      files: { 'packages/core/src/planted-escape.ts': importing('../../access/src/index.js') },
      complaint: /error TS6059: File '.*packages\/access\/src\/index\.ts' is not under 'rootDir'/,
    },
    {
      what: 'a global of the browser',
      files: {
        'packages/core/src/planted-dom.ts': `${SPDX}export const title: string = document.title\n`,
      },
      complaint: /core\/src\/planted-dom\.ts\(2,30\): error TS2584/,
    },
    {
      what: 'a global of Node',
      files: {
        'packages/core/src/planted-node.ts': `${SPDX}export const pid: number = process.pid\n`,
      },
      complaint: /core\/src\/planted-node\.ts\(2,28\): error TS2(580|591)/,
    },
  ],
}

/** @type {Tool} */
const licences = {
  name: 'check-spdx',
  run: (cwd) => run(process.execPath, ['tools/check-spdx.mjs'], { cwd }),
  plants: [
    {
      what: 'a source without its licence',
      files: { 'packages/host/src/planted-licence.ts': 'export {}\n' },
      complaint: /packages\/host\/src\/planted-licence\.ts/,
    },
  ],
}

/** @type {Tool} */
const manifests = {
  name: 'check-packages',
  run: (cwd) => run(process.execPath, ['tools/check-packages.mjs'], { cwd }),
  plants: [
    {
      what: 'a dependency on a higher layer',
      files: { 'packages/host/package.json': depend('@iommufd/pages') },
      complaint: /host: may not depend on pages/,
    },
    {
      what: 'a dependency that is no project reference',
      files: { 'packages/host/package.json': depend('@iommufd/pages') },
      complaint: /host: the references of tsconfig\.build\.json should be .*pages/,
    },
    {
      what: 'exports that differ when published',
      files: {
        'packages/access/package.json': (text) => text.replace('"access": "public"', '"x": 1'),
      },
      complaint: /access: publishConfig/,
    },
    {
      what: 'a README without an example',
      files: { 'packages/uapi/README.md': '# Nothing to run\n' },
      complaint: /uapi: README\.md has 0/,
    },
    {
      what: 'a package without tests',
      files: { 'packages/planted/package.json': '{ "scripts": {}, "files": [], "exports": {} }' },
      complaint: /planted: has no tests/,
    },
  ],
}

/** @type {Tool} */
const unused = {
  name: 'knip',
  run: (cwd) => run('knip', ['--no-config-hints'], { cwd }),
  plants: [
    {
      what: 'a source that nothing imports',
      files: { 'packages/core/src/planted-unused.ts': `${SPDX}export const unused: number = 1\n` },
      complaint: /Unused files[\s\S]*packages\/core\/src\/planted-unused\.ts/,
    },
  ],
}

/**
 * @param {string} file
 * @param {string | Edit} change
 */
function plant(file, change) {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, typeof change === 'string' ? change : change(readFileSync(file, 'utf8')))
}

/** @type {string[]} */
const failures = []
let noticed = 0

/**
 * @param {Tool} tool
 * @param {string} copy
 */
function expectNoticed(tool, copy) {
  const clean = tool.run(copy)
  if (clean.status !== 0) failures.push(`${tool.name} fails without a plant:\n${clean.output}`)
  for (const [file, change] of tool.plants.flatMap(({ files }) => Object.entries(files))) {
    plant(join(copy, file), change)
  }
  const { status, output } = tool.run(copy)
  if (status === 0) failures.push(`${tool.name} passes in spite of its plants`)
  const missed = tool.plants.filter(({ complaint }) => !complaint.test(output))
  for (const { what } of missed) failures.push(`${tool.name} does not notice ${what}`)
  if (missed.length > 0) failures.push(`${tool.name} said:\n${output}`)
  noticed += tool.plants.length - missed.length
}

for (const tool of [imports, compiler, licences, manifests, unused]) {
  withCopy((copy) => expectNoticed(tool, copy))
}
conclude(failures, `${noticed} planted violations, each noticed`)
