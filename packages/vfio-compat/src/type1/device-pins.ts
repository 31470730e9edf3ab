// SPDX-License-Identifier: Apache-2.0
/**
 * Pages that emulated devices pin through a type 1 container (SPEC V16, V33).
 *
 * Invariant: a page is pinned once for all devices that hold it, and charged once, whether it is also
 * mapped for a device behind an IOMMU or not. Pinning is all or nothing.
 */
import { pageHi, pageLo } from '@iommufd/core'
import { AREA_WRITE } from '@iommufd/pages'
import { chargeType1, unchargeType1 } from './account.js'
import { markDirty } from './dirty-bitmap.js'
import type { Type1Iommu } from './iommu.js'
import type { Mapping } from './mapping.js'
import { TYPE1_PAGES_BAD, TYPE1_PIN_DENIED, TYPE1_PIN_UNMAPPED } from './refusals.js'

const frame = new Uint32Array(1)

/** Pins pages of the IOVAs into `frames`: how many, or -EINVAL, -EPERM, -EFAULT, -ENOMEM. */
export function pinForDevice(
  iommu: Type1Iommu,
  page: number,
  npage: number,
  write: boolean,
  frames: Uint32Array,
): number {
  for (let i = 0; i < npage; i++) {
    const rc = pinOne(iommu, page + i, write)
    if (rc < 0) {
      unpinForDevice(iommu, page, i)
      return rc
    }
    frames[i] = rc
  }
  return npage
}

/** Gives pins back. */
export function unpinForDevice(iommu: Type1Iommu, page: number, npage: number): void {
  for (let i = page; i < page + npage; i++) {
    const mapping = iommu.mappings.at(i)
    const pin = mapping?.pinned.get(i - mapping.first)
    if (mapping === undefined || pin === undefined) {
      iommu.engine.warn('a device unpins what it has not pinned')
      continue
    }
    pin.users--
    if (pin.users > 0) continue
    mapping.pinned.delete(i - mapping.first)
    frame[0] = pin.frame
    iommu.engine.host.unpin(frame, 0, 1)
    if (!mapping.isMapped) unchargeType1(iommu, mapping.mm, 1)
  }
}

/** One more pin on a page: its frame, or a negative errno. */
function pinOne(iommu: Type1Iommu, page: number, write: boolean): number {
  const { refusals } = iommu.engine
  const mapping = iommu.mappings.at(page)
  if (mapping === undefined) return refusals.refuse(TYPE1_PIN_UNMAPPED, page / 2 ** 32, page | 0)
  if (write && (mapping.prot & AREA_WRITE) === 0) {
    return refusals.refuse(TYPE1_PIN_DENIED, page / 2 ** 32, page | 0)
  }
  const existing = mapping.pinned.get(page - mapping.first)
  markDirty(iommu, mapping, page - mapping.first)
  if (existing === undefined) return pinNew(iommu, mapping, page - mapping.first)
  existing.users++
  return existing.frame
}

function pinNew(iommu: Type1Iommu, mapping: Mapping, index: number): number {
  const { engine } = iommu
  if (engine.faults.hit()) return engine.injectFault()
  const page = mapping.userPage + index
  const write = (mapping.prot & AREA_WRITE) !== 0
  if (mapping.mm.pin(pageHi(page), pageLo(page), 1, write, frame, 0) !== 1) {
    return engine.refusals.refuse(TYPE1_PAGES_BAD, page / 2 ** 32, page | 0)
  }
  const pinned = frame[0] as number
  const rc = mapping.isMapped ? 0 : chargeType1(iommu, mapping, 1)
  if (rc < 0) {
    frame[0] = pinned
    engine.host.unpin(frame, 0, 1)
    return rc
  }
  mapping.pinned.set(index, { frame: pinned, users: 1 })
  return pinned
}
