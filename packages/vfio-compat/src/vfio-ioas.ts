// SPDX-License-Identifier: Apache-2.0
/**
 * IOMMU_VFIO_IOAS: asking for, choosing and dropping the compatibility IOAS (SPEC C10).
 *
 * Invariant: only GET writes back; nothing is ever made or destroyed here.
 */
import type { Ucmd } from '@iommufd/core'
import { IOAS } from '@iommufd/pages'
import {
  ENODEV,
  ENOENT,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
  iommu_vfio_ioas,
} from '@iommufd/uapi'
import type { VfioCompat } from './compat-ioas.js'
import { VFIO_IOAS_OP_UNKNOWN, VFIO_IOAS_RESERVED } from './refusals.js'

const { at } = iommu_vfio_ioas

/** Serves IOMMU_VFIO_IOAS. */
export function vfioIoas(compat: VfioCompat, ucmd: Ucmd): number {
  const { refusals } = compat.engine
  const reserved = ucmd.word(at.op) >>> 16
  if (reserved !== 0) return refusals.refuse(VFIO_IOAS_RESERVED, reserved)
  const op = ucmd.word(at.op) & 0xffff
  switch (op) {
    case IOMMU_VFIO_IOAS_GET:
      return get(compat, ucmd)
    case IOMMU_VFIO_IOAS_SET:
      return set(compat, ucmd)
    case IOMMU_VFIO_IOAS_CLEAR:
      compat.choose(ucmd.ctx, undefined)
      return 0
    default:
      return refusals.refuse(VFIO_IOAS_OP_UNKNOWN, op)
  }
}

function get(compat: VfioCompat, ucmd: Ucmd): number {
  const ioas = compat.find(ucmd.ctx)
  if (ioas === undefined) return -ENODEV
  ucmd.setWord(at.ioas_id, ioas.id)
  return ucmd.respond(iommu_vfio_ioas.size)
}

function set(compat: VfioCompat, ucmd: Ucmd): number {
  const ioas = ucmd.ctx.find(ucmd.word(at.ioas_id), IOAS)
  if (ioas === undefined) return -ENOENT
  compat.choose(ucmd.ctx, ioas)
  return 0
}
