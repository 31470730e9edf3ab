// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO_IOMMU_DIRTY_PAGES of type 1 (SPEC V26).
 *
 * Invariant: tracking is on for every mapping or for none. A range that is asked for never cuts a
 * mapping. From memory of Linux, not from a recording.
 */
import type { Task } from '@iommufd/host'
import {
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  vfio_bitmap,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dirty_bitmap_get,
} from '@iommufd/uapi'
import { ContainerArg } from '../container-arg.js'
import { pageAt, valueAt, wraps } from './arg.js'
import { type BitmapFields, checkBitmap, pagesOf, userBitmap } from './bitmap-arg.js'
import { forgetDirty, reportDirty, trackMapping } from './dirty-bitmap.js'
import type { Type1Iommu } from './iommu.js'
import {
  TYPE1_ARGSZ_TOO_SMALL,
  TYPE1_BITMAP_RANGE,
  TYPE1_DIRTY_FIRST_VERSION,
  TYPE1_DIRTY_FLAGS,
  TYPE1_DIRTY_OFF,
} from './refusals.js'

const { at, size: MIN_SIZE } = vfio_iommu_type1_dirty_bitmap
const { at: get, size: GET_SIZE } = vfio_iommu_type1_dirty_bitmap_get
const RANGE: BitmapFields = {
  iova: MIN_SIZE + get.iova,
  length: MIN_SIZE + get.size,
  pgsize: MIN_SIZE + get.bitmap + vfio_bitmap.at.pgsize,
  size: MIN_SIZE + get.bitmap + vfio_bitmap.at.size,
  data: MIN_SIZE + get.bitmap + vfio_bitmap.at.data,
}

export class Type1DirtyPages {
  readonly #iommu: Type1Iommu
  readonly #arg: ContainerArg

  constructor(iommu: Type1Iommu) {
    this.#iommu = iommu
    this.#arg = new ContainerArg(iommu.engine, MIN_SIZE + GET_SIZE)
  }

  execute(task: Task, argHi: number, argLo: number): number {
    const { engine, isSecondVersion } = this.#iommu
    if (!isSecondVersion) return engine.refusals.refuse(TYPE1_DIRTY_FIRST_VERSION)
    const arg = this.#arg
    const rc = arg.read(task, argHi, argLo, MIN_SIZE)
    if (rc < 0) return rc
    const argsz = arg.lo(at.argsz)
    const flags = arg.lo(at.flags)
    if (argsz >>> 0 < MIN_SIZE) {
      return engine.refusals.refuse(TYPE1_ARGSZ_TOO_SMALL, argsz, MIN_SIZE)
    }
    switch (flags) {
      case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
        return this.#start()
      case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
        return this.#stop()
      case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
        return this.#getBitmap(task, argHi, argLo, argsz >>> 0)
      default:
        return engine.refusals.refuse(TYPE1_DIRTY_FLAGS, flags)
    }
  }

  #start(): number {
    const iommu = this.#iommu
    if (iommu.tracksDirty) return 0
    for (const mapping of iommu.mappings) {
      const rc = trackMapping(iommu, mapping)
      if (rc < 0) {
        this.#dropBitmaps()
        return rc
      }
    }
    iommu.tracksDirty = true
    return 0
  }

  #stop(): number {
    this.#iommu.tracksDirty = false
    this.#dropBitmaps()
    return 0
  }

  #dropBitmaps(): void {
    for (const mapping of this.#iommu.mappings) mapping.dirty = undefined
  }

  #getBitmap(task: Task, argHi: number, argLo: number, argsz: number): number {
    const { refusals } = this.#iommu.engine
    const arg = this.#arg
    const whole = MIN_SIZE + GET_SIZE
    if (argsz < whole) return refusals.refuse(TYPE1_ARGSZ_TOO_SMALL, argsz | 0, whole)
    const rc = arg.read(task, argHi, argLo, whole) || this.#checkRange()
    if (rc < 0) return rc
    if (!this.#iommu.tracksDirty) return refusals.refuse(TYPE1_DIRTY_OFF)
    return this.#report(task)
  }

  #checkRange(): number {
    const arg = this.#arg
    const isAligned =
      ((arg.lo(RANGE.iova) | arg.lo(RANGE.length)) & (this.#iommu.pageSize - 1)) === 0
    const isEmpty = valueAt(arg, RANGE.length) === 0n
    if (isEmpty || !isAligned || wraps(arg, RANGE.iova, RANGE.length)) return this.#refuseRange()
    return checkBitmap(this.#iommu, arg, RANGE)
  }

  #report(task: Task): number {
    const iommu = this.#iommu
    const first = pageAt(this.#arg, RANGE.iova)
    const last = first + pagesOf(this.#arg, RANGE) - 1
    const cut = [iommu.mappings.at(first), iommu.mappings.at(last)]
    if (cut.some((mapping) => mapping && (mapping.first < first || mapping.last > last))) {
      return this.#refuseRange()
    }
    const bitmap = userBitmap(task, this.#arg, RANGE)
    for (
      let mapping = iommu.mappings.from(first);
      mapping !== undefined && mapping.first <= last;
      mapping = iommu.mappings.from(mapping.last + 1)
    ) {
      const rc = reportDirty(iommu, mapping, bitmap)
      if (rc < 0) return rc
      forgetDirty(iommu, mapping)
    }
    return 0
  }

  #refuseRange(): number {
    const arg = this.#arg
    const { refusals } = this.#iommu.engine
    const iovaLo = arg.lo(RANGE.iova)
    const sizeHi = arg.hi(RANGE.length)
    return refusals.refuse(
      TYPE1_BITMAP_RANGE,
      arg.hi(RANGE.iova),
      iovaLo,
      sizeHi,
      arg.lo(RANGE.length),
    )
  }
}
