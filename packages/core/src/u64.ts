// SPDX-License-Identifier: Apache-2.0
/**
 * Arithmetic on a u64 held as two int32 words.
 *
 * Invariant: a u64 crosses every call of the engine as `(hi, lo)`, each the int32 with the word's
 * bits, because an int32 never becomes a heap object while a double above 2^31 or a BigInt does.
 * Results are asked for word by word; the compiler inlines these to a few instructions.
 */

/** Whether a > b. */
export function isAfter(aHi: number, aLo: number, bHi: number, bLo: number): boolean {
  return aHi === bHi ? aLo >>> 0 > bLo >>> 0 : aHi >>> 0 > bHi >>> 0
}

/** High word of a + 1; a must not be 2^64 - 1. */
export function nextHi(hi: number, lo: number): number {
  return lo === -1 ? (hi + 1) | 0 : hi
}

/** Low word of a + 1. */
export function nextLo(lo: number): number {
  return (lo + 1) | 0
}

/** High word of a - 1; a must not be 0. */
export function previousHi(hi: number, lo: number): number {
  return lo === 0 ? (hi - 1) | 0 : hi
}

/** Low word of a - 1. */
export function previousLo(lo: number): number {
  return (lo - 1) | 0
}

/** High word of (a + b) mod 2^64; the low word is `(aLo + bLo) | 0`. */
export function sumHi(aHi: number, aLo: number, bHi: number, bLo: number): number {
  return (aHi + bHi + ((aLo >>> 0) + (bLo >>> 0) > 0xffffffff ? 1 : 0)) | 0
}

/** Whether a + b does not fit into 64 bits. */
export function sumWraps(aHi: number, aLo: number, bHi: number, bLo: number): boolean {
  const carry = (aLo >>> 0) + (bLo >>> 0) > 0xffffffff ? 1 : 0
  return (aHi >>> 0) + (bHi >>> 0) + carry > 0xffffffff
}

/** High word of (a - b) mod 2^64; the low word is `(aLo - bLo) | 0`. */
export function differenceHi(aHi: number, aLo: number, bHi: number, bLo: number): number {
  return (aHi - bHi - (aLo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0
}

/** Number of the 4 KiB page that holds the address: a double, exact below 2^52. */
export function pageOf(hi: number, lo: number): number {
  return (hi >>> 0) * 0x100000 + (lo >>> 12)
}

/** High word of the first address of a page (numbers below 2^52). */
export function pageHi(page: number): number {
  return Math.floor(page / 0x100000) | 0
}

/** Low word of the first address of a page. */
export function pageLo(page: number): number {
  return (page % 0x100000) << 12
}

/** For the edge, where a u64 is a bigint or a number: RangeError for one that is not in 0..2^64-1. */
export { hiWord as hiOf, loWord as loOf, u64 as toBigInt } from '@iommufd/uapi'
