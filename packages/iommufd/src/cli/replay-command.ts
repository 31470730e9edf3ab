// SPDX-License-Identifier: Apache-2.0
// `iommufd replay`: every recording that was named, one after the other, each on a machine of its own.
// An input that cannot be used is told on standard error and does not keep the others from being replayed.

import { setImmediate } from 'node:timers/promises'
import { replayRecording } from '../recording.js'
import { findRecordings, loadRecording } from './files.js'
import { InputError } from './input-error.js'
import { ReplayReport } from './report.js'
import { colorsFor, type Progress, showProgress } from './terminal.js'

const UNUSABLE = 2

export interface ReplayCommandOptions {
  readonly json?: boolean
  readonly failFast?: boolean
  readonly profile?: readonly string[]
  readonly show: number
}

/** Runs the command; its exit code. */
export async function replayCommand(
  paths: readonly string[],
  options: ReplayCommandOptions,
): Promise<number> {
  const report = new ReplayReport()
  const unusable = (error: unknown) => {
    if (!(error instanceof InputError)) throw error
    report.unusable.push(error)
  }
  const files = collect(paths, unusable)
  const progress = showProgress(files.length, process.stderr)
  for (const file of files) {
    await replayFile(file, options, report, progress).catch(unusable)
    if (options.failFast && report.total.divergences > 0) break
    await setImmediate()
  }
  progress.stop()
  if (report.unusable.length === 0 && report.total.files === 0) {
    process.stderr.write(
      `iommufd: no recording of profile ${options.profile?.join(', ')} among the files\n`,
    )
    return UNUSABLE
  }
  for (const { message } of report.unusable) process.stderr.write(`iommufd: ${message}\n`)
  process.stdout.write(
    options.json ? report.json() : report.text(colorsFor(process.stdout, process.env)),
  )
  return report.exitCode
}

function collect(paths: readonly string[], unusable: (error: unknown) => void): string[] {
  return paths.flatMap((path) => {
    try {
      return findRecordings(path)
    } catch (error) {
      unusable(error)
      return []
    }
  })
}

async function replayFile(
  file: string,
  options: ReplayCommandOptions,
  report: ReplayReport,
  progress: Progress,
): Promise<void> {
  const { profile: wanted, failFast = false } = options
  const recording = await loadRecording(file, (profile) => wanted?.includes(profile) ?? true)
  if (recording === undefined) return progress.advance(0)
  const keep = Math.max(0, options.show - report.first.length)
  const result = replayRecording(recording, { failFast, keep })
  report.add(result)
  progress.advance(result.calls)
}
