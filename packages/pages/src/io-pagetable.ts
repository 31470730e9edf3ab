// SPDX-License-Identifier: Apache-2.0
/**
 * An I/O address space without its object: areas, allowed and reserved ranges (SPEC E1, E2).
 *
 * Invariants: areas never overlap each other or a reserved range; allowed ranges never touch a
 * reserved one; every area is aligned to `alignment`. All ranges are inclusive and cover the whole
 * u64 space at byte granularity. A call that is refused half-way has undone what it did, in reverse
 * order; only unmapping keeps what it has unmapped.
 */
import type { Iommufd } from '@iommufd/core'
import { isAfter, previousHi, previousLo, sumHi, sumWraps } from '@iommufd/core'
import { PAGE_SIZE } from '@iommufd/uapi'
import { ContigIter } from './contig-iter.js'
import { Coverage, intersects } from './coverage.js'
import type { IommuDomain } from './domain.js'
import type { IopTables } from './iop-tables.js'
import { IovaSearch } from './iova-search.js'
import { RangeTree } from './range-tree.js'
import {
  ALIGNMENT_BREAKS_AREA,
  ALLOWED_IS_RESERVED,
  AREA_OVERLAPS,
  AUTO_ALIGNMENT_TOO_SMALL,
  AUTO_LENGTH_TOO_LARGE,
  HUGE_PAGES_MAPPED,
  IOVA_MISALIGNED,
  IOVA_RESERVED,
  IOVA_SPACE_FULL,
  IOVA_WRAPS,
  SPACE_IN_USE,
} from './refusals.js'

/** An in-kernel user that is attached to the address space. */
export interface IoptAccess {
  /** Alignment that it needs: PAGE_SIZE when it pins pages, else 1. */
  readonly alignment: number
  /** Asks it to unpin whatever it holds in the range, before the call returns. */
  unmap(iovaHi: number, iovaLo: number, lastHi: number, lastLo: number): void
}

export class IoPagetable {
  readonly engine: Iommufd
  readonly tables: IopTables
  /** Areas; a value is a number in `tables.areas`. */
  readonly areas: RangeTree = new RangeTree()
  /** Where automatic IOVAs may lie; empty means everywhere. Replaced whole. */
  allowed: RangeTree = new RangeTree()
  readonly reserved: Coverage = new Coverage()
  readonly accesses: Set<IoptAccess> = new Set()
  /** Hardware page tables that hold every area; the first is read when frames are asked for. */
  readonly domains: IommuDomain[] = []
  /** Alignment of iova, length and page offset of every area, in bytes; a power of two. */
  alignment = 1
  largePagesDisabled = false
  readonly #search: IovaSearch = new IovaSearch(this.areas, this.reserved.tree)
  /** The one walk over areas that a call may be making. */
  readonly contig: ContigIter
  /** The IOVA that `placeFixed` or `placeAuto` has found free. */
  iovaHi = 0
  iovaLo = 0
  /** Bytes that the last unmapping took away. */
  unmappedHi = 0
  unmappedLo = 0

  constructor(tables: IopTables) {
    this.tables = tables
    this.engine = tables.engine
    this.contig = new ContigIter(this.areas, tables.areas)
  }

  /** Checks a chosen IOVA in the kernel's order and keeps it: 0 or a negative errno. */
  placeFixed(iovaHi: number, iovaLo: number, lengthHi: number, lengthLo: number): number {
    const { refusals } = this.engine
    if ((iovaLo & (this.alignment - 1)) !== 0) {
      return refusals.refuse(IOVA_MISALIGNED, iovaHi, iovaLo, this.alignment)
    }
    const lengthM1Hi = previousHi(lengthHi, lengthLo)
    const lengthM1Lo = previousLo(lengthLo)
    if (sumWraps(iovaHi, iovaLo, lengthM1Hi, lengthM1Lo)) {
      return refusals.refuse(IOVA_WRAPS, iovaHi, iovaLo, lengthHi, lengthLo)
    }
    const lastHi = sumHi(iovaHi, iovaLo, lengthM1Hi, lengthM1Lo)
    const lastLo = (iovaLo + lengthM1Lo) | 0
    if (this.reserved.intersects(iovaHi, iovaLo, lastHi, lastLo)) {
      return this.#refuseHit(this.reserved.tree, IOVA_RESERVED, iovaHi, iovaLo, lastHi, lastLo)
    }
    if (intersects(this.areas, iovaHi, iovaLo, lastHi, lastLo)) {
      return this.#refuseHit(this.areas, AREA_OVERLAPS, iovaHi, iovaLo, lastHi, lastLo)
    }
    this.iovaHi = iovaHi
    this.iovaLo = iovaLo
    return 0
  }

  /** Chooses an IOVA for memory that begins at (startHi, startLo): 0 or a negative errno. */
  placeAuto(startHi: number, startLo: number, lengthHi: number, lengthLo: number): number {
    const { refusals } = this.engine
    if (isAfter(lengthHi, lengthLo, 0x7fffffff, -2)) {
      return refusals.refuse(AUTO_LENGTH_TOO_LARGE, lengthHi, lengthLo)
    }
    const alignment = this.#autoAlignment(startLo, lengthHi, lengthLo)
    if (alignment < this.alignment) {
      return refusals.refuse(AUTO_ALIGNMENT_TOO_SMALL, startHi, startLo, this.alignment)
    }
    const search = this.#search
    const lengthM1Hi = previousHi(lengthHi, lengthLo)
    const offset = startLo & (PAGE_SIZE - 1)
    if (!search.find(this.allowed, lengthM1Hi, previousLo(lengthLo), alignment, offset)) {
      return refusals.refuse(IOVA_SPACE_FULL, lengthHi, lengthLo, alignment)
    }
    this.iovaHi = search.iovaHi
    this.iovaLo = search.iovaLo
    return 0
  }

  /**
   * min(length rounded up to a power of two, lowest set bit of the start, the host's maximum). The
   * maximum is below 2^32, so a start whose low word is 0 does not bound it.
   */
  #autoAlignment(startLo: number, lengthHi: number, lengthLo: number): number {
    let alignment = this.engine.maxIovaAlignment
    if (lengthHi === 0 && lengthLo >>> 0 < alignment) alignment = roundUpToPowerOfTwo(lengthLo)
    const lowestBit = startLo & -startLo
    return lowestBit > 0 && lowestBit < alignment ? lowestBit : alignment
  }

  /** Reserves [start, last] for an owner that will give it back; ranges of owners may overlap. */
  reserve(startHi: number, startLo: number, lastHi: number, lastLo: number): number {
    if (
      intersects(this.areas, startHi, startLo, lastHi, lastLo) ||
      intersects(this.allowed, startHi, startLo, lastHi, lastLo)
    ) {
      return this.engine.refusals.refuse(SPACE_IN_USE, startHi, startLo, lastHi, lastLo)
    }
    const rc = this.engine.allocate()
    if (rc < 0) return rc
    this.reserved.add(startHi, startLo, lastHi, lastLo)
    return 0
  }

  /** Gives a reserved range back. */
  unreserve(startHi: number, startLo: number, lastHi: number, lastLo: number): void {
    this.reserved.remove(startHi, startLo, lastHi, lastLo)
  }

  /** Replaces the allowed ranges by those of `allowed`, unless one touches a reserved range. */
  setAllowed(allowed: RangeTree): number {
    for (let pos = allowed.first(); pos >= 0; pos = allowed.next(pos)) {
      const startHi = allowed.startHi(pos)
      const startLo = allowed.startLo(pos)
      const lastHi = allowed.lastHi(pos)
      const lastLo = allowed.lastLo(pos)
      if (this.reserved.intersects(startHi, startLo, lastHi, lastLo)) {
        return this.engine.refusals.refuse(ALLOWED_IS_RESERVED, startHi, startLo, lastHi, lastLo)
      }
    }
    this.allowed = allowed
    return 0
  }

  /** Attaches an in-kernel user, unless the alignment it needs breaks an area. */
  addAccess(access: IoptAccess): number {
    const rc = this.engine.allocate()
    if (rc < 0) return rc
    this.accesses.add(access)
    const aligned = this.updateAlignment()
    if (aligned < 0) this.accesses.delete(access)
    return aligned
  }

  /** Detaches an in-kernel user; it must have unpinned everything. */
  removeAccess(access: IoptAccess): void {
    this.accesses.delete(access)
    this.updateAlignment()
  }

  /** Asks every in-kernel user that pins to let [iova, last] go. */
  notifyUnmap(iovaHi: number, iovaLo: number, lastHi: number, lastLo: number): void {
    for (const access of this.accesses) access.unmap(iovaHi, iovaLo, lastHi, lastLo)
  }

  /** IOMMU_OPTION_HUGE_PAGES=0: areas are aligned to pages from now on. */
  disableLargePages(): number {
    if (this.largePagesDisabled) return 0
    if (this.domains.length > 0 && this.areas.size > 0) {
      return this.engine.refusals.refuse(HUGE_PAGES_MAPPED)
    }
    this.largePagesDisabled = true
    const rc = this.updateAlignment()
    if (rc < 0) this.largePagesDisabled = false
    return rc
  }

  /** IOMMU_OPTION_HUGE_PAGES=1. */
  enableLargePages(): void {
    this.largePagesDisabled = false
    this.updateAlignment()
  }

  /** Sets `alignment` to what the users need; a rise over a misaligned area is refused. */
  updateAlignment(): number {
    let alignment = this.largePagesDisabled ? PAGE_SIZE : 1
    for (const access of this.accesses) alignment = Math.max(alignment, access.alignment)
    for (const domain of this.domains) alignment = Math.max(alignment, domain.minPageSize)
    if (alignment > this.alignment) {
      const rc = this.#checkAreas(alignment)
      if (rc < 0) return rc
    }
    this.alignment = alignment
    return 0
  }

  #checkAreas(alignment: number): number {
    const { areas, tables } = this
    for (let pos = areas.first(); pos >= 0; pos = areas.next(pos)) {
      const startLo = areas.startLo(pos)
      const afterLo = areas.lastLo(pos) + 1
      const offset = (tables.areas.startLo[areas.value(pos)] as number) & (PAGE_SIZE - 1)
      if (((startLo | afterLo | offset) & (alignment - 1)) === 0) continue
      const startHi = areas.startHi(pos)
      const lastHi = areas.lastHi(pos)
      const lastLo = areas.lastLo(pos)
      return this.engine.refusals.refuse(
        ALIGNMENT_BREAKS_AREA,
        startHi,
        startLo,
        lastHi,
        lastLo,
        alignment,
      )
    }
    return 0
  }

  /** Refuses [start, last] for the range of the tree that it touches first. */
  #refuseHit(
    tree: RangeTree,
    site: typeof AREA_OVERLAPS,
    startHi: number,
    startLo: number,
    lastHi: number,
    lastLo: number,
  ): number {
    const pos = tree.from(startHi, startLo)
    return this.engine.refusals.refuse(
      site,
      startHi,
      startLo,
      lastHi,
      lastLo,
      tree.startHi(pos),
      tree.startLo(pos),
      tree.lastHi(pos),
      tree.lastLo(pos),
    )
  }
}

/** Smallest power of two that is not below `value`, 1 to 2^30. */
function roundUpToPowerOfTwo(value: number): number {
  return value <= 1 ? 1 : 1 << (32 - Math.clz32(value - 1))
}
