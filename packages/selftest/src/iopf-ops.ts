// SPDX-License-Identifier: Apache-2.0
/**
 * The test operation on page faults (SPEC section 10): a mock device asks for a page.
 *
 * Invariant: each request is a group of its own. Whether anybody takes it does not show in the answer,
 * as a device is not told at once.
 */
import { toBigInt, type Ucmd } from '@iommufd/core'
import { DEVICE, IOMMU_NO_PASID, iommu_report_device_fault } from '@iommufd/hw-iommu'
import { ENOENT, iommu_test_cmd } from '@iommufd/uapi'

const { at } = iommu_test_cmd

/** 0, or -ENOENT: no bound device has the id. */
export function triggerIopf(ucmd: Ucmd): number {
  const idev = ucmd.ctx.find(ucmd.word(at.trigger_iopf_dev_id), DEVICE)
  if (idev === undefined) return -ENOENT
  const pasid = ucmd.u32(at.trigger_iopf_pasid)
  iommu_report_device_fault(idev.dev, {
    pasid: pasid === IOMMU_NO_PASID ? undefined : pasid,
    grpid: ucmd.u32(at.trigger_iopf_grpid),
    perm: ucmd.u32(at.trigger_iopf_perm),
    addr: toBigInt(ucmd.hi(at.trigger_iopf_addr), ucmd.lo(at.trigger_iopf_addr)),
    lastPage: true,
  })
  return 0
}
