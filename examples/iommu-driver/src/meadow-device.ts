// SPDX-License-Identifier: Apache-2.0
/** A device behind a Meadow IOMMU: what the driver knows of it. */
import { type AttachableDomain, Device } from '@iommufd/hw-iommu'
import { EIO } from '@iommufd/uapi'

export class MeadowDevice extends Device {
  /** Devices on one bus cannot be told apart. */
  readonly bus: number
  /** What it does DMA through. */
  domain: AttachableDomain | undefined
  /** Its link is down: it takes no other page table now. */
  isStuck = false

  constructor(name: string, bus: number) {
    super(name)
    this.bus = bus
  }

  /** Uses a domain from now on: 0, or -EIO and it still uses the one before. */
  use(domain: AttachableDomain): number {
    if (this.isStuck && domain.type === 'paging' && domain !== this.domain) return -EIO
    this.domain = domain
    return 0
  }
}
