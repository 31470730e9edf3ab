// SPDX-License-Identifier: Apache-2.0
//
// The command table: what it finds, and how its misuse fails.

import {
  IOMMU_DESTROY,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_OPTION,
  IOMMU_TEST_CMD,
  VFIO_GET_API_VERSION,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { CommandTable } from './commands.js'

describe('finding', () => {
  test('F2: only the exact number finds a command', () => {
    const table = new CommandTable()
    table.register(IOMMU_IOAS_MAP, () => 7)
    expect(table.find(IOMMU_IOAS_MAP)?.info.name).toBe('IOMMU_IOAS_MAP')
    const wrong = [0x85, 0x3b84, 0x3b86, 0x3c85, 0xc0283b85, IOMMU_IOAS_MAP + 0x10000]
    for (const cmd of wrong) expect(table.find(cmd)).toBeUndefined()
  })

  test('F2: the span is from 0x80 to the highest registered, and has holes', () => {
    const table = new CommandTable()
    expect(table.covers(IOMMU_DESTROY)).toBe(false)
    table.register(IOMMU_IOAS_MAP, () => 0)
    const covered = [0x3b7f, 0x3b80, 0x3b81, 0x3b85, 0x3b86, 0x3bff].map((cmd) => table.covers(cmd))
    expect(covered).toEqual([false, true, true, true, false, false])
    expect(table.find(IOMMU_IOAS_ALLOC)).toBeUndefined()
  })

  test('F2: the span is decided by the low byte alone', () => {
    const table = new CommandTable()
    table.register(IOMMU_IOAS_MAP, () => 0)
    expect(table.covers(0xdead_be85)).toBe(true)
    expect(table.covers(0x3b00)).toBe(false)
  })

  test('all commands come by number, in whatever order they were registered', () => {
    const table = new CommandTable()
    for (const cmd of [IOMMU_TEST_CMD, IOMMU_DESTROY, IOMMU_IOAS_MAP]) table.register(cmd, () => 0)
    const expected = [IOMMU_DESTROY, IOMMU_IOAS_MAP, IOMMU_TEST_CMD]
    expect(table.all().map(({ info }) => info.cmd)).toEqual(expected)
  })
})

describe('misuse', () => {
  test('a number that is no command of iommufd cannot be registered', () => {
    const table = new CommandTable()
    for (const cmd of [0, 0x3b7f, 0x3b96, 0x3ba1, VFIO_GET_API_VERSION]) {
      expect(() => table.register(cmd, () => 0)).toThrow(/iommufd has no command 0x/)
    }
    expect(table.all()).toEqual([])
  })

  test('a command has one server', () => {
    const table = new CommandTable()
    table.register(IOMMU_OPTION, () => 1)
    expect(() => table.register(IOMMU_OPTION, () => 2)).toThrow(
      'IOMMU_OPTION is registered already',
    )
    expect(table.find(IOMMU_OPTION)?.execute(undefined as never)).toBe(1)
  })
})
