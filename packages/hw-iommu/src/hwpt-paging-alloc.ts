// SPDX-License-Identifier: Apache-2.0
/**
 * Making a paging table for a device, by attaching or by IOMMU_HWPT_ALLOC (SPEC L1, E11).
 *
 * Invariant: a table that is refused at any step leaves no domain, no id and no user behind. Whether
 * accesses are made coherent is decided before anything is mapped.
 */
import type { IommufdIoas } from '@iommufd/pages'
import {
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_FAULT_ID_VALID,
} from '@iommufd/uapi'
import { IOMMU_CAP_DIRTY_TRACKING, type PagingDomain } from './driver.js'
import { refuseForDriver } from './driver-refusal.js'
import { type IommufdHwpt, IommufdHwptPaging } from './hwpt.js'
import type { IommufdDevice } from './iommufd-device.js'
import {
  COHERENCY_NOT_ENFORCED,
  DIRTY_TRACKING_UNSUPPORTED,
  HWPT_FLAGS_UNKNOWN,
  HWPT_FLAGS_UNSUPPORTED,
  NEST_PARENT_WITH_FAULTS,
} from './refusals.js'
import type { UserData } from './user-data.js'

const KNOWN_FLAGS =
  IOMMU_HWPT_ALLOC_NEST_PARENT |
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING |
  IOMMU_HWPT_FAULT_ID_VALID |
  IOMMU_HWPT_ALLOC_PASID

/**
 * A table for `idev` on the address space, filled by `fill`, with a reserved id that is not visible
 * yet: the table or a negative errno.
 */
export function allocPaging(
  idev: IommufdDevice,
  ioas: IommufdIoas,
  flags: number,
  userData: UserData | undefined,
  fill: (hwpt: IommufdHwptPaging) => number,
): IommufdHwptPaging | number {
  const { ctx } = idev
  const rc = checkFlags(idev, flags, userData) || ctx.engine.allocate()
  if (rc < 0) return rc
  const domain = allocDomain(idev, flags & ~IOMMU_HWPT_FAULT_ID_VALID, userData)
  if (typeof domain === 'number') return refuseForDriver(ctx.engine, idev.ops, domain)
  const isNestParent = (flags & IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0
  const hwpt = new IommufdHwptPaging(ioas, domain, isNestParent)
  hwpt.allowsPasids = (flags & IOMMU_HWPT_ALLOC_PASID) !== 0
  ctx.objects.reserve(hwpt)
  const filled = enforceCoherency(idev, hwpt) || fill(hwpt)
  if (filled < 0) {
    abortHwpt(idev, hwpt)
    return filled
  }
  return hwpt
}

/** Ends a table that has not become visible. */
export function abortHwpt(idev: IommufdDevice, hwpt: IommufdHwpt): void {
  hwpt.destroy()
  idev.ctx.objects.abort(hwpt)
}

function checkFlags(idev: IommufdDevice, flags: number, userData: UserData | undefined): number {
  const { refusals } = idev.ctx.engine
  const isPlain = flags === 0 && userData === undefined
  if (!isPlain && idev.ops.domainAllocPagingFlags === undefined) {
    return refusals.refuse(HWPT_FLAGS_UNSUPPORTED, flags, userData?.type ?? 0)
  }
  if ((flags & ~KNOWN_FLAGS) !== 0) return refusals.refuse(HWPT_FLAGS_UNKNOWN, flags, KNOWN_FLAGS)
  if (
    (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0 &&
    !idev.dev.iommuCapable(IOMMU_CAP_DIRTY_TRACKING)
  ) {
    return refusals.refuse(DIRTY_TRACKING_UNSUPPORTED, idev.id)
  }
  const both = IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_NEST_PARENT
  return (flags & both) === both ? refusals.refuse(NEST_PARENT_WITH_FAULTS) : 0
}

function allocDomain(
  idev: IommufdDevice,
  flags: number,
  userData: UserData | undefined,
): PagingDomain | number {
  const { dev, ops } = idev
  return ops.domainAllocPagingFlags?.(dev, flags, userData) ?? ops.domainAllocPaging(dev)
}

function enforceCoherency(idev: IommufdDevice, hwpt: IommufdHwptPaging): number {
  if (!idev.enforcesCoherency) return 0
  hwpt.enforcesCoherency = hwpt.domain.enforceCacheCoherency?.() ?? false
  if (hwpt.enforcesCoherency) return 0
  const { engine } = idev.ctx
  engine.warn(`the driver ${idev.ops.name} does not enforce coherency, though it says it can`)
  return engine.refusals.refuse(COHERENCY_NOT_ENFORCED)
}
