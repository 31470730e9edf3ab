// SPDX-License-Identifier: Apache-2.0
// Devices opened as /dev/vfio/devices/vfioN: the rules of SPEC section 7, line by line.

import type { FileOperations } from '@iommufd/host'
import { VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_BIND_IOMMUFD } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { CdevWorld } from '../test/cdev-world.js'
import { MEMORY, must, NOTHING, PAGE } from '../test/columns.js'
import { PaperDevice } from '../test/paper-driver.js'
import { EmulatedVfioDevice, NoIommuVfioDevice, PhysicalVfioDevice } from './group.js'

const words = (...values: number[]): Uint8Array => new Uint8Array(Int32Array.from(values).buffer)

describe('section 7: /dev/vfio/devices', () => {
  test('each device behind an IOMMU or emulated has a file, with its own number', () => {
    const world = new CdevWorld({ noiommu: true })
    world.device('a', { group: 'pair' })
    world.column.add(new NoIommuVfioDevice('raw'))
    world.device('b', { group: 'pair' })
    world.column.emulated('mdev')
    expect([0, 1, 2].map((number) => world.open(number))).toEqual([4, 5, 6])
    expect(world.open(3)).toBe(-2)
  })

  test('a device that was taken away is ENODEV, when opened and when bound', () => {
    const world = new CdevWorld()
    world.device()
    const fd = must(world.open())
    const [device] = world.column.vfio.groups[0]?.devices ?? []
    world.column.vfio.removeDevice(device as never)
    expect([world.open(), world.bind(fd), world.why()]).toEqual([-19, 'ENODEV', 'CDEV_DEVICE_GONE'])
  })

  test('before it is bound everything but binding is EINVAL', () => {
    const world = new CdevWorld()
    const device = new PaperDevice('nic')
    must(world.column.iommu.addDevice(device))
    const all: FileOperations = { ioctl: () => 7, pread: () => 7, pwrite: () => 7, mmap: () => -1 }
    world.column.add(new PhysicalVfioDevice(device, { operations: () => all }))
    const fd = must(world.open())
    const { process } = world.column
    const calls = [
      () => process.ioctl(fd, 0x3b6b, NOTHING),
      () => process.ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, NOTHING),
      () => process.ioctl(fd, 0x3b78, NOTHING),
      () => process.read(fd, MEMORY, 1),
      () => process.write(fd, MEMORY, 1),
      () => process.pread(fd, MEMORY, 1, 0),
      () => process.pwrite(fd, MEMORY, 1, 0),
      () => process.mmap(0, PAGE, 1, 1, fd, 0),
    ]
    for (const call of calls) expect([call(), world.why()]).toEqual([-22, 'CDEV_NOT_BOUND'])
    expect(world.bind(fd)).toBe('id 1')
    expect(calls.map((call) => call())).toEqual([7, -14, -14, 7, 7, 7, 7, -1])
  })
})

describe('section 7: VFIO_DEVICE_BIND_IOMMUFD', () => {
  const raw = (argsz: number, flags: number, iommufd: number, ...tail: number[]): string[] => {
    const world = new CdevWorld()
    world.device()
    const fd = must(world.open())
    const bytes = words(argsz, flags, iommufd < 0 ? iommufd : world.iommufd, 0, ...tail)
    return [world.ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, bytes), world.why() ?? '']
  }

  test('argsz below 16 is EINVAL, a tail that is not zero E2BIG, before flags are looked at', () => {
    expect(raw(15, 8, -1)).toEqual(['EINVAL', 'CDEV_ARGSZ_TOO_SMALL'])
    expect(raw(28, 8, -1, 0, 0, 1)).toEqual(['E2BIG', 'STRUCT_TAIL_NOT_ZERO'])
    expect(raw(28, 0, 0, 0, 0, 0)).toEqual(['ok', ''])
    expect(raw(24, 0, 0, 5, 5)).toEqual(['ok', ''])
    expect(raw(0x7fff_ffff, 0, 0)).toEqual(['EFAULT', 'USER_UNREADABLE'])
  })

  test('a negative descriptor and unknown flags are EINVAL', () => {
    expect(raw(16, 0, -1)).toEqual(['EINVAL', 'BIND_ARGUMENT'])
    expect(raw(16, 2, 0)).toEqual(['EINVAL', 'BIND_ARGUMENT'])
  })

  test('bad pointers are EFAULT', () => {
    const world = new CdevWorld()
    world.device()
    const fd = must(world.open())
    expect(world.column.process.ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, NOTHING)).toBe(-14)
    const end = MEMORY + 16 * PAGE - 8
    must(world.column.process.store(end, words(16, 0)))
    expect(world.column.process.ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, end)).toBe(-14)
  })

  test('a group that is open is EBUSY, even for a descriptor that is bound; and the other way', () => {
    const world = new CdevWorld()
    const number = world.device()
    const group = must(world.column.openGroup(number))
    const fd = must(world.open())
    expect([world.bind(fd, 77), world.why()]).toEqual(['EBUSY', 'BIND_GROUP_IN_USE'])
    world.close(group)
    expect(world.bind(fd)).toBe('id 1')
    expect(world.column.openGroup(number)).toBe(-16)
    expect(world.why()).toBe('GROUP_USED_BY_DEVICE_FILES')
    world.close(fd)
    must(world.column.openGroup(number))
  })

  test('twice is EINVAL, before the descriptor is looked at', () => {
    const world = new CdevWorld()
    const fd = world.bound()
    expect([world.bind(fd, 77), world.why()]).toEqual(['EINVAL', 'BIND_TWICE'])
  })

  test('a token is EINVAL, before the descriptor is looked at', () => {
    const world = new CdevWorld()
    world.device()
    const fd = must(world.open())
    expect([world.bind(fd, 77, 1), world.why()]).toEqual(['EINVAL', 'BIND_TOKEN_UNSUPPORTED'])
    expect(world.bind(fd)).toBe('id 1')
  })

  test('a descriptor that is not open is EBADF, another file EBADFD; then it can be bound', () => {
    const world = new CdevWorld()
    world.device()
    const fd = must(world.open())
    expect([world.bind(fd, 77), world.bind(fd, 0), world.bind(fd, fd)]).toEqual([
      'EBADF',
      'EBADFD',
      'EBADFD',
    ])
    must(world.column.openGroup(0))
  })

  test('a device is bound by one descriptor at a time, and again after that is closed', () => {
    const world = new CdevWorld()
    const fd = world.bound()
    const other = must(world.open())
    expect([world.bind(other), world.why()]).toEqual(['EINVAL', 'BIND_DEVICE_OPEN'])
    world.close(fd)
    expect(world.bind(other)).toBe('id 1')
  })

  test('a device that its group opened, which was closed then, is EINVAL', () => {
    const world = new CdevWorld()
    const number = world.device()
    const group = must(world.column.openGroup(number))
    expect(world.column.setContainer(group)).toBe('ok')
    must(world.column.openDevice(group, 'nic'))
    world.close(group)
    expect([world.bind(must(world.open())), world.why()]).toEqual(['EINVAL', 'BIND_DEVICE_OPEN'])
  })

  test('errors of binding come out, and leave the group free', () => {
    const world = new CdevWorld()
    world.device('wild', { isolatedMsi: false })
    expect(world.bind(must(world.open()))).toBe('EPERM')
    const shared = new CdevWorld()
    shared.device('a', { group: 'pair' })
    shared.device('b', { group: 'pair' })
    const [a, b] = [must(shared.open(0)), must(shared.open(1))]
    expect(shared.bind(a)).toBe('id 1')
    const second = must(shared.column.process.open('/dev/iommu'))
    expect(shared.bind(b, second)).toBe('EBUSY')
    expect(shared.bind(b)).toBe('id 2')
    expect(shared.objects()).toBe('DEVICE 1, DEVICE 2')
    shared.close(a)
    expect(shared.column.openGroup(0)).toBe(-16)
    shared.close(b)
    must(shared.column.openGroup(0))
  })

  test('an emulated device is an access; its id is the access’s', () => {
    const world = new CdevWorld()
    world.column.emulated('mdev')
    const fd = must(world.open())
    expect(world.bind(fd)).toBe('id 1')
    const [first, second] = [world.ioas(), world.ioas()]
    expect(world.objects()).toBe('ACCESS 1, IOAS 2, IOAS 3')
    expect(world.attach(fd, first)).toBe(`table ${first}`)
    expect(world.destroy(first)).toBe('EBUSY')
    expect(world.attach(fd, second)).toBe(`table ${second}`)
    expect(world.destroy(first)).toBe('ok')
    expect([world.attach(fd, second, 1), world.why()]).toEqual([
      'EOPNOTSUPP',
      'ATTACH_WITHOUT_PASIDS',
    ])
    expect([world.detach(fd, 1), world.detach(fd), world.detach(fd)]).toEqual([
      'EOPNOTSUPP',
      'ok',
      'ok',
    ])
    expect(world.destroy(second)).toBe('ok')
    expect([world.attach(fd, 99), world.attach(fd, 99)]).toEqual(['ENOENT', 'ENOENT'])
  })
})

describe('section 7: VFIO_DEVICE_ATTACH_IOMMUFD_PT and DETACH', () => {
  test('argsz, flags, then the size with a PASID', () => {
    const world = new CdevWorld()
    const fd = world.bound()
    const attach = (...values: number[]): [string, string?] => [
      world.ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, words(...values)),
      world.why() as string,
    ]
    expect(attach(11, 2, 1)).toEqual(['EINVAL', 'CDEV_ARGSZ_TOO_SMALL'])
    expect(attach(12, 2, 1)).toEqual(['EINVAL', 'ATTACH_FLAGS'])
    expect(attach(15, 1, 1, 1)).toEqual(['EINVAL', 'CDEV_ARGSZ_TOO_SMALL'])
    expect(attach(12, 0, world.ioas())).toEqual(['ok', undefined])
    const detach = (...values: number[]): string => world.ioctl(fd, 0x3b78, words(...values))
    expect([detach(7, 2), detach(8, 2), detach(11, 1, 5)]).toEqual(['EINVAL', 'EINVAL', 'EINVAL'])
    expect(world.objects()).toMatch('HWPT')
    expect(detach(8, 0)).toBe('ok')
    expect(world.objects()).not.toMatch('HWPT')
  })

  test('attaching gives the table’s id; a second time is a replacement', () => {
    const world = new CdevWorld()
    const fd = world.bound()
    const [first, second] = [world.ioas(), world.ioas()]
    expect(world.attach(fd, first)).toBe('table 4')
    expect(world.attach(fd, first)).toBe('table 4')
    expect(world.attach(fd, second)).toBe('table 5')
    expect(world.objects()).toBe('DEVICE 1, IOAS 2, IOAS 3, HWPT 5')
    expect(world.attach(fd, 5)).toBe('table 5')
    expect(world.attach(fd, 99)).toBe('ENOENT')
    expect(world.attach(fd, 1)).toBe('EINVAL')
    expect(world.objects()).toMatch('HWPT 5')
  })

  test('detaching what is not attached is 0', () => {
    const world = new CdevWorld()
    const fd = world.bound()
    expect([world.detach(fd), world.detach(fd, 3), world.detach(fd, 2 ** 32 - 1)]).toEqual([
      'ok',
      'ok',
      'ok',
    ])
  })

  test('a PASID: as the IOMMU permits, and a number of 31 bits', () => {
    const world = new CdevWorld()
    const fd = world.bound()
    const ioas = world.ioas()
    expect([world.attach(fd, ioas, 2 ** 31), world.why()]).toEqual([
      'ENOSPC',
      'ATTACH_PASID_TOO_LARGE',
    ])
    expect(world.attach(fd, ioas, 1)).toMatch(/^E(OPNOTSUPP|INVAL)$/)
    expect(world.objects()).toBe('DEVICE 1, IOAS 2')
    // PASID 0 is DMA without one, remembered apart.
    expect(world.attach(fd, ioas, 0)).toBe('table 3')
    expect(world.attach(fd, ioas, 0)).toBe('table 3')
    expect(world.attach(fd, ioas)).toBe('EBUSY')
    expect(world.detach(fd)).toBe('ok')
    expect(world.objects()).toMatch('HWPT')
    expect(world.detach(fd, 0)).toBe('ok')
    expect(world.objects()).toBe('DEVICE 1, IOAS 2')
  })

  test('PASIDs have tables of their own, replaced one by one, and given back at the end', () => {
    const world = new CdevWorld()
    const fd = world.bound('nic', { pasids: 16 })
    const ioas = world.ioas()
    const [first, second] = [world.pasidTable(1, ioas), world.pasidTable(1, ioas)]
    const device = world.column.vfio.groups[0]?.devices[0] as PhysicalVfioDevice
    const { byPasid } = device.device as PaperDevice
    const tables = world.column.driver.tables
    const used = (): Record<number, number> =>
      Object.fromEntries(
        [...byPasid].map(([pasid, domain]) => [pasid, tables.indexOf(domain as never)]),
      )
    expect(world.attach(fd, first, 3)).toBe(`table ${first}`)
    expect(world.attach(fd, first, 7)).toBe(`table ${first}`)
    expect(world.attach(fd, second, 3)).toBe(`table ${second}`)
    expect(used()).toEqual({ 3: 1, 7: 0 })
    expect(world.attach(fd, first, 16)).toBe('EINVAL')
    expect([world.destroy(first), world.destroy(second)]).toEqual(['EBUSY', 'EBUSY'])
    expect([world.detach(fd, 3), world.destroy(second)]).toEqual(['ok', 'ok'])
    expect(used()).toEqual({ 7: 0 })
    expect(world.attach(fd, first)).toBe(`table ${first}`)
    world.close(fd)
    expect(used()).toEqual({})
    expect(world.destroy(first)).toBe('ok')
    expect(world.column.warnings).toEqual([])
  })

  test('an answer that cannot be written detaches again', () => {
    const world = new CdevWorld()
    const fd = world.bound()
    const ioas = world.ioas()
    world.attach(fd, ioas)
    const { process } = world.column
    must(process.store(MEMORY, words(12, 0, ioas)))
    must(process.mprotect(MEMORY, PAGE, 1))
    expect(process.ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, MEMORY)).toBe(-14)
    expect(world.objects()).toBe('DEVICE 1, IOAS 2')
  })
})

describe('section 7: the end', () => {
  test('closing the device detaches and unbinds, after what stands behind it', () => {
    const world = new CdevWorld()
    const told: string[] = []
    const dev = new PaperDevice('nic')
    must(world.column.iommu.addDevice(dev))
    const device = new PhysicalVfioDevice(dev, {
      operations: () => ({ release: () => told.push(`${device.bound?.isAttached()}`) }),
    })
    world.column.add(device)
    const fd = must(world.open())
    world.bind(fd)
    world.attach(fd, world.ioas())
    world.close(fd)
    expect(told).toEqual(['true'])
    expect(world.objects()).toBe('IOAS 2')
    expect(world.column.vfio.groups[0]?.isClaimed).toBe(false)
  })

  test('the device keeps the iommufd alive; its object cannot be destroyed', () => {
    const world = new CdevWorld()
    const fd = world.bound()
    expect(world.destroy(1)).toBe('EBUSY')
    world.attach(fd, world.ioas())
    world.close(world.iommufd)
    expect(world.column.engine.contexts.size).toBe(1)
    world.close(fd)
    expect(world.column.engine.contexts.size).toBe(0)
    expect(world.column.driver.tables.every(({ isFree }) => isFree)).toBe(true)
  })

  test('closing a descriptor that bound nothing changes nothing', () => {
    const world = new CdevWorld()
    const fd = world.bound()
    const other = must(world.open())
    world.close(other)
    expect(world.attach(fd, world.ioas())).toBe('table 3')
  })

  test('an emulated device that is open on a group is not another’s', () => {
    const world = new CdevWorld()
    const device = new EmulatedVfioDevice('mdev', () => {})
    const group = must(world.column.openGroup(world.column.add(device)))
    expect(world.bind(must(world.open()))).toBe('EBUSY')
    expect(world.column.setContainer(group)).toBe('ok')
    must(world.column.openDevice(group, 'mdev'))
    expect(device.openCount).toBe(1)
  })
})

test('section 7: every fault point of open, bind, attach, replace and detach', () => {
  const world = new CdevWorld({ uid: 1000, rlimitMemlock: 64 * PAGE })
  world.device()
  const { faults } = world.column.engine
  /** Refused calls that left the device attached to nothing. */
  let detached = 0
  const state = (): string => `${world.objects()} ${world.column.vfio.groups[0]?.isClaimed}`
  /** Fails each point until none is left; how many there are. */
  const each = (step: () => string, redo?: () => string): number => {
    for (let n = 1; ; n++) {
      const before = state()
      faults.arm(n)
      const outcome = step()
      const { fired } = faults
      faults.disarm()
      if (!fired) {
        expect(outcome).toMatch(/^(id|table|ok|\d)/)
        return n - 1
      }
      if (outcome.startsWith('table')) continue
      expect(outcome).toMatch(/^E(NOMEM|FAULT)$/)
      if (state() === before) continue
      expect(redo?.()).toMatch(/^table/)
      detached++
    }
  }
  const fds: number[] = []
  const opened = (): string => {
    const fd = world.open()
    if (fd >= 0) fds.push(fd)
    return fd < 0 ? world.column.outcome(fd) : `${fd}`
  }
  const [first, second] = [world.ioas(), world.ioas()]
  const points = { open: each(opened), bind: 0, attach: 0, replace: 0, detach: 0 }
  const [fd] = fds as [number]
  points.bind = each(() => world.bind(fd))
  points.attach = each(() => world.attach(fd, first))
  // An answer that cannot be written detaches, also what was attached before.
  points.replace = each(
    () => world.attach(fd, second),
    () => world.attach(fd, first),
  )
  expect(detached).toBe(1)
  points.detach = each(() => world.detach(fd))
  expect(points).toEqual({ open: 1, bind: 5, attach: 7, replace: 6, detach: 1 })
  for (const open of [...fds, world.iommufd]) world.close(open)
  expect(world.column.engine.contexts.size).toBe(0)
  expect(world.column.driver.tables.every(({ isFree }) => isFree)).toBe(true)
  expect(world.column.warnings).toEqual([])
})
