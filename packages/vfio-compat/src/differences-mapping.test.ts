// SPDX-License-Identifier: Apache-2.0
import { VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_VADDR } from '@iommufd/uapi'
import { test } from 'vitest'
import {
  BAR,
  type Column,
  expectRow,
  IOVA,
  MEMORY,
  must,
  NOTHING,
  PAGE,
  WINDOW,
} from '../test/columns.js'
import { availableMappings } from '../test/info-chain.js'

const VADDR = VFIO_DMA_MAP_FLAG_VADDR
const UNMAP_VADDR = 4
const TOP = 2n ** 64n - BigInt(PAGE)

/** The program has everything but an open device: its group. */
function almost(program: Column): number {
  const group = program.join()
  must(program.process.ioctl(program.container, 0x3b66, 3))
  return group
}

/** Opens the device: `'ok'` or the errno. */
function open(program: Column, group: number): string {
  const fd = program.openDevice(group, 'nic')
  return fd < 0 ? program.outcome(fd) : 'ok'
}

test('V7 flags of MAP_DMA', () =>
  expectRow('V7', (column) => {
    const early = column()
    almost(early)
    const program = column()
    program.start()
    const none = program.map(IOVA, PAGE, MEMORY, 0)
    const both = program.map(IOVA, PAGE, MEMORY, VADDR | VFIO_DMA_MAP_FLAG_READ)
    program.mapPages(1)
    program.unmap(IOVA, PAGE, UNMAP_VADDR)
    const moved = program.map(IOVA, PAGE, MEMORY + PAGE, VADDR)
    const unknown = program.map(IOVA + PAGE, PAGE, MEMORY, 8)
    return [early.map(IOVA, PAGE, MEMORY, 0), none, both, moved, unknown]
  }))

test('V8 MAP_DMA past the end of the 64-bit space', () =>
  expectRow('V8', (column) => {
    const program = column()
    program.start()
    return [program.map(TOP, 2 * PAGE), program.map(IOVA, 2 * PAGE, TOP)]
  }))

test('V9 MAP_DMA of size 0', () =>
  expectRow('V9', (column) => {
    const program = column()
    program.start()
    return [program.map(IOVA, 0)]
  }))

test('V10 alignment of MAP_DMA', () =>
  expectRow('V10', (column) => {
    const early = column()
    const group = almost(early)
    const program = column()
    program.start()
    return [
      early.map(IOVA, 0x800),
      open(early, group),
      program.map(IOVA, 0x800),
      program.map(IOVA + 0x800),
      program.map(IOVA, PAGE, MEMORY + 0x800),
    ]
  }))

test('V11 MAP_DMA over a mapping', () =>
  expectRow('V11', (column) => {
    const program = column()
    program.start()
    program.mapPages(1)
    return [program.map(IOVA)]
  }))

test('V12 MAP_DMA where it cannot be translated', () =>
  expectRow('V12', (column) => {
    const early = column()
    almost(early)
    const program = column()
    program.start()
    return [program.map(WINDOW), program.map(2n ** 48n), early.map(WINDOW)]
  }))

test('V13 too many mappings', () =>
  expectRow('V13', (column) => {
    const program = column({ dmaEntryLimit: 4 })
    program.start()
    program.mapPages(1, 1, 1, 1)
    return [program.map(IOVA + 4 * PAGE), `${availableMappings(program)}`]
  }))

test('V14 MAP_DMA of memory that is not there', () =>
  expectRow('V14', (column) => {
    const early = column()
    const group = almost(early)
    const program = column()
    program.start()
    return [early.map(IOVA, PAGE, NOTHING), open(early, group), program.map(IOVA, PAGE, NOTHING)]
  }))

test('V15 RLIMIT_MEMLOCK is exceeded', () =>
  expectRow('V15', (column) => {
    const program = column({ uid: 1000, rlimitMemlock: 3 * PAGE })
    program.start()
    program.mapPages(3)
    return [program.map(IOVA + 3 * PAGE), `${program.log.length}`]
  }))

/** What 4 pages are charged to, where the container is `path`. */
function charges(program: Column): string {
  program.start()
  program.mapPages(4)
  return program.charges()
}

test('V16 who is charged', () =>
  expectRow('V16', (column) => {
    const program = column({ uid: 1000 })
    const isType1 = program.kind === 'type1'
    return [
      charges(program),
      isType1 ? 'no such container' : charges(column({ uid: 1000, path: '/dev/iommu' })),
      charges(column()),
    ]
  }))

test('V17 memory that a device has mapped into the process', () =>
  expectRow('V17', (column) => {
    const program = column({ uid: 1000 })
    program.start()
    program.mapBar()
    return [program.map(IOVA, PAGE, BAR), `${program.process.status().VmLck} kB`]
  }))
