// SPDX-License-Identifier: Apache-2.0
/**
 * Frame numbers of pinned pages by their index (SPEC E4, the first storage tier).
 *
 * Invariant: an index has a frame here while an in-kernel user has pinned it, and only then; who
 * that is, is known elsewhere. Four bytes a page, in chunks that exist only where something is pinned.
 */
const CHUNK_PAGES = 512

export class FrameStore {
  readonly #chunks = new Map<number, Uint32Array>()
  readonly #live = new Map<number, number>()

  /** Bytes that the chunks hold. */
  get bytes(): number {
    let bytes = 0
    for (const chunk of this.#chunks.values()) bytes += chunk.byteLength
    return bytes
  }

  /** Stores the frames of `n` pages from `index` on. */
  put(index: number, frames: Uint32Array, at: number, n: number): void {
    for (let done = 0; done < n; ) {
      const first = index + done
      const offset = first % CHUNK_PAGES
      const part = Math.min(n - done, CHUNK_PAGES - offset)
      const key = (first - offset) / CHUNK_PAGES
      const chunk = this.#chunk(key, offset + part)
      for (let i = 0; i < part; i++) chunk[offset + i] = frames[at + done + i] as number
      this.#live.set(key, (this.#live.get(key) ?? 0) + part)
      done += part
    }
  }

  /** Reads the frames of `n` pages from `index` on; all must be stored. */
  get(index: number, frames: Uint32Array, at: number, n: number): void {
    for (let done = 0; done < n; ) {
      const first = index + done
      const offset = first % CHUNK_PAGES
      const part = Math.min(n - done, CHUNK_PAGES - offset)
      const chunk = this.#chunks.get((first - offset) / CHUNK_PAGES) as Uint32Array
      for (let i = 0; i < part; i++) frames[at + done + i] = chunk[offset + i] as number
      done += part
    }
  }

  /** Forgets `n` pages from `index` on; all must be stored. */
  drop(index: number, n: number): void {
    for (let done = 0; done < n; ) {
      const offset = (index + done) % CHUNK_PAGES
      const part = Math.min(n - done, CHUNK_PAGES - offset)
      const key = (index + done - offset) / CHUNK_PAGES
      const left = (this.#live.get(key) as number) - part
      if (left > 0) this.#live.set(key, left)
      else this.#forget(key)
      done += part
    }
  }

  #forget(key: number): void {
    this.#live.delete(key)
    this.#chunks.delete(key)
  }

  /** The chunk, with room for `length` pages; it grows only as far as it is used. */
  #chunk(key: number, length: number): Uint32Array {
    const chunk = this.#chunks.get(key)
    if (chunk !== undefined && chunk.length >= length) return chunk
    const grown = new Uint32Array(roundUp(length))
    if (chunk !== undefined) grown.set(chunk)
    this.#chunks.set(key, grown)
    return grown
  }
}

/** The next power of two, at most a whole chunk. */
function roundUp(pages: number): number {
  return Math.min(CHUNK_PAGES, 2 ** Math.ceil(Math.log2(pages)))
}
