// SPDX-License-Identifier: Apache-2.0
// The IOMMU of the devices that a VFIO program is replayed with: what any PC has, or whatever the page tables
// of a recorded device told about themselves. Both sides of a comparison have the same.

import {
  type Aperture,
  type AttachableDomain,
  Device,
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_CAP_ENFORCE_CACHE_COHERENCY,
  IOMMU_RESV_MSI,
  type Iommu,
  IommuGroup,
  type IommuOps,
  type IommuResvRegion,
  PageTableDomain,
} from '@iommufd/hw-iommu'
import { createPageTable, pageTableFormats } from '@iommufd/hw-iommu/pagetable'
import { ENODEV, PAGE_SIZE } from '@iommufd/uapi'

/** What a device's page tables can do. */
export interface PlainTraits {
  /** Page sizes as bits: bit n for 2^n bytes; those below a page of memory do not count. */
  readonly pageSizes: bigint
  readonly aperture: Aperture
  /** Every access is made coherent. */
  readonly enforcesCoherency: boolean
  readonly reserved: readonly IommuResvRegion[]
}

/** 4 KiB, 2 MiB and 1 GiB, 48 bits of IOVAs, interrupts written to the MiB at 0xfee00000. */
const PC_TRAITS: PlainTraits = {
  pageSizes: 0x4020_1000n,
  aperture: { start: 0n, last: 2n ** 48n - 1n },
  enforcesCoherency: true,
  reserved: [{ start: 0xfee0_0000n, length: 0x10_0000n, type: IOMMU_RESV_MSI }],
}

export class PlainDevice extends Device {
  readonly traits: PlainTraits

  constructor(name: string, traits: PlainTraits = PC_TRAITS) {
    super(name)
    this.traits = traits
  }
}

class PlainDomain extends PageTableDomain {
  readonly #enforces: boolean

  constructor(owner: IommuOps, { aperture, enforcesCoherency, pageSizes }: PlainTraits) {
    const { amdv1 } = pageTableFormats
    const config = { features: amdv1.required, maxVaszLg2: 64, maxOaszLg2: 52, topLevel: 2 }
    const table = createPageTable(amdv1, config)
    if (typeof table === 'number') throw new Error('the plain IOMMU has no page tables')
    table.narrowPageSizes(table.pageSizes & (pageSizes | BigInt(PAGE_SIZE)))
    super(owner, table, aperture)
    this.#enforces = enforcesCoherency
  }

  enforceCacheCoherency(): boolean {
    return this.#enforces
  }
}

export class PlainDriver implements IommuOps {
  readonly name = 'plain'
  readonly blockedDomain: AttachableDomain = { type: 'blocked', owner: this, attachDev: () => 0 }
  readonly #iommu: Iommu

  constructor(iommu: Iommu) {
    this.#iommu = iommu
  }

  capable(dev: PlainDevice, cap: number): boolean {
    if (cap === IOMMU_CAP_CACHE_COHERENCY) return true
    return cap === IOMMU_CAP_ENFORCE_CACHE_COHERENCY && dev.traits.enforcesCoherency
  }

  probeDevice(dev: Device): number {
    return dev instanceof PlainDevice ? 0 : -ENODEV
  }

  deviceGroup(): IommuGroup {
    return new IommuGroup(this.#iommu)
  }

  getResvRegions(dev: PlainDevice): readonly IommuResvRegion[] {
    return dev.traits.reserved
  }

  domainAllocPaging(dev: PlainDevice): PageTableDomain {
    return new PlainDomain(this, dev.traits)
  }
}
