// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { World } from '../test/harness.js'
import { PlainDriver, ToyDevice, type ToyDomain } from '../test/toy-driver.js'
import {
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_RESERVED,
  Iommu,
  type IommuResvRegion,
} from './index.js'

const region = (type: number, start: bigint, length = 0x2000n): IommuResvRegion => ({
  start,
  length,
  type,
})

/** A world whose driver has page tables alone: devices begin with an empty one. */
function plain(): { world: World; iommu: Iommu; driver: PlainDriver } {
  const world = new World()
  const iommu = new Iommu(world.engine)
  const driver = new PlainDriver(iommu)
  iommu.registerDriver(driver)
  return { world, iommu, driver }
}

const entries = (driver: PlainDriver, nth: number): [number, number][] => [
  ...(driver.domains[nth] as ToyDomain).entries,
]

describe('section 8: direct regions', () => {
  test('are mapped one to one in the default domain before a device uses it, no other is', () => {
    const { iommu, driver } = plain()
    const dev = new ToyDevice('a', {
      regions: [
        region(IOMMU_RESV_DIRECT, 0x800_0000n),
        region(IOMMU_RESV_DIRECT_RELAXABLE, 0x900_0800n),
        region(IOMMU_RESV_RESERVED, 0xa00_0000n),
      ],
    })
    let seen = 0
    dev.accepts = () => {
      seen = entries(driver, 0).length
      return 0
    }
    expect(iommu.addDevice(dev)).toBe(0)
    const mapped = [0x8000, 0x8001, 0x9000, 0x9001, 0x9002]
    expect(entries(driver, 0)).toEqual(mapped.map((page) => [page, page]))
    expect(seen).toBe(5)
  })

  test('of several devices of a group may overlap', () => {
    const { iommu, driver } = plain()
    for (const [name, start] of Object.entries({ a: 0x800_0000n, b: 0x800_1000n })) {
      const regions = [region(IOMMU_RESV_DIRECT, start)]
      expect(iommu.addDevice(new ToyDevice(name, { group: 'g', regions }))).toBe(0)
    }
    expect(entries(driver, 0).map(([page]) => page)).toEqual([0x8000, 0x8001, 0x8002])
  })

  test('relaxable ones do not keep a device from its owner, and are back when it ends', () => {
    const { world, iommu, driver } = plain()
    const dev = new ToyDevice('a', { regions: [region(IOMMU_RESV_DIRECT_RELAXABLE, 0x800_0000n)] })
    iommu.addDevice(dev)
    const idev = world.bind(dev)
    expect(entries(driver, 1)).toEqual([])
    idev.unbind()
    expect(dev.current).toBe(driver.domains[0])
    expect(entries(driver, 0)).toHaveLength(2)
  })

  test.each<[string, bigint, (domain: ToyDomain) => void]>([
    ['ENOMEM', 0x800_0000n, (domain) => Object.assign(domain, { map: () => -12 })],
    ['ERANGE', 1n << 44n, () => {}],
  ])('%s: a device whose region cannot be mapped is not added', (errno, start, spoil) => {
    const { world, iommu, driver } = plain()
    const make = driver.domainAllocPaging.bind(driver)
    driver.domainAllocPaging = (dev) => {
      const domain = make(dev)
      spoil(domain as ToyDomain)
      return domain
    }
    const dev = new ToyDevice('a', { regions: [region(IOMMU_RESV_DIRECT, start)] })
    expect(world.outcome(iommu.addDevice(dev))).toBe(`${errno} DRIVER_REFUSED`)
    expect([dev.ops, dev.group, dev.current]).toEqual([undefined, undefined, undefined])
  })
})
