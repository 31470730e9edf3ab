// SPDX-License-Identifier: Apache-2.0

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readStruct, writeStruct } from './codec.js'
import * as uapi from './index.js'
import type { FieldType, StructLayout } from './layout.js'
import { parseType, scalarSize } from './layout.js'

const structs = Object.values(uapi)
  .filter(
    (value): value is StructLayout & typeof value => typeof value === 'object' && 'type' in value,
  )
  .map((layout): readonly [string, StructLayout] => [layout.name, layout])

const bounds: Readonly<Record<string, readonly [bigint, bigint]>> = {
  u8: [0n, 2n ** 8n - 1n],
  u16: [0n, 2n ** 16n - 1n],
  u32: [0n, 2n ** 32n - 1n],
  s32: [-(2n ** 31n), 2n ** 31n - 1n],
  u64: [0n, 2n ** 64n - 1n],
  le64: [0n, 2n ** 64n - 1n],
  'u64 *': [0n, 2n ** 64n - 1n],
}

/** Struct, field and type of every field that is one number. */
const scalars = structs.flatMap(([, layout]) =>
  Object.entries(layout.type)
    .filter(([, type]) => type in scalarSize)
    .map(([field, type]): readonly [string, StructLayout, string, string] => [
      `${layout.name}.${field}`,
      layout,
      field,
      type,
    ]),
)

test('there are 97 structs', () => {
  expect(structs.length).toBe(97)
})

describe.each(structs)('%s', (_, layout) => {
  test('what is read is written back, anywhere in a buffer, and nothing beside it', () => {
    const bytes = fc.uint8Array({ minLength: layout.size, maxLength: layout.size + 64 })
    fc.assert(
      fc.property(bytes, fc.nat(9), (source, at) => {
        const value = readStruct(layout, source)
        const target = new Uint8Array(at + source.length + 9).fill(0x5a)
        writeStruct(layout, value, target, at)
        expect(target.subarray(0, at).every((byte) => byte === 0x5a)).toBe(true)
        expect(target.subarray(at + source.length).every((byte) => byte === 0x5a)).toBe(true)
        expect(readStruct(layout, target.subarray(0, at + source.length), at)).toEqual(value)
        expect(readStruct(layout, writeStruct(layout, value))).toEqual(value)
      }),
      { numRuns: 25 },
    )
  })
})

test.each(scalars)(
  '%s holds its whole range and refuses what is beside it',
  (path, layout, field, type) => {
    const [least, most] = bounds[type] as readonly [bigint, bigint]
    const at = layout.at[field] as number
    const size = scalarSize[type as keyof typeof scalarSize]
    fc.assert(
      fc.property(fc.bigInt(least, most), (value) => {
        const bytes = writeStruct(layout, { [field]: value })
        expect(littleEndian(bytes.subarray(at, at + size))).toBe(BigInt.asUintN(8 * size, value))
        expect(BigInt(readStruct(layout, bytes)[field] as number)).toBe(value)
      }),
      { numRuns: 5, examples: [[least], [most]] },
    )
    for (const value of [least - 1n, most + 1n, 0.5, Number.NaN]) {
      expect(() => writeStruct(layout, { [field]: value } as object)).toThrow(
        `${path}: ${value} is not`,
      )
    }
  },
)

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n)
}

describe('writeStruct', () => {
  test('fills in size, argsz and counts, and clears the rest', () => {
    const bytes = new Uint8Array(44).fill(0xff)
    writeStruct(uapi.iommu_ioas_map, { ioas_id: 7, iova: 2n ** 64n - 1n }, bytes, 3)
    expect([...bytes.subarray(0, 3), bytes[43]]).toEqual([255, 255, 255, 255])
    expect(readStruct(uapi.iommu_ioas_map, bytes, 3)).toEqual({
      size: 40,
      flags: 0,
      ioas_id: 7,
      __reserved: 0,
      user_va: 0n,
      length: 0n,
      iova: 2n ** 64n - 1n,
    })
    const reset = writeStruct(uapi.vfio_pci_hot_reset, { group_fds: [5, -1] })
    expect(readStruct(uapi.vfio_pci_hot_reset, reset)).toEqual({
      argsz: 20,
      flags: 0,
      count: 2,
      group_fds: [5, -1],
    })
  })

  test('keeps a size or count that is given', () => {
    const { size } = readStruct(uapi.iommu_destroy, writeStruct(uapi.iommu_destroy, { size: 4 }))
    expect(size).toBe(4)
    const bytes = writeStruct(uapi.vfio_pci_hot_reset, { count: 1, group_fds: [5, 6] })
    expect(readStruct(uapi.vfio_pci_hot_reset, bytes).group_fds).toEqual([5])
  })

  test('does not take a size field for the size of a struct when it is not at the beginning', () => {
    const region = readStruct(uapi.vfio_region_info, writeStruct(uapi.vfio_region_info, {}))
    expect([region.argsz, region.size]).toEqual([32, 0n])
  })

  test('writes nested structs and arrays', () => {
    const bytes = writeStruct(uapi.vfio_iommu_type1_info_cap_iova_range, {
      header: { id: 1, version: 1, next: 0 },
      iova_ranges: [{ start: 0x1000, end: 0x1fff }, { end: 2n ** 64n - 1n }],
    })
    expect(readStruct(uapi.vfio_iommu_type1_info_cap_iova_range, bytes)).toEqual({
      header: { id: 1, version: 1, next: 0 },
      nr_iovas: 2,
      reserved: 0,
      iova_ranges: [
        { start: 0x1000n, end: 0x1fffn },
        { start: 0n, end: 2n ** 64n - 1n },
      ],
    })
    const ste = writeStruct(uapi.iommu_hwpt_arm_smmuv3, { ste: [1, 2n] })
    expect(readStruct(uapi.iommu_hwpt_arm_smmuv3, ste).ste).toEqual([1n, 2n])
    const irqs = writeStruct(uapi.vfio_irq_set, { count: 2, data: Uint8Array.of(1, 0) })
    expect(readStruct(uapi.vfio_irq_set, irqs).data).toEqual(Uint8Array.of(1, 0))
  })

  test('says what is wrong', () => {
    const map = uapi.iommu_ioas_map
    expect(() => writeStruct(map, { length: -1 })).toThrow(
      new RangeError('iommu_ioas_map.length: -1 is not in 0..2^64-1'),
    )
    expect(() => writeStruct(map, { flags: 2 ** 32 })).toThrow(
      new RangeError('iommu_ioas_map.flags: 4294967296 is not in 0..2^32-1'),
    )
    // @ts-expect-error: no such field
    expect(() => writeStruct(map, { lenght: 1 })).toThrow(
      new TypeError('iommu_ioas_map has no field lenght'),
    )
    // @ts-expect-error: not a number
    expect(() => writeStruct(map, { length: '1' })).toThrow(
      new TypeError('iommu_ioas_map.length: 1 is not a number'),
    )
    expect(() => writeStruct(uapi.iommu_hwpt_arm_smmuv3, { ste: [1, 2, 3] })).toThrow(
      new RangeError('iommu_hwpt_arm_smmuv3.ste: 3 elements, 2 at most'),
    )
    expect(() => writeStruct(uapi.vfio_pci_hot_reset_info, { devices: [{ bus: 256 }] })).toThrow(
      'vfio_pci_hot_reset_info.devices[0].bus: 256 is not in 0..2^8-1',
    )
    expect(() => writeStruct(map, {}, new Uint8Array(39))).toThrow(
      new RangeError('iommu_ioas_map: 40 bytes at 0 are not inside 39 bytes'),
    )
  })
})

describe('readStruct', () => {
  test('gives numbers for up to 32 bits and bigint for 64', () => {
    const option = readStruct(uapi.iommu_option, new Uint8Array(24).fill(0xff))
    const op: number = option.op
    const val64: bigint = option.val64
    expect([op, val64]).toEqual([0xffff, 2n ** 64n - 1n])
  })

  test('reads a flexible array no further than argsz, its count and the buffer', () => {
    const bytes = writeStruct(
      uapi.vfio_device_feature,
      { data: Uint8Array.of(1, 2, 3) },
      new Uint8Array(64),
    )
    expect(readStruct(uapi.vfio_device_feature, bytes).data).toEqual(Uint8Array.of(1, 2, 3))
    new DataView(bytes.buffer).setUint32(0, 4, true)
    expect(readStruct(uapi.vfio_device_feature, bytes).data).toEqual(new Uint8Array())
    new DataView(bytes.buffer).setUint32(0, 2 ** 32 - 1, true)
    expect(readStruct(uapi.vfio_device_feature, bytes).data.length).toBe(56)
  })

  test('refuses a buffer that is too short', () => {
    expect(() => readStruct(uapi.iommu_ioas_alloc, new Uint8Array(20), 9)).toThrow(
      new RangeError('iommu_ioas_alloc: 12 bytes at 9 are not inside 20 bytes'),
    )
    expect(() => readStruct(uapi.iommu_ioas_alloc, new Uint8Array(20), -1)).toThrow(RangeError)
  })
})

test('a field type is taken apart', () => {
  const types: readonly FieldType[] = ['u32', 'u64 *', 'le64[4]', 'u8[]', 'struct x', 'struct x[]']
  expect(types.map((type) => Object.values(parseType(type)))).toEqual([
    ['u32', false, 1],
    ['u64 *', false, 1],
    ['le64', true, 4],
    ['u8', true, -1],
    ['struct x', false, 1],
    ['struct x', true, -1],
  ])
})
