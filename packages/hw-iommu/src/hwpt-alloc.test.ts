// SPDX-License-Identifier: Apache-2.0
import {
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_FAULT_ID_VALID,
  iommu_hwpt_alloc,
  PROT_READ,
  type StructInput,
  writeStruct,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { ARG, DATA, PAGE, World } from '../test/harness.js'
import { PlainDriver, ToyDevice, ToyDriver } from '../test/toy-driver.js'
import { Iommu, type IommufdDevice, iovaToPhys } from './index.js'

type Values = StructInput<typeof iommu_hwpt_alloc>

/** A world with an IOAS (1) and a bound device (2). */
function setUp(): {
  world: World
  idev: IommufdDevice
  alloc: (values?: Values) => number | string
} {
  const world = new World()
  const ioas = world.ioas()
  const idev = world.bind(world.device('a'))
  return {
    world,
    idev,
    alloc: (values = {}) => world.hwptAlloc({ dev_id: idev.id, pt_id: ioas.id, ...values }),
  }
}

/** A device of another driver, bound to the world's context. */
function otherDriver(world: World): IommufdDevice {
  const iommu = new Iommu(world.engine)
  iommu.registerDriver(new PlainDriver(iommu))
  const dev = new ToyDevice('plain')
  iommu.addDevice(dev)
  return world.bind(dev)
}

describe('L1: a paging table', () => {
  test('shows what is mapped, is not ended by its devices, and is busy while it has some', () => {
    const { world, idev, alloc } = setUp()
    const id = alloc() as number
    const { ioas, domain } = world.hwpt(id)
    expect(world.map(ioas, 0x4000, 2)).toBe('ok')
    expect(iovaToPhys(domain, 0, 0x4000)).toBeGreaterThanOrEqual(0)
    expect(iovaToPhys(domain, 0, 0x6000)).toBe(-1)
    expect(idev.attach(id)).toBe(id)
    expect(world.destroy(id)).toBe('EBUSY OBJECT_BUSY')
    idev.detach()
    expect(world.destroy(id)).toBe('ok')
    expect(world.driver.domains[0]?.isFree).toBe(true)
  })

  test('the answer cannot be written back: nothing is left', () => {
    const { world, idev } = setUp()
    world.process.store(ARG, writeStruct(iommu_hwpt_alloc, { size: 48, dev_id: idev.id, pt_id: 1 }))
    world.process.mprotect(ARG, PAGE, PROT_READ)
    const ret = world.process.ioctl(world.fd, IOMMU_HWPT_ALLOC, ARG)
    expect(world.outcome(ret)).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(world.driver.domains[0]?.isFree).toBe(true)
    expect(world.ctx.objects.count).toBe(2)
  })

  test('the struct may end behind __reserved', () => {
    expect(setUp().alloc({ size: 24 })).toBe(3)
    expect(setUp().alloc({ size: 23 })).toBe('EINVAL STRUCT_TOO_SMALL')
  })

  const both = IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_NEST_PARENT
  test.each<[string, Values]>([
    ['EOPNOTSUPP HWPT_RESERVED_NOT_ZERO', { __reserved: 1, data_len: 4, dev_id: 99 }],
    ['EINVAL HWPT_DATA_CONTRADICTS', { data_len: 4, dev_id: 99 }],
    ['EINVAL HWPT_DATA_CONTRADICTS', { data_type: 1, dev_id: 99 }],
    ['ENOENT OBJECT_UNKNOWN', { dev_id: 99, pt_id: 98 }],
    ['ENOENT OBJECT_UNKNOWN', { dev_id: 1 }],
    ['EINVAL PARENT_UNKNOWN', { pt_id: 98, flags: 0x100 }],
    ['EINVAL PARENT_UNUSABLE', { pt_id: 2 }],
    ['EOPNOTSUPP HWPT_FLAGS_UNKNOWN', { flags: 0x100 | IOMMU_HWPT_ALLOC_DIRTY_TRACKING }],
    ['EOPNOTSUPP DIRTY_TRACKING_UNSUPPORTED', { flags: IOMMU_HWPT_ALLOC_DIRTY_TRACKING | both }],
    ['EOPNOTSUPP NEST_PARENT_WITH_FAULTS', { flags: both }],
    ['ENOENT FAULT_QUEUE_UNKNOWN', { flags: IOMMU_HWPT_FAULT_ID_VALID, fault_id: 1 }],
    ['EINVAL DRIVER_REFUSED', { data_type: 99, data_len: 4 }],
    ['EINVAL USER_DATA_TYPE', { data_type: 2, data_len: 4 }],
    ['EINVAL USER_DATA_TOO_SHORT', { data_type: 1, data_len: 3 }],
    ['EFAULT USER_UNREADABLE', { data_type: 1, data_len: 4, data_uptr: 0x1000 }],
  ])('%s for %o, and nothing is left', (outcome, values) => {
    const { world, alloc } = setUp()
    const before = world.state()
    expect(alloc(values)).toBe(outcome)
    expect(world.state()).toEqual(before)
  })

  test.each([4, 8])('the driver gets %i bytes of data', (length) => {
    const { world, alloc } = setUp()
    world.process.store(DATA, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 0, 0))
    expect(alloc({ data_type: 1, data_len: length, data_uptr: DATA })).toBe(3)
    expect([...(world.driver.data ?? [])]).toEqual(
      length === 4 ? [1, 2, 3, 4, 0, 0, 0, 0] : [1, 2, 3, 4, 5, 6, 7, 8],
    )
  })

  test.each([9, 64])('%i bytes of data, zeros or not, are more than the driver knows', (length) => {
    const { alloc } = setUp()
    expect(alloc({ data_type: 1, data_len: length, data_uptr: DATA })).toBe(
      'EINVAL USER_DATA_TOO_LONG',
    )
  })

  test('a driver that knows neither flags nor data', () => {
    const world = new World()
    const ioas = world.ioas()
    const values = { dev_id: otherDriver(world).id, pt_id: ioas.id }
    expect(world.hwptAlloc({ ...values, flags: 8 })).toBe('EOPNOTSUPP HWPT_FLAGS_UNSUPPORTED')
    expect(world.hwptAlloc({ ...values, data_type: 1, data_len: 4, data_uptr: DATA })).toBe(
      'EOPNOTSUPP HWPT_FLAGS_UNSUPPORTED',
    )
    expect(world.hwptAlloc(values)).toBe(3)
  })
})

describe('L1: a nested table', () => {
  const data: Values = { data_type: 1, data_len: 4, data_uptr: DATA }

  test('stands on its parent, and devices that use it use the parent’s address space', () => {
    const { world, idev, alloc } = setUp()
    const parent = alloc({ flags: IOMMU_HWPT_ALLOC_NEST_PARENT }) as number
    const id = alloc({ ...data, pt_id: parent, flags: IOMMU_HWPT_ALLOC_PASID }) as number
    expect(world.destroy(parent)).toBe('EBUSY OBJECT_BUSY')
    expect(idev.attach(id)).toBe(id)
    expect((idev.dev as ToyDevice).current?.type).toBe('nested')
    expect(idev.replace(parent)).toBe(parent)
    expect(world.destroy(id)).toBe('ok')
    idev.detach()
    expect(world.destroy(parent)).toBe('ok')
  })

  test('refusals in order', () => {
    const { world, idev, alloc } = setUp()
    const plain = otherDriver(world).id
    const parent = alloc({ flags: IOMMU_HWPT_ALLOC_NEST_PARENT }) as number
    const childless = alloc() as number
    const before = world.state()
    const outcomes = [
      alloc({ pt_id: childless, flags: IOMMU_HWPT_ALLOC_NEST_PARENT }),
      alloc({ pt_id: childless }),
      alloc({ ...data, pt_id: childless, dev_id: plain }),
      alloc({ ...data, pt_id: childless }),
      alloc({ ...data, pt_id: parent, data_type: 2 }),
      alloc({ ...data, pt_id: parent, flags: IOMMU_HWPT_FAULT_ID_VALID }),
    ]
    expect(outcomes).toEqual([
      'EOPNOTSUPP NESTED_FLAGS_UNKNOWN',
      'EOPNOTSUPP NESTED_WITHOUT_DATA',
      'EOPNOTSUPP NESTED_UNSUPPORTED',
      'EINVAL NO_NEST_PARENT',
      'EINVAL USER_DATA_TYPE',
      'ENOENT FAULT_QUEUE_UNKNOWN',
    ])
    expect(world.state()).toEqual(before)
    const nested = alloc({ ...data, pt_id: parent }) as number
    expect(alloc({ ...data, pt_id: nested })).toBe('EINVAL PARENT_UNUSABLE')
    expect(idev.users).toBe(1)
  })

  test('a parent of another driver', () => {
    const world = new World()
    const ioas = world.ioas()
    const [a, b] = [world.bind(world.device('a')), secondToy(world)]
    const parent = world.hwptAlloc({ dev_id: a.id, pt_id: ioas.id, flags: 1 }) as number
    expect(world.hwptAlloc({ ...data, dev_id: b.id, pt_id: parent })).toBe(
      'EINVAL PARENT_OF_OTHER_DRIVER',
    )
    expect(world.outcome(b.attach(parent))).toBe('EINVAL DOMAIN_OF_OTHER_DRIVER')
  })
})

/** A device of another driver of the same kind. */
function secondToy(world: World): IommufdDevice {
  const iommu = new Iommu(world.engine)
  iommu.registerDriver(new ToyDriver(iommu))
  const dev = new ToyDevice('second')
  iommu.addDevice(dev)
  return world.bind(dev)
}
