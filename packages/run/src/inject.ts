// SPDX-License-Identifier: Apache-2.0
//
// System calls made by a program's own thread while it waits for us: a mapping, a pin or a closed descriptor can only be
// made in the program's own context.
//
// Invariant: the thread runs no instruction of its own between the first call and the end; afterwards it continues as if
// the call it had made, which is answered with the given value, had been the only one.

import type { Arch } from './arch.js'
import { ptrace, region, setU64, waitpid } from './libc.js'
import type { Listener } from './listener.js'

const PTRACE_SINGLESTEP = 9
const PTRACE_GETREGS = 12
const PTRACE_SETREGS = 13
const PTRACE_DETACH = 17
const PTRACE_GETSIGINFO = 0x4202
const PTRACE_SEIZE = 0x4206
const PTRACE_INTERRUPT = 0x4207
const PTRACE_GETSIGMASK = 0x420a
const PTRACE_SETSIGMASK = 0x420b
const WALL = 0x40000000
const SIGTRAP = 5
const ESRCH = 3
const MAX_STEPS = 64
/** Offset in siginfo_t; codes of the kernel are positive. */
const SI_CODE = 8

const registers = region(512)
const saved = region(512)
const mask = region(8)
const blocked = region(8)
const status = region(4)
const siginfo = region(128)

export class Injector {
  readonly #arch: Arch
  readonly #tid: number
  #attached = false
  /** A signal that was sent to the thread meanwhile; 0: none. */
  #pending = 0

  /** Takes hold of the thread that waits at `listener`, and answers it for the time being. */
  constructor(arch: Arch, listener: Listener) {
    this.#arch = arch
    this.#tid = listener.tid
    if (ptrace(PTRACE_SEIZE, this.#tid, 0, 0) < 0) return
    ptrace(PTRACE_INTERRUPT, this.#tid, 0, 0)
    listener.answer(0)
    this.#attached = this.#stopped() && this.#save()
  }

  /** False when the thread cannot be held: somebody traces it already, or tracing is not permitted. */
  get attached(): boolean {
    return this.#attached
  }

  /** Makes one call: its result, or -errno (-ESRCH when the thread was killed). */
  call(nr: number, ...args: number[]): number {
    if (!this.#attached) return -ESRCH
    const layout = this.#arch.registers
    registers.bytes.set(saved.bytes)
    setU64(registers.view, layout.number, nr)
    this.#setSigned(layout.original, -1)
    for (const [i, value] of args.entries()) this.#setSigned(layout.args[i] as number, value)
    setU64(registers.view, layout.pc, getAddress(layout.pc) - layout.syscallLength)
    ptrace(PTRACE_SETREGS, this.#tid, 0, registers.address)
    if (!this.#step()) return -ESRCH
    ptrace(PTRACE_GETREGS, this.#tid, 0, registers.address)
    const low = registers.view.getUint32(layout.result, true)
    return registers.view.getInt32(layout.result + 4, true) * 0x100000000 + low
  }

  /** Lets the thread go, its call answered with `result`. */
  finish(result: number): void {
    if (!this.#attached) return
    const layout = this.#arch.registers
    registers.bytes.set(saved.bytes)
    this.#setSigned(layout.result, result)
    this.#setSigned(layout.original, -1)
    ptrace(PTRACE_SETREGS, this.#tid, 0, registers.address)
    ptrace(PTRACE_SETSIGMASK, this.#tid, 8, mask.address)
    ptrace(PTRACE_DETACH, this.#tid, 0, this.#pending)
    this.#attached = false
  }

  /** Steps over the instruction; a stop that is not the step's own is passed over, a SIGTRAP from elsewhere kept for later. */
  #step(): boolean {
    for (let i = 0; i < MAX_STEPS; i++) {
      if (ptrace(PTRACE_SINGLESTEP, this.#tid, 0, 0) < 0) return false
      if (!this.#stopped()) return false
      if ((status.words[0] as number) >> 8 !== SIGTRAP) continue
      if (this.#isOwnTrap()) return true
      this.#pending = SIGTRAP
    }
    return false
  }

  /** Whether the kernel made the SIGTRAP, because of the step, and no process has sent it. */
  #isOwnTrap(): boolean {
    if (ptrace(PTRACE_GETSIGINFO, this.#tid, 0, siginfo.address) < 0) return false
    return (siginfo.words[SI_CODE >> 2] as number) > 0
  }

  #stopped(): boolean {
    const rc = waitpid(this.#tid, status.address, WALL)
    if (rc === this.#tid && ((status.words[0] as number) & 0xff) === 0x7f) return true
    this.#attached = false
    return false
  }

  #save(): boolean {
    if (ptrace(PTRACE_GETREGS, this.#tid, 0, saved.address) < 0) return false
    ptrace(PTRACE_GETSIGMASK, this.#tid, 8, mask.address)
    // A blocked SIGTRAP would be forced, and forcing takes the program's handler away.
    blocked.words.fill(-1)
    blocked.words[0] = ~(1 << (SIGTRAP - 1))
    ptrace(PTRACE_SETSIGMASK, this.#tid, 8, blocked.address)
    return true
  }

  #setSigned(at: number, value: number): void {
    registers.view.setInt32(at, value | 0, true)
    registers.view.setInt32(at + 4, Math.floor(value / 0x100000000), true)
  }
}

function getAddress(at: number): number {
  return saved.view.getUint32(at + 4, true) * 0x100000000 + saved.view.getUint32(at, true)
}
