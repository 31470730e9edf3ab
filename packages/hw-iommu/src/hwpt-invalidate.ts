// SPDX-License-Identifier: Apache-2.0
/**
 * IOMMU_HWPT_INVALIDATE (SPEC L5): a guest's table has changed, or a guest's commands for its vIOMMU.
 *
 * Invariant: how many entries the driver has dealt with is written back whatever the answer.
 */
import { IommufdObject, type ObjectType, type Ucmd } from '@iommufd/core'
import { ENOENT, iommu_hwpt_invalidate } from '@iommufd/uapi'
import type { IommuOps } from './driver.js'
import { refuseForDriver } from './driver-refusal.js'
import { IommufdHwptNested } from './hwpt.js'
import {
  INVALIDATE_ENTRIES_BAD,
  INVALIDATE_OBJECT_WRONG,
  INVALIDATE_RESERVED_NOT_ZERO,
  INVALIDATE_UNSUPPORTED,
} from './refusals.js'
import { UserDataArray } from './user-data-array.js'
import { VIOMMU } from './viommu.js'

const { at } = iommu_hwpt_invalidate
const MAX_ENTRIES = 1 << 19
const MAX_ENTRY_BYTES = 4096
const ANY: ObjectType<IommufdObject> = {
  name: 'HWPT_NESTED',
  is: (object): object is IommufdObject => object instanceof IommufdObject,
}

export function hwptInvalidate(ucmd: Ucmd): number {
  const entries = entriesOf(ucmd)
  const rc = checkFields(ucmd) || invalidate(ucmd, entries)
  ucmd.setWord(at.entry_num, entries.handled)
  const copied = ucmd.respond(iommu_hwpt_invalidate.size)
  return copied < 0 ? copied : rc
}

function entriesOf(ucmd: Ucmd): UserDataArray {
  const { ctx, task } = ucmd
  return new UserDataArray(
    ctx.engine,
    task,
    ucmd.u32(at.data_type),
    ucmd.hi(at.data_uptr),
    ucmd.lo(at.data_uptr),
    ucmd.u32(at.entry_len),
    ucmd.u32(at.entry_num),
  )
}

function checkFields(ucmd: Ucmd): number {
  const reserved = ucmd.word(at.__reserved)
  if (reserved === 0) return checkEntries(ucmd)
  return ucmd.ctx.engine.refusals.refuse(INVALIDATE_RESERVED_NOT_ZERO, reserved)
}

function checkEntries(ucmd: Ucmd): number {
  const count = ucmd.u32(at.entry_num)
  const length = ucmd.u32(at.entry_len)
  if (count === 0) return 0
  const isNull = (ucmd.hi(at.data_uptr) | ucmd.lo(at.data_uptr)) === 0
  if (!isNull && length > 0 && length <= MAX_ENTRY_BYTES && count <= MAX_ENTRIES) return 0
  return ucmd.ctx.engine.refusals.refuse(INVALIDATE_ENTRIES_BAD, count, length)
}

function invalidate(ucmd: Ucmd, entries: UserDataArray): number {
  const { ctx } = ucmd
  const { refusals } = ctx.engine
  const id = ucmd.word(at.hwpt_id)
  const object = ctx.find(id, ANY)
  if (object === undefined) return -ENOENT
  if (object instanceof IommufdHwptNested) {
    const { domain } = object
    return answer(ucmd, domain.owner, domain.cacheInvalidateUser?.(entries))
  }
  if (!VIOMMU.is(object)) return refusals.refuse(INVALIDATE_OBJECT_WRONG, id)
  return answer(ucmd, object.iommu, object.ops.cacheInvalidate?.(entries))
}

/** `rc`: what the driver answers, undefined when it forgets nothing. */
function answer(ucmd: Ucmd, iommu: IommuOps, rc: number | undefined): number {
  const { engine } = ucmd.ctx
  if (rc === undefined) {
    return engine.refusals.refuse(INVALIDATE_UNSUPPORTED, ucmd.word(at.hwpt_id))
  }
  return rc < 0 ? refuseForDriver(engine, iommu, rc) : 0
}
