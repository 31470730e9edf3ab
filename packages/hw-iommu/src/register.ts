// SPDX-License-Identifier: Apache-2.0
/** The commands of this layer (SPEC L1, L2). */
import type { Iommufd } from '@iommufd/core'
import { IOMMU_GET_HW_INFO, IOMMU_HWPT_ALLOC } from '@iommufd/uapi'
import { getHwInfo } from './hw-info.js'
import { hwptAlloc } from './hwpt-alloc.js'

/** Lets the engine serve the commands on devices and hardware page tables. */
export function registerHwIommu(engine: Iommufd): void {
  engine.commands.register(IOMMU_HWPT_ALLOC, hwptAlloc)
  engine.commands.register(IOMMU_GET_HW_INFO, getHwInfo)
}
