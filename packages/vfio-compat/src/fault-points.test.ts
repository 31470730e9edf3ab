// SPDX-License-Identifier: Apache-2.0
//
// Each fault point of each step that a VFIO program takes is failed in turn, in both columns: a refused step has changed
// nothing, and when all is closed nothing is left.

import {
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { Column, type ColumnKind, IOVA, must, PAGE } from '../test/columns.js'
import { dirtyBitmapGet, unmapWithBitmap } from '../test/dirty.js'
import { type EmulatedVfioDevice, vfio_pin_pages, vfio_unpin_pages } from './group.js'
import { Type1Container } from './type1.js'

/** Everything that a refused call must leave as it was. */
function stateOf(column: Column): unknown {
  const { machine, process, engine, vfio, iommu } = column
  const file = process.file(column.container)
  const type1 = file?.ops instanceof Type1Container ? file.ops.iommu : undefined
  const ctx = file && engine.contextOf(file)
  return {
    pinned: machine.pinnedFrames,
    charges: column.charges(),
    objects: [...(ctx?.objects ?? [])].map(
      ({ id, typeName, users }) => `${typeName} ${id} ${users}`,
    ),
    mapped: ctx === undefined || [...ctx.objects].length === 0 ? '' : column.left(),
    type1: type1 && [type1.available, type1.usable, type1.tables.length, type1.tracksDirty],
    mappings:
      type1 && [...type1.mappings].map(({ first, last, dirty }) => [first, last, dirty?.size]),
    groups: vfio.groups.map(({ hasIommu, isClaimed, devices }) => [
      hasIommu,
      isClaimed,
      devices.map(({ openCount }) => openCount),
    ]),
    files: Array.from({ length: 12 }, (_, fd) => process.file(fd) !== undefined),
    domains: iommu.engine === engine,
  }
}

/** Fails the first, the second, … point of the step until none is left; how many there are. */
function eachFault(
  column: Column,
  step: () => string,
  onFault: (before: unknown) => void = (before) => expect(stateOf(column)).toEqual(before),
  undo?: () => void,
): number {
  const { faults } = column.engine
  for (let n = 1; ; n++) {
    const before = stateOf(column)
    faults.arm(n)
    const outcome = step()
    const { fired } = faults
    faults.disarm()
    if (!fired) {
      expect(outcome).toMatch(/^(ok|\d+)/)
      return n - 1
    }
    // What is tried first and can be done otherwise.
    if (undo !== undefined && outcome === 'ok') undo()
    else {
      expect(outcome).toMatch(/^E(NOMEM|FAULT)/)
      onFault(before)
    }
  }
}

/** A device of its own, ready to be opened, in the column; what opening gives. */
function fresh(kind: ColumnKind): Column {
  return new Column(kind, { uid: 1000, rlimitMemlock: 64 * PAGE })
}

function closeAll(column: Column): void {
  const { process, machine } = column
  for (let fd = 11; fd > 2; fd--) if (process.file(fd) !== undefined) process.close(fd)
  // The one frame of the machine's BAR.
  expect(machine.pinnedFrames).toBe(1)
  expect(column.charges()).toBe('VmLck 0 kB, VmPin 0 kB, user 0 pages')
  expect(column.engine.contexts.size).toBe(0)
  expect(column.vfio.groups.some(({ isClaimed }) => isClaimed)).toBe(false)
  expect(column.driver.tables.every(({ frames }) => frames.size === 0)).toBe(true)
}

const opened = (column: Column, fd: number): string => (fd < 0 ? column.outcome(fd) : `${fd}`)

describe.each(['type1', 'iommufd'] as const)('%s', (kind) => {
  test('a group joins, the type is set, the device is opened, with memory mapped early', () => {
    const column = fresh(kind)
    const group = must(column.openGroup(column.device('nic')))
    const points = {
      join: eachFault(column, () => column.setContainer(group)),
      set: eachFault(column, () => column.setIommu()),
      map: 0,
      open: 0,
    }
    points.map = eachFault(column, () => column.map(IOVA, 4 * PAGE))
    points.open = eachFault(column, () => opened(column, column.openDevice(group, 'nic')))
    // The one maps into a page table that is there, the other when the device is opened.
    const expected =
      kind === 'type1'
        ? { join: 2, set: 4, map: 5, open: 2 }
        : { join: 2, set: 0, map: 3, open: 12 }
    expect(points).toEqual(expected)
    closeAll(column)
  })

  test('E5 mapping with a device open: pins, charges, page tables', () => {
    const column = fresh(kind)
    column.start()
    const points = eachFault(column, () => column.map(IOVA, 8 * PAGE))
    expect(points).toBe(kind === 'type1' ? 5 : 6)
    expect(column.left()).toBe('0-8')
    closeAll(column)
  })

  test('V27 GET_INFO: every copy', () => {
    const column = fresh(kind)
    column.start()
    expect(eachFault(column, () => column.info(256).outcome)).toBe(kind === 'type1' ? 4 : 7)
    closeAll(column)
  })

  test('unmapping: when the answer cannot be written it has been made', () => {
    const column = fresh(kind)
    column.start()
    column.mapPages(4)
    let gone = 0
    const points = eachFault(
      column,
      () => column.unmap(IOVA, 4 * PAGE),
      () => {
        if (column.left() !== 'none') return
        gone++
        column.mapPages(4)
      },
    )
    expect([points, gone]).toEqual([2, 1])
    closeAll(column)
  })

  test('what emulated devices pin', () => {
    const column = fresh(kind)
    const device: EmulatedVfioDevice = column.startEmulated(VFIO_TYPE1v2_IOMMU, () => {
      vfio_unpin_pages(device, IOVA, 4)
    })
    column.mapPages(4)
    const frames = new Uint32Array(4)
    const points = eachFault(column, () =>
      opened(column, vfio_pin_pages(device, IOVA, 4, true, frames)),
    )
    expect(points).toBe(kind === 'type1' ? 8 : 3)
    expect(column.unmap(IOVA, 4 * PAGE)).toBe('ok, 0x4000 bytes')
    closeAll(column)
  })

  test('a second group with its own page table, over what is mapped', () => {
    const column = fresh(kind)
    column.start()
    column.mapPages(2, 3)
    const group = must(column.openGroup(column.device('other', { table: 'other' })))
    const unset = () => column.process.ioctl(group, VFIO_GROUP_UNSET_CONTAINER, 0)
    const join = eachFault(column, () => column.setContainer(group), undefined, unset)
    const open = eachFault(column, () => opened(column, column.openDevice(group, 'other')))
    expect(column.driver.tables.filter(({ frames }) => frames.size === 5).length).toBe(2)
    expect([join, open]).toEqual(kind === 'type1' ? [8, 2] : [2, 14])
    expect(column.process.ioctl(group, VFIO_GROUP_UNSET_CONTAINER, 0)).toBe(
      kind === 'type1' ? -16 : 0,
    )
    closeAll(column)
  })
})

test('V21 TYPE1 on an iommufd: cutting a range out of the middle of an area', () => {
  const column = fresh('iommufd')
  column.start('nic', VFIO_TYPE1_IOMMU)
  column.mapPages(8)
  const seen = new Set<string>()
  const points = eachFault(
    column,
    () => column.unmap(IOVA + 2 * PAGE, 3 * PAGE),
    () => {
      // A first cut that was made stays; nothing else changes, and nobody can tell from the charges.
      seen.add(column.left())
      expect(column.charges()).toMatch(
        column.left().includes('2-5') || column.left() === '0-8' ? /VmPin 32/ : /VmPin/,
      )
      column.unmap(0, 0, 2)
      column.mapPages(8)
    },
  )
  expect(points).toBe(4)
  expect([...seen]).toEqual(['0-8', '0-5 5-8', '0-2 5-8'])
  closeAll(column)
})

test('V26 dirty pages of type 1: bitmaps, and what cannot be written', () => {
  const column = fresh('type1')
  column.start()
  column.mapPages(4, 4)
  const start = () => column.call(VFIO_IOMMU_DIRTY_PAGES, Uint8Array.of(8, 0, 0, 0, 1))
  expect(eachFault(column, start)).toBe(3)
  const get = dirtyBitmapGet(4, IOVA, 8 * PAGE)
  expect(eachFault(column, () => column.call(VFIO_IOMMU_DIRTY_PAGES, get))).toBe(5)
  expect(eachFault(column, () => column.map(0))).toBe(6)
  const flag = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP
  const unmap = unmapWithBitmap(flag, IOVA, 4 * PAGE)
  let gone = 0
  const points = eachFault(
    column,
    () => column.call(VFIO_IOMMU_UNMAP_DMA, unmap),
    (before) => {
      if (column.left().includes('0-4')) expect(stateOf(column)).toEqual(before)
      else {
        gone++
        column.mapPages(4)
      }
    },
  )
  expect([points, gone]).toEqual([4, 1])
  closeAll(column)
})
