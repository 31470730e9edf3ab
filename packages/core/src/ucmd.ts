// SPDX-License-Identifier: Apache-2.0
/**
 * A command in flight: who called, and the struct that was passed (SPEC F3).
 *
 * Invariant: between `read` and the end of the call the buffer holds the kernel's view of the
 * struct: what the caller's size covers, zeros behind it. Nothing goes back to the caller but by
 * `respond`, and never more than the caller's own size.
 */
import type { Task } from '@iommufd/host'
import type { IommufdCtx } from './context.js'
import {
  STRUCT_TAIL_NOT_ZERO,
  STRUCT_TOO_SMALL,
  STRUCT_UNREADABLE,
  STRUCT_UNWRITABLE,
} from './refusals.js'

/** Larger than any struct of the uAPI (the test command's 72 bytes). */
const BUFFER_BYTES = 256
const TAIL_CHUNK = 4096

export class Ucmd {
  readonly words: Int32Array = new Int32Array(BUFFER_BYTES / 4)
  readonly bytes: Uint8Array = new Uint8Array(this.words.buffer)
  readonly #tail = new Uint8Array(TAIL_CHUNK)
  ctx!: IommufdCtx
  task!: Task
  /** Where the struct lies in the caller's memory. */
  argHi = 0
  argLo = 0
  /** First u32 of the struct: how much of it the caller knows, as an unsigned number of bytes. */
  userSize = 0
  /** Bytes of the struct that are in the buffer. */
  #present = 0

  /**
   * Binds the command to its call and reads the caller's size: 0 or a negative errno. `expected`
   * bytes are read at once where they can be, which saves `read` a second look in almost all calls.
   */
  begin(ctx: IommufdCtx, task: Task, argHi: number, argLo: number, expected: number): number {
    this.ctx = ctx
    this.task = task
    this.argHi = argHi
    this.argLo = argLo
    this.#present = 0
    const { engine } = ctx
    if (engine.faults.hit()) return engine.injectFault()
    if (expected > 4 && this.#copyIn(expected) === 0) this.#present = expected
    else if (this.#copyIn(4) !== 0) {
      return engine.refusals.refuse(STRUCT_UNREADABLE, argHi, argLo, 4)
    }
    this.userSize = (this.words[0] as number) >>> 0
    return 0
  }

  /** Reads the struct of `size` bytes of which at least `minSize` must be given. */
  read(size: number, minSize: number): number {
    const userSize = this.userSize
    const { engine } = this.ctx
    if (userSize < minSize) return engine.refusals.refuse(STRUCT_TOO_SMALL, userSize | 0, minSize)
    if (userSize > size) {
      const rc = this.#checkTail(size)
      if (rc !== 0) return rc
    }
    if (engine.faults.hit()) return engine.injectFault()
    const known = Math.min(userSize, size)
    if (this.#present < known && this.#copyIn(known) !== 0) {
      return engine.refusals.refuse(STRUCT_UNREADABLE, this.argHi, this.argLo, known)
    }
    if (known < size) this.bytes.fill(0, known, size)
    return 0
  }

  /** A u32 or one word of a u64, as int32 bits; `at` is a byte offset. */
  word(at: number): number {
    return this.words[at >> 2] as number
  }

  /** An unsigned u32. */
  u32(at: number): number {
    return (this.words[at >> 2] as number) >>> 0
  }

  /** High word of a u64. */
  hi(at: number): number {
    return this.words[(at >> 2) + 1] as number
  }

  /** Low word of a u64. */
  lo(at: number): number {
    return this.words[at >> 2] as number
  }

  setWord(at: number, value: number): void {
    this.words[at >> 2] = value
  }

  setU64(at: number, hi: number, lo: number): void {
    this.words[(at >> 2) + 1] = hi
    this.words[at >> 2] = lo
  }

  /** Writes the first min(userSize, length) bytes back to the caller. */
  respond(length: number): number {
    return this.respondPart(0, Math.min(this.userSize, length))
  }

  /** Writes `length` bytes from byte offset `at` back to the caller, whatever its size says. */
  respondPart(at: number, length: number): number {
    const engine = this.ctx.engine
    if (engine.faults.hit()) return engine.injectFault()
    const lo = (this.argLo >>> 0) + at
    const hi = this.argHi + (lo > 0xffffffff ? 1 : 0)
    const { mm } = this.task
    const rc =
      ((lo | length) & 3) === 0
        ? mm.writeWords(hi | 0, lo | 0, this.words, at >> 2, length >> 2)
        : mm.copyToUser(hi | 0, lo | 0, this.bytes, at, length)
    return rc === 0 ? 0 : engine.refusals.refuse(STRUCT_UNWRITABLE, hi, lo | 0, length)
  }

  /** Copies the first `length` bytes of the struct in; whole words are quicker than bytes. */
  #copyIn(length: number): number {
    const { mm } = this.task
    return ((this.argLo | length) & 3) === 0
      ? mm.readWords(this.argHi, this.argLo, this.words, length >> 2)
      : mm.copyFromUser(this.argHi, this.argLo, this.bytes, 0, length)
  }

  /**
   * What the caller has behind the struct must be zero. The bytes are looked at in order, so the
   * first that is not zero (E2BIG) or cannot be read (EFAULT) decides.
   */
  #checkTail(size: number): number {
    const { engine } = this.ctx
    const { refusals } = engine
    let at = size
    while (at < this.userSize) {
      if (engine.faults.hit()) return engine.injectFault()
      const lo = (this.argLo >>> 0) + at
      const hi = this.argHi + (lo > 0xffffffff ? 1 : 0)
      const chunk = Math.min(this.userSize - at, TAIL_CHUNK - (lo % TAIL_CHUNK))
      if (this.task.mm.copyFromUser(hi | 0, lo | 0, this.#tail, 0, chunk) !== 0) {
        return refusals.refuse(STRUCT_UNREADABLE, hi, lo | 0, chunk)
      }
      if (!isZero(this.#tail, chunk)) {
        return refusals.refuse(STRUCT_TAIL_NOT_ZERO, this.userSize | 0, size)
      }
      at += chunk
    }
    return 0
  }
}

function isZero(bytes: Uint8Array, length: number): boolean {
  for (let i = 0; i < length; i++) if (bytes[i] !== 0) return false
  return true
}
