// SPDX-License-Identifier: Apache-2.0
/**
 * IOMMU_HWPT_ALLOC (SPEC L1): a page table for a device, on an address space, another table or a vIOMMU.
 *
 * Invariant: the table becomes visible when its id has been written back, else it leaves nothing.
 */
import type { Ucmd } from '@iommufd/core'
import { IOAS } from '@iommufd/pages'
import {
  ENOENT,
  IOMMU_HWPT_DATA_NONE,
  IOMMU_HWPT_FAULT_ID_VALID,
  iommu_hwpt_alloc,
} from '@iommufd/uapi'
import { FAULT } from './fault-queue.js'
import { type IommufdHwpt, IommufdHwptPaging } from './hwpt.js'
import { allocNested, allocNestedOnViommu } from './hwpt-nested-alloc.js'
import { abortHwpt, allocPaging } from './hwpt-paging-alloc.js'
import { DEVICE, type IommufdDevice } from './iommufd-device.js'
import {
  FAULT_QUEUE_UNKNOWN,
  HWPT_DATA_CONTRADICTS,
  HWPT_RESERVED_NOT_ZERO,
  PARENT_UNKNOWN,
  PARENT_UNUSABLE,
} from './refusals.js'
import { UserData } from './user-data.js'
import { VIOMMU } from './viommu.js'

const { at } = iommu_hwpt_alloc

export function hwptAlloc(ucmd: Ucmd): number {
  const { ctx } = ucmd
  const checked = checkFields(ucmd)
  if (checked < 0) return checked
  const idev = ctx.find(ucmd.word(at.dev_id), DEVICE)
  if (idev === undefined) return -ENOENT
  const hwpt = allocOn(ucmd, idev)
  if (typeof hwpt === 'number') return hwpt
  ucmd.setWord(at.out_hwpt_id, hwpt.id)
  const rc = useFaultQueue(ucmd, hwpt) || ucmd.respond(iommu_hwpt_alloc.size)
  if (rc < 0) abortHwpt(idev, hwpt)
  else ctx.objects.finalize(hwpt)
  return rc
}

function checkFields(ucmd: Ucmd): number {
  const { refusals } = ucmd.ctx.engine
  const reserved = ucmd.word(at.__reserved)
  if (reserved !== 0) return refusals.refuse(HWPT_RESERVED_NOT_ZERO, reserved)
  const type = ucmd.word(at.data_type)
  const length = ucmd.word(at.data_len)
  if ((type === IOMMU_HWPT_DATA_NONE) === (length === 0)) return 0
  return refusals.refuse(HWPT_DATA_CONTRADICTS, type, length)
}

/** The table on what pt_id names, with an id that is not visible yet. */
function allocOn(ucmd: Ucmd, idev: IommufdDevice): IommufdHwpt | number {
  const { ctx } = ucmd
  const { refusals } = ctx.engine
  const ptId = ucmd.word(at.pt_id)
  const flags = ucmd.word(at.flags)
  const parent = ctx.objects.get(ptId)
  if (parent === undefined) return refusals.refuse(PARENT_UNKNOWN, ptId)
  const userData = userDataOf(ucmd)
  if (IOAS.is(parent)) return allocPaging(idev, parent, flags, userData, (hwpt) => hwpt.add())
  if (parent instanceof IommufdHwptPaging) return allocNested(idev, parent, flags, userData)
  if (VIOMMU.is(parent)) return allocNestedOnViommu(idev, parent, flags, userData)
  return refusals.refuse(PARENT_UNUSABLE, ptId)
}

function userDataOf(ucmd: Ucmd): UserData | undefined {
  const length = ucmd.u32(at.data_len)
  if (length === 0) return undefined
  const { ctx, task } = ucmd
  const { data_type, data_uptr } = at
  const type = ucmd.u32(data_type)
  return new UserData(ctx.engine, task, type, ucmd.hi(data_uptr), ucmd.lo(data_uptr), length)
}

/** Gives the table the fault queue that fault_id names, if it is to have one. */
function useFaultQueue(ucmd: Ucmd, hwpt: IommufdHwpt): number {
  if ((ucmd.word(at.flags) & IOMMU_HWPT_FAULT_ID_VALID) === 0) return 0
  const { engine, objects } = ucmd.ctx
  const id = ucmd.word(at.fault_id)
  const queue = objects.get(id)
  if (queue === undefined || !FAULT.is(queue))
    return engine.refusals.refuse(FAULT_QUEUE_UNKNOWN, id)
  hwpt.useFaultQueue(queue)
  return 0
}
