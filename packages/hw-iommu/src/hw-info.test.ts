// SPDX-License-Identifier: Apache-2.0
import {
  EOPNOTSUPP,
  IOMMU_GET_HW_INFO,
  IOMMU_HW_CAP_DIRTY_TRACKING,
  IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED,
  IOMMU_HW_CAP_PCI_PASID_EXEC,
  IOMMU_HW_INFO_FLAG_INPUT_TYPE,
  IOMMU_HW_INFO_TYPE_AMD,
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
  IOMMU_HW_INFO_TYPE_NONE,
  iommu_hw_info,
  type StructInput,
  type StructValue,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { DATA, PAGE, World } from '../test/harness.js'
import type { ToyDeviceOptions } from '../test/toy-driver.js'
import {
  type HwInfo,
  IOMMU_CAP_PCI_ATS_SUPPORTED,
  type IommufdDevice,
  type IommuOps,
} from './index.js'

const INFO = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
/** The last byte of the page that the data lies in; the next page is not mapped. */
const END = DATA - (DATA % PAGE) + PAGE

class Scene {
  readonly world: World = new World()
  readonly ops: IommuOps = this.world.driver
  readonly idev: IommufdDevice

  constructor(options: ToyDeviceOptions = {}) {
    this.idev = this.world.bind(this.world.device('a', options))
    this.describe((_dev, type) => {
      if (type !== 0 && type !== IOMMU_HW_INFO_TYPE_INTEL_VTD) return -EOPNOTSUPP
      return { type: IOMMU_HW_INFO_TYPE_INTEL_VTD, data: INFO }
    })
  }

  describe(hwInfo: IommuOps['hwInfo']): void {
    Object.assign(this.ops, { hwInfo })
  }

  get(
    values: StructInput<typeof iommu_hw_info> = {},
  ): StructValue<typeof iommu_hw_info> & { outcome: string } {
    const defaults = { dev_id: this.idev.id, data_uptr: DATA }
    const answer = this.world.ioctl(IOMMU_GET_HW_INFO, iommu_hw_info, { ...defaults, ...values })
    return { ...answer, outcome: this.world.outcome(answer.ret) }
  }

  /** The buffer after the call, of whose bytes each was 0xff before. */
  buffer(data_len: number, data_uptr = DATA): number[] {
    this.world.process.store(DATA, new Uint8Array(16).fill(0xff))
    expect(this.get({ data_len, data_uptr })).toMatchObject({ outcome: 'ok', data_len: 8 })
    return [...(this.world.process.load(DATA, 12) as Uint8Array)]
  }
}

describe('L2: IOMMU_GET_HW_INFO', () => {
  test.each([
    [0, []],
    [1, [1]],
    [7, [1, 2, 3, 4, 5, 6, 7]],
    [8, [1, 2, 3, 4, 5, 6, 7, 8]],
    [11, [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0]],
  ])('%i bytes of room: what fits, zeros behind it, nothing more', (room, expected) => {
    const rest = new Array(12 - expected.length).fill(0xff)
    expect(new Scene().buffer(room)).toEqual([...expected, ...rest])
  })

  test('room for nothing needs no buffer', () => {
    const { outcome, data_len, out_data_type } = new Scene().get({ data_uptr: 0 })
    expect([outcome, data_len]).toEqual(['ok', 8])
    expect(out_data_type).toBe(IOMMU_HW_INFO_TYPE_INTEL_VTD)
  })

  test.each([
    ['for the data', END - 4, 8],
    ['for the zeros', END - 8, 9],
    ['for many zeros', DATA, 0xffffffff],
  ])('a buffer too small %s: EFAULT, and the struct is as it was', (_name, data_uptr, data_len) => {
    const answer = new Scene().get({ data_uptr, data_len })
    expect(answer.outcome).toBe('EFAULT USER_UNWRITABLE')
    expect(answer).toMatchObject({ data_len, out_data_type: 0, out_capabilities: 0n })
  })

  test('a driver that tells nothing: no type, no data', () => {
    const scene = new Scene()
    scene.describe(undefined)
    const answer = scene.get({ data_len: 8, out_data_type: 5 })
    expect(answer).toMatchObject({ outcome: 'ok', data_len: 0, out_data_type: 0 })
  })

  test('the input type counts only with its flag', () => {
    const scene = new Scene()
    const flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE
    const asked = (in_data_type: number, values = {}) => scene.get({ in_data_type, ...values })
    expect(asked(IOMMU_HW_INFO_TYPE_AMD).outcome).toBe('ok')
    expect(asked(IOMMU_HW_INFO_TYPE_AMD, { flags }).outcome).toBe('EOPNOTSUPP DRIVER_REFUSED')
    expect(asked(IOMMU_HW_INFO_TYPE_INTEL_VTD, { flags }).outcome).toBe('ok')
  })

  test.each([
    ['EOPNOTSUPP HW_INFO_FLAGS_UNKNOWN', { flags: 2, __reserved: [1, 0, 0], dev_id: 99 }],
    ['EOPNOTSUPP HW_INFO_RESERVED_NOT_ZERO', { __reserved: [0, 0, 1], dev_id: 99 }],
    ['EOPNOTSUPP HW_INFO_RESERVED_NOT_ZERO', { __reserved: [1, 0, 0] }],
    ['ENOENT OBJECT_UNKNOWN', { dev_id: 99, data_len: 8, data_uptr: 0 }],
  ])('%s, in this order', (outcome, values) => {
    expect(new Scene().get(values).outcome).toBe(outcome)
  })

  test('capabilities and PASIDs of the device', () => {
    const plain = new Scene()
    const caps = IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED
    plain.idev.dev.pasidCapabilities = IOMMU_HW_CAP_PCI_PASID_EXEC
    const none = { out_max_pasid_log2: 0, out_capabilities: BigInt(caps) }
    expect(plain.get({ out_max_pasid_log2: 9 })).toMatchObject(none)
    const able = new Scene({ pasids: 1 << 20, dirtyTracking: true })
    able.idev.dev.pasidCapabilities = IOMMU_HW_CAP_PCI_PASID_EXEC
    const { capable } = able.ops
    able.ops.capable = (dev, cap) =>
      cap === IOMMU_CAP_PCI_ATS_SUPPORTED || capable.call(able.ops, dev, cap)
    expect(able.get()).toMatchObject({
      out_max_pasid_log2: 20,
      out_capabilities: BigInt(IOMMU_HW_CAP_DIRTY_TRACKING | IOMMU_HW_CAP_PCI_PASID_EXEC),
    })
  })

  test('a driver that describes its IOMMU as nothing is at fault', () => {
    const scene = new Scene()
    const nothing: HwInfo = { type: IOMMU_HW_INFO_TYPE_NONE, data: INFO }
    scene.describe(() => nothing)
    expect(scene.get().outcome).toBe('EOPNOTSUPP DRIVER_REFUSED')
    expect(scene.world.warnings).toHaveLength(1)
  })
})
