// SPDX-License-Identifier: Apache-2.0
/** The commands of this layer (SPEC L1). */
import type { Iommufd } from '@iommufd/core'
import { IOMMU_HWPT_ALLOC } from '@iommufd/uapi'
import { hwptAlloc } from './hwpt-alloc.js'

/** Lets the engine serve the commands on hardware page tables. */
export function registerHwIommu(engine: Iommufd): void {
  engine.commands.register(IOMMU_HWPT_ALLOC, hwptAlloc)
}
