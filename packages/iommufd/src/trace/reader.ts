// SPDX-License-Identifier: Apache-2.0
// From text to Trace. Beyond the members of each line this checks what a replay relies on: a header and
// nothing but calls after it, every call by a living process, a new number for each process that is born.
// Linear in the size of the text; nothing is kept of a line but its call.

import { readCall } from './calls.js'
import { TraceError } from './error.js'
import { Fields } from './fields.js'
import { readHeader } from './header.js'
import type { Trace, TraceCall, TraceHeader } from './trace.js'

/**
 * Reads a whole recording.
 *
 * @param text JSON lines
 * @param file the name used in messages
 * @throws TraceError at the first line that is not as the format says
 */
export function parseTrace(text: string, file = 'recording'): Trace {
  return readTrace(splitLines(text), file)
}

/** As {@link parseTrace}, from lines that each end with their newline (the last one may not). */
export function readTrace(lines: Iterable<string>, file = 'recording'): Trace {
  const fields = new Fields(file)
  const processes = new LivingProcesses()
  const calls: TraceCall[] = []
  let header: TraceHeader | undefined
  for (const text of lines) {
    fields.open(text)
    if (header === undefined) {
      header = readHeader(fields)
      continue
    }
    const call = readCall(fields)
    const problem = processes.follow(call)
    if (problem !== undefined) fields.fail(problem)
    calls.push(call)
  }
  if (header === undefined) throw new TraceError(file, 1, 'the file is empty')
  return { file, header, calls }
}

/** Reads line 1 alone: what the recording is, before it is known to be whole. */
export function readTraceHeader(line: string, file = 'recording'): TraceHeader {
  const fields = new Fields(file)
  fields.open(line)
  return readHeader(fields)
}

function* splitLines(text: string): Generator<string> {
  let at = 0
  while (at < text.length) {
    const newline = text.indexOf('\n', at)
    const end = newline === -1 ? text.length : newline + 1
    yield text.slice(at, end)
    at = end
  }
}

class LivingProcesses {
  readonly #living = new Set<number>([1])
  readonly #born = new Set<number>([1])

  /** Takes note of one call; what is wrong with it, if anything. */
  follow(call: TraceCall): string | undefined {
    if (!this.#living.has(call.pid)) {
      const fate = this.#born.has(call.pid) ? 'has exited' : 'was never forked'
      return `process ${call.pid} ${fate}`
    }
    if (call.call === 'exit') this.#living.delete(call.pid)
    if (call.call === 'fork' && call.ret >= 0) return this.#birth(call.ret)
    return undefined
  }

  #birth(pid: number): string | undefined {
    if (pid === 0 || this.#born.has(pid)) return `process number ${pid} cannot be used again`
    this.#born.add(pid)
    this.#living.add(pid)
    return undefined
  }
}
