// SPDX-License-Identifier: Apache-2.0
/**
 * IOMMU_HWPT_INVALIDATE (SPEC L5): a guest's table has changed.
 *
 * Invariant: how many entries were dealt with is written back whatever the answer; no driver here
 * keeps anything of nested tables, so it is none.
 */
import { IommufdObject, type ObjectType, type Ucmd } from '@iommufd/core'
import { ENOENT, iommu_hwpt_invalidate } from '@iommufd/uapi'
import { IommufdHwptNested } from './hwpt.js'
import {
  INVALIDATE_ENTRIES_BAD,
  INVALIDATE_OBJECT_WRONG,
  INVALIDATE_RESERVED_NOT_ZERO,
  INVALIDATE_UNSUPPORTED,
} from './refusals.js'

const { at } = iommu_hwpt_invalidate
const MAX_ENTRIES = 1 << 19
const MAX_ENTRY_BYTES = 4096
const ANY: ObjectType<IommufdObject> = {
  name: 'HWPT_NESTED',
  is: (object): object is IommufdObject => object instanceof IommufdObject,
}

export function hwptInvalidate(ucmd: Ucmd): number {
  const { refusals } = ucmd.ctx.engine
  const reserved = ucmd.word(at.__reserved)
  if (reserved !== 0) return refusals.refuse(INVALIDATE_RESERVED_NOT_ZERO, reserved)
  const rc = checkEntries(ucmd) || invalidate(ucmd)
  ucmd.setWord(at.entry_num, 0)
  const copied = ucmd.respond(iommu_hwpt_invalidate.size)
  return copied < 0 ? copied : rc
}

function checkEntries(ucmd: Ucmd): number {
  const count = ucmd.u32(at.entry_num)
  const length = ucmd.u32(at.entry_len)
  if (count === 0) return 0
  const isNull = (ucmd.hi(at.data_uptr) | ucmd.lo(at.data_uptr)) === 0
  if (!isNull && length > 0 && length <= MAX_ENTRY_BYTES && count <= MAX_ENTRIES) return 0
  return ucmd.ctx.engine.refusals.refuse(INVALIDATE_ENTRIES_BAD, count, length)
}

function invalidate(ucmd: Ucmd): number {
  const { refusals } = ucmd.ctx.engine
  const id = ucmd.word(at.hwpt_id)
  const object = ucmd.ctx.find(id, ANY)
  if (object === undefined) return -ENOENT
  if (!(object instanceof IommufdHwptNested)) return refusals.refuse(INVALIDATE_OBJECT_WRONG, id)
  return refusals.refuse(INVALIDATE_UNSUPPORTED, id)
}
