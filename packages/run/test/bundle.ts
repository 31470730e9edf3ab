// SPDX-License-Identifier: Apache-2.0
//
// A program with run() in it as a process of its own, from the sources: run() takes the signals and the event loop of its
// process, and its launcher and keeper have to be files. For Node only.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const packageFolder = fileURLToPath(new URL('..', import.meta.url))

export interface Bundle {
  readonly program: string
  remove(): void
}

/** Bundles a file of test/ with launcher and keeper into a folder from where koffi is found. */
export async function bundle(entry: string): Promise<Bundle> {
  const cache = join(packageFolder, 'node_modules/.cache')
  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(join(cache, 'test-'))
  const make = (from: string, to: string) =>
    build({
      entryPoints: [join(packageFolder, from)],
      outfile: join(folder, to),
      bundle: true,
      platform: 'node',
      format: 'esm',
      conditions: ['@iommufd/source'],
      external: ['koffi'],
      logLevel: 'error',
    })
  await make(`test/${entry}`, 'program.mjs')
  await make('src/keeper.ts', 'keeper.js')
  await make('src/launch.ts', 'launch.js')
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  return {
    program: join(folder, 'program.mjs'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
