// SPDX-License-Identifier: Apache-2.0
/**
 * IOMMU_GET_HW_INFO (SPEC L2): what the IOMMU in front of a device is and can do.
 *
 * Invariant: the caller's buffer is filled whole, with the driver's data as far as it fits and zeros
 * behind it; how much data there is comes back whatever the buffer's size.
 */
import { sumHi, type Ucmd } from '@iommufd/core'
import {
  ENOENT,
  EOPNOTSUPP,
  IOMMU_HW_CAP_DIRTY_TRACKING,
  IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED,
  IOMMU_HW_INFO_FLAG_INPUT_TYPE,
  IOMMU_HW_INFO_TYPE_DEFAULT,
  IOMMU_HW_INFO_TYPE_NONE,
  iommu_hw_info,
} from '@iommufd/uapi'
import type { Device } from './device.js'
import { type HwInfo, IOMMU_CAP_DIRTY_TRACKING, IOMMU_CAP_PCI_ATS_SUPPORTED } from './driver.js'
import { refuseForDriver } from './driver-refusal.js'
import { DEVICE, type IommufdDevice } from './iommufd-device.js'
import { HW_INFO_FLAGS_UNKNOWN, HW_INFO_RESERVED_NOT_ZERO } from './refusals.js'

const { at } = iommu_hw_info
const KNOWN_FLAGS = IOMMU_HW_INFO_FLAG_INPUT_TYPE
/** out_max_pasid_log2 shares its word with what is reserved. */
const PASID_BITS = 0xff
const NO_INFO: HwInfo = { type: IOMMU_HW_INFO_TYPE_NONE, data: new Uint8Array(0) }
const zeros = new Uint8Array(4096)

export function getHwInfo(ucmd: Ucmd): number {
  const { refusals } = ucmd.ctx.engine
  const flags = ucmd.word(at.flags)
  if ((flags & ~KNOWN_FLAGS) !== 0) {
    return refusals.refuse(HW_INFO_FLAGS_UNKNOWN, flags, KNOWN_FLAGS)
  }
  const reserved = ucmd.u32(at.out_max_pasid_log2) >>> 8
  if (reserved !== 0) return refusals.refuse(HW_INFO_RESERVED_NOT_ZERO, reserved)
  const idev = ucmd.ctx.find(ucmd.word(at.dev_id), DEVICE)
  if (idev === undefined) return -ENOENT
  const asked = (flags & KNOWN_FLAGS) === 0 ? IOMMU_HW_INFO_TYPE_DEFAULT : ucmd.u32(at.in_data_type)
  const info = infoOf(idev, asked)
  if (typeof info === 'number') return info
  const rc = fillBuffer(ucmd, info.data)
  return rc < 0 ? rc : answer(ucmd, idev.dev, info)
}

function infoOf({ ctx, dev, ops }: IommufdDevice, type: number): HwInfo | number {
  const { engine } = ctx
  const info = ops.hwInfo === undefined ? NO_INFO : ops.hwInfo(dev, type)
  if (typeof info === 'number') return refuseForDriver(engine, ops, info)
  if (ops.hwInfo === undefined || info.type !== IOMMU_HW_INFO_TYPE_NONE) return info
  engine.warn(`the driver ${ops.name} describes its IOMMU, but not as what`)
  return refuseForDriver(engine, ops, -EOPNOTSUPP)
}

function fillBuffer(ucmd: Ucmd, data: Uint8Array): number {
  const room = ucmd.u32(at.data_len)
  const known = Math.min(room, data.length)
  let rc = copyOut(ucmd, 0, data, known)
  for (let done = known; rc === 0 && done < room; done += zeros.length) {
    rc = copyOut(ucmd, done, zeros, Math.min(room - done, zeros.length))
  }
  return rc
}

/** Copies to byte `skip` of the caller's buffer. */
function copyOut(ucmd: Ucmd, skip: number, bytes: Uint8Array, length: number): number {
  const { ctx, task } = ucmd
  const hi = sumHi(ucmd.hi(at.data_uptr), ucmd.lo(at.data_uptr), 0, skip | 0)
  const lo = (ucmd.lo(at.data_uptr) + skip) | 0
  return ctx.engine.copyToUser(task, hi, lo, bytes, 0, length)
}

function answer(ucmd: Ucmd, dev: Device, { type, data }: HwInfo): number {
  const pasidLog2 = dev.maxPasids === 0 ? 0 : Math.floor(Math.log2(dev.maxPasids))
  ucmd.setWord(at.data_len, data.length)
  ucmd.setWord(at.out_data_type, type | 0)
  ucmd.setWord(at.out_max_pasid_log2, pasidLog2 & PASID_BITS)
  ucmd.setU64(at.out_capabilities, 0, capabilitiesOf(dev))
  return ucmd.respond(iommu_hw_info.size)
}

function capabilitiesOf(dev: Device): number {
  let caps = dev.maxPasids === 0 ? 0 : dev.pasidCapabilities
  if (dev.iommuCapable(IOMMU_CAP_DIRTY_TRACKING)) caps |= IOMMU_HW_CAP_DIRTY_TRACKING
  if (!dev.iommuCapable(IOMMU_CAP_PCI_ATS_SUPPORTED)) caps |= IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED
  return caps
}
