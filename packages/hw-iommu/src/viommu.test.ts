// SPDX-License-Identifier: Apache-2.0
//
// What a kernel without vIOMMUs answers: checks in order, then that there is none.

import {
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VIOMMU_ALLOC,
  iommu_hw_queue_alloc,
  iommu_hwpt_invalidate,
  iommu_vdevice_alloc,
  iommu_veventq_alloc,
  iommu_viommu_alloc,
} from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { DATA, World } from '../test/harness.js'

test('L9: type and flags, then the device, then that its driver has no vIOMMUs', () => {
  const world = new World()
  const idev = world.bind(world.device('a'))
  const alloc = (values: object): number =>
    world.ioctl(IOMMU_VIOMMU_ALLOC, iommu_viommu_alloc, values).ret
  expect(alloc({ flags: 1, type: 1, dev_id: 77 })).toBe(-95)
  expect(alloc({ type: 1, dev_id: 77 })).toBe(-2)
  expect(alloc({ type: 1, dev_id: idev.id })).toBe(-95)
})

test('L10: no object is a vIOMMU', () => {
  const world = new World()
  const ioas = world.ioas()
  const values = { viommu_id: ioas.id, dev_id: 1 }
  expect(world.ioctl(IOMMU_VDEVICE_ALLOC, iommu_vdevice_alloc, values).ret).toBe(-2)
})

test('L12: type, then depth, then the vIOMMU', () => {
  const world = new World()
  const alloc = (values: object): number =>
    world.ioctl(IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc, values).ret
  expect(alloc({ veventq_depth: 0 })).toBe(-95)
  expect(alloc({ type: 1, veventq_depth: (1 << 19) + 1 })).toBe(-22)
  expect(alloc({ type: 1, veventq_depth: 1 << 19, viommu_id: 5 })).toBe(-2)
})

test('L14: type, then length, then the end, then the vIOMMU', () => {
  const world = new World()
  const alloc = (values: object): number =>
    world.ioctl(IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, values).ret
  expect(alloc({})).toBe(-95)
  expect(alloc({ type: 1 })).toBe(-22)
  expect(alloc({ type: 1, nesting_parent_iova: 2n ** 64n - 4096n, length: 4097 })).toBe(-75)
  expect(alloc({ type: 1, nesting_parent_iova: 2n ** 64n - 4096n, length: 4096 })).toBe(-2)
})

test('L5: the number of entries done comes back whatever the answer', () => {
  const world = new World()
  const ioas = world.ioas()
  const idev = world.bind(world.device('a'))
  const flags = IOMMU_HWPT_ALLOC_NEST_PARENT
  const pt_id = world.hwptAlloc({ dev_id: idev.id, pt_id: ioas.id, flags }) as number
  const data = { data_type: 1, data_len: 4, data_uptr: DATA }
  const hwpt_id = world.hwptAlloc({ dev_id: idev.id, pt_id, ...data }) as number
  const invalidate = (values: object): readonly number[] => {
    const all = { hwpt_id, data_uptr: DATA, entry_len: 8, entry_num: 3, ...values }
    const answer = world.ioctl(IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate, all)
    return [answer.ret, answer.entry_num]
  }
  expect(invalidate({})).toEqual([-95, 0])
  expect(invalidate({ entry_len: 4097 })).toEqual([-22, 0])
  expect(invalidate({ hwpt_id: 77 })).toEqual([-2, 0])
  expect(invalidate({ hwpt_id: pt_id })).toEqual([-22, 0])
  expect(invalidate({ __reserved: 1 })).toEqual([-95, 3])
})
