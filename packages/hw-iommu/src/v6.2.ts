// SPDX-License-Identifier: Apache-2.0
/**
 * The in-kernel device API in the form of Linux 6.2, the header that the charter of this project
 * quotes: no PASIDs, and a device leaves one table before it is attached to another.
 */
import {
  iommufd_device_attach as attach,
  iommufd_device_detach as detach,
  IOMMU_NO_PASID,
  type IommufdDevice,
} from './index.js'

export { type IommufdDevice, iommufd_device_bind, iommufd_device_unbind } from './index.js'

/** Attaches to an IOAS or a hardware page table: the id of the table, or a negative errno. */
export function iommufd_device_attach(idev: IommufdDevice, pt_id: number): number {
  return attach(idev, IOMMU_NO_PASID, pt_id)
}

/** Leaves its table. */
export function iommufd_device_detach(idev: IommufdDevice): void {
  detach(idev, IOMMU_NO_PASID)
}
