// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO_IOMMU_MAP_DMA of type 1 (SPEC V7 to V17).
 *
 * Invariant: a refused mapping leaves nothing, and what is mapped is pinned at once when there is a
 * page table. The order of the checks is from memory of Linux, not from a recording.
 */
import type { Task } from '@iommufd/host'
import { AREA_READ, AREA_WRITE } from '@iommufd/pages'
import {
  CAP_IPC_LOCK,
  PAGE_SIZE,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  vfio_iommu_type1_dma_map,
} from '@iommufd/uapi'
import { ContainerArg } from '../container-arg.js'
import { chargeType1, unchargeType1 } from './account.js'
import { isZero, pageAt, wraps } from './arg.js'
import { trackMapping } from './dirty-bitmap.js'
import type { Type1Iommu } from './iommu.js'
import { Mapping } from './mapping.js'
import { pinAndMap } from './pin-map.js'
import {
  TYPE1_ARGSZ_TOO_SMALL,
  TYPE1_IOVA_UNUSABLE,
  TYPE1_MAP_FLAGS,
  TYPE1_MAPPING_HAS_ADDRESS,
  TYPE1_MISALIGNED,
  TYPE1_NO_SUCH_MAPPING,
  TYPE1_OVERLAPS,
  TYPE1_RANGE_WRAPS,
  TYPE1_SIZE_ZERO,
  TYPE1_TOO_MANY,
} from './refusals.js'

const { at, size: MIN_SIZE } = vfio_iommu_type1_dma_map
const RW = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE
const KNOWN_FLAGS = RW | VFIO_DMA_MAP_FLAG_VADDR

export class Type1Map {
  readonly #iommu: Type1Iommu
  readonly #arg: ContainerArg

  constructor(iommu: Type1Iommu) {
    this.#iommu = iommu
    this.#arg = new ContainerArg(iommu.engine, MIN_SIZE)
  }

  execute(task: Task, argHi: number, argLo: number): number {
    const arg = this.#arg
    const rc = arg.read(task, argHi, argLo, MIN_SIZE) || this.#checkFlags() || this.#checkRange()
    if (rc < 0) return rc
    const isAddress = (arg.lo(at.flags) & VFIO_DMA_MAP_FLAG_VADDR) !== 0
    return isAddress ? this.#setAddress(task) : this.#map(task)
  }

  #checkFlags(): number {
    const { refusals } = this.#iommu.engine
    const argsz = this.#arg.lo(at.argsz)
    if (argsz >>> 0 < MIN_SIZE) return refusals.refuse(TYPE1_ARGSZ_TOO_SMALL, argsz, MIN_SIZE)
    const flags = this.#arg.lo(at.flags)
    const isPlain = (flags & RW) !== 0
    const isAddress = (flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0
    if ((flags & ~KNOWN_FLAGS) === 0 && isPlain !== isAddress) return 0
    return refusals.refuse(TYPE1_MAP_FLAGS, flags)
  }

  #checkRange(): number {
    const { refusals } = this.#iommu.engine
    const arg = this.#arg
    if (isZero(arg, at.size)) {
      return refusals.refuse(TYPE1_SIZE_ZERO, arg.hi(at.iova), arg.lo(at.iova))
    }
    for (const start of [at.iova, at.vaddr]) {
      if (!wraps(arg, start, at.size)) continue
      const hi = arg.hi(start)
      return refusals.refuse(TYPE1_RANGE_WRAPS, hi, arg.lo(start), arg.hi(at.size), arg.lo(at.size))
    }
    const { pageSize } = this.#iommu
    const low = arg.lo(at.iova) | arg.lo(at.size) | arg.lo(at.vaddr)
    return (low & (pageSize - 1)) === 0 ? 0 : this.#refuse(TYPE1_MISALIGNED, pageSize)
  }

  #map(task: Task): number {
    const { engine, mappings } = this.#iommu
    const arg = this.#arg
    const first = pageAt(arg, at.iova)
    const pages = pageAt(arg, at.size)
    if (mappings.touches(first, first + pages - 1)) return this.#refuse(TYPE1_OVERLAPS)
    if (this.#iommu.available === 0) {
      return engine.refusals.refuse(TYPE1_TOO_MANY, this.#iommu.entryLimit)
    }
    if (!this.#iommu.allows(first, first + pages - 1)) return this.#refuse(TYPE1_IOVA_UNUSABLE)
    const rc = engine.allocate()
    if (rc < 0) return rc
    const unlimited = task.capable(CAP_IPC_LOCK)
    const userPage = pageAt(arg, at.vaddr)
    const mapping = new Mapping(task, first, pages, userPage, this.#prot(), unlimited)
    return this.#insert(mapping)
  }

  #insert(mapping: Mapping): number {
    const iommu = this.#iommu
    const { tables } = iommu
    const rc = tables.length === 0 ? 0 : pinAndMap(iommu, mapping, tables)
    if (rc < 0) return rc
    iommu.mappings.add(mapping)
    iommu.available--
    if (!iommu.tracksDirty) return 0
    const allocated = trackMapping(iommu, mapping)
    if (allocated < 0) iommu.remove(mapping)
    return allocated
  }

  /** VADDR: a mapping whose address was given up has a new one, in the caller's address space. */
  #setAddress(task: Task): number {
    const iommu = this.#iommu
    const { refusals } = iommu.engine
    const arg = this.#arg
    const first = pageAt(arg, at.iova)
    const pages = pageAt(arg, at.size)
    const mapping = iommu.mappings.from(first)
    if (mapping === undefined || mapping.first > first + pages - 1) {
      return refusals.refuse(TYPE1_NO_SUCH_MAPPING, arg.hi(at.iova), arg.lo(at.iova))
    }
    const isWhole = mapping.first === first && mapping.pages === pages
    if (!isWhole || !mapping.isAddressGone) return this.#refuse(TYPE1_MAPPING_HAS_ADDRESS)
    const rc = this.#changeOwner(mapping, task)
    if (rc < 0) return rc
    mapping.userPage = pageAt(arg, at.vaddr)
    mapping.isAddressGone = false
    iommu.addressesGone--
    return 0
  }

  /** What is pinned is charged to the process that has the memory now. */
  #changeOwner(mapping: Mapping, task: Task): number {
    if (mapping.mm === task.mm) return 0
    const isUnlimited = task.capable(CAP_IPC_LOCK)
    const pages = mapping.isMapped ? mapping.pages - mapping.devicePages.size : 0
    const rc = chargeType1(this.#iommu, { task, mm: task.mm, isUnlimited }, pages)
    if (rc < 0) return rc
    unchargeType1(this.#iommu, mapping.mm, pages)
    mapping.task = task
    mapping.mm = task.mm
    mapping.isUnlimited = isUnlimited
    return 0
  }

  #prot(): number {
    const flags = this.#arg.lo(at.flags)
    const read = (flags & VFIO_DMA_MAP_FLAG_READ) !== 0 ? AREA_READ : 0
    return read | ((flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0 ? AREA_WRITE : 0)
  }

  #refuse(site: typeof TYPE1_OVERLAPS | typeof TYPE1_MISALIGNED, last = PAGE_SIZE): number {
    const arg = this.#arg
    const { refusals } = this.#iommu.engine
    const iovaHi = arg.hi(at.iova)
    return refusals.refuse(site, iovaHi, arg.lo(at.iova), arg.hi(at.size), arg.lo(at.size), last)
  }
}
