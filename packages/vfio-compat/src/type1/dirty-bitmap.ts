// SPDX-License-Identifier: Apache-2.0
/**
 * Which pages of a mapping count as written (SPEC V25, V26).
 *
 * Invariant: one bit per page of the smallest size. What emulated devices pin is always dirty, and
 * everything is while a device behind an IOMMU has the mapping: type 1 cannot know better. Bits are
 * kept exactly while dirty pages are tracked, and only those that are set. From memory of Linux, not from a recording.
 */
import type { Task } from '@iommufd/host'
import { PAGE_SIZE } from '@iommufd/uapi'
import type { Type1Iommu } from './iommu.js'
import type { Mapping } from './mapping.js'
import { TYPE1_MAPPING_TOO_LARGE } from './refusals.js'

/** Bitmaps are made of words of 64 bits. */
const WORD_BYTES = 8
const WORD_BITS = 64
const MAX_BITS = 2 ** 31 - 1
/** Bytes of a bitmap that are written at once. */
const CHUNK_BYTES = 65536

/** Bytes of a bitmap for so many pages. */
export function bitmapBytes(bits: number): number {
  return Math.ceil(bits / WORD_BITS) * WORD_BYTES
}

/** Begins tracking a mapping: 0, -ENOMEM, or -EINVAL for one of 2^31 pages and more. */
export function trackMapping(iommu: Type1Iommu, mapping: Mapping): number {
  const rc = iommu.engine.allocate()
  if (rc < 0) return rc
  const bits = bitsOf(iommu, mapping)
  if (bits > MAX_BITS)
    return iommu.engine.refusals.refuse(TYPE1_MAPPING_TOO_LARGE, bits / 2 ** 32, bits | 0)
  mapping.dirty = new Set()
  markPinned(iommu, mapping)
  return 0
}

/** An emulated device has pinned a page of the mapping. */
export function markDirty(iommu: Type1Iommu, mapping: Mapping, page: number): void {
  mapping.dirty?.add(Math.floor((page * PAGE_SIZE) / iommu.pageSize))
}

/** Where the program's bitmap lies and which IOVA its first bit is for. */
export interface UserBitmap {
  readonly task: Task
  readonly dataHi: number
  readonly dataLo: number
  /** Page of the IOVAs. */
  readonly first: number
}

/** Adds the mapping's dirty pages to the program's bitmap: 0 or -EFAULT. */
export function reportDirty(iommu: Type1Iommu, mapping: Mapping, user: UserBitmap): number {
  const { engine } = iommu
  const bits = bitsOf(iommu, mapping)
  const offset = ((mapping.first - user.first) * PAGE_SIZE) / iommu.pageSize
  const skipped = Math.floor(offset / WORD_BITS) * WORD_BYTES
  const shift = offset % WORD_BITS
  const chunk = new Uint8Array(CHUNK_BYTES)
  const end = bitmapBytes(shift + bits)
  for (let from = 0; from < end; from += CHUNK_BYTES) {
    const length = Math.min(CHUNK_BYTES, end - from)
    const { hi, lo } = addressAt(user, skipped + from)
    chunk.fill(0)
    if (from === 0 && shift > 0) {
      const rc = engine.copyFromUser(user.task, hi, lo, chunk, 0, WORD_BYTES)
      if (rc < 0) return rc
      keepBits(chunk, shift)
    }
    fillChunk(iommu, mapping, chunk, from * 8 - shift, bits)
    const rc = engine.copyToUser(user.task, hi, lo, chunk, 0, length)
    if (rc < 0) return rc
  }
  return 0
}

/** Sets the dirty bits of the mapping that lie in the chunk, whose first bit is for page `first`. */
function fillChunk(
  iommu: Type1Iommu,
  mapping: Mapping,
  chunk: Uint8Array,
  first: number,
  bits: number,
): void {
  const end = Math.min(first + chunk.length * 8, bits)
  if (mapping.isMapped && iommu.tables.length > 0) {
    for (let bit = Math.max(first, 0); bit < end; bit++) setBit(chunk, bit - first)
    return
  }
  for (const bit of mapping.dirty ?? []) {
    if (first <= bit && bit < end) setBit(chunk, bit - first)
  }
}

/** The pages are clean from now on, but for those that are pinned. */
export function forgetDirty(iommu: Type1Iommu, mapping: Mapping): void {
  mapping.dirty?.clear()
  markPinned(iommu, mapping)
}

function markPinned(iommu: Type1Iommu, mapping: Mapping): void {
  for (const page of mapping.pinned.keys()) markDirty(iommu, mapping, page)
}

function bitsOf(iommu: Type1Iommu, mapping: Mapping): number {
  return (mapping.pages * PAGE_SIZE) / iommu.pageSize
}

function addressAt({ dataHi, dataLo }: UserBitmap, offset: number): { hi: number; lo: number } {
  const lo = (dataLo >>> 0) + offset
  return { hi: (dataHi + Math.floor(lo / 2 ** 32)) | 0, lo: lo | 0 }
}

/** Clears all but the lowest `count` bits of the first word. */
function keepBits(bytes: Uint8Array, count: number): void {
  for (let bit = count; bit < WORD_BITS; bit++) {
    bytes[bit >> 3] = (bytes[bit >> 3] as number) & ~(1 << (bit & 7))
  }
}

function setBit(bytes: Uint8Array, bit: number): void {
  bytes[bit >> 3] = (bytes[bit >> 3] as number) | (1 << (bit & 7))
}
