// SPDX-License-Identifier: Apache-2.0
//
// What type 1 does beyond the rows of the table: several page tables, emulated devices beside others, dirty pages, addresses
// that are given up. Written from the same memory of Linux as the code, so these tests say that it is consistent.

import {
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  VFIO_GET_API_VERSION,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_IOMMU_DIRTY_PAGES,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { ARG, BAR, Column, IOVA, MEMORY, must, PAGE, WINDOW } from '../test/columns.js'
import { dirtyBitmapGet } from '../test/dirty.js'
import { rangesOf } from '../test/info-chain.js'
import { type EmulatedVfioDevice, vfio_pin_pages, vfio_unpin_pages } from './group.js'

const START = Uint8Array.of(8, 0, 0, 0, 1)
const VADDR = VFIO_DMA_UNMAP_FLAG_VADDR

const lockedPages = (column: Column): number => column.process.mm.lockedVm

function join(column: Column, name: string, options = {}): number {
  const group = must(column.openGroup(column.device(name, options)))
  expect(column.setContainer(group)).toBe('ok')
  return group
}

const leave = (column: Column, group: number): void => {
  must(column.process.ioctl(group, VFIO_GROUP_UNSET_CONTAINER, 0))
}

test('the API version is 0, with and without an IOMMU', () => {
  const column = new Column('type1')
  expect(column.ioctl(VFIO_GET_API_VERSION, 0)).toBe('ok')
  column.start()
  expect(column.ioctl(VFIO_GET_API_VERSION, 0)).toBe('ok')
})

describe('several groups', () => {
  test('that the same page table can serve share it', () => {
    const column = new Column('type1')
    column.start()
    join(column, 'other')
    column.mapPages(3)
    expect(column.driver.tables.filter(({ frames }) => frames.size === 3).length).toBe(1)
    expect(lockedPages(column)).toBe(3)
  })

  test('with page tables of their own hold everything; it is pinned and charged once', () => {
    const column = new Column('type1')
    column.start()
    column.mapPages(3)
    const group = join(column, 'other', { table: 'other' })
    expect(column.map(IOVA + 3 * PAGE, PAGE, MEMORY + 3 * PAGE)).toBe('ok')
    expect(column.driver.tables.filter(({ frames }) => frames.size === 4).length).toBe(2)
    expect([lockedPages(column), column.machine.pinnedFrames]).toEqual([4, 5])
    leave(column, group)
    expect(column.driver.tables.filter(({ frames }) => frames.size === 4).length).toBe(1)
    expect(column.unmap(0, 0, VFIO_DMA_UNMAP_FLAG_ALL)).toBe('ok, 0x4000 bytes')
    expect([lockedPages(column), column.machine.pinnedFrames]).toEqual([0, 1])
  })

  test('V12 can use what each of them can use; with one gone that grows again', () => {
    const column = new Column('type1')
    column.start()
    const group = join(column, 'narrow', { table: 'narrow', lastHi: 0 })
    expect(rangesOf(column)).toBe('0x0-0xfedfffff 0xfef00000-0xffffffff')
    expect(column.map(2 ** 32)).toBe('EINVAL')
    leave(column, group)
    expect(rangesOf(column)).toBe('0x0-0xfedfffff 0xfef00000-0xffffffffffff')
    expect(column.map(2 ** 32)).toBe('ok')
  })
})

describe('emulated devices beside others', () => {
  function both(): { column: Column; device: EmulatedVfioDevice; group: number } {
    const column = new Column('type1')
    const device = column.startEmulated(3, () => vfio_unpin_pages(device, IOVA, 1))
    const group = join(column, 'nic')
    column.mapPages(4)
    return { column, device, group }
  }

  test('V16 a page that both hold is charged once, whoever lets go first', () => {
    const { column, device, group } = both()
    must(vfio_pin_pages(device, IOVA, 1, true, new Uint32Array(1)))
    expect(lockedPages(column)).toBe(4)
    leave(column, group)
    expect([lockedPages(column), column.machine.pinnedFrames]).toEqual([1, 2])
    join(column, 'again')
    expect([lockedPages(column), column.machine.pinnedFrames]).toEqual([4, 5])
    vfio_unpin_pages(device, IOVA, 1)
    expect(lockedPages(column)).toBe(4)
    expect(column.unmap(IOVA, 4 * PAGE)).toBe('ok, 0x4000 bytes')
    expect([lockedPages(column), column.machine.pinnedFrames]).toEqual([0, 1])
  })

  test('a device that unpins what it has not pinned is warned about', () => {
    const { column, device } = both()
    vfio_unpin_pages(device, IOVA, 1)
    expect(column.warnings.length).toBe(1)
  })
})

describe('V26 dirty pages', () => {
  const bits = (column: Column, first: number, pages: number): string => {
    must(column.process.store(ARG + 256, new Uint8Array(8)))
    const arg = dirtyBitmapGet(4, IOVA + first * PAGE, pages * PAGE)
    const outcome = column.call(VFIO_IOMMU_DIRTY_PAGES, arg)
    return `${outcome} ${column
      .load(ARG + 256, 8)
      .getBigUint64(0, true)
      .toString(2)}`
  }

  test('without a device behind an IOMMU only what is or was pinned is dirty, once', () => {
    const column = new Column('type1')
    const device = column.startEmulated()
    column.mapPages(2, 4)
    column.call(VFIO_IOMMU_DIRTY_PAGES, START)
    expect(bits(column, 0, 6)).toBe('ok 0')
    must(vfio_pin_pages(device, IOVA + 3 * PAGE, 2, true, new Uint32Array(2)))
    vfio_unpin_pages(device, IOVA + 4 * PAGE, 1)
    expect(bits(column, 0, 6)).toBe('ok 11000')
    expect(bits(column, 0, 6)).toBe('ok 1000')
    expect(bits(column, 2, 4)).toBe('ok 10')
  })

  test('what is behind an IOMMU is always dirty; STOP forgets', () => {
    const column = new Column('type1')
    column.start()
    column.mapPages(2, 4)
    expect(bits(column, 0, 6)).toMatch(/^EINVAL/)
    column.call(VFIO_IOMMU_DIRTY_PAGES, START)
    expect(bits(column, 0, 6)).toBe('ok 111111')
    expect(bits(column, 0, 3)).toMatch(/^EINVAL/)
    column.call(VFIO_IOMMU_DIRTY_PAGES, Uint8Array.of(8, 0, 0, 0, 2))
    expect(bits(column, 0, 6)).toMatch(/^EINVAL/)
  })
})

describe('V25 addresses that are given up', () => {
  test('are taken over by another process, which is then charged', () => {
    const column = new Column('type1', { uid: 1000, rlimitMemlock: 8 * PAGE })
    column.start()
    column.mapPages(4)
    const child = column.process.fork()
    column.unmap(IOVA, 4 * PAGE, VADDR)
    const { process } = column
    const arg = column.load(ARG, 32)
    arg.setUint32(0, 32, true)
    arg.setUint32(4, 4, true)
    arg.setBigUint64(8, BigInt(MEMORY), true)
    arg.setBigUint64(16, BigInt(IOVA), true)
    arg.setBigUint64(24, BigInt(4 * PAGE), true)
    must(child.store(ARG, new Uint8Array(arg.buffer)))
    must(child.ioctl(column.container, 0x3b71, ARG))
    expect([process.mm.lockedVm, child.mm.lockedVm]).toEqual([0, 4])
    must(child.ioctl(column.container, 0x3b72, must(storeUnmapAll(child))))
    expect(child.mm.lockedVm).toBe(0)
  })

  test('or by nobody who may not lock so much', () => {
    const column = new Column('type1', { uid: 1000, rlimitMemlock: 8 * PAGE })
    column.start()
    column.mapPages(4)
    const child = column.process.fork()
    must(child.setrlimitMemlock(3 * PAGE, 3 * PAGE))
    column.unmap(IOVA, 4 * PAGE, VADDR)
    const arg = column.load(ARG, 32)
    arg.setUint32(0, 32, true)
    arg.setUint32(4, 4, true)
    arg.setBigUint64(16, BigInt(IOVA), true)
    arg.setBigUint64(24, BigInt(4 * PAGE), true)
    must(child.store(ARG, new Uint8Array(arg.buffer)))
    expect(child.ioctl(column.container, 0x3b71, ARG)).toBe(-12)
    expect([column.process.mm.lockedVm, child.mm.lockedVm]).toEqual([4, 0])
    expect(column.log.length).toBe(1)
  })
})

function storeUnmapAll(process: { store(addr: number, bytes: Uint8Array): number }): number {
  const bytes = new Uint8Array(24)
  bytes.set([24, 0, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL])
  must(process.store(ARG, bytes))
  return ARG
}

test('V17 pages of a device are mapped beside others, and never unpinned', () => {
  const column = new Column('type1')
  column.start()
  column.mapBar()
  expect(column.map(IOVA, PAGE, BAR)).toBe('ok')
  expect(column.map(IOVA + PAGE)).toBe('ok')
  expect([lockedPages(column), column.machine.pinnedFrames]).toEqual([1, 2])
  expect(column.unmap(IOVA, 2 * PAGE)).toBe('ok, 0x2000 bytes')
  expect(column.machine.pinnedFrames).toBe(1)
})

test('a mapping of more pages than are pinned at once, in large pages or not', () => {
  const column = new Column('type1')
  column.start()
  const big = must(column.process.mmap(0, 1200 * PAGE, 3, 0x22))
  expect(column.map(IOVA, 1200 * PAGE, big)).toBe('ok')
  expect(lockedPages(column)).toBe(1200)
  expect(column.unmap(IOVA, 1200 * PAGE)).toBe(`ok, 0x${(1200 * PAGE).toString(16)} bytes`)
  expect(column.machine.pinnedFrames).toBe(1)
})

test('a driver that refuses to map half-way leaves nothing mapped, pinned or charged', () => {
  const column = new Column('type1')
  column.start()
  column.driver.mapRefuses = 12
  expect(column.map(IOVA, 4 * PAGE)).toBe('ENOMEM')
  expect([lockedPages(column), column.machine.pinnedFrames, column.left()]).toEqual([0, 1, 'none'])
})

test('closing the container leaves it to its groups', () => {
  const column = new Column('type1')
  const { group, device } = column.start()
  column.mapPages(2)
  must(column.process.close(column.container))
  expect(column.machine.pinnedFrames).toBe(3)
  must(column.process.close(device))
  must(column.process.close(group))
  expect(column.machine.pinnedFrames).toBe(1)
})

test('what the process has when it exits is given back', () => {
  const column = new Column('type1')
  column.start()
  column.mapPages(2)
  expect(column.map(WINDOW)).toBe('EINVAL')
  column.process.exit()
  expect(column.machine.pinnedFrames).toBe(1)
})
