// SPDX-License-Identifier: Apache-2.0
/**
 * What an IOMMU driver does for one vIOMMU (SPEC section 8, `iommufd_viommu_ops`): types alone.
 *
 * Contract: as in driver.ts: 0 (or what is made) or a negative errno, and a refused call has changed
 * nothing. What ends something never fails, and is called only for what was made. What a driver leaves
 * out is answered as not supported.
 */
import type { NestedDomain } from './driver.js'
import type { IommufdHwQueue } from './hw-queue.js'
import type { UserData } from './user-data.js'
import type { UserDataArray } from './user-data-array.js'
import type { IommufdVdevice } from './vdevice.js'

export interface ViommuOps {
  /** The vIOMMU ends; nothing uses it any more. */
  destroy?(): void
  /** A page table of the guest on the vIOMMU's nesting parent. `flags`: IOMMU_HWPT_ALLOC_PASID or 0. */
  allocDomainNested?(flags: number, userData: UserData): NestedDomain | number
  /**
   * What the guest's commands say is stale is forgotten. `entries.handled` counts those done, also of
   * a refused call.
   */
  cacheInvalidate?(entries: UserDataArray): number
  /** A device has got its number on the vIOMMU, where it can be found already. */
  vdeviceInit?(vdevice: IommufdVdevice): number
  vdeviceDestroy?(vdevice: IommufdVdevice): void
  /** Whether the vIOMMU has queues of this type, IOMMU_HW_QUEUE_TYPE_*. */
  supportsHwQueue?(type: number): boolean
  /**
   * Lets the hardware use queue number `index`, whose memory begins at the physical address `base`
   * (bytes, exact) and is contiguous.
   */
  hwQueueInit?(queue: IommufdHwQueue, index: number, base: number): number
  hwQueueDestroy?(queue: IommufdHwQueue): void
}
