// SPDX-License-Identifier: Apache-2.0
/**
 * The page tables of the mock IOMMU (SPEC section 10).
 *
 * Invariant: a paging domain is a table of the format amdv1_mock, whose granule is half a page of
 * memory, in an aperture smaller than what the table translates. A domain that tracks dirty pages cannot be
 * used by a device that does not.
 */
import type { Iommufd } from '@iommufd/core'
import { type AttachableDomain, type IommuOps, PageTableDomain } from '@iommufd/hw-iommu'
import { createPageTable, type PageTable, pageTableFormats } from '@iommufd/hw-iommu/pagetable'
import {
  MOCK_APERTURE_LAST,
  MOCK_APERTURE_START,
  MOCK_HUGE_PAGE_SIZE,
  PAGE_SIZE,
} from '@iommufd/uapi'
import type { MockDevice } from './mock-device.js'
import {
  DEVICE_WITHOUT_DIRTY,
  MOCK_MAP_WITHOUT_PERMISSION,
  MOCK_PASID_REFUSED,
} from './refusals.js'

const FULL_APERTURE = { start: 0n, last: (1n << 38n) - 1n }
const MOCK_APERTURE = { start: BigInt(MOCK_APERTURE_START), last: BigInt(MOCK_APERTURE_LAST) }

export class MockDomain extends PageTableDomain {
  readonly #engine: Iommufd

  /** `isHuge`: MOCK_IOMMUPT_HUGE, whole pages of memory in all that the table can translate. */
  constructor(engine: Iommufd, owner: IommuOps, isHuge: boolean, tracksDirty: boolean) {
    super(owner, makeTable(engine, isHuge), isHuge ? FULL_APERTURE : MOCK_APERTURE, tracksDirty)
    this.#engine = engine
  }

  get tracksDirty(): boolean {
    return this.dirtyOps !== undefined
  }

  override attachDev(dev: MockDevice, old: AttachableDomain | undefined): number {
    if (!this.tracksDirty || dev.tracksDirty) return dev.moveTo(undefined, this, old)
    return this.#engine.refusals.refuse(DEVICE_WITHOUT_DIRTY)
  }

  setDevPasid(dev: MockDevice, pasid: number, old: AttachableDomain | undefined): number {
    return setPasid(this.#engine, dev, pasid, this, old)
  }

  override map(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    offset: number,
    bytes: number,
    prot: number,
    largePages: boolean,
  ): number {
    if (prot === 0) return this.#engine.refusals.refuse(MOCK_MAP_WITHOUT_PERMISSION, iovaHi, iovaLo)
    return super.map(iovaHi, iovaLo, frames, at, offset, bytes, prot, largePages)
  }
}

function makeTable(engine: Iommufd, isHuge: boolean): PageTable {
  const config = { features: [], maxVaszLg2: 56, maxOaszLg2: 51, topLevel: 2 }
  const table = createPageTable(pageTableFormats.amdv1_mock, config, () => engine.allocate())
  if (typeof table === 'number') throw new Error('the mock has a page table that cannot be made')
  if (isHuge) table.narrowPageSizes(BigInt(PAGE_SIZE | MOCK_HUGE_PAGE_SIZE))
  return table
}

/** The device uses `next` for the PASID in place of `old`, or refuses it. */
export function setPasid(
  engine: Iommufd,
  dev: MockDevice,
  pasid: number,
  next: AttachableDomain,
  old: AttachableDomain | undefined,
): number {
  if (!dev.takesTable(pasid)) return engine.refusals.refuse(MOCK_PASID_REFUSED, pasid)
  return dev.changeDomain(next, old)
}
