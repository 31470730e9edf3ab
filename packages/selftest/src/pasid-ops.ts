// SPDX-License-Identifier: Apache-2.0
/**
 * The test operations on the PASIDs of a mock device (SPEC section 10, E10).
 *
 * Invariant: they add nothing to what the in-kernel API does; an attachment whose answer cannot be
 * written back is undone, a replacement is not.
 */
import type { Ucmd } from '@iommufd/core'
import { type IommufdDevice, IommufdHwpt } from '@iommufd/hw-iommu'
import { ENOENT, iommu_test_cmd } from '@iommufd/uapi'
import { HANDLE } from './device-ops.js'
import { HWPT_UNKNOWN, NO_HWPT, PASID_HWPT_DIFFERS } from './refusals.js'

const { at } = iommu_test_cmd

export function pasidAttach(ucmd: Ucmd): number {
  const idev = deviceOf(ucmd)
  if (idev === undefined) return -ENOENT
  const pasid = ucmd.u32(at.pasid_attach_pasid)
  const hwptId = idev.attach(ucmd.word(at.pasid_attach_pt_id), pasid)
  if (hwptId < 0) return hwptId
  ucmd.setWord(at.pasid_attach_pt_id, hwptId)
  const rc = ucmd.respond(iommu_test_cmd.size)
  if (rc < 0) idev.detach(pasid)
  return rc
}

export function pasidReplace(ucmd: Ucmd): number {
  const idev = deviceOf(ucmd)
  if (idev === undefined) return -ENOENT
  const pasid = ucmd.u32(at.pasid_replace_pasid)
  const hwptId = idev.replace(ucmd.word(at.pasid_replace_pt_id), pasid)
  if (hwptId < 0) return hwptId
  ucmd.setWord(at.pasid_replace_pt_id, hwptId)
  return ucmd.respond(iommu_test_cmd.size)
}

export function pasidDetach(ucmd: Ucmd): number {
  const idev = deviceOf(ucmd)
  if (idev === undefined) return -ENOENT
  idev.detach(ucmd.u32(at.pasid_detach_pasid))
  return 0
}

/** Whether the PASID uses this table; hwpt_id 0: whether it uses none. */
export function pasidCheckHwpt(ucmd: Ucmd): number {
  const idev = deviceOf(ucmd)
  if (idev === undefined) return -ENOENT
  const { refusals } = ucmd.ctx.engine
  const asked = ucmd.word(at.pasid_check_hwpt_id)
  const object = ucmd.ctx.objects.get(asked)
  if (asked !== 0 && object === undefined) return refusals.refuse(HWPT_UNKNOWN, asked)
  if (object !== undefined && !(object instanceof IommufdHwpt)) {
    return refusals.refuse(NO_HWPT, asked)
  }
  const pasid = ucmd.u32(at.pasid_check_pasid)
  const hwpt = idev.igroup.hwpt(pasid)
  if (hwpt === object) return 0
  return refusals.refuse(PASID_HWPT_DIFFERS, pasid | 0, hwpt?.id ?? 0, asked)
}

function deviceOf(ucmd: Ucmd): IommufdDevice | undefined {
  return ucmd.ctx.find(ucmd.word(at.id), HANDLE)?.idev
}
