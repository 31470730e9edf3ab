// SPDX-License-Identifier: Apache-2.0
import { type FileOperations, FMODE_READ } from '@iommufd/host'
import {
  VFIO_GROUP_FLAGS_CONTAINER_SET,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_NOIOMMU_IOMMU,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { ARG, Column, type ColumnKind, IOVA, MEMORY, must, NOTHING, PAGE } from '../test/columns.js'
import { PaperDevice } from '../test/paper-driver.js'
import {
  EmulatedVfioDevice,
  PhysicalVfioDevice,
  vfio_pin_pages,
  vfio_unpin_pages,
} from './group.js'

const VIABLE = VFIO_GROUP_FLAGS_VIABLE
const IN_CONTAINER = VFIO_GROUP_FLAGS_CONTAINER_SET

/** Flags of VFIO_GROUP_GET_STATUS. */
function status(column: Column, group: number): number {
  must(column.process.store(ARG, Uint8Array.of(8, 0, 0, 0, 0xff, 0, 0, 0)))
  must(column.process.ioctl(group, VFIO_GROUP_GET_STATUS, ARG))
  return column.load(ARG + 4, 4).getUint32(0, true)
}

const unset = (column: Column, group: number): string =>
  column.outcome(column.process.ioctl(group, VFIO_GROUP_UNSET_CONTAINER, 0))

/** Two devices that the IOMMU cannot tell apart: the group's descriptor. */
function pair(column: Column): number {
  column.device('a', { group: 'pair' })
  const number = column.device('b', { group: 'pair' })
  expect(column.vfio.groups.length).toBe(1)
  return must(column.openGroup(number))
}

describe.each(['type1', 'iommufd'] as ColumnKind[])('%s', (kind) => {
  test('GET_STATUS: viable, in a container, and out of it again', () => {
    const column = new Column(kind)
    const group = must(column.openGroup(column.device('nic')))
    expect(status(column, group)).toBe(VIABLE)
    column.setContainer(group)
    expect(status(column, group)).toBe(VIABLE | IN_CONTAINER)
    expect(unset(column, group)).toBe('ok')
    expect(status(column, group)).toBe(VIABLE)
    expect(unset(column, group)).toBe('EINVAL')
  })

  test('GET_STATUS, SET_CONTAINER, GET_DEVICE_FD: bad pointers are EFAULT', () => {
    const column = new Column(kind)
    const group = must(column.openGroup(column.device('nic')))
    for (const cmd of [0x3b67, 0x3b68, 0x3b6a]) {
      expect(column.outcome(column.process.ioctl(group, cmd, NOTHING))).toBe('EFAULT')
    }
    must(column.process.store(MEMORY + 16 * PAGE - 2, Uint8Array.of(65, 66)))
    const name = column.process.ioctl(group, 0x3b6a, MEMORY + 16 * PAGE - 2)
    expect(column.outcome(name)).toBe('EFAULT')
  })

  test('devices of a group share what they reach; each is opened and closed on its own', () => {
    const column = new Column(kind)
    const group = pair(column)
    column.setContainer(group)
    column.setIommu()
    const [a, b] = [must(column.openDevice(group, 'a')), must(column.openDevice(group, 'b'))]
    const twice = must(column.openDevice(group, 'a'))
    column.mapPages(3)
    const filled = column.driver.tables.filter(({ frames }) => frames.size === 3)
    expect(filled.length).toBe(1)
    for (const fd of [a, twice, b]) must(column.process.close(fd))
    expect(unset(column, group)).toBe('ok')
  })

  test('a group is open once, and again after it was closed; closing it leaves the container', () => {
    const column = new Column(kind)
    const number = column.device('nic')
    const group = must(column.openGroup(number))
    expect(column.outcome(column.openGroup(number))).toBe('EBUSY')
    column.setContainer(group)
    must(column.process.close(group))
    const again = must(column.openGroup(number))
    expect(status(column, again)).toBe(VIABLE)
  })

  test('devices stay open when the group is closed', () => {
    const column = new Column(kind)
    const { group, device } = column.start()
    column.mapPages(2)
    must(column.process.close(group))
    expect(column.driver.tables.some(({ frames }) => frames.size === 2)).toBe(true)
    must(column.process.close(device))
    expect(column.vfio.groups[0]?.hasIommu).toBe(false)
    expect(column.driver.tables.every(({ frames }) => frames.size === 0)).toBe(true)
  })

  test('a group that another program has is not viable there, and cannot be had', () => {
    const column = new Column(kind)
    const group = pair(column)
    column.setContainer(group)
    column.setIommu()
    must(column.openDevice(group, 'a'))
    const dev = column.vfio.groups[0]?.devices[0] as PhysicalVfioDevice
    expect(dev.device.group?.claimDmaOwner(dev.device, {})).toBe(-16)
  })

  test('what stands behind a device gets its calls, and is told when it is closed', () => {
    const column = new Column(kind)
    const calls: string[] = []
    const behind: FileOperations = {
      ioctl: (_task, cmd) => calls.push(`ioctl ${cmd}`),
      read: (_task, _hi, lo, length) => calls.push(`read ${lo}`) && length,
      release: () => calls.push('release'),
    }
    const dev = new PaperDevice('modelled')
    must(column.iommu.addDevice(dev))
    const device = new PhysicalVfioDevice(dev, { operations: () => behind })
    const group = must(column.openGroup(column.add(device)))
    column.setContainer(group)
    column.setIommu()
    const fd = must(column.openDevice(group, 'modelled'))
    expect(column.process.ioctl(fd, 0x3b6b, 0)).toBe(1)
    expect(column.process.read(fd, MEMORY, 9)).toBe(9)
    expect(column.process.file(fd)?.mode).toBe(FMODE_READ | 2)
    must(column.process.close(fd))
    expect(calls).toEqual([`ioctl ${0x3b6b}`, `read ${MEMORY - 2 ** 32}`, 'release'])
  })

  test('an emulated device pins what is mapped, only while it is open', () => {
    const column = new Column(kind)
    const closed = new EmulatedVfioDevice('closed', () => {})
    expect(vfio_pin_pages(closed, IOVA, 1, false, new Uint32Array(1))).toBe(-22)
    const device = column.startEmulated()
    column.mapPages(2)
    const frames = new Uint32Array(2)
    expect(vfio_pin_pages(device, IOVA, 2, true, frames)).toBe(2)
    expect(vfio_pin_pages(device, IOVA + PAGE, 1, true, frames)).toBe(1)
    vfio_unpin_pages(device, IOVA + PAGE, 1)
    vfio_unpin_pages(device, IOVA, 2)
    expect(column.unmap(IOVA, 2 * PAGE)).toBe('ok, 0x2000 bytes')
    expect(column.machine.pinnedFrames).toBe(1)
  })
})

describe('V31 devices without an IOMMU', () => {
  test('work in a container of their own', () => {
    for (const kind of ['type1', 'iommufd'] as const) {
      const column = new Column(kind, { noiommu: true })
      const group = must(column.openGroup(column.withoutIommu('raw'), 'noiommu-'))
      expect(status(column, group)).toBe(VIABLE)
      expect(column.setContainer(group)).toBe('ok')
      expect(column.setIommu(3)).toMatch(/EINVAL|ENODEV/)
      expect(column.setIommu(VFIO_NOIOMMU_IOMMU)).toBe('ok')
      const fd = must(column.openDevice(group, 'raw'))
      expect(column.map(IOVA)).toMatch(/ENODEV|ENOTTY/)
      must(column.process.close(fd))
      expect(unset(column, group)).toBe('ok')
    }
  })

  test('are none where the machine does not allow them', () => {
    const column = new Column('iommufd')
    expect(() => column.withoutIommu('raw')).toThrow('EINVAL')
    const incoherent = new PaperDevice('old', { coherent: false })
    must(column.iommu.addDevice(incoherent))
    expect(column.vfio.addDevice(new PhysicalVfioDevice(incoherent))).toBe(-22)
  })
})

test('a device that is open cannot be taken away', () => {
  const column = new Column('iommufd')
  column.start()
  const [device] = column.vfio.groups[0]?.devices ?? []
  expect(() => column.vfio.removeDevice(device as never)).toThrow('nic is open')
})
