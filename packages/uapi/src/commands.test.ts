// SPDX-License-Identifier: Apache-2.0

import { describe, expect, test } from 'vitest'
import { commands, vfioCommands } from './commands.js'
import * as uapi from './index.js'

const constants = uapi as unknown as Readonly<Record<string, unknown>>

describe('commands', () => {
  test.each(commands)('$name', ({ cmd, name, struct, minSize }) => {
    expect(cmd).toBe(constants[name])
    expect(struct).toBe(constants[struct.name])
    expect(struct.at.size).toBe(0)
    expect(minSize).toBeLessThanOrEqual(struct.size)
  })

  test('every IOMMUFD_CMD_* has one, in order, and the test command comes last', () => {
    const numbers = Object.entries(uapi)
      .filter(([name]) => /^IOMMUFD_CMD_(?!BASE)/.test(name))
      .map(([, nr]) => uapi._IO(uapi.IOMMUFD_TYPE, nr as number))
      .sort((a, b) => a - b)
    expect(commands.map((info) => info.cmd)).toEqual([...numbers, uapi.IOMMU_TEST_CMD])
  })

  test('F4: least sizes', () => {
    const least = Object.fromEntries(commands.map((info) => [info.name, info.minSize]))
    expect(least).toEqual({
      IOMMU_DESTROY: 8,
      IOMMU_IOAS_ALLOC: 12,
      IOMMU_IOAS_ALLOW_IOVAS: 24,
      IOMMU_IOAS_COPY: 40,
      IOMMU_IOAS_IOVA_RANGES: 32,
      IOMMU_IOAS_MAP: 40,
      IOMMU_IOAS_UNMAP: 24,
      IOMMU_OPTION: 24,
      IOMMU_VFIO_IOAS: 12,
      IOMMU_HWPT_ALLOC: 24,
      IOMMU_GET_HW_INFO: 32,
      IOMMU_HWPT_SET_DIRTY_TRACKING: 16,
      IOMMU_HWPT_GET_DIRTY_BITMAP: 48,
      IOMMU_HWPT_INVALIDATE: 32,
      IOMMU_FAULT_QUEUE_ALLOC: 16,
      IOMMU_IOAS_MAP_FILE: 40,
      IOMMU_VIOMMU_ALLOC: 24,
      IOMMU_VDEVICE_ALLOC: 24,
      IOMMU_IOAS_CHANGE_PROCESS: 8,
      IOMMU_VEVENTQ_ALLOC: 28,
      IOMMU_HW_QUEUE_ALLOC: 40,
      IOMMU_IOAS_NOIOMMU_GET_PA: 40,
      IOMMU_TEST_CMD: 68,
    })
  })
})

describe('vfioCommands', () => {
  test.each(vfioCommands)('$name', ({ cmd, name, argument, struct, minSize }) => {
    expect(cmd).toBe(constants[name])
    expect(argument === 'struct').toBe(struct !== undefined)
    if (struct === undefined) return
    expect(struct).toBe(constants[struct.name])
    expect(struct.at.argsz).toBe(0)
    expect(minSize).toBeGreaterThanOrEqual(8)
    expect(minSize).toBeLessThanOrEqual(struct.size)
  })

  test('every ioctl number of vfio.h has one', () => {
    const numbers = Object.entries(uapi).filter(
      ([name, value]) => /^_*VFIO/.test(name) && Number(value) >> 8 === uapi.VFIO_TYPE,
    )
    expect(numbers.map(([name]) => name).sort()).toEqual(vfioCommands.map((i) => i.name).sort())
  })

  test('no number means two things on one kind of file', () => {
    const keys = vfioCommands.map((info) => `${info.file} ${info.cmd}`)
    expect(new Set(keys).size).toBe(keys.length)
  })
})
