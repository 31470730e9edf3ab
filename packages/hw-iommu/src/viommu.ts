// SPDX-License-Identifier: Apache-2.0
/**
 * The commands on virtual IOMMUs (SPEC L9, L10, L12, L14), as a kernel answers them none of whose
 * drivers has any.
 *
 * Invariant: no vIOMMU is ever made, so no object is one, and what needs one finds none.
 */
import { type IommufdObject, type ObjectType, sumWraps, type Ucmd } from '@iommufd/core'
import {
  ENOENT,
  iommu_hw_queue_alloc,
  iommu_vdevice_alloc,
  iommu_veventq_alloc,
  iommu_viommu_alloc,
} from '@iommufd/uapi'
import { DEVICE } from './iommufd-device.js'
import {
  HW_QUEUE_EMPTY,
  HW_QUEUE_FLAGS_OR_TYPE,
  HW_QUEUE_WRAPS,
  VEVENTQ_DEPTH,
  VEVENTQ_FLAGS_OR_TYPE,
  VIOMMU_FLAGS_OR_TYPE,
  VIOMMU_UNSUPPORTED,
} from './refusals.js'

const MAX_DEPTH = 1 << 19
const VIOMMU: ObjectType<IommufdObject> = {
  name: 'VIOMMU',
  is: (object): object is IommufdObject => object.typeName === 'VIOMMU',
}

export function viommuAlloc(ucmd: Ucmd): number {
  const { at } = iommu_viommu_alloc
  const { refusals } = ucmd.ctx.engine
  const flags = ucmd.word(at.flags)
  const type = ucmd.word(at.type)
  if (flags !== 0 || type === 0) return refusals.refuse(VIOMMU_FLAGS_OR_TYPE, flags, type)
  const idev = ucmd.ctx.find(ucmd.word(at.dev_id), DEVICE)
  return idev === undefined ? -ENOENT : refusals.refuse(VIOMMU_UNSUPPORTED, idev.id)
}

export function vdeviceAlloc(ucmd: Ucmd): number {
  return findNone(ucmd, ucmd.word(iommu_vdevice_alloc.at.viommu_id))
}

export function veventqAlloc(ucmd: Ucmd): number {
  const { at } = iommu_veventq_alloc
  const { refusals } = ucmd.ctx.engine
  const flags = ucmd.word(at.flags)
  const type = ucmd.word(at.type)
  const reserved = ucmd.word(at.__reserved)
  if (flags !== 0 || type === 0 || reserved !== 0) {
    return refusals.refuse(VEVENTQ_FLAGS_OR_TYPE, flags, type, reserved)
  }
  const depth = ucmd.u32(at.veventq_depth)
  if (depth === 0 || depth > MAX_DEPTH) return refusals.refuse(VEVENTQ_DEPTH, depth)
  return findNone(ucmd, ucmd.word(at.viommu_id))
}

export function hwQueueAlloc(ucmd: Ucmd): number {
  const { at } = iommu_hw_queue_alloc
  const { refusals } = ucmd.ctx.engine
  const flags = ucmd.word(at.flags)
  const type = ucmd.word(at.type)
  if (flags !== 0 || type === 0) return refusals.refuse(HW_QUEUE_FLAGS_OR_TYPE, flags, type)
  const [iovaHi, iovaLo] = [ucmd.hi(at.nesting_parent_iova), ucmd.lo(at.nesting_parent_iova)]
  const [lengthHi, lengthLo] = [ucmd.hi(at.length), ucmd.lo(at.length)]
  if ((lengthHi | lengthLo) === 0) return refusals.refuse(HW_QUEUE_EMPTY)
  const lessHi = lengthLo === 0 ? (lengthHi - 1) | 0 : lengthHi
  if (sumWraps(iovaHi, iovaLo, lessHi, (lengthLo - 1) | 0)) {
    return refusals.refuse(HW_QUEUE_WRAPS, iovaHi, iovaLo, lengthHi, lengthLo)
  }
  return findNone(ucmd, ucmd.word(at.viommu_id))
}

/** Explains that the id is no vIOMMU's. */
function findNone(ucmd: Ucmd, id: number): number {
  ucmd.ctx.find(id, VIOMMU)
  return -ENOENT
}
