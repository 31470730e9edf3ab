// SPDX-License-Identifier: Apache-2.0
/**
 * The page tables of the mock IOMMU (SPEC section 10).
 *
 * Invariant: a paging domain translates granules of MOCK_PAGE_SIZE bytes, half a page of memory, in
 * its aperture; nothing outside of it is ever mapped. A domain that tracks dirty pages cannot be
 * used by a device that does not.
 */
import type { Iommufd } from '@iommufd/core'
import type { IommuOps, NestedDomain, PagingDomain } from '@iommufd/hw-iommu'
import {
  MOCK_APERTURE_LAST,
  MOCK_APERTURE_START,
  MOCK_HUGE_PAGE_SIZE,
  MOCK_PAGE_SIZE,
  PAGE_SIZE,
} from '@iommufd/uapi'
import type { MockDevice } from './mock-device.js'
import { DEVICE_WITHOUT_DIRTY, MOCK_MAP_WITHOUT_PERMISSION } from './refusals.js'

const GRANULES_PER_PAGE = PAGE_SIZE / MOCK_PAGE_SIZE
/** Three levels of 512 entries over granules of 2 KiB: 38 bits of IOVA. */
const TABLE_LAST_HI = 0x3f
/** Every size from MOCK_PAGE_SIZE to 2^36 bytes. */
const PAGE_SIZES_HI = 0x1f

export class MockDomain implements PagingDomain {
  readonly type = 'paging'
  readonly #engine: Iommufd
  readonly owner: IommuOps
  readonly minPageSize: number
  readonly pageSizesHi: number
  readonly pageSizesLo: number
  readonly tracksDirty: boolean
  readonly apertureStartHi: number = 0
  readonly apertureStartLo: number
  readonly apertureLastHi: number
  readonly apertureLastLo: number
  /** Granule of physical memory by granule of IOVAs. */
  readonly #granules = new Map<number, number>()

  /** `isHuge`: MOCK_IOMMUPT_HUGE, whole pages of memory in all that the table can translate. */
  constructor(engine: Iommufd, owner: IommuOps, isHuge: boolean, tracksDirty: boolean) {
    this.#engine = engine
    this.owner = owner
    this.tracksDirty = tracksDirty
    this.minPageSize = isHuge ? PAGE_SIZE : MOCK_PAGE_SIZE
    this.pageSizesHi = isHuge ? 0 : PAGE_SIZES_HI
    this.pageSizesLo = isHuge ? PAGE_SIZE | MOCK_HUGE_PAGE_SIZE : -MOCK_PAGE_SIZE
    this.apertureStartLo = isHuge ? 0 : MOCK_APERTURE_START
    this.apertureLastHi = isHuge ? TABLE_LAST_HI : 0
    this.apertureLastLo = isHuge ? -1 : MOCK_APERTURE_LAST
  }

  attachDev(dev: MockDevice): number {
    if (!this.tracksDirty || dev.tracksDirty) return 0
    return this.#engine.refusals.refuse(DEVICE_WITHOUT_DIRTY)
  }

  map(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    offset: number,
    bytes: number,
    prot: number,
  ): number {
    if (prot === 0) return this.#engine.refusals.refuse(MOCK_MAP_WITHOUT_PERMISSION, iovaHi, iovaLo)
    const first = granuleOf(iovaHi, iovaLo)
    const skipped = Math.floor(offset / MOCK_PAGE_SIZE)
    for (let i = 0; i < bytes / MOCK_PAGE_SIZE; i++) {
      const granule = skipped + i
      const frame = frames[at + Math.floor(granule / GRANULES_PER_PAGE)] as number
      const inFrame = granule % GRANULES_PER_PAGE
      this.#granules.set(first + i, frame * GRANULES_PER_PAGE + inFrame)
    }
    return 0
  }

  unmap(iovaHi: number, iovaLo: number, bytes: number): void {
    const first = granuleOf(iovaHi, iovaLo)
    for (let i = 0; i < bytes / MOCK_PAGE_SIZE; i++) this.#granules.delete(first + i)
  }

  frameAt(iovaHi: number, iovaLo: number): number {
    return Math.floor(this.iovaToPhys(iovaHi, iovaLo) / PAGE_SIZE)
  }

  iovaToPhys(iovaHi: number, iovaLo: number): number {
    const granule = this.#granules.get(granuleOf(iovaHi, iovaLo))
    return granule === undefined ? -1 : granule * MOCK_PAGE_SIZE + (iovaLo & (MOCK_PAGE_SIZE - 1))
  }
}

/** A table of a guest: nothing of it is walked. */
export class MockNestedDomain implements NestedDomain {
  readonly type = 'nested'
  readonly owner: IommuOps

  constructor(owner: IommuOps) {
    this.owner = owner
  }

  attachDev(): number {
    return 0
  }
}

/** Number of the granule that holds the IOVA: a double, exact below 2^53. */
function granuleOf(iovaHi: number, iovaLo: number): number {
  return (iovaHi >>> 0) * 2 ** 21 + (iovaLo >>> 11)
}
