// SPDX-License-Identifier: Apache-2.0
//
// Section 10: what the mock remembers of nested tables and devices, and events of its devices.

import {
  IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID,
  IOMMU_TEST_DEV_CACHE_DEFAULT,
  IOMMU_TEST_INVALIDATE_FLAG_ALL,
  iommu_hwpt_invalidate_selftest,
  iommu_viommu_invalidate_selftest,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { destroyId } from '../test/harness.js'
import { DATA, IOTLB, ViommuScene } from '../test/viommu-scene.js'

const ALL = IOMMU_TEST_INVALIDATE_FLAG_ALL
const ENTRY = iommu_hwpt_invalidate_selftest
const COMMAND = iommu_viommu_invalidate_selftest
const DIFFERS = 'EINVAL IOTLB_DIFFERS'

describe('section 10: MD_CHECK_IOTLB', () => {
  test('every entry holds at first what the caller gave', () => {
    const scene = new ViommuScene()
    const id = scene.nested(scene.parent) as number
    for (const entry of [0, 1, 2, 3]) {
      expect(scene.checkIotlb(id, entry, IOTLB)).toBe('0')
      expect(scene.checkIotlb(id, entry, IOTLB + 1)).toBe(DIFFERS)
    }
    expect(scene.checkIotlb(id, 4, IOTLB)).toBe(DIFFERS)
    expect(scene.checkIotlb(scene.parent, 0, IOTLB)).toBe('ENOENT OBJECT_UNKNOWN')
  })

  test('L5: HWPT_INVALIDATE makes the named entries 0, or all', () => {
    const scene = new ViommuScene()
    const id = scene.nested(scene.parent) as number
    expect(scene.invalidate(id, ENTRY, [{ iotlb_id: 1 }, { iotlb_id: 3 }])).toEqual([2, '0'])
    const holds = (values: number[]) => {
      return values.map((value, entry) => scene.checkIotlb(id, entry, value))
    }
    expect(holds([IOTLB, 0, IOTLB, 0])).toEqual(['0', '0', '0', '0'])
    expect(scene.invalidate(id, ENTRY, [{ flags: ALL, iotlb_id: 2 }])).toEqual([1, '0'])
    expect(holds([0, 0, 0, 0])).toEqual(['0', '0', '0', '0'])
  })

  test('L5: the first entry that is refused ends it; those before are done', () => {
    const scene = new ViommuScene()
    const id = scene.nested(scene.parent) as number
    const good = { iotlb_id: 0 }
    const call = (...entries: object[]) => scene.invalidate(id, ENTRY, entries)
    expect(call({ iotlb_id: 4 }, good)).toEqual([0, 'EINVAL MOCK_INVALIDATE_ENTRY'])
    expect(call(good, { flags: 2 })).toEqual([1, 'EOPNOTSUPP MOCK_INVALIDATE_FLAGS'])
    expect(call(good, good, { flags: 3, iotlb_id: 9 })).toEqual([
      2,
      'EOPNOTSUPP MOCK_INVALIDATE_FLAGS',
    ])
  })

  test('L5: type, length and memory of the entries', () => {
    const scene = new ViommuScene()
    const id = scene.nested(scene.parent) as number
    const call = (values: object) => scene.invalidate(id, ENTRY, [{ iotlb_id: 0 }], values)
    const data_type = IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID
    expect(call({ data_type })).toEqual([0, 'EINVAL MOCK_INVALIDATE_TYPE'])
    expect(call({ data_type, entry_num: 0 })).toEqual([0, 'EINVAL MOCK_INVALIDATE_TYPE'])
    expect(call({ entry_num: 0 })).toEqual([0, '0'])
    expect(call({ entry_len: 7 })).toEqual([0, 'EINVAL USER_DATA_TOO_SHORT'])
    expect(call({ entry_len: 12 })).toEqual([0, 'EINVAL USER_DATA_TOO_LONG'])
    expect(call({ data_uptr: 0x1000 })).toEqual([0, 'EFAULT USER_UNREADABLE'])
  })
})

describe('section 10: DEV_CHECK_CACHE', () => {
  /** A scene whose device has number 7 on the vIOMMU. */
  function scene(): { scene: ViommuScene; viommu: number } {
    const made = new ViommuScene()
    const viommu = made.viommu() as number
    made.vdevice(viommu, 7)
    return { scene: made, viommu }
  }

  test('every entry holds the default at first; commands of the guest make them 0', () => {
    const { scene: made, viommu } = scene()
    const holds = (values: number[]) => values.map((value, entry) => made.checkCache(entry, value))
    const D = IOMMU_TEST_DEV_CACHE_DEFAULT
    expect(holds([D, D, D, D])).toEqual(['0', '0', '0', '0'])
    expect(made.checkCache(4, D)).toBe('EINVAL CACHE_DIFFERS')
    expect(made.invalidate(viommu, COMMAND, [{ vdev_id: 7, cache_id: 2 }])).toEqual([1, '0'])
    expect(holds([D, D, 0, D])).toEqual(['0', '0', '0', '0'])
    const all = { flags: ALL, vdev_id: 7 }
    expect(made.invalidate(viommu, COMMAND, [all])).toEqual([1, '0'])
    expect(holds([0, 0, 0, 0])).toEqual(['0', '0', '0', '0'])
    expect(made.checkCache(0, 0, made.parent)).toBe('ENOENT OBJECT_UNKNOWN')
  })

  test('L5: commands that are refused', () => {
    const { scene: made, viommu } = scene()
    const call = (entry: object, values = {}) => {
      return made.invalidate(viommu, COMMAND, [{ vdev_id: 7 }, entry], values)
    }
    expect(call({ vdev_id: 8 })).toEqual([1, 'EINVAL MOCK_INVALIDATE_DEVICE'])
    expect(call({ vdev_id: 8, cache_id: 4 })).toEqual([1, 'EINVAL MOCK_INVALIDATE_ENTRY'])
    expect(call({ vdev_id: 8, cache_id: 4, flags: 2 })).toEqual([
      1,
      'EOPNOTSUPP MOCK_INVALIDATE_FLAGS',
    ])
    expect(call({}, { data_type: 1 })).toEqual([0, 'EINVAL MOCK_INVALIDATE_TYPE'])
    expect(call({}, { data_type: 1, entry_num: 0 })).toEqual([0, 'EINVAL MOCK_INVALIDATE_TYPE'])
    expect(call({}, { entry_num: 0 })).toEqual([0, '0'])
    expect(call({}, { entry_num: 349525, data_uptr: 0x1000 })).toEqual([
      0,
      'EFAULT USER_UNREADABLE',
    ])
    expect(call({}, { entry_num: 349526, data_type: 1 })).toEqual([
      349526,
      'ENOMEM MOCK_INVALIDATE_TOO_MANY',
    ])
  })

  test('L5: all commands are read before one is done', () => {
    const { scene: made, viommu } = scene()
    made.booted.process.store(DATA + 28, Uint8Array.of(1))
    const entries = [{ vdev_id: 7 }]
    const values = { entry_len: 16, entry_num: 2 }
    expect(made.invalidate(viommu, COMMAND, entries, values)).toEqual([
      0,
      'E2BIG USER_DATA_TAIL_NOT_ZERO',
    ])
    expect(made.checkCache(0, IOMMU_TEST_DEV_CACHE_DEFAULT)).toBe('0')
  })
})

describe('section 10: TRIGGER_VEVENT', () => {
  test('L13: the device tells its number, once it uses a nested table of the vIOMMU', () => {
    const scene = new ViommuScene()
    const { process } = scene.booted
    const viommu = scene.viommu() as number
    const vdevice = scene.vdevice(viommu, 2n ** 32n + 7n) as number
    expect(scene.triggerVevent()).toBe('ENOENT DEVICE_ON_NO_VIOMMU')
    expect(scene.replace(scene.nested(viommu) as number)).toBe('0')
    expect(scene.triggerVevent()).toBe('EOPNOTSUPP VEVENTQ_MISSING')
    const fd = scene.veventq(viommu, 2) as number
    for (let i = 0; i < 3; i++) expect(scene.triggerVevent()).toBe('0')
    expect(process.read(fd, DATA, 64)).toBe(32)
    const words = new Uint32Array((process.load(DATA, 32) as Uint8Array).buffer)
    expect([...words]).toEqual([0, 0, 7, 0, 1, 7, 1, 2])
    // The number stays the one that it came with.
    expect(destroyId(scene.booted, vdevice)).toBe('0')
    expect(scene.triggerVevent()).toBe('0')
    expect(scene.replace(scene.parent)).toBe('0')
    expect(scene.triggerVevent()).toBe('ENOENT DEVICE_ON_NO_VIOMMU')
    expect(scene.triggerVevent(scene.parent)).toBe('ENOENT OBJECT_UNKNOWN')
  })

  test('without a number a device cannot use a table of the vIOMMU; number 0 tells nothing', () => {
    const scene = new ViommuScene()
    const viommu = scene.viommu() as number
    const nested = scene.nested(viommu) as number
    expect(scene.replace(nested)).toBe('ENOENT VDEV_ID_UNKNOWN')
    scene.vdevice(viommu, 0)
    scene.veventq(viommu, 1)
    expect(scene.replace(nested)).toBe('0')
    expect(scene.triggerVevent()).toBe('ENOENT DEVICE_ON_NO_VIOMMU')
  })

  test('a table of another vIOMMU, and tables of the same one', () => {
    const scene = new ViommuScene()
    const [first, second] = [scene.viommu(), scene.viommu()] as [number, number]
    const vdevice = scene.vdevice(first, 7) as number
    const tables = [first, first, second].map((id) => scene.nested(id)) as [number, number, number]
    expect(scene.replace(tables[0])).toBe('0')
    destroyId(scene.booted, vdevice)
    expect(scene.replace(tables[1])).toBe('ENOENT VDEV_ID_UNKNOWN')
    scene.vdevice(second, 9)
    expect(scene.replace(tables[2])).toBe('0')
    scene.veventq(second, 1)
    expect(scene.triggerVevent()).toBe('0')
  })
})
