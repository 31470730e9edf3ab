// SPDX-License-Identifier: Apache-2.0
//
// SPEC section 8: the drivers that are right pass every check, and what is not offered is said.

import { describe, expect, test } from 'vitest'
import { type FormatName, tableDriver } from '../../test/table-driver.js'
import { ToyDevice, ToyDriver } from '../../test/toy-driver.js'
import {
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_RESERVED,
  IOMMU_RESV_SW_MSI,
} from '../index.js'
import { assertDriver, checkDriver, type DriverUnderTest, driverChecks } from './index.js'

const regions = [
  { start: 0x1000n, length: 0x2000n, type: IOMMU_RESV_RESERVED },
  { start: 0x8000n, length: 1n, type: IOMMU_RESV_DIRECT_RELAXABLE },
  { start: 0x800_0000n, length: 0x10_0000n, type: IOMMU_RESV_SW_MSI },
]
const direct = { start: 0x10_0000n, length: 0x3000n, type: IOMMU_RESV_DIRECT }

/** The driver of this package's other tests, with all that it has. */
const toy: DriverUnderTest = {
  makeDriver: (iommu) => new ToyDriver(iommu),
  makeDevice: (name, group) =>
    new ToyDevice(name, { group: `g${group}`, regions, pasids: 8, enforces: true }),
  sharesGroups: true,
  domainOf: (dev) => (dev as ToyDevice).current,
  setRefusing(dev, refuses) {
    const toyDevice = dev as ToyDevice
    const used = toyDevice.current
    toyDevice.accepts = (domain) =>
      refuses && domain.type === 'paging' && domain !== used ? -5 : 0
  },
  makeDirectDevice: (name) => new ToyDevice(name, { regions: [direct] }),
  nested: { type: 1, data: new Uint8Array(8) },
}

function outcomes(subject: DriverUnderTest): string[] {
  return checkDriver(subject)
    .filter(({ outcome }) => outcome !== 'passed')
    .map(({ name, outcome, sentence }) => `${name} ${outcome}: ${sentence}`)
}

const withoutDirty = [
  'dirty-pages-are-reported not offered: IOMMU_CAP_DIRTY_TRACKING',
  'nested-domain-is-attached not offered: nested domains',
  'parts-of-frames-are-mapped not offered: pages smaller than 4 KiB',
]

describe('section 8: page tables of every format', () => {
  const wanted: [FormatName, string[]][] = [
    ['amdv1', withoutDirty.slice(1)],
    ['amdv1_mock', withoutDirty.slice(1, 2)],
    ['riscv64', withoutDirty],
    ['vtdss', withoutDirty.slice(1)],
    ['x86_64', withoutDirty],
  ]
  test.each(wanted)('%s', (format, notOffered) => {
    expect(outcomes(tableDriver(format)).sort()).toEqual(notOffered)
  })
})

test('section 8: the toy driver', () => {
  expect(outcomes(toy)).toEqual([
    'parts-of-frames-are-mapped not offered: pages smaller than 4 KiB',
    'everything-is-flushed not offered: an IOTLB that can be flushed whole',
    'dirty-pages-are-reported not offered: IOMMU_CAP_DIRTY_TRACKING',
  ])
})

test('names are unique; a driver that is right is not complained about', () => {
  const names = driverChecks.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  expect(() => assertDriver(tableDriver('vtdss'))).not.toThrow()
})
