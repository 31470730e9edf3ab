// SPDX-License-Identifier: Apache-2.0
// L5: IOMMU_HWPT_INVALIDATE, check by check, and lists of entries as drivers see them.

import { expect, test } from 'vitest'
import { DATA, PAGE } from '../test/harness.js'
import { ViommuScene } from '../test/viommu-scene.js'

const NOWHERE = 0x1000
const BAD = 'EINVAL INVALIDATE_ENTRIES_BAD'

/** A scene with vIOMMU 4. */
function withViommu(...bytes: number[]): ViommuScene {
  const scene = new ViommuScene()
  expect(scene.viommu()).toBe(4)
  scene.world.process.store(DATA, Uint8Array.from(bytes))
  return scene
}

test('L5: checks in order; entry_num comes back whatever the answer', () => {
  const scene = withViommu()
  const nested = scene.nested(scene.parent) as number
  expect(scene.invalidate(77, { __reserved: 1, entry_len: 0 })).toEqual([
    0,
    'EOPNOTSUPP INVALIDATE_RESERVED_NOT_ZERO',
  ])
  expect(scene.invalidate(77, { data_uptr: 0 })).toEqual([0, BAD])
  expect(scene.invalidate(77, { entry_len: 0 })).toEqual([0, BAD])
  expect(scene.invalidate(77, { entry_len: PAGE + 1 })).toEqual([0, BAD])
  expect(scene.invalidate(77, { entry_num: 2 ** 19 + 1 })).toEqual([0, BAD])
  expect(scene.invalidate(77)).toEqual([0, 'ENOENT OBJECT_UNKNOWN'])
  expect(scene.invalidate(scene.parent)).toEqual([0, 'EINVAL INVALIDATE_OBJECT_WRONG'])
  expect(scene.invalidate(nested)).toEqual([0, 'EOPNOTSUPP INVALIDATE_UNSUPPORTED'])
  const none = { entry_num: 0, data_uptr: 0, entry_len: 0 }
  expect(scene.invalidate(4, none)).toEqual([0, 'EINVAL USER_DATA_ARRAY_EMPTY'])
})

test('L5: entries lie at the distance that the caller says, and may be shorter or longer', () => {
  const scene = withViommu(1, 2, 0, 0, 0, 0, 0, 0, 0, 3)
  expect(scene.invalidate(4, { entry_len: 1, entry_num: 2 })).toEqual([2, 'ok'])
  expect(scene.invalidate(4, { entry_len: 9, entry_num: 2 })).toEqual([2, 'ok'])
  expect(scene.world.driver.viommuLog).toEqual([
    'invalidate 1',
    'invalidate 2',
    'invalidate 1',
    'invalidate 3',
  ])
  scene.world.process.store(DATA + 8, Uint8Array.of(1))
  expect(scene.invalidate(4, { entry_len: 9 })).toEqual([0, 'E2BIG USER_DATA_TAIL_NOT_ZERO'])
})

test('L5: those before the one that is refused are done, and counted', () => {
  const scene = withViommu(1, 2, 255, 3)
  expect(scene.invalidate(4, { entry_len: 1, entry_num: 4 })).toEqual([2, 'EINVAL DRIVER_REFUSED'])
})

test('L5: another type, and entries that cannot be read', () => {
  const scene = withViommu(1)
  expect(scene.invalidate(4, { data_type: 2 })).toEqual([0, 'EINVAL USER_DATA_TYPE'])
  expect(scene.invalidate(4, { data_uptr: NOWHERE })).toEqual([0, 'EFAULT USER_UNREADABLE'])
  const last = DATA - 0x800 + PAGE - 8
  expect(scene.invalidate(4, { data_uptr: last, entry_num: 2 })).toEqual([
    0,
    'EFAULT USER_UNREADABLE',
  ])
})

test('L1: a nested table on a vIOMMU stands on its parent, and the driver makes it', () => {
  const scene = withViommu(1)
  const { world } = scene
  const before = world.state()
  expect(scene.nested(4, { flags: 1 })).toBe('EOPNOTSUPP NESTED_FLAGS_UNKNOWN')
  expect(scene.nested(4, { data_type: 0, data_len: 0 })).toBe('EOPNOTSUPP NESTED_WITHOUT_DATA')
  world.driver.viommuRefuses.set('allocDomainNested', -5)
  expect(scene.nested(4)).toBe('EIO DRIVER_REFUSED')
  expect(world.state()).toEqual(before)
  world.driver.viommuRefuses.clear()
  const id = scene.nested(4, { flags: 8 }) as number
  expect(world.driver.viommuLog).toEqual(['nested 8'])
  expect(scene.idev.attach(id)).toBe(id)
  expect(scene.idev.replace(scene.parent)).toBe(scene.parent)
  expect(world.destroy(4)).toBe('EBUSY OBJECT_BUSY')
  expect(world.destroy(id)).toBe('ok')
  expect(world.destroy(4)).toBe('ok')
})
