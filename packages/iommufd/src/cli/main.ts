// SPDX-License-Identifier: Apache-2.0
// The command `iommufd`: arguments in, exit code out. 0: as it should be, 1: answers diverged or were refused, 2: the command
// line or an input cannot be used (one line on standard error, never a stack trace).
//
// Invariant: what one command needs is loaded for that command alone, so that `run` starts quickly.

import { createRequire } from 'node:module'
import { Command, CommanderError } from 'commander'
import { ArgumentProblem } from '../pagetable/argument-problem.js'
import { endQuietlyOnClosedPipe } from './closed-pipe.js'
import { InputError } from './input-error.js'

const UNUSABLE = 2

/** Adds a command to the program; `done` gets its exit code. */
type AddCommand = (program: Command, done: (exitCode: number) => void) => void

/** The commands, in the order of the help. */
const COMMANDS: Readonly<Record<string, () => Promise<AddCommand>>> = {
  replay: async () => (await import('./replay-options.js')).addReplayCommand,
  explain: async () => (await import('./explain-options.js')).addExplainCommand,
  compat: async () => (await import('./compat-command.js')).addCompatCommand,
  estimate: async () => (await import('./estimate-command.js')).addEstimateCommand,
  pagetable: async () => (await import('./pagetable-options.js')).addPageTableCommand,
  demo: async () => (await import('./demo-command.js')).addDemoCommand,
  run: async () => (await import('./run-options.js')).addRunCommand,
}

/** @param args the command line after `iommufd`. Returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  // Below `run` standard output is the program's: to look at it would change it.
  if (args[0] !== 'run') endQuietlyOnClosedPipe(process.stdout)
  let exitCode = 0
  const program = await makeProgram(args[0] ?? '', (code) => {
    exitCode = code
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : UNUSABLE
    if (!(error instanceof InputError || error instanceof ArgumentProblem)) throw error
    process.stderr.write(`iommufd: ${error.message}\n`)
    return UNUSABLE
  }
}

/** The program with the command that is named `first`, or with all of them: for the help. */
async function makeProgram(first: string, done: (exitCode: number) => void): Promise<Command> {
  const program = new Command('iommufd')
    .enablePositionalOptions()
    .description('I/O address spaces that answer like Linux: /dev/iommu outside the kernel')
    .version(packageVersion())
    .exitOverride()
    .showHelpAfterError('(iommufd --help shows what there is)')
    .addHelpText('after', EXAMPLES)
  const wanted = Object.hasOwn(COMMANDS, first) ? [first] : Object.keys(COMMANDS)
  for (const name of wanted) (await COMMANDS[name]?.())?.(program, done)
  return program
}

const EXAMPLES = `
Examples:
  iommufd replay recordings/              every recording below a directory
  iommufd replay --profile ioas --fail-fast recordings/
  iommufd replay --json one.jsonl.gz > result.json
  iommufd explain one.jsonl.gz            what each call did, why each failing one failed
  iommufd explain --failed one.jsonl.gz
  iommufd compat qemu.jsonl.gz            what changes when type 1 becomes an iommufd
  iommufd estimate --memory 16GiB --devices 4 --limit 8MiB
  iommufd pagetable --format x86_64 0x1000:0x20000000:2M:rw
  iommufd run --trace -- ./vmm --machine test`

function packageVersion(): string {
  const { version } = createRequire(import.meta.url)('iommufd/package.json') as { version: string }
  return version
}
