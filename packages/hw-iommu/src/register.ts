// SPDX-License-Identifier: Apache-2.0
/** The commands of this layer (SPEC L1 to L14). */
import type { Iommufd } from '@iommufd/core'
import {
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_GET_HW_INFO,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VIOMMU_ALLOC,
} from '@iommufd/uapi'
import { getDirtyBitmap, setDirtyTracking } from './dirty-tracking.js'
import { faultQueueAlloc } from './fault-queue.js'
import { getHwInfo } from './hw-info.js'
import { hwQueueAlloc } from './hw-queue.js'
import { hwptAlloc } from './hwpt-alloc.js'
import { hwptInvalidate } from './hwpt-invalidate.js'
import { vdeviceAlloc } from './vdevice.js'
import { veventqAlloc } from './veventq.js'
import { viommuAlloc } from './viommu.js'

/** Lets the engine serve the commands on devices and hardware page tables. */
export function registerHwIommu(engine: Iommufd): void {
  engine.commands.register(IOMMU_HWPT_ALLOC, hwptAlloc)
  engine.commands.register(IOMMU_GET_HW_INFO, getHwInfo)
  engine.commands.register(IOMMU_HWPT_SET_DIRTY_TRACKING, setDirtyTracking)
  engine.commands.register(IOMMU_HWPT_GET_DIRTY_BITMAP, getDirtyBitmap)
  engine.commands.register(IOMMU_HWPT_INVALIDATE, hwptInvalidate)
  engine.commands.register(IOMMU_FAULT_QUEUE_ALLOC, faultQueueAlloc)
  engine.commands.register(IOMMU_VIOMMU_ALLOC, viommuAlloc)
  engine.commands.register(IOMMU_VDEVICE_ALLOC, vdeviceAlloc)
  engine.commands.register(IOMMU_VEVENTQ_ALLOC, veventqAlloc)
  engine.commands.register(IOMMU_HW_QUEUE_ALLOC, hwQueueAlloc)
}
