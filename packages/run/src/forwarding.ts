// SPDX-License-Identifier: Apache-2.0
//
// Signals that are sent to us and meant for the program.
//
// Invariant: a signal reaches the program once at most, and never another process that has got its number: a program is held
// by a pidfd. Signals that come before there is a program wait for it.

import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import type { Arch } from './arch.js'
import { close, syscall } from './libc.js'

/** Signals that are sent to a program by its number, and so to us where it was meant. */
const TO_NUMBER = ['SIGTERM', 'SIGUSR1', 'SIGUSR2'] as const
/** Signals that a terminal sends to us and the program alike. */
const FROM_TERMINAL = ['SIGINT', 'SIGQUIT', 'SIGHUP'] as const

/** Lets the signals pass by this process without effect. */
export function ignoreSignals(): void {
  for (const signal of [...TO_NUMBER, ...FROM_TERMINAL]) process.on(signal, () => undefined)
}

export class Forwarding {
  readonly #arch: Arch
  readonly #early: NodeJS.Signals[] = []
  #pidfd = -1

  constructor(arch: Arch) {
    this.#arch = arch
    const fromTerminal = hasTerminal() ? this.#ignore : this.#pass
    for (const signal of TO_NUMBER) process.on(signal, this.#pass)
    for (const signal of FROM_TERMINAL) process.on(signal, fromTerminal)
  }

  /** The program is process `pid`, which waits for us and so has its number still. */
  to(pid: number): void {
    this.#pidfd = syscall(this.#arch.nr.pidfdOpen, pid, 0)
    for (const signal of this.#early.splice(0)) this.#pass(signal)
  }

  stop(): void {
    for (const signal of [...TO_NUMBER, ...FROM_TERMINAL]) {
      process.off(signal, this.#pass)
      process.off(signal, this.#ignore)
    }
    if (this.#pidfd >= 0) close(this.#pidfd)
    this.#pidfd = -1
  }

  readonly #ignore = (): void => undefined

  readonly #pass = (signal: NodeJS.Signals): void => {
    if (this.#pidfd < 0) this.#early.push(signal)
    else syscall(this.#arch.nr.pidfdSendSignal, this.#pidfd, constants.signals[signal], 0, 0)
  }
}

/** Whether we have a terminal that sends its signals to the program too. Field 7 of stat is its device, 0: none. */
function hasTerminal(): boolean {
  const stat = readFileSync('/proc/self/stat', 'latin1')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[4]) !== 0
}
