// SPDX-License-Identifier: Apache-2.0
//
// User addresses, at the edge and inside. Programs give `number | bigint`; inside, an address is two int32 words (hi, lo)
// as everywhere in the engine, and its place in an address space is (chunk, slot): the chunk is a 2 MiB piece of it, the
// slot a page of the chunk. User addresses lie below 2^47, so that chunk and slot are small integers, which cross calls
// without allocating. Where whole ranges are handled (mmap and its kin) a page number is a double, exact up to 2^52.

import { PAGE_SHIFT, PAGE_SIZE } from '@iommufd/uapi'

/** The page at which user addresses end (exclusive): 0x7ffffffff000. */
export const TASK_PAGES: number = 2 ** 35 - 1
/** Pages in a chunk. */
export const CHUNK_PAGES = 512
/** What lies above this many bits of `hi` is no user address. */
export const USER_HI_BITS = 15

/** The words of the number last given to `split`: [hi, lo], int32. One per module, so that no call allocates. */
export const words: Int32Array = new Int32Array(2)

const scratch = new BigInt64Array(1)
const scratchWords = new Int32Array(scratch.buffer)
const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

/**
 * Splits a 64-bit number into `words`. A negative one stands for its two's complement, as in C.
 * @throws RangeError when a number is not a safe integer, or a bigint does not fit in 64 bits
 */
export function split(value: number | bigint): void {
  if (typeof value === 'bigint') splitBigint(value)
  else splitNumber(value)
}

function splitNumber(value: number): void {
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a safe integer`)
  words[0] = Math.floor(value / 2 ** 32)
  words[1] = value
}

function splitBigint(value: bigint): void {
  if (value >= 2n ** 64n || value < -(2n ** 63n))
    throw new RangeError(`${value} does not fit in 64 bits`)
  scratch[0] = value
  words[0] = scratchWords[littleEndian ? 1 : 0] as number
  words[1] = scratchWords[littleEndian ? 0 : 1] as number
}

/** Page number of a u64, exact in a double. */
export function pageOf(hi: number, lo: number): number {
  return (hi >>> 0) * 2 ** (32 - PAGE_SHIFT) + (lo >>> PAGE_SHIFT)
}

/** Byte offset of a u64 within its page. */
export function offsetOf(lo: number): number {
  return lo & (PAGE_SIZE - 1)
}

/** Whole pages that a length of (hi, lo) bytes takes up, at most 2^52. */
export function pagesOf(hi: number, lo: number): number {
  return pageOf(hi, lo) + (offsetOf(lo) === 0 ? 0 : 1)
}
