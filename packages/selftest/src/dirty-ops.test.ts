// SPDX-License-Identifier: Apache-2.0
//
// Dirty tracking, from the device that writes (the test operation DIRTY) to the bitmap of the program.

import { registerHwIommu } from '@iommufd/hw-iommu'
import {
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  IOMMU_TEST_OP_DIRTY,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  iommu_hwpt_alloc,
  iommu_hwpt_get_dirty_bitmap,
  iommu_hwpt_set_dirty_tracking,
  MOCK_APERTURE_START,
} from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { allocIoas, BUFFER, boot, HOLE, ioctl, map, PAGE, testOp } from '../test/harness.js'

const START = MOCK_APERTURE_START
const PAGES = 12
/** Where the bitmaps lie: behind what is mapped. */
const BITS = BUFFER + 14 * PAGE

class Scene {
  readonly booted = boot()
  readonly hwpt: number

  /** 12 pages of memory in a table that can record writes; `enable`: and does. */
  constructor(enable = true) {
    registerHwIommu(this.booted.engine)
    allocIoas(this.booted)
    const { out } = testOp(this.booted, IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, { id: 1 })
    const dev_id = out.mock_domain_out_idev_id
    const flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING
    const alloc = { dev_id, pt_id: 1, flags }
    this.hwpt = ioctl(this.booted, IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, alloc).out.out_hwpt_id
    // One by one, so that no two of them become one large page.
    for (let at = 0; at < PAGES * PAGE; at += PAGE) {
      map(this.booted, 1, { iova: START + at, va: BUFFER + at, length: PAGE })
    }
    if (enable) expect(this.track(IOMMU_HWPT_DIRTY_TRACKING_ENABLE)).toBe(0)
  }

  track(flags: number): number {
    const values = { hwpt_id: this.hwpt, flags }
    const { booted } = this
    return ioctl(booted, IOMMU_HWPT_SET_DIRTY_TRACKING, iommu_hwpt_set_dirty_tracking, values).ret
  }

  /** Writes the pages whose bits are set. */
  write(bits: number): { answer: string; marked: number } {
    this.booted.process.store(BITS, Uint8Array.of(bits & 255, bits >> 8))
    const { answer, out } = testOp(this.booted, IOMMU_TEST_OP_DIRTY, {
      id: this.hwpt,
      dirty_iova: START,
      dirty_length: 16 * PAGE,
      dirty_page_size: PAGE,
      dirty_uptr: BITS,
    })
    return { answer, marked: Number(out.dirty_out_nr_dirty) }
  }

  /** The bitmap, in which the program had `before`. */
  read(flags = 0, before = 0, data = BITS): { ret: number; bits: number } {
    this.booted.process.store(BITS, Uint8Array.of(before & 255, before >> 8))
    const { ret } = ioctl(this.booted, IOMMU_HWPT_GET_DIRTY_BITMAP, iommu_hwpt_get_dirty_bitmap, {
      hwpt_id: this.hwpt,
      flags,
      iova: START,
      length: PAGES * PAGE,
      page_size: PAGE,
      data,
    })
    const [low, high] = this.booted.process.load(BITS, 2) as Uint8Array
    return { ret, bits: (low as number) | ((high as number) << 8) }
  }
}

test('L4: written pages are told once, beside what the bitmap held', () => {
  const scene = new Scene()
  expect(scene.write(0b1000_0010_0101)).toEqual({ answer: '0', marked: 4 })
  expect(scene.read(0, 0b10)).toEqual({ ret: 0, bits: 0b1000_0010_0111 })
  expect(scene.read()).toEqual({ ret: 0, bits: 0 })
})

test('L4: NO_CLEAR leaves them to be told again', () => {
  const scene = new Scene()
  scene.write(0b11)
  expect(scene.read(IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR)).toEqual({ ret: 0, bits: 0b11 })
  expect(scene.read()).toEqual({ ret: 0, bits: 0b11 })
})

test('L3: recording begins with nothing recorded, and its end is an end', () => {
  const scene = new Scene()
  scene.write(0b1)
  expect(scene.track(IOMMU_HWPT_DIRTY_TRACKING_ENABLE)).toBe(0)
  expect(scene.read()).toEqual({ ret: 0, bits: 0 })
  expect(scene.track(0)).toBe(0)
  expect(scene.write(0b1).answer).toBe('EINVAL DIRTY_NOT_RECORDED')
})

test('pages that are not mapped are counted, and nothing comes of them', () => {
  const scene = new Scene()
  expect(scene.write(0b1_0000_0000_0001)).toEqual({ answer: '0', marked: 2 })
  expect(scene.read().bits).toBe(0b1)
})

test('L4: a bitmap that cannot be written', () => {
  const scene = new Scene()
  scene.write(0b1)
  expect(scene.read(0, 0, HOLE).ret).toBe(-14)
  expect(scene.booted.engine.refusals.last?.errno).toBe(14)
})
