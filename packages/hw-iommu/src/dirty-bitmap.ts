// SPDX-License-Identifier: Apache-2.0
/**
 * A bitmap in user memory, one bit a page of IOVAs (SPEC L4).
 *
 * Invariant: bits are only ever set; what the program has in the bitmap besides stays. Memory is
 * read and written in windows, so that a bitmap of any size costs the same. What a bitmap that
 * cannot be written answers is in no recording; here it is -EFAULT, and what was to be told is lost.
 */
import type { Ucmd } from '@iommufd/core'
import { sumHi } from '@iommufd/core'

const WINDOW = 4096

export class DirtyBitmap {
  readonly #ucmd: Ucmd
  readonly #hi: number
  readonly #lo: number
  readonly #bytes = new Uint8Array(WINDOW)
  /** Number of the window that is in `#bytes`; -1: none. */
  #window = -1
  /** 0, or -EFAULT: the bitmap cannot be read or written. */
  error = 0

  constructor(ucmd: Ucmd, hi: number, lo: number) {
    this.#ucmd = ucmd
    this.#hi = hi
    this.#lo = lo
  }

  /** Sets the bits [first, last]. */
  set(first: number, last: number): void {
    for (let bit = first; bit <= last && this.error === 0; bit++) {
      const byte = Math.floor(bit / 8)
      this.#enter(Math.floor(byte / WINDOW))
      const at = byte % WINDOW
      this.#bytes[at] = (this.#bytes[at] as number) | (1 << (bit % 8))
      this.#last = Math.max(this.#last, at)
      this.#first = Math.min(this.#first, at)
    }
  }

  /** Writes what is still here: 0 or -EFAULT. */
  flush(): number {
    if (this.#window >= 0 && this.#last >= this.#first && this.error === 0) {
      const length = this.#last - this.#first + 1
      const { ctx, task } = this.#ucmd
      const [hi, lo] = [this.#addressHi(), this.#addressLo()]
      const old = new Uint8Array(length)
      this.error = ctx.engine.copyFromUser(task, hi, lo, old, 0, length)
      for (let i = 0; i < length; i++) {
        old[i] = (old[i] as number) | (this.#bytes[this.#first + i] as number)
      }
      if (this.error === 0) {
        this.error = ctx.engine.copyToUser(task, hi, lo, old, 0, length)
      }
    }
    this.#window = -1
    return this.error
  }

  /** The bytes of the window that have bits. */
  #first = WINDOW
  #last = -1

  #enter(window: number): void {
    if (window === this.#window) return
    this.flush()
    this.#window = window
    this.#bytes.fill(0)
    this.#first = WINDOW
    this.#last = -1
  }

  #addressHi(): number {
    const skip = this.#window * WINDOW + this.#first
    return sumHi(this.#hi, this.#lo, Math.floor(skip / 2 ** 32), skip | 0)
  }

  #addressLo(): number {
    return (this.#lo + this.#window * WINDOW + this.#first) | 0
  }
}
