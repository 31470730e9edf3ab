// SPDX-License-Identifier: Apache-2.0
//
// Fields in place, for code that runs often: an Int32Array over the struct's memory, and offsets in
// bytes such as `base + iommu_ioas_map.at.iova`.
//
// Invariant: no call makes an object or a BigInt. A u64 is two int32 words (hi, lo); both are bit
// patterns, so either may be negative. Offsets are aligned as the kernel's structs are: a u64 at least
// to 4 bytes. As typed arrays are, it is for little-endian machines.

/** The u32 at byte `at`, 0 to 2^32-1. Beyond 2^31 an engine may box it: see s32. */
export function u32(words: Int32Array, at: number): number {
  return (words[at >> 2] as number) >>> 0
}

/** The s32 at byte `at`, or the bit pattern of a u32. */
export function s32(words: Int32Array, at: number): number {
  return words[at >> 2] as number
}

/** The u16 at byte `at`. */
export function u16(words: Int32Array, at: number): number {
  return ((words[at >> 2] as number) >>> ((at & 2) << 3)) & 0xffff
}

/** The u8 at byte `at`. */
export function u8(words: Int32Array, at: number): number {
  return ((words[at >> 2] as number) >>> ((at & 3) << 3)) & 0xff
}

/** The upper half of the u64 at byte `at`, as an int32. */
export function u64Hi(words: Int32Array, at: number): number {
  return words[(at >> 2) + 1] as number
}

/** The lower half of the u64 at byte `at`, as an int32. */
export function u64Lo(words: Int32Array, at: number): number {
  return words[at >> 2] as number
}

/** Writes the low 32 bits of `value` at byte `at`. */
export function setU32(words: Int32Array, at: number, value: number): void {
  words[at >> 2] = value
}

/** Writes the low 16 bits of `value` at byte `at`. */
export function setU16(words: Int32Array, at: number, value: number): void {
  const shift = (at & 2) << 3
  const kept = (words[at >> 2] as number) & ~(0xffff << shift)
  words[at >> 2] = kept | ((value & 0xffff) << shift)
}

/** Writes the low 8 bits of `value` at byte `at`. */
export function setU8(words: Int32Array, at: number, value: number): void {
  const shift = (at & 3) << 3
  const kept = (words[at >> 2] as number) & ~(0xff << shift)
  words[at >> 2] = kept | ((value & 0xff) << shift)
}

/** Writes a u64, given as two words, at byte `at`. */
export function setU64(words: Int32Array, at: number, hi: number, lo: number): void {
  words[at >> 2] = lo
  words[(at >> 2) + 1] = hi
}

/** The upper word of a u64, as an int32. RangeError when `value` is not in 0..2^64-1. */
export function hiWord(value: number | bigint): number {
  return Number(BigInt.asIntN(32, checkedU64(value) >> 32n))
}

/** The lower word of a u64, as an int32. RangeError when `value` is not in 0..2^64-1. */
export function loWord(value: number | bigint): number {
  return Number(BigInt.asIntN(32, checkedU64(value)))
}

/** A u64 of two words. */
export function u64(hi: number, lo: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
}

function checkedU64(value: number | bigint): bigint {
  if (typeof value === 'bigint' || Number.isInteger(value)) {
    const exact = BigInt(value)
    if (BigInt.asUintN(64, exact) === exact) return exact
  }
  throw new RangeError(`${value} is not in 0..2^64-1`)
}
