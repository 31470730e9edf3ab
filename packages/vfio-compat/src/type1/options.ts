// SPDX-License-Identifier: Apache-2.0
/** How a type 1 container is configured, as the kernel module is by its parameters. */
import type { Task } from '@iommufd/host'

export interface Type1Options {
  /** Mappings that one container can have. Default 65535. */
  readonly dmaEntryLimit?: number
  /** Gets what goes to the kernel's log, such as a limit that was hit. */
  readonly log?: (message: string) => void
  /** Offer VFIO_NOIOMMU_IOMMU, as a kernel with CONFIG_VFIO_NOIOMMU does. Default false. */
  readonly noiommu?: boolean
  /**
   * The frame of a page that a device mapped into the process at the address, -1 where it is none.
   * Without it no such page can be mapped, which is how type 1 lets devices reach each other.
   */
  readonly deviceFrame?: (task: Task, hi: number, lo: number) => number
}
