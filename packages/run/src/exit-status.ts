// SPDX-License-Identifier: Apache-2.0
//
// How a program ended, and ending in the same manner.
//
// Invariant: whoever waits for us cannot tell our end from the program's: same code, same signal, terminal as it was left.

import { constants } from 'node:os'
import { exitNow, prctl, signal as setSignal } from './libc.js'

const PR_SET_DUMPABLE = 4
const SIG_DFL = 0
/** What shells add to the number of a signal. */
const SHELL_SIGNALS = 128

/** How the program ended: by an exit code, or by a signal. */
export interface ExitStatus {
  readonly code: number
  /** its name, such as SIGSEGV */
  readonly signal: string | undefined
}

/**
 * Ends this process as the program ended: by the same signal, without a core dump of ours, or with its exit code, which is
 * returned. Node's own end would set the terminal back to what it was at the start.
 */
export function exitAs({ code, signal }: ExitStatus): number {
  if (signal === undefined) return exitNow(code)
  const number = constants.signals[signal as NodeJS.Signals]
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
  process.removeAllListeners(signal)
  // Node ignores some.
  setSignal(number, SIG_DFL)
  process.kill(process.pid, number)
  return exitNow(SHELL_SIGNALS + number)
}
