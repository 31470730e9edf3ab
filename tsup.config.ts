// SPDX-License-Identifier: Apache-2.0
// The build of every package: one bundle per entry of the package's own `exports`. The entries are read from
// package.json, so a new export needs nothing here. Types are written by tsc (tsconfig.build.json).
import { readFileSync } from 'node:fs'
import { defineConfig } from 'tsup'

/** The source file of each export that has one, by the name of its bundle in dist. */
function entries(): Record<string, string> {
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8'))
  const found: Record<string, string> = {}
  for (const target of Object.values<Record<string, string>>(exports)) {
    const source = target['@iommufd/source']
    const bundle = target.default
    if (source && bundle) found[bundle.replace(/^\.\/dist\/|\.js$/g, '')] = source
  }
  return found
}

export default defineConfig({
  entry: entries(),
  format: ['esm'],
  dts: false,
  sourcemap: true,
  clean: true,
  target: 'es2022',
  tsconfig: 'tsconfig.build.json',
})
