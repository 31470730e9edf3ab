// SPDX-License-Identifier: Apache-2.0
// `iommufd estimate`: how much locked memory a recording or a described setup needs, for whom it is counted, and
// which limit must allow it.

import type { Command } from 'commander'
import { type Estimate, estimate } from '../estimate/estimate.js'
import { type Peaks, peaksOf } from '../estimate/peaks.js'
import {
  type Accounting,
  type AddressSpaces,
  type BackEnd,
  type Setup,
  setupOf,
  setupProblem,
} from '../estimate/setup.js'
import { peaksText, setupText } from './estimate-text.js'
import { loadTrace } from './files.js'
import { InputError } from './input-error.js'

const TOO_LOW = 1

interface EstimateOptions {
  readonly json?: boolean
  readonly devices: string
  readonly memory?: string
  readonly pageSize: string
  readonly backEnd: string
  readonly accounting?: string
  readonly addressSpaces: string
  readonly processes: string
  readonly users: string
  readonly limit?: string
}

/** Adds the command to the program; `done` gets the exit code. */
export function addEstimateCommand(program: Command, done: (exitCode: number) => void): void {
  program
    .command('estimate')
    .description(
      'how much locked memory is needed, for whom it is counted, which limit must allow it',
    )
    .argument('[recording]', 'a recording (.jsonl, .jsonl.gz) instead of a description')
    .option('--memory <size>', 'what each process maps, such as 16GiB')
    .option('--devices <n>', 'devices of each process', '1')
    .option(
      '--address-spaces <how>',
      'shared, each (mapped anew for each device) or copy',
      'shared',
    )
    .option('--back-end <name>', 'type1, iommufd or vfio-compat', 'iommufd')
    .option('--accounting <mode>', 'user, process or none (CAP_IPC_LOCK); default: the back end’s')
    .option('--page-size <size>', 'of the memory: 4KiB, 2MiB, 1GiB', '4KiB')
    .option('--processes <n>', 'processes of each user', '1')
    .option('--users <n>', 'users', '1')
    .option('--limit <size>', 'RLIMIT_MEMLOCK as it is, to be judged')
    .option('--json', 'print one JSON document')
    .addHelpText('after', HELP)
    .action(async (recording: string | undefined, options: EstimateOptions) =>
      done(await estimateCommand(recording, options)),
    )
}

const HELP = `
Examples:
  iommufd estimate --memory 16GiB --devices 4 --back-end type1
  iommufd estimate --memory 8GiB --processes 3 --limit 8GiB       three VMs of one user
  iommufd estimate --memory 64GiB --page-size 1GiB --back-end vfio-compat --json
  iommufd estimate vmm.jsonl.gz                                   what a recorded program had locked

Exit code: 0, 1 when --limit is too low, 2 an input or the command line cannot be used.`

async function estimateCommand(
  recording: string | undefined,
  options: EstimateOptions,
): Promise<number> {
  const limit = options.limit === undefined ? undefined : sizeOf('--limit', options.limit)
  if (recording === undefined) return estimateSetup(readSetup(options), limit, options)
  if (options.memory !== undefined) {
    throw new InputError('--memory', undefined, 'a recording tells itself how much is mapped')
  }
  const peaks = peaksOf(await loadTrace(recording))
  const text = options.json
    ? `${JSON.stringify({ file: recording, ...peaks, needs: needsOf(peaks) }, null, 2)}\n`
    : peaksText(recording, peaks, needsOf(peaks))
  process.stdout.write(text)
  return isTooLow(BigInt(needFor(peaks, options)), limit) ? TOO_LOW : 0
}

function estimateSetup(setup: Setup, limit: bigint | undefined, { json }: EstimateOptions): number {
  const result = estimate(setup)
  const tooLow = isTooLow(result.limit, limit)
  process.stdout.write(json ? setupJson(setup, result, tooLow) : setupText(setup, result, limit))
  return tooLow ? TOO_LOW : 0
}

function isTooLow(needed: bigint | undefined, limit: bigint | undefined): boolean {
  return needed !== undefined && limit !== undefined && limit < needed
}

function setupJson(setup: Setup, result: Estimate, tooLow: boolean): string {
  const plain = (_key: string, value: unknown) =>
    typeof value === 'bigint' ? Number(value) : value
  return `${JSON.stringify({ setup, ...result, tooLow }, plain, 2)}\n`
}

/** What RLIMIT_MEMLOCK must be for a recorded program by whom it is counted, in bytes. */
export interface Needs {
  readonly user: number
  readonly process: number
  /** undefined where the program makes no VFIO calls */
  readonly type1: number | undefined
}

function needsOf({ processes, users, vfioCalls }: Peaks): Needs {
  const type1 = Math.max(0, ...processes.map(({ type1VmLck }) => type1VmLck))
  return {
    user: Math.max(0, ...users.map(({ pinned }) => pinned)),
    process: Math.max(0, ...processes.map(({ vmPin }) => vmPin)),
    type1: vfioCalls === 0 ? undefined : type1,
  }
}

function needFor(peaks: Peaks, options: EstimateOptions): number {
  const needs = needsOf(peaks)
  if (options.backEnd === 'type1') return needs.type1 ?? 0
  const accounting = options.accounting ?? (options.backEnd === 'iommufd' ? 'user' : 'process')
  return accounting === 'user' ? needs.user : accounting === 'process' ? needs.process : 0
}

function readSetup(options: EstimateOptions): Setup {
  if (options.memory === undefined) {
    throw new InputError('--memory', undefined, 'it is needed, unless a recording is given')
  }
  const { accounting } = options
  const setup = setupOf({
    memory: sizeOf('--memory', options.memory),
    devices: countOf('--devices', options.devices),
    pageSize: sizeOf('--page-size', options.pageSize),
    backEnd: oneOf('--back-end', options.backEnd, ['type1', 'iommufd', 'vfio-compat']),
    ...(accounting === undefined
      ? {}
      : { accounting: oneOf('--accounting', accounting, ['user', 'process', 'none']) }),
    addressSpaces: oneOf('--address-spaces', options.addressSpaces, ['shared', 'each', 'copy']),
    processes: countOf('--processes', options.processes),
    users: countOf('--users', options.users),
  })
  const wrong = setupProblem(setup)
  if (wrong === undefined) return setup
  const option = wrong.field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  throw new InputError(`--${option}`, undefined, wrong.problem)
}

function oneOf<T extends BackEnd | Accounting | AddressSpaces>(
  option: string,
  text: string,
  known: readonly T[],
): T {
  const found = known.find((name) => name === text)
  if (found !== undefined) return found
  throw new InputError(option, undefined, `${JSON.stringify(text)} is none of ${known.join(', ')}`)
}

function countOf(option: string, text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text)
  throw new InputError(
    option,
    undefined,
    `${JSON.stringify(text)} is not a number from 1 to 9999999`,
  )
}

const UNITS: Readonly<Record<string, bigint>> = {
  '': 1n,
  K: 2n ** 10n,
  M: 2n ** 20n,
  G: 2n ** 30n,
  T: 2n ** 40n,
}

function sizeOf(option: string, text: string): bigint {
  const match = /^(\d{1,15})([KMGT]?)(?:i?B)?$/i.exec(text)
  if (match !== null) return BigInt(match[1] ?? 0) * (UNITS[(match[2] ?? '').toUpperCase()] ?? 1n)
  throw new InputError(option, undefined, `${JSON.stringify(text)} is no size: 4096, 512MiB, 16GiB`)
}
