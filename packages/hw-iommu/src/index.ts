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
import type { MsiDesc } from './sw-msi.js'

export { Device, type DeviceOptions, IOMMU_NO_PASID } from './device.js'
export { DeviceDma, type DmaFault, type DmaFaultReason, type DmaSegment } from './dma.js'
export {
  type AttachableDomain,
  type DirtyOps,
  type HwInfo,
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_CAP_DEFERRED_FLUSH,
  IOMMU_CAP_DIRTY_TRACKING,
  IOMMU_CAP_ENFORCE_CACHE_COHERENCY,
  IOMMU_CAP_NOEXEC,
  IOMMU_CAP_PCI_ATS_SUPPORTED,
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
export type { IommufdFaultQueue } from './fault-queue.js'
export { IommufdHwQueue } from './hw-queue.js'
export {
  type DomainTraits,
  domainTraits,
  HWPT,
  HWPT_NESTED,
  IommufdHwpt,
  IommufdHwptNested,
  IommufdHwptPaging,
} from './hwpt.js'
export { Iommu, type IommuOptions } from './iommu.js'
export { IommuGroup } from './iommu-group.js'
export { DEVICE, IommufdDevice } from './iommufd-device.js'
export { IommufdGroup } from './iommufd-group.js'
export {
  IOMMU_PAGE_RESP_FAILURE,
  IOMMU_PAGE_RESP_INVALID,
  IOMMU_PAGE_RESP_SUCCESS,
  IopfGroup,
  type IopfHandler,
  type PageRequest,
} from './iopf.js'
export { DeviceIopf, IopfQueue } from './iopf-queue.js'
export { Iotlb } from './iotlb.js'
export { IotlbGather } from './iotlb-gather.js'
export { type Aperture, PageTableDomain } from './page-table-domain.js'
export * as hwIommuRefusals from './refusals.js'
export { registerHwIommu } from './register.js'
export { iommu_report_device_fault } from './report-fault.js'
export { MsiDesc } from './sw-msi.js'
export { iovaToPhys, Translation } from './translation.js'
export { UserData } from './user-data.js'
export { UserDataArray } from './user-data-array.js'
export { IommufdVdevice, VDEVICE } from './vdevice.js'
export type { IommufdVeventq } from './veventq.js'
export { IommufdViommu, VIOMMU } from './viommu.js'
export {
  iommufd_hw_queue_depend,
  iommufd_hw_queue_undepend,
  iommufd_vdevice_to_device,
  iommufd_viommu_alloc_mmap,
  iommufd_viommu_destroy_mmap,
  iommufd_viommu_find_dev,
  iommufd_viommu_get_vdev_id,
  iommufd_viommu_report_event,
} from './viommu-api.js'
export type { ViommuOps } from './viommu-driver.js'

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
 * Attaches to an IOAS or a hardware page table, without a PASID (IOMMU_NO_PASID) or for one: the id
 * of the table, or -ENOENT (no such object), -EINVAL (another kind of object, a table that does not
 * fit, a group with another table, a table not made for PASIDs), -EBUSY (attached already),
 * -EADDRINUSE (reserved regions), -EOPNOTSUPP (no PASIDs), or what filling a new table refuses.
 */
export function iommufd_device_attach(idev: IommufdDevice, pasid: number, pt_id: number): number {
  idev.ctx.engine.refusals.clear()
  return idev.attach(pt_id, pasid)
}

/** Moves the devices of the group to another table without a gap: as iommufd_device_attach. */
export function iommufd_device_replace(idev: IommufdDevice, pasid: number, pt_id: number): number {
  idev.ctx.engine.refusals.clear()
  return idev.replace(pt_id, pasid)
}

/** Leaves the table that is attached with this PASID; without one nothing happens. */
export function iommufd_device_detach(idev: IommufdDevice, pasid: number): void {
  idev.ctx.engine.refusals.clear()
  idev.detach(pasid)
}

/**
 * Asked by a driver of interrupts before it programs `desc` to write to the physical address
 * `msi_addr`: where interrupts are DMA (IOMMU_RESV_SW_MSI), the page is mapped for the device, and
 * `desc` has its IOVA. 0, -EOVERFLOW (64 pages are mapped), -ERANGE, -ENOMEM, or what the IOMMU
 * driver answers. The context's table without a PASID is meant; a device that has none stays as is.
 */
export function iommufd_sw_msi(desc: MsiDesc, msi_addr: bigint | number): number {
  const owner = desc.dev.group?.owner
  if (!(owner instanceof IommufdGroup)) return 0
  owner.ctx.engine.refusals.clear()
  const iova = owner.mapMsi(BigInt(msi_addr))
  if (typeof iova === 'number') return iova
  if (iova !== undefined) desc.pageIova = iova
  return 0
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
