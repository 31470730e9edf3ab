// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { World } from '../test/harness.js'
import { PlainDriver, ToyDevice, type ToyDomain } from '../test/toy-driver.js'
import { Device, Iommu, type IommuGroup } from './index.js'

/** A world whose driver has no blocked domain and no default one. */
function plain(): { world: World; iommu: Iommu; driver: PlainDriver } {
  const world = new World()
  const iommu = new Iommu(world.engine)
  const driver = new PlainDriver(iommu)
  iommu.registerDriver(driver)
  return { world, iommu, driver }
}

describe('section 8: devices and drivers', () => {
  test('the first driver that takes a device gets it; none: ENODEV', () => {
    const { world, iommu } = plain()
    iommu.registerDriver(world.driver)
    const dev = new ToyDevice('a')
    expect(iommu.addDevice(dev)).toBe(0)
    expect(dev.ops?.name).toBe('plain')
    iommu.removeDevice(dev)
    expect([dev.ops, dev.group]).toEqual([undefined, undefined])
    expect(world.outcome(iommu.addDevice(new Device('b')))).toBe('ENODEV DEVICE_WITHOUT_IOMMU')
  })

  test('a probe that fails ends the search', () => {
    const { world, iommu, driver } = plain()
    driver.probeDevice = () => -12
    iommu.registerDriver(world.driver)
    expect(world.outcome(iommu.addDevice(new ToyDevice('a')))).toBe('ENOMEM DRIVER_REFUSED')
  })

  test('without a blocked or default domain, empty tables do', () => {
    const { world, iommu, driver } = plain()
    const dev = new ToyDevice('a')
    iommu.addDevice(dev)
    expect(dev.current).toBe(driver.domains[0])
    const idev = world.bind(dev)
    expect(dev.current).toBe(driver.domains[1])
    idev.unbind()
    expect(dev.current).toBe(driver.domains[0])
    expect(driver.domains[1]?.isFree).toBe(true)
    iommu.removeDevice(dev)
    expect(driver.domains[0]?.isFree).toBe(true)
  })

  test('a device that does not take the default domain is not added', () => {
    const { world, iommu, driver } = plain()
    const dev = new ToyDevice('a')
    dev.accepts = () => -5
    expect(world.outcome(iommu.addDevice(dev))).toBe('EIO DRIVER_REFUSED')
    expect(dev.ops).toBeUndefined()
    driver.refuses = 12
    expect(world.outcome(iommu.addDevice(new ToyDevice('b')))).toBe('ENOMEM DRIVER_REFUSED')
  })
})

describe('section 5: ownership', () => {
  const owner = {}

  function claimed(): { world: World; devs: ToyDevice[]; group: IommuGroup } {
    const world = new World()
    const devs = ['a', 'b', 'c'].map((name) => world.device(name, { group: 'g' }))
    const [dev] = devs as [ToyDevice]
    const group = dev.group as IommuGroup
    expect(group.claimDmaOwner(dev, owner)).toBe(0)
    return { world, devs, group }
  }

  test('the second of three devices refuses a domain: the first goes back', () => {
    const { world, devs, group } = claimed()
    const domain = world.driver.domainAllocPaging(devs[0] as ToyDevice) as ToyDomain
    const [, second] = devs as [ToyDevice, ToyDevice]
    second.accepts = (wanted) => (wanted === domain ? -22 : 0)
    expect(world.outcome(group.attach(domain))).toBe('EINVAL DRIVER_REFUSED')
    expect(devs.map((dev) => dev.current?.type)).toEqual(['blocked', 'blocked', 'blocked'])
    expect(group.domain?.type).toBe('blocked')
  })

  test('an attached group must be replaced, not attached', () => {
    const { world, devs, group } = claimed()
    const domain = world.driver.domainAllocPaging(devs[0] as ToyDevice) as ToyDomain
    expect(group.attach(domain)).toBe(0)
    expect(world.outcome(group.attach(domain))).toBe('EBUSY GROUP_ATTACHED')
  })

  test('a device that does not let go, or does not go back, is a fault of the driver', () => {
    const { world, devs, group } = claimed()
    const domain = world.driver.domainAllocPaging(devs[0] as ToyDevice) as ToyDomain
    const [first, second] = devs as [ToyDevice, ToyDevice]
    second.accepts = () => -5
    first.accepts = (wanted) => (wanted === domain ? 0 : -5)
    expect(group.attach(domain)).toBe(-5)
    expect(world.warnings).toHaveLength(1)
    group.detach()
    expect(world.warnings).toHaveLength(3)
  })

  test('blocking that fails leaves the group to the host', () => {
    const world = new World()
    const dev = world.device('a')
    dev.accepts = (domain) => (domain.type === 'blocked' ? -5 : 0)
    const group = dev.group as IommuGroup
    expect(world.outcome(group.claimDmaOwner(dev, owner))).toBe('EIO DRIVER_REFUSED')
    expect(group.owner).toBeUndefined()
    expect(group.domain?.type).toBe('identity')
  })
})
