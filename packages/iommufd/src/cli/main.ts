// SPDX-License-Identifier: Apache-2.0
// The command `iommufd`: arguments in, exit code out. 0: as it should be, 1: answers diverged, 2: the command
// line or an input cannot be used (one line on standard error, never a stack trace).

import { createRequire } from 'node:module'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { demoCommand } from './demo-command.js'
import { type ExplainCommandOptions, explainCommand } from './explain-command.js'
import { InputError } from './files.js'
import { type ReplayCommandOptions, replayCommand } from './replay-command.js'
import { endQuietlyOnClosedPipe } from './terminal.js'

const UNUSABLE = 2

/** @param args the command line after `iommufd`. Returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  endQuietlyOnClosedPipe(process.stdout)
  let exitCode = 0
  const program = makeProgram((code) => {
    exitCode = code
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : UNUSABLE
    if (!(error instanceof InputError)) throw error
    process.stderr.write(`iommufd: ${error.message}\n`)
    return UNUSABLE
  }
}

function makeProgram(done: (exitCode: number) => void): Command {
  const program = new Command('iommufd')
    .description('I/O address spaces that answer like Linux: /dev/iommu outside the kernel')
    .version(packageVersion())
    .exitOverride()
    .showHelpAfterError('(iommufd --help shows what there is)')
    .addHelpText('after', EXAMPLES)
  program
    .command('replay')
    .description('make recorded calls again and compare every answer')
    .argument('<path...>', 'recordings (.jsonl, .jsonl.gz), or directories that hold some')
    .option('--json', 'print one JSON document')
    .option('--fail-fast', 'stop at the first divergence')
    .option('--profile <name>', 'only recordings of this profile (may be repeated)', collect)
    .option('--show <n>', 'how many divergences to describe', parseCount, 5)
    .addHelpText('after', EXIT_CODES)
    .action(async (paths: string[], options: ReplayCommandOptions) =>
      done(await replayCommand(paths, options)),
    )
  program
    .command('explain')
    .description('show a recording as a readable log, with the reason of every failure')
    .argument('<file>', 'a recording (.jsonl, .jsonl.gz)')
    .option('--json', 'print one JSON document')
    .option('--failed', 'only the calls that failed')
    .action(async (file: string, options: ExplainCommandOptions) =>
      done(await explainCommand(file, options)),
    )
  program
    .command('demo')
    .description('show a map, an access from inside the kernel and a refusal, call by call')
    .action(() => done(demoCommand()))
  return program
}

const EXAMPLES = `
Examples:
  iommufd replay recordings/              every recording below a directory
  iommufd replay --profile ioas --fail-fast recordings/
  iommufd replay --json one.jsonl.gz > result.json
  iommufd explain one.jsonl.gz            what each call did, why each failing one failed
  iommufd explain --failed one.jsonl.gz`

const EXIT_CODES = `
Exit code: 0 all answers agree, 1 some do not, 2 an input or the command line cannot be used.`

function collect(name: string, names: readonly string[] = []): string[] {
  return [...names, name]
}

function parseCount(text: string): number {
  const count = Number(text)
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a number from 0.')
  return count
}

function packageVersion(): string {
  const { version } = createRequire(import.meta.url)('iommufd/package.json') as { version: string }
  return version
}
