// SPDX-License-Identifier: Apache-2.0
/**
 * The struct that a container ioctl points to: its kernel side copy.
 *
 * Invariant: a copy holds what the last `read` brought; a call reads before it looks. Container
 * structs have no versioned tail: the bytes that every version has are read whole or refused, and
 * `argsz`, the first u32, is judged afterwards, so an unreadable struct is EFAULT whatever it says.
 */
import type { Iommufd } from '@iommufd/core'
import { sumHi } from '@iommufd/core'
import type { Task } from '@iommufd/host'

export class ContainerArg {
  readonly #engine: Iommufd
  readonly #words: Int32Array<ArrayBuffer>
  readonly #bytes: Uint8Array<ArrayBuffer>
  #task!: Task
  #hi = 0
  #lo = 0

  /** For structs of up to `size` bytes, a multiple of 4. */
  constructor(engine: Iommufd, size: number) {
    this.#engine = engine
    this.#words = new Int32Array(size / 4)
    this.#bytes = new Uint8Array(this.#words.buffer)
  }

  /** Reads the first `length` bytes that lie at (hi, lo) of the task's memory: 0 or -EFAULT. */
  read(task: Task, hi: number, lo: number, length: number): number {
    this.#task = task
    this.#hi = hi
    this.#lo = lo
    return this.#engine.copyFromUser(task, hi, lo, this.#bytes, 0, length)
  }

  /** Writes the first `length` bytes back to where they came from: 0 or -EFAULT. */
  write(length: number): number {
    return this.writeAt(0, this.#bytes, length)
  }

  /** Writes `length` bytes of `bytes` behind the struct, at byte `offset` (a u32) from its start. */
  writeAt(offset: number, bytes: Uint8Array, length: number): number {
    const hi = sumHi(this.#hi, this.#lo, 0, offset | 0)
    return this.#engine.copyToUser(this.#task, hi, (this.#lo + offset) | 0, bytes, 0, length)
  }

  /** A u32 or the low word of a u64 at byte offset `at`. */
  lo(at: number): number {
    return this.#words[at >> 2] as number
  }

  /** The high word of a u64. */
  hi(at: number): number {
    return this.#words[(at >> 2) + 1] as number
  }

  setWord(at: number, word: number): void {
    this.#words[at >> 2] = word
  }

  setU64(at: number, hi: number, lo: number): void {
    this.#words[at >> 2] = lo
    this.#words[(at >> 2) + 1] = hi
  }
}
