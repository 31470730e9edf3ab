// SPDX-License-Identifier: Apache-2.0
/**
 * The IOMMU driver model, and the in-kernel device API in the form of Linux 7.3 (SPEC sections 5, 8).
 *
 * Names, arguments and answers of the `iommufd_*` functions are those of `include/linux/iommufd.h`.
 * Where C returns ERR_PTR or an errno, these return a negative number; where C writes an id through
 * a pointer, these return it. Why a call was refused stands in `ctx.engine.refusals.last`.
 */
import type { IommufdCtx } from '@iommufd/core'
import type { Device } from './device.js'
import type { IommuGroup } from './iommu-group.js'
import { IommufdDevice } from './iommufd-device.js'
import { IommufdGroup } from './iommufd-group.js'
import { PASID_UNSUPPORTED } from './refusals.js'

export { Device, type DeviceOptions } from './device.js'
export {
  type AttachableDomain,
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_CAP_DEFERRED_FLUSH,
  IOMMU_CAP_DIRTY_TRACKING,
  IOMMU_CAP_ENFORCE_CACHE_COHERENCY,
  IOMMU_CAP_NOEXEC,
  IOMMU_CAP_PRE_BOOT_PROTECTION,
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_MSI,
  IOMMU_RESV_RESERVED,
  IOMMU_RESV_SW_MSI,
  type IommuOps,
  type IommuResvRegion,
  type NestedDomain,
  type PagingDomain,
} from './driver.js'
export {
  type DomainTraits,
  domainTraits,
  HWPT,
  IommufdHwpt,
  IommufdHwptNested,
  IommufdHwptPaging,
} from './hwpt.js'
export { Iommu, type IommuOptions } from './iommu.js'
export { IommuGroup } from './iommu-group.js'
export { DEVICE, IommufdDevice } from './iommufd-device.js'
export { IommufdGroup } from './iommufd-group.js'
export * as hwIommuRefusals from './refusals.js'
export { registerHwIommu } from './register.js'
export { UserData } from './user-data.js'

/** The PASID that stands for DMA without one. */
export const IOMMU_NO_PASID = 0

/**
 * Binds a device to a context: the bound device, whose object id is `idev.id`, or -EINVAL (not
 * coherent), -ENODEV (no IOMMU), -EPERM (interrupts not isolated), -EBUSY (its group is in use).
 */
export function iommufd_device_bind(ictx: IommufdCtx, dev: Device): IommufdDevice | number {
  ictx.engine.refusals.clear()
  return IommufdDevice.bind(ictx, dev)
}

/** Ends the binding; the device must be detached. */
export function iommufd_device_unbind(idev: IommufdDevice): void {
  idev.unbind()
}

/**
 * Attaches to an IOAS or a hardware page table: the id of the table, or -ENOENT (no such object),
 * -EINVAL (another kind of object, a table that does not fit, a group with another table), -EBUSY
 * (attached already), -EADDRINUSE (reserved regions), or what filling a new table refuses.
 */
export function iommufd_device_attach(idev: IommufdDevice, pasid: number, pt_id: number): number {
  return checkPasid(idev, pasid) || idev.attach(pt_id)
}

/** Moves the devices of the group to another table without a gap: as iommufd_device_attach. */
export function iommufd_device_replace(idev: IommufdDevice, pasid: number, pt_id: number): number {
  return checkPasid(idev, pasid) || idev.replace(pt_id)
}

/** Leaves its table, which must be the one attached to this PASID. */
export function iommufd_device_detach(idev: IommufdDevice, pasid: number): void {
  if (checkPasid(idev, pasid) === 0) idev.detach()
}

export function iommufd_device_to_ictx(idev: IommufdDevice): IommufdCtx {
  return idev.ctx
}

export function iommufd_device_to_id(idev: IommufdDevice): number {
  return idev.id
}

/** Whether a device of the group is bound to the context. */
export function iommufd_ctx_has_group(ictx: IommufdCtx, group: IommuGroup): boolean {
  return group.owner instanceof IommufdGroup && group.owner.ctx === ictx
}

function checkPasid(idev: IommufdDevice, pasid: number): number {
  const { refusals } = idev.ctx.engine
  refusals.clear()
  return pasid === IOMMU_NO_PASID ? 0 : refusals.refuse(PASID_UNSUPPORTED, pasid)
}
