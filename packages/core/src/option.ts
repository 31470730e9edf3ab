// SPDX-License-Identifier: Apache-2.0
/**
 * IOMMU_OPTION (SPEC C9): the command, and the option that belongs to the context itself.
 *
 * Invariant: only val64 goes back to the caller, and only when the option's handler succeeded.
 * Options of objects are registered by the layer that owns the object.
 */
import {
  CAP_SYS_RESOURCE,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  IOMMU_OPTION_RLIMIT_MODE,
  iommu_option,
} from '@iommufd/uapi'
import {
  OPTION_OP_UNKNOWN,
  OPTION_RESERVED,
  OPTION_UNKNOWN,
  RLIMIT_HAS_OBJECTS,
  RLIMIT_NOT_PRIVILEGED,
  RLIMIT_OBJECT_ID,
  RLIMIT_VALUE,
} from './refusals.js'
import type { Ucmd } from './ucmd.js'

const { at } = iommu_option

/** Serves one option; reads and writes val64 in the command. */
export type OptionHandler = (ucmd: Ucmd) => number

export function iommuOption(ucmd: Ucmd): number {
  const engine = ucmd.ctx.engine
  const reserved = optionReserved(ucmd)
  if (reserved !== 0) return engine.refusals.refuse(OPTION_RESERVED, reserved)
  const option = ucmd.word(at.option_id)
  const handler = engine.options.get(option)
  if (handler === undefined) return engine.refusals.refuse(OPTION_UNKNOWN, option)
  const rc = handler(ucmd)
  return rc < 0 ? rc : ucmd.respondPart(at.val64, 8)
}

/** The operation, SET or GET. */
export function optionOp(ucmd: Ucmd): number {
  return ucmd.word(at.op) & 0xffff
}

function optionReserved(ucmd: Ucmd): number {
  return ucmd.word(at.op) >>> 16
}

/** Refuses an operation that the option does not have. */
export function refuseOp(ucmd: Ucmd): number {
  return ucmd.ctx.engine.refusals.refuse(OPTION_OP_UNKNOWN, ucmd.word(at.option_id), optionOp(ucmd))
}

/** IOMMU_OPTION_RLIMIT_MODE: 0 counts pinned memory per user, 1 per process. */
export function rlimitMode(ucmd: Ucmd): number {
  const { ctx, task } = ucmd
  const refusals = ctx.engine.refusals
  const objectId = ucmd.word(at.object_id)
  if (objectId !== 0) return refusals.refuse(RLIMIT_OBJECT_ID, objectId)
  const op = optionOp(ucmd)
  if (op === IOMMU_OPTION_OP_GET) {
    ucmd.setU64(at.val64, 0, ctx.accountMode === 'mm' ? 1 : 0)
    return 0
  }
  if (op !== IOMMU_OPTION_OP_SET) return refuseOp(ucmd)
  if (!task.capable(CAP_SYS_RESOURCE)) return refusals.refuse(RLIMIT_NOT_PRIVILEGED)
  if (!ctx.objects.isEmpty) return refusals.refuse(RLIMIT_HAS_OBJECTS)
  const hi = ucmd.hi(at.val64)
  const lo = ucmd.lo(at.val64)
  if (hi !== 0 || (lo !== 0 && lo !== 1)) return refusals.refuse(RLIMIT_VALUE, hi, lo)
  ctx.accountMode = lo === 1 ? 'mm' : 'user'
  return 0
}

export const RLIMIT_MODE: number = IOMMU_OPTION_RLIMIT_MODE
