// SPDX-License-Identifier: Apache-2.0
//
// SPEC sections 8 and 10: the mock driver keeps the contract of IOMMU drivers.

import { checkDriver, type DriverUnderTest } from '@iommufd/hw-iommu/testing'
import { IOMMU_HWPT_DATA_SELFTEST, MOCK_FLAGS_DEVICE_PASID } from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { MockDevice } from './mock-device.js'
import { MockDriver } from './mock-driver.js'

const mock: DriverUnderTest = {
  makeDriver: (iommu) => new MockDriver(iommu),
  makeDevice: (name) => new MockDevice(name, MOCK_FLAGS_DEVICE_PASID),
  nested: { type: IOMMU_HWPT_DATA_SELFTEST, data: new Uint8Array(4) },
}

test('the mock driver passes every check of what it offers', () => {
  const results = checkDriver(mock).filter(({ outcome }) => outcome !== 'passed')
  expect(results.map(({ name, outcome, sentence }) => `${name} ${outcome}: ${sentence}`)).toEqual([
    'groups-are-kept-apart not offered: devices that share a group',
    'reserved-regions-are-well-formed not offered: reserved regions',
    'reserved-regions-are-enforced not offered: reserved regions',
    'direct-regions-are-mapped not offered: devices with a region mapped one to one',
    'refused-attach-changes-nothing not offered: devices that can be made to refuse a domain',
    'refused-replace-goes-back not offered: groups of several devices that can be made to refuse a domain',
    'coherency-is-enforced not offered: IOMMU_CAP_ENFORCE_CACHE_COHERENCY',
  ])
})
