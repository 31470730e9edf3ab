// SPDX-License-Identifier: Apache-2.0
// 64-bit words as two unsigned halves (hi, lo). Every half that leaves a function here is in [0, 2^32).

/** The upper half of the word whose bits below `lg2` (0 to 64) are set. */
export function belowHi(lg2: number): number {
  if (lg2 <= 32) return 0
  return lg2 >= 64 ? 0xffffffff : ((1 << (lg2 - 32)) - 1) >>> 0
}

/** The lower half of the word whose bits below `lg2` (0 to 64) are set. */
export function belowLo(lg2: number): number {
  return lg2 >= 32 ? 0xffffffff : ((1 << lg2) - 1) >>> 0
}

/** The upper half of the word with these bits set. */
export function bitsHi(...bits: readonly number[]): number {
  return bits.reduce((half, bit) => (bit < 32 ? half : half | (1 << (bit - 32))), 0) >>> 0
}

/** The lower half of the word with these bits set. */
export function bitsLo(...bits: readonly number[]): number {
  return bits.reduce((half, bit) => (bit < 32 ? half | (1 << bit) : half), 0) >>> 0
}

/** Bits `first` to `last` of a word, both inclusive. */
export function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, at) => first + at)
}

export function isBitSet(hi: number, lo: number, bit: number): boolean {
  return bit < 32 ? ((lo >>> bit) & 1) === 1 : ((hi >>> (bit - 32)) & 1) === 1
}

/** The upper half of `value << shift`; `value` has at most 9 bits, `shift` is from 1 to 63. */
export function shiftedHi(value: number, shift: number): number {
  return (shift >= 32 ? value << (shift - 32) : value >>> (32 - shift)) >>> 0
}

/** The lower half of `value << shift`. */
export function shiftedLo(value: number, shift: number): number {
  return shift >= 32 ? 0 : (value << shift) >>> 0
}

export function toBigint(hi: number, lo: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
}

export function hiOf(value: bigint): number {
  return Number((value >> 32n) & 0xffffffffn)
}

export function loOf(value: bigint): number {
  return Number(value & 0xffffffffn)
}
