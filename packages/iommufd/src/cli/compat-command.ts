// SPDX-License-Identifier: Apache-2.0
// `iommufd compat`: recorded VFIO programs, made again with vfio_iommu_type1 and with an iommufd behind /dev/vfio/vfio.

import { setImmediate } from 'node:timers/promises'
import type { Command } from 'commander'
import { compareTrace } from '../compat/compare.js'
import { CompatReport } from './compat-report.js'
import { findRecordings, loadTrace } from './files.js'
import { InputError } from './input-error.js'
import { colorsFor, showProgress } from './terminal.js'

interface CompatCommandOptions {
  readonly json?: boolean
  readonly show: number
}

/** Adds the command to the program; `done` gets the exit code. */
export function addCompatCommand(program: Command, done: (exitCode: number) => void): void {
  program
    .command('compat')
    .description('what a recorded VFIO program meets when vfio_iommu_type1 becomes an iommufd')
    .argument('<path...>', 'recordings (.jsonl, .jsonl.gz), or directories that hold some')
    .option('--json', 'print one JSON document')
    .option('--show <n>', 'how many calls to describe', Number, 20)
    .addHelpText('after', HELP)
    .action(async (paths: string[], options: CompatCommandOptions) =>
      done(await compatCommand(paths, options)),
    )
}

const HELP = `
Rows V1 to V33 are those of docs/type1-differences.md.

Examples:
  iommufd compat qemu.jsonl.gz            each call that is answered otherwise, and what to do
  iommufd compat --show 0 recordings/     only how often each row is met
  iommufd compat --json qemu.jsonl > differences.json

Exit code: 0 no call differs, 1 some do, 2 an input or the command line cannot be used.`

async function compatCommand(
  paths: readonly string[],
  options: CompatCommandOptions,
): Promise<number> {
  const show = checkShow(options.show)
  const report = new CompatReport()
  const files = paths.flatMap((path) => report.attempt(() => findRecordings(path)) ?? [])
  const progress = showProgress(files.length, process.stderr)
  for (const file of files) {
    await compareFile(file, report, (calls) => progress.advance(calls))
    await setImmediate()
  }
  progress.stop()
  for (const { message } of report.unusable) process.stderr.write(`iommufd: ${message}\n`)
  const colors = colorsFor(process.stdout, process.env)
  process.stdout.write(options.json ? report.json() : report.text(show, colors))
  return report.exitCode
}

async function compareFile(
  file: string,
  report: CompatReport,
  advance: (calls: number) => void,
): Promise<void> {
  try {
    const result = compareTrace(await loadTrace(file))
    report.results.push(result)
    advance(result.calls)
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    report.unusable.push(error)
  }
}

function checkShow(show: number): number {
  if (Number.isSafeInteger(show) && show >= 0) return show
  throw new InputError('--show', undefined, 'it must be a number from 0')
}
