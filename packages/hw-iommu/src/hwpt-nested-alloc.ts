// SPDX-License-Identifier: Apache-2.0
/**
 * Making a page table of a guest, on a paging table or on a vIOMMU (SPEC L1).
 *
 * Invariant: a nested table stands on a nesting parent of the same physical IOMMU as its device, and
 * is what the driver makes of the data that came with it. What is refused leaves nothing.
 */
import { IOMMU_HWPT_ALLOC_PASID, IOMMU_HWPT_FAULT_ID_VALID } from '@iommufd/uapi'
import type { NestedDomain } from './driver.js'
import { refuseForDriver } from './driver-refusal.js'
import { IommufdHwptNested, type IommufdHwptPaging } from './hwpt.js'
import type { IommufdDevice } from './iommufd-device.js'
import {
  NESTED_FLAGS_UNKNOWN,
  NESTED_UNSUPPORTED,
  NESTED_VIOMMU_UNSUPPORTED,
  NESTED_WITHOUT_DATA,
  NO_NEST_PARENT,
  PARENT_OF_OTHER_DRIVER,
  VIOMMU_OF_OTHER_IOMMU,
} from './refusals.js'
import type { UserData } from './user-data.js'
import type { IommufdViommu } from './viommu.js'

const KNOWN_FLAGS = IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID

/** On a paging table: a table with an id that is not visible yet, or a negative errno. */
export function allocNested(
  idev: IommufdDevice,
  parent: IommufdHwptPaging,
  flags: number,
  userData: UserData | undefined,
): IommufdHwptNested | number {
  const { ctx, dev, ops } = idev
  const { engine } = ctx
  const { refusals } = engine
  const rc = checkFlags(idev, flags)
  if (rc < 0) return rc
  if (userData === undefined) return refusals.refuse(NESTED_WITHOUT_DATA)
  if (ops.domainAllocNested === undefined) return refusals.refuse(NESTED_UNSUPPORTED)
  if (!parent.isNestParent) return refusals.refuse(NO_NEST_PARENT, parent.id)
  if (parent.domain.owner !== ops) return refusals.refuse(PARENT_OF_OTHER_DRIVER, parent.id)
  const allocated = engine.allocate()
  if (allocated < 0) return allocated
  const domain = ops.domainAllocNested(dev, parent.domain, forDriver(flags), userData)
  return finish(idev, parent, flags, domain)
}

/** On a vIOMMU: as allocNested. */
export function allocNestedOnViommu(
  idev: IommufdDevice,
  viommu: IommufdViommu,
  flags: number,
  userData: UserData | undefined,
): IommufdHwptNested | number {
  const { engine } = idev.ctx
  const { refusals } = engine
  const { ops } = viommu
  if (viommu.iommu !== idev.ops) return refusals.refuse(VIOMMU_OF_OTHER_IOMMU, idev.id, viommu.id)
  const rc = checkFlags(idev, flags)
  if (rc < 0) return rc
  if (userData === undefined) return refusals.refuse(NESTED_WITHOUT_DATA)
  if (ops.allocDomainNested === undefined) {
    return refusals.refuse(NESTED_VIOMMU_UNSUPPORTED, viommu.id)
  }
  const allocated = engine.allocate()
  if (allocated < 0) return allocated
  return finish(idev, viommu, flags, ops.allocDomainNested(forDriver(flags), userData))
}

function checkFlags({ ctx }: IommufdDevice, flags: number): number {
  if ((flags & ~KNOWN_FLAGS) === 0) return 0
  return ctx.engine.refusals.refuse(NESTED_FLAGS_UNKNOWN, flags, KNOWN_FLAGS)
}

/** Fault queues are no matter of the driver's. */
function forDriver(flags: number): number {
  return flags & ~IOMMU_HWPT_FAULT_ID_VALID
}

function finish(
  idev: IommufdDevice,
  base: IommufdHwptPaging | IommufdViommu,
  flags: number,
  domain: NestedDomain | number,
): IommufdHwptNested | number {
  const { engine, objects } = idev.ctx
  if (typeof domain === 'number') return refuseForDriver(engine, idev.ops, domain)
  const hwpt = new IommufdHwptNested(base, domain)
  hwpt.allowsPasids = (flags & IOMMU_HWPT_ALLOC_PASID) !== 0
  objects.reserve(hwpt)
  return hwpt
}
