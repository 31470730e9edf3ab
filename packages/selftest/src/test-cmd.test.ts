// SPDX-License-Identifier: Apache-2.0
//
// The dispatch of test operations, and those on address spaces and memory.

import * as uapi from '@iommufd/uapi'
import {
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP_ADD_RESERVED,
  IOMMU_TEST_OP_MD_CHECK_REFS,
  IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT,
  iommu_ioas_allow_iovas,
  iommu_ioas_iova_ranges,
  iommu_iova_range,
  iommu_test_cmd,
  readStruct,
  writeStruct,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import readme from '../README.md?raw'
import {
  allocIoas,
  type Booted,
  BUFFER,
  boot,
  createAccess,
  HOLE,
  IOVA,
  ioctl,
  map,
  mmap,
  PAGE,
  type Program,
  testOp,
  why,
} from '../test/harness.js'

const LIST = BUFFER + 15 * PAGE
const TOP = 2n ** 64n - 1n

describe('dispatch', () => {
  test('F4: the struct is taken from 68 bytes on, with all of every operation in it', () => {
    const booted = boot()
    const values = { op: IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, memory_limit_limit: PAGE }
    const call = (size: number): string => {
      const { ret } = ioctl(booted, IOMMU_TEST_CMD, iommu_test_cmd, { ...values, size })
      return why(booted.engine, ret)
    }
    expect([call(67), call(68)]).toEqual(['EINVAL STRUCT_TOO_SMALL', '0'])
  })

  test('section 10: an operation that does not exist is EOPNOTSUPP', () => {
    const booted = boot()
    for (const op of [0, 24, 1000, 0x80000000, 0xffffffff]) {
      expect(testOp(booted, op, {}).answer).toBe('EOPNOTSUPP TEST_OP_UNKNOWN')
      expect(booted.engine.refusals.last?.operands).toEqual({ op })
    }
  })

  test('section 10: an operation that a layer above adds is served', () => {
    const booted = boot()
    booted.ops.set(1000, () => 5)
    expect(testOp(booted, 1000, {}).answer).toBe('5')
  })

  test('section 10: the README lists the operations that there are', () => {
    const names = Object.entries(uapi)
      .filter(
        ([name, value]) => name.startsWith('IOMMU_TEST_OP_') && boot().ops.has(value as number),
      )
      .map(([name]) => name.slice('IOMMU_TEST_OP_'.length))
    const listed = [...readme.matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1])
    expect(listed.sort()).toEqual(names.sort())
  })
})

describe('ADD_RESERVED', () => {
  function reserve(program: Program, id: number, start: bigint, length: bigint): string {
    const values = { id, add_reserved_start: start, add_reserved_length: length }
    return testOp(program, IOMMU_TEST_OP_ADD_RESERVED, values).answer
  }

  /** The usable ranges, as IOAS_IOVA_RANGES tells them. */
  function ranges({ process, fd }: Program, ioas_id: number): [bigint, bigint][] {
    const values = { ioas_id, num_iovas: 8, allowed_iovas: LIST }
    const { ret, out } = ioctl(
      { process, fd },
      IOMMU_IOAS_IOVA_RANGES,
      iommu_ioas_iova_ranges,
      values,
    )
    const bytes = process.load(LIST, 8 * iommu_iova_range.size)
    if (ret !== 0 || typeof bytes === 'number') throw new Error(`IOVA_RANGES: ${ret}`)
    return Array.from({ length: out.num_iovas }, (_, i) => {
      const { start, last } = readStruct(iommu_iova_range, bytes, i * iommu_iova_range.size)
      return [start, last]
    })
  }

  function allow(
    { process, fd, engine }: Program,
    ioas_id: number,
    start: bigint,
    last: bigint,
  ): string {
    process.store(LIST, writeStruct(iommu_iova_range, { start, last }))
    const values = { ioas_id, num_iovas: 1, allowed_iovas: LIST }
    return why(
      engine,
      ioctl({ process, fd }, IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas, values).ret,
    )
  }

  test('section 10: length 0 is EINVAL, then a wrap EOVERFLOW, then an unknown IOAS ENOENT', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    expect(reserve(booted, 99, TOP, 0n)).toBe('EINVAL RESERVED_LENGTH_ZERO')
    expect(reserve(booted, 99, TOP, 2n)).toBe('EOVERFLOW RESERVED_RANGE_WRAPS')
    expect(reserve(booted, 99, 1n, TOP)).toBe('ENOENT OBJECT_UNKNOWN')
    expect(reserve(booted, 99, TOP, 1n)).toBe('ENOENT OBJECT_UNKNOWN')
    expect(reserve(booted, ioas, 2n, TOP)).toBe('EOVERFLOW RESERVED_RANGE_WRAPS')
    expect(ranges(booted, ioas)).toEqual([[0n, TOP]])
  })

  test('C5: what is reserved is usable no more', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    expect(reserve(booted, ioas, 0x1001n, 0x10n)).toBe('0')
    expect(reserve(booted, ioas, TOP, 1n)).toBe('0')
    expect(ranges(booted, ioas)).toEqual([
      [0n, 0x1000n],
      [0x1011n, TOP - 1n],
    ])
    expect(map(booted, ioas, { iova: 0x1010, length: 1 })).toBe('EINVAL IOVA_RESERVED')
    expect(map(booted, ioas, { iova: 0x1011, length: 1 })).toBe('0')
  })

  test('E1: reserved ranges may overlap, and the whole space can be reserved', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    expect(reserve(booted, ioas, 0x1000n, 0x1000n)).toBe('0')
    expect(reserve(booted, ioas, 0x1800n, 0x1000n)).toBe('0')
    expect(ranges(booted, ioas)).toEqual([
      [0n, 0xfffn],
      [0x2800n, TOP],
    ])
    expect(reserve(booted, ioas, 0n, TOP)).toBe('0')
    expect(ranges(booted, ioas)).toEqual([[TOP, TOP]])
  })

  test('C3: a range with an area or an allowed range in it is EADDRINUSE', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    map(booted, ioas, { iova: 0x5000, length: PAGE })
    for (const [start, length] of [
      [0x5fffn, 1n],
      [0x4fffn, 2n],
      [0n, TOP],
    ] as const) {
      expect(reserve(booted, ioas, start, length)).toBe('EADDRINUSE SPACE_IN_USE')
    }
    expect(reserve(booted, ioas, 0x6000n, 0x1000n)).toBe('0')
    expect(allow(booted, ioas, 0x10000n, 0x10fffn)).toBe('0')
    expect(reserve(booted, ioas, 0x10fffn, 1n)).toBe('EADDRINUSE SPACE_IN_USE')
    expect(reserve(booted, ioas, 0x11000n, 1n)).toBe('0')
  })
})

describe('MD_CHECK_REFS', () => {
  function checkRefs(
    program: Program,
    uptr: number | bigint,
    length: number | bigint,
    refs: number,
  ): string {
    const values = { check_refs_uptr: uptr, check_refs_length: length, check_refs_refs: refs }
    return testOp(program, IOMMU_TEST_OP_MD_CHECK_REFS, values).answer
  }

  test('section 10: the pins of every page must be as many as asked', () => {
    const booted = boot()
    const { machine, process } = booted
    expect(checkRefs(booted, BUFFER, 4 * PAGE, 0)).toBe('0')
    const frames = new Uint32Array(1)
    process.mm.pin(1, (BUFFER + PAGE) | 0, 1, true, frames, 0)
    expect(checkRefs(booted, BUFFER, PAGE, 0)).toBe('0')
    expect(checkRefs(booted, BUFFER, 2 * PAGE, 0)).toBe('EIO REFS_DIFFER')
    const operands = { address: BigInt(BUFFER + PAGE), pins: 1, asked: 0 }
    expect(booted.engine.refusals.last?.operands).toEqual(operands)
    expect(checkRefs(booted, BUFFER + PAGE, PAGE, 1)).toBe('0')
    expect(checkRefs(booted, BUFFER + PAGE, PAGE, 2)).toBe('EIO REFS_DIFFER')
    machine.unpin(frames, 0, 1)
    expect(checkRefs(booted, BUFFER + PAGE, PAGE, 0)).toBe('0')
  })

  test('section 10: pages that are not whole, or run past the end, are EINVAL', () => {
    const booted = boot()
    for (const [uptr, length] of [
      [BUFFER + 1, PAGE],
      [BUFFER, PAGE - 1],
      [HOLE + 1, PAGE],
      [2n ** 64n - 4096n, 4096],
      [4096, 2n ** 64n - 4096n],
    ] as const) {
      expect(checkRefs(booted, uptr, length, 0)).toBe('EINVAL REFS_MISALIGNED')
    }
  })

  test('section 10: a page that is not there is EFAULT, after those before it', () => {
    const booted = boot()
    const end = BUFFER + 16 * PAGE
    expect(checkRefs(booted, HOLE, PAGE, 0)).toBe('EFAULT PAGE_NOT_THERE')
    expect(checkRefs(booted, end - PAGE, 2 * PAGE, 1)).toBe('EIO REFS_DIFFER')
    expect(checkRefs(booted, end - PAGE, 2 * PAGE, 0)).toBe('EFAULT PAGE_NOT_THERE')
    expect(booted.engine.refusals.last?.operands).toEqual({ address: BigInt(end) })
    expect(checkRefs(booted, end - PAGE, 2n ** 63n, 0)).toBe('EFAULT PAGE_NOT_THERE')
  })

  test('section 10: no pages are fine', () => {
    expect(checkRefs(boot(), HOLE, 0, 7)).toBe('0')
  })
})

describe('SET_TEMP_MEMORY_LIMIT', () => {
  function setLimit(program: Program, limit: number): string {
    const values = { memory_limit_limit: limit }
    return testOp(program, IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, values).answer
  }

  /** Fault points that a pin of 8 pages passes. */
  function points(booted: Booted): number {
    const ioas = allocIoas(booted)
    map(booted, ioas, { length: 8 * PAGE })
    const values = {
      id: createAccess(booted, ioas),
      access_pages_iova: IOVA,
      access_pages_length: 8 * PAGE,
      access_pages_uptr: BUFFER,
    }
    booted.engine.faults.disarm()
    expect(testOp(booted, uapi.IOMMU_TEST_OP_ACCESS_PAGES, values).answer).toBe('0')
    return booted.engine.faults.passed
  }

  test('section 10: less than one batch entry is EINVAL', () => {
    const booted = boot()
    for (const limit of [0, 1, 11]) {
      expect(setLimit(booted, limit)).toBe('EINVAL MEMORY_LIMIT_TOO_SMALL')
    }
    for (const limit of [12, 65536, 0xffffffff]) expect(setLimit(booted, limit)).toBe('0')
  })

  test('section 10: a small limit pins in many small batches, and the same pages', () => {
    const before = points(boot())
    const booted = boot()
    setLimit(booted, 16)
    expect(points(booted)).toBe(before + 3)
    setLimit(booted, 0xffffffff)
    mmap(booted.process, BUFFER, 16)
    expect(points(booted)).toBe(before)
  })
})
