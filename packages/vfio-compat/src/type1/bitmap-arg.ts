// SPDX-License-Identifier: Apache-2.0
/**
 * The vfio_bitmap that comes with a request for dirty pages (SPEC V25, V26).
 *
 * Invariant: a bitmap that is accepted has a bit for every page of the range and lies in user memory.
 */
import type { Task } from '@iommufd/host'
import { PAGE_SIZE } from '@iommufd/uapi'
import type { ContainerArg } from '../container-arg.js'
import { isZero, pageAt, valueAt } from './arg.js'
import { bitmapBytes, type UserBitmap } from './dirty-bitmap.js'
import type { Type1Iommu } from './iommu.js'
import { TYPE1_BITMAP_UNUSABLE } from './refusals.js'

/** Bits for 2^31 - 1 pages. */
const MAX_BYTES = 256 * 2 ** 20

/** Byte offsets in the struct that was read. */
export interface BitmapFields {
  readonly iova: number
  readonly length: number
  readonly pgsize: number
  readonly size: number
  readonly data: number
}

/** Judges the bitmap for `length` bytes of IOVAs: 0 or -EINVAL. */
export function checkBitmap(iommu: Type1Iommu, arg: ContainerArg, at: BitmapFields): number {
  const { refusals } = iommu.engine
  const pageSize = valueAt(arg, at.pgsize)
  const size = valueAt(arg, at.size)
  const isPageSize = pageSize === BigInt(iommu.pageSize)
  const pages = isPageSize ? Number(valueAt(arg, at.length) / pageSize) : 0
  const fits = size <= MAX_BYTES && pages > 0 && bitmapBytes(pages) <= Number(size)
  if (fits && !isZero(arg, at.size)) return 0
  return refusals.refuse(TYPE1_BITMAP_UNUSABLE, pages | 0, arg.lo(at.size), arg.lo(at.pgsize))
}

/** The bitmap, accepted by `checkBitmap`. */
export function userBitmap(task: Task, arg: ContainerArg, at: BitmapFields): UserBitmap {
  const first = pageAt(arg, at.iova)
  return { task, dataHi: arg.hi(at.data), dataLo: arg.lo(at.data), first }
}

/** Pages of the range, which is aligned. */
export function pagesOf(arg: ContainerArg, at: BitmapFields): number {
  return Number(valueAt(arg, at.length) / BigInt(PAGE_SIZE))
}
