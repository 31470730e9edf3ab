// SPDX-License-Identifier: Apache-2.0
// The command as a process of its own, from the sources: bundled once per test file, so that the tests
// need no build and cannot see an old one. For Node only.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const packageFolder = fileURLToPath(new URL('..', import.meta.url))
export const traces: string = join(packageFolder, 'test/traces')
export const pagetables: string = join(packageFolder, 'test/pagetables')

export interface Result {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly env?: Record<string, string>
  readonly cwd?: string
  /** close the reading end of standard output after so many bytes */
  readonly closeAfter?: number
}

export class Command {
  readonly #folder: string
  readonly #program: string

  private constructor(folder: string, program: string) {
    this.#folder = folder
    this.#program = program
  }

  static async make(): Promise<Command> {
    // below node_modules, so that the libraries of the command line are found from there
    const cache = join(packageFolder, 'node_modules')
    const folder = mkdtempSync(join(cache, '.iommufd-command-'))
    const program = join(folder, 'iommufd.mjs')
    await build({
      stdin: {
        contents: `import { main } from './src/cli.js'
                   process.exitCode = await main(process.argv.slice(2))`,
        resolveDir: packageFolder,
      },
      bundle: true,
      platform: 'node',
      format: 'esm',
      conditions: ['@iommufd/source'],
      external: ['commander', 'cli-progress', 'cli-table3', 'picocolors'],
      outfile: program,
    })
    return new Command(folder, program)
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true })
  }

  run(args: readonly string[], options: RunOptions = {}): Promise<Result> {
    const env = { PATH: process.env.PATH ?? '', ...options.env }
    const child = spawn(process.execPath, [this.#program, ...args], { env, cwd: options.cwd })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (data) => {
      stdout += data
      if (stdout.length >= (options.closeAfter ?? Number.POSITIVE_INFINITY)) child.stdout.destroy()
    })
    child.stderr.on('data', (data) => {
      stderr += data
    })
    return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })))
  }
}

/** A temporary folder with files in it. */
export function folderWith(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'iommufd-test-'))
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
  return folder
}
