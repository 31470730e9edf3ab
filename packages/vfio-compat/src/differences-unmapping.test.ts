// SPDX-License-Identifier: Apache-2.0
import {
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_TYPE1_IOMMU,
} from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { ARG, type Column, expectRow, IOVA, must, PAGE } from '../test/columns.js'
import { dirtyBitmapGet, unmapWithBitmap } from '../test/dirty.js'
import { vfio_pin_pages, vfio_unpin_pages } from './group.js'

const ALL = VFIO_DMA_UNMAP_FLAG_ALL
const V1 = VFIO_TYPE1_IOMMU
const START = VFIO_IOMMU_DIRTY_PAGES_FLAG_START
const at = (page: number): number => IOVA + page * PAGE

/** A program with a device open and mappings of so many pages each. */
function mapped(program: Column, counts: readonly number[], type?: number): Column {
  program.start('nic', type)
  program.mapPages(...counts)
  return program
}

function unmapped(program: Column, page: number, size: number, flags = 0): string {
  return `${program.unmap(at(page), size, flags)}, left ${program.left()}`
}

test('V18 TYPE1v2: a mapping is cut', () =>
  expectRow('V18', (column) => [
    unmapped(mapped(column(), [1, 1, 2]), 0, 3 * PAGE),
    unmapped(mapped(column(), [4]), 2, 2 * PAGE),
  ]))

test('V19 TYPE1: a range that begins inside a mapping', () =>
  expectRow('V19', (column) => [unmapped(mapped(column(), [4], V1), 1, PAGE)]))

test('V20 TYPE1: the beginning of a mapping', () =>
  expectRow('V20', (column) => [unmapped(mapped(column(), [4], V1), 0, PAGE)]))

test('V21 TYPE1: what cannot be split', () =>
  expectRow('V21', (column) => {
    const program = column()
    const device = program.startEmulated(V1)
    program.mapPages(4)
    const pinned = vfio_pin_pages(device, at(3), 1, true, new Uint32Array(1))
    const other = mapped(column(), [], V1)
    const dmaBuf = other.mapDmaBuf(2)
    return [
      unmapped(mapped(column(), [4], V1), 0, 0x1800),
      pinned < 0 ? program.outcome(pinned) : 'ok',
      unmapped(program, 1, PAGE),
      dmaBuf,
      unmapped(other, 0, PAGE),
      unmapped(other, 0, 2 * PAGE),
    ]
  }))

test('V22 UNMAP_DMA that is not aligned', () =>
  expectRow('V22', (column) => {
    const program = mapped(column(), [1])
    const inside = `${program.unmap(IOVA + 1, 17)}, left ${program.left()}`
    return [`${program.unmap(at(1) + 1, 17)}, left ${program.left()}`, inside]
  }))

test('V23 UNMAP_DMA of nothing', () =>
  expectRow('V23', (column) => [mapped(column(), []).unmap(IOVA, PAGE)]))

test('V24 UNMAP_DMA with ALL', () =>
  expectRow('V24', (column) => {
    const program = mapped(column(), [1, 2])
    const refused = [program.unmap(PAGE, 0, ALL), program.unmap(0, PAGE, ALL)]
    return [...refused.map((one) => one.replace(/,.*/, '')), program.unmap(0, 0, ALL)]
  }))

const bitmapOf = (outcome: string, bits: bigint): string =>
  outcome === 'ok' ? `ok, bitmap 0x${bits.toString(16)}` : outcome

test('V25 UNMAP_DMA with GET_DIRTY_BITMAP and with VADDR', () =>
  expectRow('V25', (column) => {
    const program = mapped(column(), [4])
    program.call(VFIO_IOMMU_DIRTY_PAGES, Uint8Array.of(8, 0, 0, 0, START))
    const flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP
    const unmap = program.call(VFIO_IOMMU_UNMAP_DMA, unmapWithBitmap(flags, IOVA, 4 * PAGE))
    const bits = program.load(ARG + 256, 8).getBigUint64(0, true)
    const other = mapped(column(), [1])
    const address = other.unmap(IOVA, PAGE, VFIO_DMA_UNMAP_FLAG_VADDR).replace(/,.*/, '')
    return [bitmapOf(unmap, bits), address]
  }))

test('V26 DIRTY_PAGES', () =>
  expectRow('V26', (column) => {
    const call = (program: Column, flag: number) =>
      program.call(VFIO_IOMMU_DIRTY_PAGES, Uint8Array.of(8, 0, 0, 0, flag))
    const first = call(mapped(column(), [4], V1), START)
    const program = mapped(column(), [4])
    const start = call(program, START)
    const get = dirtyBitmapGet(VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, IOVA, 4 * PAGE)
    const got = program.call(VFIO_IOMMU_DIRTY_PAGES, get)
    const bits = program.load(ARG + 256, 8).getBigUint64(0, true)
    return [first, start, bitmapOf(got, bits), call(program, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP)]
  }))

/** A device that has the page at IOVA pinned, and lets go or not. */
function pinning(program: Column, letsGo: boolean): () => number {
  let asked = 0
  const device = program.startEmulated(undefined, () => {
    asked++
    if (letsGo) vfio_unpin_pages(device, IOVA, 1)
  })
  program.mapPages(1)
  must(vfio_pin_pages(device, IOVA, 1, true, new Uint32Array(1)))
  return () => asked
}

/** Type 1 answers a device that does not let go by a BUG, which is the end of the caller. */
function unmapHeld(program: Column, asked: () => number): string {
  try {
    const outcome = program.unmap(IOVA, PAGE).replace(/,.*/, '')
    expect(program.warnings.length).toBe(1)
    return `${outcome}, asked ${asked()} times`
  } catch (error) {
    expect((error as Error).message).toMatch(/^kernel BUG/)
    return `kernel BUG, asked ${asked()} times`
  }
}

test('V33 what a device of the kernel has pinned is unmapped', () =>
  expectRow('V33', (column) => {
    const kind = column()
    pinning(kind, true)
    const bad = column()
    const asked = pinning(bad, false)
    return [kind.unmap(IOVA, PAGE), unmapHeld(bad, asked)]
  }))
