// SPDX-License-Identifier: Apache-2.0
//
// Long copies between the machine's memory and arrays outside of it, without garbage. A typed array can be copied whole
// without making anything, a part of it only through a view that is made for it; but inside one buffer any part can be
// moved. So a part goes by way of a stage in front of the memory, from or to which it is copied whole.
//
// Invariant: the stage holds nothing between two calls. Its views are made once per length and buffer.

/** Longer copies go through a view of their own: one per copy. */
export const STAGE_BYTES: number = 65536

export class Stage {
  /** The stage, and the memory behind it. */
  #all: Uint8Array
  /** The first `length` bytes of the stage, by length. */
  #views: (Uint8Array | undefined)[] = []

  constructor(buffer: ArrayBuffer) {
    this.#all = new Uint8Array(buffer)
  }

  /** The memory has grown into another buffer. */
  use(buffer: ArrayBuffer): void {
    this.#all = new Uint8Array(buffer)
    this.#views = []
  }

  /** @throws RangeError when a range leaves its array */
  copyOut(from: number, dst: Uint8Array, at: number, length: number): void {
    const all = this.#all
    const start = STAGE_BYTES + from
    if (start + length > all.length) throw outside(length)
    if (length > STAGE_BYTES) {
      dst.set(all.subarray(start, start + length), at)
      return
    }
    all.copyWithin(0, start, start + length)
    dst.set(this.#view(length), at)
  }

  /** @throws RangeError when a range leaves its array */
  copyIn(src: Uint8Array, at: number, to: number, length: number): void {
    const all = this.#all
    const target = STAGE_BYTES + to
    if (at + length > src.length || target + length > all.length) throw outside(length)
    if (at === 0 && length === src.length) all.set(src, target)
    else if (src.length > STAGE_BYTES) all.set(src.subarray(at, at + length), target)
    else {
      all.set(src, 0)
      all.copyWithin(target, at, at + length)
    }
  }

  #view(length: number): Uint8Array {
    let view = this.#views[length]
    if (view === undefined) {
      view = this.#all.subarray(0, length)
      this.#views[length] = view
    }
    return view
  }
}

function outside(length: number): RangeError {
  return new RangeError(`copy of ${length} bytes leaves its buffer`)
}
