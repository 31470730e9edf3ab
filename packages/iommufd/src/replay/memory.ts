// SPDX-License-Identifier: Apache-2.0
// What a recorded program does with its own memory: filling it with a pseudo-random stream and hashing it.
// Both are split into chunks, so that their cost in memory does not depend on the length a file asks for.

/** The xorshift32 stream of a `fill` call: one byte per step. A seed of 0 gives zeros. */
export class Xorshift32 {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** Writes the next `bytes.length` bytes of the stream. */
  fill(bytes: Uint8Array): void {
    let x = this.#state
    for (let at = 0; at < bytes.length; at++) {
      x ^= x << 13
      x ^= x >>> 17
      x ^= x << 5
      bytes[at] = x
    }
    this.#state = x
  }
}

const FNV_OFFSET_BASIS = 0x811c9dc5
const FNV_PRIME = 0x01000193

/** FNV-1a, 32 bits, of bytes that come in parts. */
export class Fnv1a {
  #hash = FNV_OFFSET_BASIS | 0

  update(bytes: Uint8Array): void {
    let hash = this.#hash
    for (let at = 0; at < bytes.length; at++) {
      hash = Math.imul(hash ^ (bytes[at] as number), FNV_PRIME)
    }
    this.#hash = hash
  }

  /** The hash of everything so far, unsigned. */
  get value(): number {
    return this.#hash >>> 0
  }
}
