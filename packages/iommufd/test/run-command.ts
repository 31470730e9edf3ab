// SPDX-License-Identifier: Apache-2.0
// `iommufd run` as a process of its own, from the sources, and small programs in C to run under it. For Node only.

import {
  type ChildProcessWithoutNullStreams,
  type SpawnSyncOptions,
  spawn,
  spawnSync,
} from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type BuildOptions, build } from 'esbuild'

const here = fileURLToPath(new URL('..', import.meta.url))
/** koffi is found from there. */
const runPackage = dirname(createRequire(import.meta.url).resolve('@iommufd/run/package.json'))

export interface Ran {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export class RunCommand {
  readonly folder: string
  readonly #program: string

  private constructor(folder: string) {
    this.folder = folder
    this.#program = join(folder, 'iommufd.mjs')
  }

  static async make(): Promise<RunCommand> {
    const cache = join(runPackage, 'node_modules/.cache')
    mkdirSync(cache, { recursive: true })
    const command = new RunCommand(mkdtempSync(join(cache, 'command-')))
    const require = `from(${JSON.stringify(join(here, 'package.json'))})`
    const common: BuildOptions = {
      bundle: true,
      platform: 'node',
      format: 'esm',
      conditions: ['@iommufd/source'],
      external: ['koffi'],
      logLevel: 'error',
    }
    await build({
      ...common,
      banner: {
        js: `import { createRequire as from } from 'node:module'; const require = ${require};`,
      },
      stdin: {
        contents: `import { main } from './src/cli.js'
                   process.exitCode = await main(process.argv.slice(2))`,
        resolveDir: here,
      },
      outfile: command.#program,
    })
    for (const name of ['keeper', 'launch']) {
      await build({
        ...common,
        entryPoints: [join(runPackage, `src/${name}.ts`)],
        outfile: join(command.folder, `${name}.js`),
      })
    }
    writeFileSync(join(command.folder, 'package.json'), '{"type":"module"}')
    return command
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** Runs `iommufd` with these arguments. */
  run(args: readonly string[], options: SpawnSyncOptions = {}): Ran {
    const { status, stdout, stderr } = spawnSync(process.execPath, [this.#program, ...args], {
      timeout: 60_000,
      ...options,
      encoding: 'utf8',
    })
    return { status, stdout, stderr }
  }

  /** As `run`, but does not wait for the end. */
  start(args: readonly string[]): ChildProcessWithoutNullStreams {
    return spawn(process.execPath, [this.#program, ...args])
  }

  /** Compiles a program of packages/run/test/programs: its file, undefined where there is no compiler. */
  compile(name: string): string | undefined {
    const source = join(runPackage, 'test/programs', `${name}.c`)
    const to = join(this.folder, name)
    const { error, status, stderr } = spawnSync('cc', ['-O1', '-pthread', '-o', to, source], {
      encoding: 'utf8',
    })
    if (error !== undefined) return undefined
    if (status !== 0) throw new Error(`${name}.c does not compile:\n${stderr}`)
    return to
  }
}
