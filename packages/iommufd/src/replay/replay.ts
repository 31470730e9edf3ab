// SPDX-License-Identifier: Apache-2.0
// A whole recording: what agreed, what did not, and why.

import type { Trace, TraceCall } from '../trace/trace.js'
import type { Difference } from './differences.js'
import { formatAnswer, formatCall, formatReturn } from './format.js'
import type { Reason } from './reason.js'
import { Replayer } from './replayer.js'

/** One call whose answer is not as recorded. */
export interface Divergence {
  readonly file: string
  /** line of the file, from 2 */
  readonly line: number
  /** logical number of the calling process; undefined where no process made the call */
  readonly pid: number | undefined
  /** the call as {@link formatCall} shows it: decoded, with what Linux wrote into its struct */
  readonly call: string
  /** what Linux answered; undefined where the call answers nothing */
  readonly linux: string | undefined
  /** what we returned; undefined where the call returns nothing */
  readonly ours: string | undefined
  readonly differences: readonly Difference[]
  /** why we refused, when we did */
  readonly reason: Reason | undefined
}

export interface ReplayResult {
  readonly file: string
  readonly profile: string
  /** calls made: all of them unless `failFast` stopped the replay */
  readonly calls: number
  /** calls of which every answer was as recorded */
  readonly agreements: number
  /** calls of which some answer was not */
  readonly divergences: number
  /** the first of them, in order, at most `keep` */
  readonly first: readonly Divergence[]
}

export interface ReplayOptions {
  /** stop at the first divergence */
  readonly failFast?: boolean
  /** how many divergences to describe; default: all */
  readonly keep?: number
}

/** Replays a recording on a machine of its own. The same recording always gives the same result. */
export function replayTrace(trace: Trace, options: ReplayOptions = {}): ReplayResult {
  const { failFast = false, keep = Number.POSITIVE_INFINITY } = options
  const replayer = new Replayer(trace.header)
  const first: Divergence[] = []
  let calls = 0
  let divergences = 0
  for (const call of trace.calls) {
    const differences = replayer.step(call)
    calls++
    if (differences.length === 0) continue
    divergences++
    if (first.length < keep) first.push(describe(trace.file, call, differences, replayer))
    if (failFast) break
  }
  const agreements = calls - divergences
  return { file: trace.file, profile: trace.header.profile, calls, agreements, divergences, first }
}

function describe(
  file: string,
  call: TraceCall,
  differences: readonly Difference[],
  replayer: Replayer,
): Divergence {
  return {
    file,
    line: call.line,
    pid: call.pid,
    call: formatCall(call),
    linux: formatAnswer(call),
    ours: replayer.ret === undefined ? undefined : formatReturn(replayer.ret),
    differences,
    reason: replayer.reason,
  }
}
