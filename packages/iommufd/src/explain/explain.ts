// SPDX-License-Identifier: Apache-2.0
// A recording as a log for people: what was called and answered is the recording's, why it was answered so is
// told by our engine, which makes the same calls. Where our answer is another, the entry says so.

import type { Difference } from '../replay/differences.js'
import { formatAnswer, formatCall } from '../replay/format.js'
import type { Reason } from '../replay/reason.js'
import { Replayer } from '../replay/replayer.js'
import type { Trace, TraceCall } from '../trace/trace.js'
import { effectText } from './effects.js'
import { explainLimit, type LimitExplanation } from './limit.js'

/** One line of a recording, explained. */
export interface ExplainedCall {
  /** line of the file, from 2 */
  readonly line: number
  readonly pid: number
  /** the call with decoded arguments, members of structs as before->after */
  readonly call: string
  /** what Linux answered; undefined where there is no answer */
  readonly answer: string | undefined
  /** Linux refused the call */
  readonly failed: boolean
  /** what changed, of calls that succeeded */
  readonly effect: string | undefined
  /** why our engine refuses the call, when it does */
  readonly reason: Reason | undefined
  /** who holds what, when our engine refuses the call for RLIMIT_MEMLOCK */
  readonly limit: LimitExplanation | undefined
  /** where our answer is not the recorded one; empty: nowhere */
  readonly differences: readonly Difference[]
}

/** Explains every call of a recording, in order. */
export function explainTrace(trace: Trace): ExplainedCall[] {
  const replayer = new Replayer(trace.header)
  return trace.calls.map((call) => explainCall(call, replayer))
}

function explainCall(call: TraceCall, replayer: Replayer): ExplainedCall {
  const differences = replayer.step(call)
  const failed = 'ret' in call && call.ret < 0
  return {
    line: call.line,
    pid: call.pid,
    call: formatCall(call),
    answer: formatAnswer(call),
    failed,
    effect: failed ? undefined : effectText(call),
    reason: replayer.reason,
    limit: limitOf(call, replayer),
    differences,
  }
}

/** Processes are born in the order of their recorded numbers, so both have the same. */
function limitOf(call: TraceCall, { engine, machine }: Replayer): LimitExplanation | undefined {
  const { last } = engine.refusals
  const task = machine.processes.find(({ pid }) => pid === call.pid)
  return task === undefined ? undefined : explainLimit(engine, task, last)
}
