// SPDX-License-Identifier: Apache-2.0
/**
 * Bits of addresses held as two int32 words.
 *
 * Invariant: every result is an int32 or a boolean.
 */

/** The lowest 32 bits of an address divided by 2^lg2, 1 to 63. */
export function bitsAt(hi: number, lo: number, lg2: number): number {
  return lg2 < 32 ? (lo >>> lg2) | (hi << (32 - lg2)) : hi >>> (lg2 - 32)
}

/** Whether an address has a bit set at `lg2` or above. */
export function hasBitsFrom(hi: number, lo: number, lg2: number): boolean {
  if (lg2 >= 64) return false
  return lg2 >= 32 ? hi >>> (lg2 - 32) !== 0 : hi !== 0 || lo >>> lg2 !== 0
}

/** Whether two addresses differ in their lowest `lg2` bits. */
export function differBelow(
  aHi: number,
  aLo: number,
  bHi: number,
  bLo: number,
  lg2: number,
): boolean {
  if (lg2 < 32) return ((aLo ^ bLo) & ((1 << lg2) - 1)) !== 0
  return aLo !== bLo || ((aHi ^ bHi) & ((1 << (lg2 - 32)) - 1)) !== 0
}

/** Whether two addresses are in the same naturally aligned 2^lg2 bytes, 11 to 74. */
export function isSameAbove(
  aHi: number,
  aLo: number,
  bHi: number,
  bLo: number,
  lg2: number,
): boolean {
  if (lg2 >= 64) return true
  return lg2 < 32 ? aHi === bHi && (aLo ^ bLo) >>> lg2 === 0 : (aHi ^ bHi) >>> (lg2 - 32) === 0
}

/** The address rounded down to a multiple of 2^lg2. */
export function alignHi(hi: number, lg2: number): number {
  return lg2 > 32 ? hi & (-1 << (lg2 - 32)) : hi
}

export function alignLo(lo: number, lg2: number): number {
  return lg2 >= 32 ? 0 : lo & (-1 << lg2)
}

/** count times 2^lg2, for counts up to 512. */
export function bytesHi(count: number, lg2: number): number {
  return lg2 < 32 ? count >>> (32 - lg2) : count << (lg2 - 32)
}

export function bytesLo(count: number, lg2: number): number {
  return lg2 < 32 ? count << lg2 : 0
}
