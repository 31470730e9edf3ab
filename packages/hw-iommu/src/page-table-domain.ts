// SPDX-License-Identifier: Apache-2.0
/**
 * A paging domain whose page table is real: what most drivers are made of (SPEC sections 8, 9).
 *
 * Invariant: what is mapped is what the table's words say, and the IOTLB remembers no more than what
 * was true since its last flush. A refused map has mapped nothing. Tables that were unlinked are
 * used again after the flush only.
 */
import { AREA_READ, AREA_WRITE } from '@iommufd/pages'
import type { Device } from './device.js'
import type { AttachableDomain, DirtyOps, IommuOps, PagingDomain } from './driver.js'
import { Iotlb } from './iotlb.js'
import type { IotlbGather } from './iotlb-gather.js'
import { type PageTable, PT_CACHE, PT_READ, PT_WRITE, type ReportDirty } from './pagetable/index.js'
import type { Translation } from './translation.js'

const FRAME_LG2 = 12

/** The first and last IOVA that can be mapped, when it is not all that the table translates. */
export interface Aperture {
  readonly start: bigint
  readonly last: bigint
}

export class PageTableDomain implements PagingDomain {
  readonly type = 'paging'
  readonly owner: IommuOps
  readonly table: PageTable
  readonly iotlb: Iotlb
  readonly minPageSize: number
  readonly pageSizesHi: number
  readonly pageSizesLo: number
  readonly apertureStartHi: number
  readonly apertureStartLo: number
  readonly apertureLastHi: number
  readonly apertureLastLo: number
  readonly dirtyOps?: DirtyOps
  #isTracking = false

  /** `table` is empty; its page sizes are final. `tracksDirty` needs a format with dirty bits. */
  constructor(owner: IommuOps, table: PageTable, aperture?: Aperture, tracksDirty = false) {
    this.owner = owner
    this.table = table
    this.pageSizesHi = table.pageSizesHi
    this.pageSizesLo = table.pageSizesLo
    this.minPageSize = table.pageSizesLo & -table.pageSizesLo
    this.iotlb = new Iotlb(this.minPageSize)
    const { start, last } = aperture ?? { start: table.apertureStart, last: table.apertureLast }
    this.apertureStartHi = Number(BigInt.asIntN(32, start >> 32n))
    this.apertureStartLo = Number(BigInt.asIntN(32, start))
    this.apertureLastHi = Number(BigInt.asIntN(32, last >> 32n))
    this.apertureLastLo = Number(BigInt.asIntN(32, last))
    if (tracksDirty && table.format.dirtyLo === 0) {
      throw new Error(`the page tables of ${table.format.name} do not track which pages are dirty`)
    }
    if (tracksDirty) this.dirtyOps = this.#makeDirtyOps()
  }

  /** Whether writes of devices are recorded now. */
  get isTracking(): boolean {
    return this.#isTracking
  }

  attachDev(_dev: Device, _old: AttachableDomain | undefined): number {
    return 0
  }

  map(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    offset: number,
    bytes: number,
    prot: number,
    largePages: boolean,
  ): number {
    const { table } = this
    const pt =
      ((prot & AREA_READ) !== 0 ? PT_READ : 0) |
      ((prot & AREA_WRITE) !== 0 ? PT_WRITE : 0) |
      PT_CACHE
    const rc = table.mapFrames(iovaHi, iovaLo, frames, at, offset, bytes, pt, largePages)
    // A device may have looked while it was there; nothing asynchronous runs here, so none has.
    if (rc < 0) table.unmap(iovaHi, iovaLo, table.doneHi, table.doneLo)
    if (table.unlinked.length > 0) this.flushIotlbAll()
    return rc
  }

  unmap(iovaHi: number, iovaLo: number, bytes: number, gather: IotlbGather): number {
    const { table } = this
    table.unmap(iovaHi, iovaLo, Math.floor(bytes / 2 ** 32), bytes | 0)
    const unmapped = (table.doneHi >>> 0) * 2 ** 32 + (table.doneLo >>> 0)
    if (unmapped > 0) gather.add(iovaHi, iovaLo, unmapped)
    return unmapped
  }

  translate(iovaHi: number, iovaLo: number, out: Translation): boolean {
    const { table } = this
    if (!table.walk(iovaHi, iovaLo)) return false
    out.frame = ((table.physHi << (32 - FRAME_LG2)) | (table.physLo >>> FRAME_LG2)) >>> 0
    out.offset = table.physLo & ((1 << FRAME_LG2) - 1)
    out.lg2 = table.lg2
    out.prot =
      ((table.prot & PT_READ) !== 0 ? AREA_READ : 0) |
      ((table.prot & PT_WRITE) !== 0 ? AREA_WRITE : 0)
    out.isDirty = !this.#isTracking
    return true
  }

  framesAt(
    iovaHi: number,
    iovaLo: number,
    offset: number,
    frames: Uint32Array,
    at: number,
    n: number,
  ): void {
    if (!this.table.framesAt(iovaHi, iovaLo, offset, frames, at, n)) {
      throw new Error('the page table has lost a mapping')
    }
  }

  markDirty(iovaHi: number, iovaLo: number): void {
    if (this.#isTracking) this.table.setDirty(iovaHi, iovaLo)
  }

  iotlbSync(gather: IotlbGather): void {
    this.iotlb.flush(gather)
    this.table.releaseTables()
  }

  flushIotlbAll(): void {
    this.iotlb.flushAll()
    this.table.releaseTables()
  }

  #makeDirtyOps(): DirtyOps {
    const { table } = this
    return {
      setDirtyTracking: (enable) => {
        this.#isTracking = enable
        this.flushIotlbAll()
        return 0
      },
      readAndClearDirty(iovaHi, iovaLo, bytes, noClear, gather, report) {
        const lengthHi = Math.floor(bytes / 2 ** 32)
        // A page is cleared whole, and more of it than the range may be remembered as dirty.
        const take: ReportDirty = (hi, lo, lg2) => {
          if (!noClear) gather.add(hi, lo, 2 ** lg2)
          report(hi, lo, lg2)
        }
        return table.readAndClearDirty(iovaHi, iovaLo, lengthHi, bytes | 0, noClear, take)
      },
    }
  }
}
