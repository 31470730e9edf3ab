// SPDX-License-Identifier: Apache-2.0
//
// The page table of one process: which frame each present page is, and what may be done with it without asking the
// mappings again.
//
// A leaf holds the 512 entries of one chunk (2 MiB) of user addresses, in two arrays that all leaves share; a map from
// chunk to leaf is the only level above. An entry with flags 0 is absent. The table holds one reference on the frame of
// each present entry. Indices stay valid until a leaf is added or dropped; the arrays are replaced when they grow.

import { CHUNK_PAGES } from './address.js'

/** The process may read the page. */
export const READABLE = 1
/** The process may write the page as it is: the mapping permits it and nobody else's private copy would change. */
export const WRITABLE = 2
/** The page is this mapping's private one, unless fork left it shared with others. */
export const PRIVATE = 4
/** The page belongs to the file, or shared memory, that is mapped shared. */
export const SHARED = 8
/** The page is only looked at until the first write: the zero page, or a file's page in a private mapping. */
export const BORROWED = 16
/** The page is a device's: never pinned, never looked up. */
export const DEVICE = 32

const FIRST_LEAVES = 4

export class PageTable {
  /** Frame of each entry. */
  frames: Uint32Array = new Uint32Array(FIRST_LEAVES * CHUNK_PAGES)
  /** Flags of each entry, 0 = absent. */
  flags: Uint8Array = new Uint8Array(FIRST_LEAVES * CHUNK_PAGES)
  /** Present entries of each leaf. */
  #present: Uint16Array = new Uint16Array(FIRST_LEAVES)
  #leaves = new Map<number, number>()
  #free: number[] = []
  #high = 0
  #lastChunk = -1
  #lastBase = -1

  /** Index of the chunk's first entry, -1 when nothing in the chunk is present. */
  find(chunk: number): number {
    if (chunk === this.#lastChunk) return this.#lastBase
    const base = this.#leaves.get(chunk)
    if (base === undefined) return -1
    this.#lastChunk = chunk
    this.#lastBase = base
    return base
  }

  /** Enters a page that is absent. @returns the entry's index */
  add(chunk: number, slot: number, frame: number, flags: number): number {
    let base = this.find(chunk)
    if (base < 0) base = this.#addLeaf(chunk)
    const leaf = base / CHUNK_PAGES
    this.#present[leaf] = (this.#present[leaf] as number) + 1
    this.frames[base + slot] = frame
    this.flags[base + slot] = flags
    return base + slot
  }

  /** Removes a page that is present. The reference on its frame is the caller's now. */
  remove(chunk: number, index: number): void {
    this.flags[index] = 0
    const leaf = Math.floor(index / CHUNK_PAGES)
    const left = (this.#present[leaf] as number) - 1
    this.#present[leaf] = left
    if (left === 0) this.#dropLeaf(chunk, leaf * CHUNK_PAGES)
  }

  /** The chunks with a present page between two chunks (inclusive), ascending. */
  chunks(first: number, last: number): number[] {
    const found: number[] = []
    if (last - first >= this.#leaves.size) {
      for (const chunk of this.#leaves.keys())
        if (chunk >= first && chunk <= last) found.push(chunk)
      return found.sort((a, b) => a - b)
    }
    for (let chunk = first; chunk <= last; chunk++) if (this.#leaves.has(chunk)) found.push(chunk)
    return found
  }

  #addLeaf(chunk: number): number {
    const base = this.#free.pop() ?? this.#newLeaf()
    this.#leaves.set(chunk, base)
    return base
  }

  #newLeaf(): number {
    if (this.#high === this.#present.length) {
      this.frames = doubled(this.frames, new Uint32Array(this.frames.length * 2))
      this.flags = doubled(this.flags, new Uint8Array(this.flags.length * 2))
      this.#present = doubled(this.#present, new Uint16Array(this.#present.length * 2))
    }
    return this.#high++ * CHUNK_PAGES
  }

  #dropLeaf(chunk: number, base: number): void {
    this.#leaves.delete(chunk)
    this.#free.push(base)
    this.#lastChunk = -1
  }
}

function doubled<T extends Uint32Array | Uint16Array | Uint8Array>(array: T, larger: T): T {
  larger.set(array)
  return larger
}
