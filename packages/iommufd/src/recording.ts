// SPDX-License-Identifier: Apache-2.0
// Recordings of any kind: which one a file is stands in its first line.

import { type ReplayOptions, type ReplayResult, replayTrace } from './replay/replay.js'
import {
  PAGETABLE_FORMAT,
  PAGETABLE_INIT_FORMAT,
  readPageTableHeader,
  readPageTableInitHeader,
} from './replay-pagetable/header.js'
import { readPageTable, readPageTableInit } from './replay-pagetable/reader.js'
import type { PageTableInitRecording, PageTableRecording } from './replay-pagetable/recording.js'
import { replayPageTable, replayPageTableInit } from './replay-pagetable/replay.js'
import { TraceError } from './trace/error.js'
import { Fields } from './trace/fields.js'
import { readTrace, readTraceHeader } from './trace/reader.js'
import type { Trace } from './trace/trace.js'

export type Recording = PageTableInitRecording | PageTableRecording | Trace

/**
 * Reads a whole recording of any kind; undefined when its profile, the name that results are counted by, is not wanted.
 *
 * @param lines each with its newline (the last one may have none)
 * @param file the name used in messages
 * @throws TraceError at the first line that is not as its format says
 */
export function readRecording(
  lines: Iterable<string>,
  file: string = 'recording',
  isWanted: (profile: string) => boolean = () => true,
): Recording | undefined {
  const rest = lines[Symbol.iterator]()
  const first = rest.next()
  if (first.done) throw new TraceError(file, 1, 'the file is empty')
  const fields = new Fields(file)
  fields.open(first.value)
  const format = fields.has('format') ? fields.text('format') : undefined
  if (format === PAGETABLE_FORMAT) {
    const header = readPageTableHeader(fields)
    return isWanted(header.profile) ? readPageTable(header, fields, remaining(rest)) : undefined
  }
  if (format === PAGETABLE_INIT_FORMAT) {
    const header = readPageTableInitHeader(fields)
    return isWanted(header.profile) ? readPageTableInit(header, fields, remaining(rest)) : undefined
  }
  if (!isWanted(readTraceHeader(first.value, file).profile)) return undefined
  return readTrace(remaining(rest, first.value), file)
}

function* remaining(rest: Iterator<string>, ...before: string[]): Generator<string> {
  yield* before
  for (let next = rest.next(); !next.done; next = rest.next()) yield next.value
}

/** Makes the calls of a recording again and compares every answer. */
export function replayRecording(recording: Recording, options: ReplayOptions = {}): ReplayResult {
  if ('header' in recording) return replayTrace(recording, options)
  if (recording.kind === 'pagetable') return replayPageTable(recording, options)
  return replayPageTableInit(recording, options)
}
