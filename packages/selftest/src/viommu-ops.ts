// SPDX-License-Identifier: Apache-2.0
/**
 * The test operations on nested translation (SPEC section 10): what the mock remembers, and events
 * of its devices.
 *
 * Invariant: the checks change nothing.
 */
import type { Ucmd } from '@iommufd/core'
import { DEVICE, HWPT_NESTED, iommufd_viommu_report_event } from '@iommufd/hw-iommu'
import {
  ENOENT,
  IOMMU_VEVENTQ_TYPE_SELFTEST,
  iommu_test_cmd,
  iommu_viommu_event_selftest,
  writeStruct,
} from '@iommufd/uapi'
import { MockDevice } from './mock-device.js'
import { MockNestedDomain } from './mock-nested-domain.js'
import {
  CACHE_DIFFERS,
  DEVICE_NOT_MOCK,
  DEVICE_ON_NO_VIOMMU,
  IOTLB_DIFFERS,
  NESTED_NOT_MOCK,
} from './refusals.js'

const { at } = iommu_test_cmd

/** MD_CHECK_IOTLB: whether an entry of the nested table's IOTLB holds this. */
export function checkIotlb(ucmd: Ucmd): number {
  const { refusals } = ucmd.ctx.engine
  const hwpt = ucmd.ctx.find(ucmd.word(at.id), HWPT_NESTED)
  if (hwpt === undefined) return -ENOENT
  const { domain } = hwpt
  if (!(domain instanceof MockNestedDomain)) return refusals.refuse(NESTED_NOT_MOCK, hwpt.id)
  const index = ucmd.u32(at.check_iotlb_id)
  const expected = ucmd.u32(at.check_iotlb_iotlb)
  if (domain.iotlb[index] === expected) return 0
  return refusals.refuse(IOTLB_DIFFERS, index | 0, expected | 0)
}

/** DEV_CHECK_CACHE: whether an entry of the device's cache holds this. */
export function checkDevCache(ucmd: Ucmd): number {
  const dev = deviceOf(ucmd, ucmd.word(at.id))
  if (typeof dev === 'number') return dev
  const index = ucmd.u32(at.check_dev_cache_id)
  const expected = ucmd.u32(at.check_dev_cache_cache)
  if (dev.cache[index] === expected) return 0
  return ucmd.ctx.engine.refusals.refuse(CACHE_DIFFERS, index | 0, expected | 0)
}

/** TRIGGER_VEVENT: an event of the device, for the vIOMMU that it is on. */
export function triggerVevent(ucmd: Ucmd): number {
  const id = ucmd.word(at.trigger_vevent_dev_id)
  const dev = deviceOf(ucmd, id)
  if (typeof dev === 'number') return dev
  const { viommu, vdevId } = dev
  if (viommu === undefined || vdevId === 0n) {
    return ucmd.ctx.engine.refusals.refuse(DEVICE_ON_NO_VIOMMU, id)
  }
  const virt_id = Number(BigInt.asUintN(32, vdevId))
  const event = writeStruct(iommu_viommu_event_selftest, { virt_id })
  return iommufd_viommu_report_event(viommu, IOMMU_VEVENTQ_TYPE_SELFTEST, event)
}

function deviceOf(ucmd: Ucmd, id: number): MockDevice | number {
  const idev = ucmd.ctx.find(id, DEVICE)
  if (idev === undefined) return -ENOENT
  if (idev.dev instanceof MockDevice) return idev.dev
  return ucmd.ctx.engine.refusals.refuse(DEVICE_NOT_MOCK, id)
}
