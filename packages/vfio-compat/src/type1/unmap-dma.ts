// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO_IOMMU_UNMAP_DMA of type 1 (SPEC V18 to V25, V33).
 *
 * Invariant: a mapping goes whole or stays. The second version refuses a range that cuts one; the
 * first unmaps every mapping that begins in the range, as far as it reaches, and nothing of a range
 * that begins inside one. `size` comes back only when the call is served. From memory of Linux, not
 * from a recording.
 */
import { hiOf, loOf } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import {
  PAGE_SIZE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  vfio_bitmap,
  vfio_iommu_type1_dma_unmap,
} from '@iommufd/uapi'
import { ContainerArg } from '../container-arg.js'
import { isZero, pageAt, wraps } from './arg.js'
import { type BitmapFields, checkBitmap, userBitmap } from './bitmap-arg.js'
import { reportDirty, type UserBitmap } from './dirty-bitmap.js'
import type { Type1Iommu } from './iommu.js'
import type { Mapping } from './mapping.js'
import {
  TYPE1_ALL_HAS_RANGE,
  TYPE1_ARGSZ_TOO_SMALL,
  TYPE1_BISECTS,
  TYPE1_DIRTY_OFF,
  TYPE1_EMULATED_DEVICES,
  TYPE1_MISALIGNED,
  TYPE1_RANGE_WRAPS,
  TYPE1_SIZE_ZERO,
  TYPE1_UNMAP_FLAGS,
  TYPE1_VADDR_GONE_TWICE,
} from './refusals.js'

const { at, size: MIN_SIZE } = vfio_iommu_type1_dma_unmap
const ALL = VFIO_DMA_UNMAP_FLAG_ALL
const VADDR = VFIO_DMA_UNMAP_FLAG_VADDR
const GET_DIRTY = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP
const BITMAP: BitmapFields = {
  iova: at.iova,
  length: at.size,
  pgsize: MIN_SIZE + vfio_bitmap.at.pgsize,
  size: MIN_SIZE + vfio_bitmap.at.size,
  data: MIN_SIZE + vfio_bitmap.at.data,
}
const LAST_PAGE = 2 ** 52 - 1
/** How often a device may be asked again to let the same mapping go. */
const MAX_RETRIES = 10

export class Type1Unmap {
  readonly #iommu: Type1Iommu
  readonly #arg: ContainerArg
  #flags = 0
  #first = 0
  #last = 0

  constructor(iommu: Type1Iommu) {
    this.#iommu = iommu
    this.#arg = new ContainerArg(iommu.engine, MIN_SIZE + vfio_bitmap.size)
  }

  execute(task: Task, argHi: number, argLo: number): number {
    const arg = this.#arg
    const rc = arg.read(task, argHi, argLo, MIN_SIZE) || this.#checkFlags(task, argHi, argLo)
    if (rc < 0) return rc
    const ranged = this.#checkRange() || this.#checkCut()
    if (ranged < 0) return ranged
    const bitmap = (this.#flags & GET_DIRTY) === 0 ? undefined : userBitmap(task, arg, BITMAP)
    const pages = (this.#flags & VADDR) !== 0 ? this.#giveUpAddresses() : this.#unmap(bitmap)
    if (pages < 0) return pages
    const bytes = BigInt(pages) * BigInt(PAGE_SIZE)
    arg.setU64(at.size, hiOf(bytes), loOf(bytes))
    return arg.write(MIN_SIZE)
  }

  #checkFlags(task: Task, argHi: number, argLo: number): number {
    const { refusals } = this.#iommu.engine
    const arg = this.#arg
    const argsz = arg.lo(at.argsz)
    const flags = arg.lo(at.flags)
    this.#flags = flags
    const wantsBitmap = (flags & GET_DIRTY) !== 0
    const needed = wantsBitmap ? MIN_SIZE + vfio_bitmap.size : MIN_SIZE
    if (argsz >>> 0 < MIN_SIZE) return refusals.refuse(TYPE1_ARGSZ_TOO_SMALL, argsz, MIN_SIZE)
    const isKnown = (flags & ~(ALL | VADDR | GET_DIRTY)) === 0
    if (!isKnown || (wantsBitmap && flags !== GET_DIRTY)) {
      return refusals.refuse(TYPE1_UNMAP_FLAGS, flags)
    }
    if (!wantsBitmap) return 0
    if (argsz >>> 0 < needed) return refusals.refuse(TYPE1_ARGSZ_TOO_SMALL, argsz, needed)
    return arg.read(task, argHi, argLo, needed) || checkBitmap(this.#iommu, arg, BITMAP)
  }

  #checkRange(): number {
    const { engine, hasEmulated, pageSize, tracksDirty } = this.#iommu
    const { refusals } = engine
    const arg = this.#arg
    if ((this.#flags & VADDR) !== 0 && hasEmulated) return refusals.refuse(TYPE1_EMULATED_DEVICES)
    if ((this.#flags & ALL) !== 0) {
      this.#first = 0
      this.#last = LAST_PAGE
      const isEmpty = isZero(arg, at.iova) && isZero(arg, at.size)
      return isEmpty ? 0 : this.#refuse(TYPE1_ALL_HAS_RANGE)
    }
    if (isZero(arg, at.size)) {
      return refusals.refuse(TYPE1_SIZE_ZERO, arg.hi(at.iova), arg.lo(at.iova))
    }
    if (((arg.lo(at.iova) | arg.lo(at.size)) & (pageSize - 1)) !== 0) {
      return this.#refuse(TYPE1_MISALIGNED, pageSize)
    }
    if (wraps(arg, at.iova, at.size)) return this.#refuse(TYPE1_RANGE_WRAPS)
    if ((this.#flags & GET_DIRTY) !== 0 && !tracksDirty) return refusals.refuse(TYPE1_DIRTY_OFF)
    this.#first = pageAt(arg, at.iova)
    this.#last = this.#first + pageAt(arg, at.size) - 1
    return 0
  }

  /** The second version: no mapping may be cut. */
  #checkCut(): number {
    const { isSecondVersion, mappings } = this.#iommu
    if (!isSecondVersion || (this.#flags & ALL) !== 0) return 0
    const before = mappings.at(this.#first)
    const behind = mappings.at(this.#last)
    const isCut =
      (before !== undefined && before.first !== this.#first) ||
      (behind !== undefined && behind.last !== this.#last)
    return isCut ? this.#refuse(TYPE1_BISECTS) : 0
  }

  /** Unmaps what begins in the range: how many pages, or -EFAULT for a bitmap that cannot be written. */
  #unmap(bitmap: UserBitmap | undefined): number {
    const iommu = this.#iommu
    let pages = 0
    for (;;) {
      const mapping = this.#next(this.#first)
      if (mapping === undefined) return pages
      if (mapping.pinned.size > 0) this.#letGo(mapping)
      const rc = bitmap === undefined ? 0 : reportDirty(iommu, mapping, bitmap)
      if (rc < 0) return rc
      pages += mapping.pages
      iommu.remove(mapping)
    }
  }

  /** The lowest mapping from `page` on that the call is about. */
  #next(page: number): Mapping | undefined {
    const mapping = this.#iommu.mappings.from(page)
    if (mapping === undefined || mapping.first > this.#last) return undefined
    // The first version does nothing for a range that begins inside a mapping.
    return mapping.first < this.#first ? undefined : mapping
  }

  /** Asks the devices until nothing is pinned; Linux has no answer for one that does not let go. */
  #letGo(mapping: Mapping): void {
    const iova = BigInt(mapping.first) * BigInt(PAGE_SIZE)
    const length = BigInt(mapping.pages) * BigInt(PAGE_SIZE)
    for (let tries = 0; mapping.pinned.size > 0; tries++) {
      if (tries > MAX_RETRIES) throw new Error('kernel BUG in vfio_dma_do_unmap: pages stay pinned')
      for (const device of this.#iommu.openEmulatedDevices) device.dmaUnmap(iova, length)
    }
  }

  /** VADDR: the mappings forget their addresses, all or none: how many pages, or -EINVAL. */
  #giveUpAddresses(): number {
    const iommu = this.#iommu
    const found: Mapping[] = []
    for (
      let mapping = this.#next(this.#first);
      mapping !== undefined;
      mapping = this.#next(mapping.last + 1)
    ) {
      found.push(mapping)
    }
    const twice = found.find((mapping) => mapping.isAddressGone)
    if (twice !== undefined) {
      const iova = BigInt(twice.first) * BigInt(PAGE_SIZE)
      return iommu.engine.refusals.refuse(TYPE1_VADDR_GONE_TWICE, hiOf(iova), loOf(iova))
    }
    for (const mapping of found) mapping.isAddressGone = true
    iommu.addressesGone += found.length
    return found.reduce((pages, mapping) => pages + mapping.pages, 0)
  }

  #refuse(
    site:
      | typeof TYPE1_MISALIGNED
      | typeof TYPE1_BISECTS
      | typeof TYPE1_ALL_HAS_RANGE
      | typeof TYPE1_RANGE_WRAPS,
    last = 0,
  ): number {
    const arg = this.#arg
    const { refusals } = this.#iommu.engine
    const iovaHi = arg.hi(at.iova)
    return refusals.refuse(site, iovaHi, arg.lo(at.iova), arg.hi(at.size), arg.lo(at.size), last)
  }
}
