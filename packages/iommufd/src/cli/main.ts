// SPDX-License-Identifier: Apache-2.0
// The command `iommufd`: arguments in, exit code out. 0: as it should be, 1: answers diverged or were refused, 2: the command
// line or an input cannot be used (one line on standard error, never a stack trace).

import { createRequire } from 'node:module'
import type { KernelVersion } from '@iommufd/run'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { ArgumentProblem } from '../pagetable/range.js'
import { addCompatCommand } from './compat-command.js'
import { demoCommand } from './demo-command.js'
import { addEstimateCommand } from './estimate-command.js'
import { type ExplainCommandOptions, explainCommand } from './explain-command.js'
import { InputError } from './files.js'
import { addPageTableCommand } from './pagetable-options.js'
import { type ReplayCommandOptions, replayCommand } from './replay-command.js'
import { type RunCommandOptions, runCommand } from './run-command.js'
import { MOST_DEVICES } from './run-devices.js'
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
    if (!(error instanceof InputError || error instanceof ArgumentProblem)) throw error
    process.stderr.write(`iommufd: ${error.message}\n`)
    return UNUSABLE
  }
}

function makeProgram(done: (exitCode: number) => void): Command {
  const program = new Command('iommufd')
    .enablePositionalOptions()
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
  addCompatCommand(program, done)
  addEstimateCommand(program, done)
  addPageTableCommand(program, done)
  program
    .command('demo')
    .description('show a map, an access from inside the kernel and a refusal, call by call')
    .action(() => done(demoCommand()))
  program
    .command('run')
    .description('run a program that finds /dev/iommu and /dev/vfio/vfio')
    .argument('<program>', 'what to run; put -- before it')
    .argument('[args...]', 'its arguments')
    .option('--trace [file]', 'tell each call, and why it failed (default: on standard error)')
    .addOption(
      new Option('--record <file>', 'record the calls, for iommufd replay').conflicts([
        'kernel',
        'failNth',
        'as',
        'devices',
      ]),
    )
    .option('--verbose', 'tell how each pinned range of memory is kept')
    .option(
      '--kernel <version>',
      `which kernel's calls there are: ${KERNELS.join(', ')}`,
      parseKernel,
    )
    .addOption(
      new Option('--as <kind>', 'what /dev/vfio/vfio is: iommufd, or vfio_iommu_type1').choices([
        'iommufd',
        'type1',
      ]),
    )
    .option('--devices <n>', 'how many VFIO groups there are, each with a device', parseDevices)
    .option('--fail-nth <n>', 'let the n-th fault point fail', parsePosition)
    .addOption(
      new Option('--attach <pid>', 'join the programs of another iommufd run')
        .argParser(parsePosition)
        .conflicts(OPTIONS_OF_A_SERVER),
    )
    .option('--privileged', 'take the program for root with every capability')
    .option('--selftest', 'serve IOMMU_TEST_CMD, with mock devices')
    .addHelpText('after', RUN_HELP)
    .passThroughOptions()
    .action(async (name: string, args: string[], options: RunCommandOptions) =>
      done(await runCommand([name, ...args], options)),
    )
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

const KERNELS: readonly KernelVersion[] = ['6.2', '6.6', '6.12', '7.3']

/** A run that joins another is served with that one's. */
const OPTIONS_OF_A_SERVER = [
  ...['trace', 'record', 'verbose', 'kernel', 'as', 'devices', 'failNth'],
  ...['privileged', 'selftest'],
]

const RUN_HELP = `
Exit code: the program's own; 125 we failed, 126 it cannot be executed, 127 there is no such program.`

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

function parsePosition(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It must be a number from 1.')
  return Number(text)
}

function parseDevices(text: string): number {
  const count = Number(text)
  if (/^\d{1,2}$/.test(text) && count <= MOST_DEVICES) return count
  throw new InvalidArgumentError(`It must be a number up to ${MOST_DEVICES}.`)
}

function parseKernel(text: string): KernelVersion {
  const version = KERNELS.find((known) => known === text)
  if (version !== undefined) return version
  throw new InvalidArgumentError(`It must be one of ${KERNELS.join(', ')}.`)
}

function packageVersion(): string {
  const { version } = createRequire(import.meta.url)('iommufd/package.json') as { version: string }
  return version
}
