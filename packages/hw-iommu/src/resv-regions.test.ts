// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { World } from '../test/harness.js'
import { ToyDevice } from '../test/toy-driver.js'
import {
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_MSI,
  IOMMU_RESV_RESERVED,
  IOMMU_RESV_SW_MSI,
  type IommuResvRegion,
  iommufd_device_bind,
} from './index.js'

const region = (type: number, start = 0x8000n, length = 0x1000n): IommuResvRegion => ({
  start,
  length,
  type,
})

describe('E8: reserved regions', () => {
  test.each([
    ['relaxable', IOMMU_RESV_DIRECT_RELAXABLE, 'ok'],
    ['reserved', IOMMU_RESV_RESERVED, 'EINVAL IOVA_RESERVED'],
    ['msi', IOMMU_RESV_MSI, 'EINVAL IOVA_RESERVED'],
    ['software msi', IOMMU_RESV_SW_MSI, 'EINVAL IOVA_RESERVED'],
  ])('%s: mapping there while attached', (_name, type, outcome) => {
    const world = new World()
    const ioas = world.ioas()
    const idev = world.bind(world.device('a', { regions: [region(type)] }))
    const id = idev.attach(ioas.id)
    expect(world.map(ioas, 0x7000, 1)).toBe('ok')
    expect(world.map(ioas, 0x8000, 1)).toBe(outcome)
    expect(idev.replace(id)).toBe(id)
    idev.detach()
    expect(world.map(ioas, 0x8000, 1)).toBe(outcome === 'ok' ? 'EEXIST AREA_OVERLAPS' : 'ok')
  })

  test('direct: a device that must be mapped one to one is never given away', () => {
    const world = new World()
    const dev = world.device('a', { group: 'g', regions: [region(IOMMU_RESV_DIRECT)] })
    const other = world.device('b', { group: 'g' })
    const before = world.state()
    for (const wanted of [dev, other]) {
      const rc = iommufd_device_bind(world.ctx, wanted) as number
      expect(world.outcome(rc)).toBe('EINVAL DEVICE_NEEDS_DIRECT')
    }
    expect(world.state()).toEqual(before)
    expect([dev.current?.type, other.current?.type]).toEqual(['identity', 'identity'])
    expect(dev.group?.owner).toBeUndefined()
  })

  test('direct: nor does such a device join a group that is given away', () => {
    const world = new World()
    const idev = world.bind(world.device('a', { group: 'g' }))
    const late = new ToyDevice('b', { group: 'g', regions: [region(IOMMU_RESV_DIRECT)] })
    expect(world.outcome(world.iommu.addDevice(late))).toBe('EINVAL DEVICE_NEEDS_DIRECT')
    expect(idev.igroup.group.devices).toEqual([idev.dev])
  })

  test('what is mapped there already forbids attaching', () => {
    const world = new World()
    const [ioas, other] = [world.ioas(), world.ioas()]
    const regions = [region(IOMMU_RESV_RESERVED, 0x1000n), region(IOMMU_RESV_MSI)]
    const idev = world.bind(world.device('a', { regions }))
    expect(world.map(ioas, 0x8000, 1)).toBe('ok')
    const before = world.state()
    expect(world.outcome(idev.attach(ioas.id))).toBe('EADDRINUSE SPACE_IN_USE')
    expect(world.state()).toEqual(before)
    idev.attach(other.id)
    const attached = world.state()
    expect(world.outcome(idev.replace(ioas.id))).toBe('EADDRINUSE SPACE_IN_USE')
    expect(world.state()).toEqual(attached)
  })

  test('each device of a group brings and takes its own', () => {
    const world = new World()
    const [ioas, other] = [world.ioas(), world.ioas()]
    const device = (name: string, start: bigint) =>
      world.bind(world.device(name, { group: 'g', regions: [region(IOMMU_RESV_MSI, start)] }))
    const [a, b] = [device('a', 0x1000n), device('b', 0x2000n)]
    a.attach(ioas.id)
    b.attach(ioas.id)
    expect(world.map(ioas, 0x2000, 1)).toBe('EINVAL IOVA_RESERVED')
    a.replace(other.id)
    expect(world.map(ioas, 0x1000, 2)).toBe('ok')
    expect(world.map(other, 0x2000, 1)).toBe('EINVAL IOVA_RESERVED')
    b.detach()
    expect(world.map(other, 0x2000, 1)).toBe('ok')
    expect(world.map(other, 0x1000, 1)).toBe('EINVAL IOVA_RESERVED')
  })

  test('a region at the very end of the space', () => {
    const world = new World()
    const ioas = world.ioas()
    const top = region(IOMMU_RESV_RESERVED, 2n ** 64n - 1n, 1n)
    const idev = world.bind(world.device('a', { regions: [top] }))
    idev.attach(ioas.id)
    idev.detach()
    expect(ioas.iopt.reserved.tree.size).toBe(0)
  })

  test.each([
    ['two software windows', [region(IOMMU_RESV_SW_MSI), region(IOMMU_RESV_SW_MSI, 0x9000n)]],
    ['a software window beside a fixed one', [region(IOMMU_RESV_SW_MSI), region(IOMMU_RESV_MSI)]],
  ])('%s: a fault of the driver', (_name, regions) => {
    const world = new World()
    const ioas = world.ioas()
    const idev = world.bind(world.device('a', { regions }))
    expect(world.outcome(idev.attach(ioas.id))).toBe('EINVAL MSI_REGIONS_CONTRADICT')
    expect(world.warnings).toHaveLength(1)
  })
})
