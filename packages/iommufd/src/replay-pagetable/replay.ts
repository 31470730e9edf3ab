// SPDX-License-Identifier: Apache-2.0
// Whole recordings of page tables: what agreed, what did not. Making the table counts as a call, that of line 1.

import { createPageTable, pageTableFormats } from '@iommufd/hw-iommu/pagetable'
import { failureReason } from '../replay/reason.js'
import type { Divergence, ReplayOptions, ReplayResult } from '../replay/replay.js'
import type { PageTableInitRecording, PageTableRecording } from './recording.js'
import { type Answer, compareInit, PageTableReplayer } from './replayer.js'
import { formatInit, formatPageTableCall } from './text.js'

/** One call to be made again. */
interface Step {
  readonly line: number
  readonly text: () => string
  readonly make: () => Answer
}

/** Replays a recording of calls on a page table. The same recording always gives the same result. */
export function replayPageTable(
  recording: PageTableRecording,
  options: ReplayOptions = {},
): ReplayResult {
  return replaySteps(recording, stepsOf(recording), options)
}

/** Replays a recording of attempts to make page tables. */
export function replayPageTableInit(
  recording: PageTableInitRecording,
  options: ReplayOptions = {},
): ReplayResult {
  const format = pageTableFormats[recording.format]
  const steps = recording.calls.map((call) => ({
    line: call.line,
    text: () => formatInit(call.config),
    make: () => compareInit(call, createPageTable(format, call.config)),
  }))
  return replaySteps(recording, steps, options)
}

function* stepsOf(recording: PageTableRecording): Generator<Step> {
  const replayer = new PageTableReplayer(recording)
  yield { line: 1, text: () => formatInit(recording.config), make: () => replayer.init() }
  for (const call of recording.calls) {
    yield {
      line: call.line,
      text: () => formatPageTableCall(call),
      make: () => replayer.step(call),
    }
  }
}

function replaySteps(
  { file, profile }: PageTableInitRecording | PageTableRecording,
  steps: Iterable<Step>,
  { failFast = false, keep = Number.POSITIVE_INFINITY }: ReplayOptions,
): ReplayResult {
  const first: Divergence[] = []
  let calls = 0
  let divergences = 0
  for (const step of steps) {
    const divergence = divergenceOf(file, step)
    calls++
    if (divergence === undefined) continue
    divergences++
    if (first.length < keep) first.push(divergence)
    if (failFast) break
  }
  return { file, profile, calls, agreements: calls - divergences, divergences, first }
}

/** Makes a call. An exception is a fault of this program, never of the recording: it counts as a difference. */
function divergenceOf(file: string, { line, text, make }: Step): Divergence | undefined {
  try {
    const { linux, ours, differences } = make()
    if (differences.length === 0) return undefined
    const place = { file, line, pid: undefined, call: text() }
    return { ...place, linux, ours, differences, reason: undefined }
  } catch (error) {
    const failure = error instanceof Error ? error : new Error(String(error))
    const difference = { field: 'answer', linux: 'given', ours: 'the page table code broke down' }
    const place = { file, line, pid: undefined, call: text(), linux: undefined, ours: undefined }
    return { ...place, differences: [difference], reason: failureReason(failure) }
  }
}
