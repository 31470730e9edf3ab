// SPDX-License-Identifier: Apache-2.0
/**
 * IOMMU_HWPT_SET_DIRTY_TRACKING and IOMMU_HWPT_GET_DIRTY_BITMAP (SPEC L3, L4).
 *
 * Invariant: recording begins with nothing recorded. What is cleared is flushed from the IOTLBs
 * before the call returns, so that the next write is recorded again. A range is told as far as it is
 * mapped without a hole; that it ends early is no error.
 */
import { previousHi, previousLo, sumHi, sumWraps, toBigInt, type Ucmd } from '@iommufd/core'
import type { IommufdIoas } from '@iommufd/pages'
import {
  ENOENT,
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  iommu_hwpt_get_dirty_bitmap,
  iommu_hwpt_set_dirty_tracking,
} from '@iommufd/uapi'
import { DirtyBitmap } from './dirty-bitmap.js'
import type { DirtyOps } from './driver.js'
import { refuseForDriver } from './driver-refusal.js'
import { HWPT, type IommufdHwptPaging } from './hwpt.js'
import { IotlbGather } from './iotlb-gather.js'
import {
  DIRTY_FLAGS_UNKNOWN,
  DIRTY_NOT_TRACKED,
  DIRTY_RANGE_BAD,
  DIRTY_RANGE_WRAPS,
  DIRTY_RESERVED_NOT_ZERO,
} from './refusals.js'

const gather = new IotlbGather()

export function setDirtyTracking(ucmd: Ucmd): number {
  const { at } = iommu_hwpt_set_dirty_tracking
  const { engine } = ucmd.ctx
  const flags = ucmd.word(at.flags)
  if ((flags & ~IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0) {
    return engine.refusals.refuse(DIRTY_FLAGS_UNKNOWN, flags, IOMMU_HWPT_DIRTY_TRACKING_ENABLE)
  }
  const hwpt = ucmd.ctx.find(ucmd.word(at.hwpt_id), HWPT)
  if (hwpt === undefined) return -ENOENT
  const { dirtyOps } = hwpt.domain
  if (dirtyOps === undefined) return engine.refusals.refuse(DIRTY_NOT_TRACKED, hwpt.id)
  const enable = flags !== 0
  const rc = (enable ? clearAll(hwpt, dirtyOps) : 0) || dirtyOps.setDirtyTracking(enable)
  return rc < 0 ? refuseForDriver(engine, hwpt.domain.owner, rc) : 0
}

export function getDirtyBitmap(ucmd: Ucmd): number {
  const { at } = iommu_hwpt_get_dirty_bitmap
  const { engine } = ucmd.ctx
  const flags = ucmd.word(at.flags)
  if ((flags & ~IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) !== 0) {
    const known = IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR
    return engine.refusals.refuse(DIRTY_FLAGS_UNKNOWN, flags, known)
  }
  const reserved = ucmd.word(at.__reserved)
  if (reserved !== 0) return engine.refusals.refuse(DIRTY_RESERVED_NOT_ZERO, reserved)
  const hwpt = ucmd.ctx.find(ucmd.word(at.hwpt_id), HWPT)
  if (hwpt === undefined) return -ENOENT
  const rc = checkRange(ucmd, hwpt.ioas)
  if (rc < 0) return rc
  const { dirtyOps } = hwpt.domain
  if (dirtyOps === undefined) return engine.refusals.refuse(DIRTY_NOT_TRACKED, hwpt.id)
  const bitmap = new DirtyBitmap(ucmd, ucmd.hi(at.data), ucmd.lo(at.data))
  readRange(ucmd, hwpt, dirtyOps, flags !== 0, bitmap)
  return bitmap.flush()
}

function checkRange(ucmd: Ucmd, ioas: IommufdIoas): number {
  const { at } = iommu_hwpt_get_dirty_bitmap
  const { refusals } = ucmd.ctx.engine
  const [hi, lo] = [ucmd.hi(at.iova), ucmd.lo(at.iova)]
  const [lengthHi, lengthLo] = [ucmd.hi(at.length), ucmd.lo(at.length)]
  const [pageHi, pageLo] = [ucmd.hi(at.page_size), ucmd.lo(at.page_size)]
  const isEmpty = (lengthHi | lengthLo) === 0
  const lessHi = previousHi(lengthHi, lengthLo)
  if (!isEmpty && sumWraps(hi, lo, lessHi, previousLo(lengthLo))) {
    return refusals.refuse(DIRTY_RANGE_WRAPS, hi, lo, lengthHi, lengthLo)
  }
  const ends = toBigInt(hi, lo) | (toBigInt(hi, lo) + toBigInt(lengthHi, lengthLo))
  const pageSize = toBigInt(pageHi, pageLo)
  const isBad =
    isEmpty ||
    pageSize === 0n ||
    (ends & BigInt(ioas.iopt.alignment - 1)) !== 0n ||
    (ends & (pageSize - 1n)) !== 0n
  if (!isBad) return 0
  return refusals.refuse(DIRTY_RANGE_BAD, hi, lo, lengthHi, lengthLo, pageHi, pageLo)
}

/** Tells the written pages of the range, area by area until the first hole. */
function readRange(
  ucmd: Ucmd,
  hwpt: IommufdHwptPaging,
  ops: DirtyOps,
  noClear: boolean,
  bitmap: DirtyBitmap,
): void {
  const { at } = iommu_hwpt_get_dirty_bitmap
  const [hi, lo] = [ucmd.hi(at.iova), ucmd.lo(at.iova)]
  const [lengthHi, lengthLo] = [ucmd.hi(at.length), ucmd.lo(at.length)]
  const start = toBigInt(hi, lo)
  const pages =
    toBigInt(lengthHi, lengthLo) / toBigInt(ucmd.hi(at.page_size), ucmd.lo(at.page_size))
  const pageSize = Number(toBigInt(ucmd.hi(at.page_size), ucmd.lo(at.page_size)))
  const report = (iovaHi: number, iovaLo: number, lg2: number): void => {
    const from = Number(toBigInt(iovaHi, iovaLo) - start)
    const first = Math.max(0, Math.floor(from / pageSize))
    const last = Math.min(Number(pages) - 1, Math.ceil((from + 2 ** lg2) / pageSize) - 1)
    bitmap.set(first, last)
  }
  const iter = hwpt.ioas.iopt.contig
  const lastHi = sumHi(hi, lo, previousHi(lengthHi, lengthLo), previousLo(lengthLo))
  const lastLo = (lo + previousLo(lengthLo)) | 0
  gather.clear()
  for (let ok = iter.begin(hi, lo, lastHi, lastLo); ok; ok = iter.next()) {
    const bytes =
      Number(toBigInt(iter.lastHi, iter.lastLo) - toBigInt(iter.iovaHi, iter.iovaLo)) + 1
    if (ops.readAndClearDirty(iter.iovaHi, iter.iovaLo, bytes, noClear, gather, report) < 0) break
  }
  if (!noClear) hwpt.domain.iotlbSync?.(gather)
}

/** Forgets what was recorded of all areas: 0 or the driver's errno. */
function clearAll(hwpt: IommufdHwptPaging, ops: DirtyOps): number {
  const { areas } = hwpt.ioas.iopt
  gather.clear()
  for (let pos = areas.first(); pos >= 0; pos = areas.next(pos)) {
    const [hi, lo] = [areas.startHi(pos), areas.startLo(pos)]
    const bytes = Number(toBigInt(areas.lastHi(pos), areas.lastLo(pos)) - toBigInt(hi, lo)) + 1
    const rc = ops.readAndClearDirty(hi, lo, bytes, false, gather, () => {})
    if (rc < 0) return rc
  }
  hwpt.domain.iotlbSync?.(gather)
  return 0
}
