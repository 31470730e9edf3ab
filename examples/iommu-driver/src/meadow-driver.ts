// SPDX-License-Identifier: Apache-2.0
/** The driver of Meadow IOMMUs. One IOMMU stands for a machine; devices of one bus share a group. */
import {
  type AttachableDomain,
  type Device,
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_MSI,
  type Iommu,
  IommuGroup,
  type IommuOps,
  type IommuResvRegion,
} from '@iommufd/hw-iommu'
import { ENODEV } from '@iommufd/uapi'
import { MeadowDevice } from './meadow-device.js'
import { MeadowDomain } from './meadow-domain.js'

const REGIONS: readonly IommuResvRegion[] = [
  { start: 0xf_f000n, length: 0x1000n, type: IOMMU_RESV_DIRECT_RELAXABLE },
  { start: 0xfee0_0000n, length: 0x10_0000n, type: IOMMU_RESV_MSI },
]

export class MeadowDriver implements IommuOps {
  readonly name = 'meadow'
  readonly blockedDomain: AttachableDomain = this.#withoutTable('blocked')
  readonly identityDomain: AttachableDomain = this.#withoutTable('identity')
  readonly #iommu: Iommu
  readonly #buses = new Map<number, IommuGroup>()

  constructor(iommu: Iommu) {
    this.#iommu = iommu
  }

  capable(_dev: Device, cap: number): boolean {
    return cap === IOMMU_CAP_CACHE_COHERENCY
  }

  probeDevice(dev: Device): number {
    return dev instanceof MeadowDevice ? 0 : -ENODEV
  }

  deviceGroup(dev: MeadowDevice): IommuGroup {
    const group = this.#buses.get(dev.bus) ?? new IommuGroup(this.#iommu)
    this.#buses.set(dev.bus, group)
    return group
  }

  getResvRegions(): readonly IommuResvRegion[] {
    return REGIONS
  }

  domainAllocPaging(): MeadowDomain {
    // Passing the engine's fault points lets a test fail each allocation in turn.
    return new MeadowDomain(this, () => this.#iommu.engine.allocate() === 0)
  }

  #withoutTable(type: 'blocked' | 'identity'): AttachableDomain {
    const domain: AttachableDomain = {
      type,
      owner: this,
      attachDev: (dev) => (dev as MeadowDevice).use(domain),
    }
    return domain
  }
}
