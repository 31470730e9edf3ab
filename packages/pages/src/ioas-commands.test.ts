// SPDX-License-Identifier: Apache-2.0
// SPEC C1, C2, C9, L15, E2: making, destroying and setting up address spaces; the order of checks and each errno.

import {
  IOMMU_IOAS_NOIOMMU_GET_PA,
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  iommu_ioas_noiommu_get_pa,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { Access } from '../test/access.js'
import { ARG_READ_ONLY, boot, MEMORY, PAGE, Program, RW } from '../test/harness.js'
import { snapshot } from '../test/snapshot.js'
import { U64_MAX } from '../test/u64.js'

describe('IOAS_ALLOC (SPEC C2)', () => {
  test('ids are the lowest free from 1', () => {
    const program = Program.start(boot())
    expect([program.alloc(), program.alloc(), program.alloc()]).toEqual([1, 2, 3])
    expect(program.destroy(2).outcome).toBe('ok')
    expect(program.destroy(1).outcome).toBe('ok')
    expect([program.alloc(), program.alloc(), program.alloc()]).toEqual([1, 2, 4])
  })

  test('a fresh address space: everything usable, alignment 1', () => {
    const program = Program.start(boot())
    expect(program.ranges(program.alloc())).toMatchObject({
      ret: 0,
      num_iovas: 1,
      out_iova_alignment: 1n,
      ranges: [{ start: 0n, last: U64_MAX }],
    })
  })

  test('flags must be 0', () => {
    const program = Program.start(boot())
    expect(program.tryAlloc({ flags: 1 }).outcome).toBe('EOPNOTSUPP FLAGS_UNKNOWN')
    expect(program.alloc()).toBe(1)
  })

  test('when the id cannot be written back there is no address space', () => {
    const world = boot()
    const program = Program.start(world)
    const before = snapshot(world)
    expect(program.tryAlloc({}, ARG_READ_ONLY).outcome).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(snapshot(world)).toEqual(before)
    expect(program.alloc()).toBe(1)
  })
})

describe('DESTROY of an IOAS (SPEC C1)', () => {
  test('unknown ids', () => {
    const program = Program.start(boot())
    for (const id of [0, 1, 0x7fffffff, 0xffffffff]) {
      expect(program.destroy(id).outcome).toBe('ENOENT OBJECT_UNKNOWN')
    }
  })

  test('takes every mapping with it', () => {
    const world = boot()
    const program = Program.start(world)
    const before = snapshot(world)
    const id = program.alloc()
    program.mapAt(id, 0x1000)
    program.mapFileAt(id, 0x10000)
    program.copy({ flags: RW, dst_ioas_id: id, src_ioas_id: id, length: PAGE, src_iova: 0x1000 })
    expect(program.destroy(id).outcome).toBe('ok')
    expect(snapshot(world)).toEqual(before)
  })

  test('busy while an in-kernel user is attached', () => {
    const world = boot()
    const program = Program.start(world)
    const id = program.alloc()
    const access = Access.attached(world, program.ioas(id))
    expect(program.destroy(id).outcome).toBe('EBUSY OBJECT_BUSY')
    access.detach()
    expect(program.destroy(id).outcome).toBe('ok')
  })
})

describe('IOMMU_OPTION_HUGE_PAGES (SPEC C9, E2)', () => {
  const option_id = IOMMU_OPTION_HUGE_PAGES
  const set = (program: Program, object_id: number, val64: bigint | number): string =>
    program.option({ option_id, op: IOMMU_OPTION_OP_SET, object_id, val64 }).outcome
  const get = (program: Program, object_id: number): bigint =>
    program.option({ option_id, op: IOMMU_OPTION_OP_GET, object_id, val64: 9 }).val64
  const alignment = (program: Program, id: number): bigint => program.ranges(id).out_iova_alignment

  test('1 at first; 0 makes the alignment a page, 1 gives it back', () => {
    const program = Program.start(boot())
    const id = program.alloc()
    expect([get(program, id), alignment(program, id)]).toEqual([1n, 1n])
    expect(set(program, id, 0)).toBe('ok')
    expect([get(program, id), alignment(program, id)]).toEqual([0n, 4096n])
    expect(set(program, id, 0)).toBe('ok')
    expect(set(program, id, 1)).toBe('ok')
    expect([get(program, id), alignment(program, id)]).toEqual([1n, 1n])
  })

  test('only of the address space that is named', () => {
    const program = Program.start(boot())
    const [a, b] = [program.alloc(), program.alloc()]
    expect(set(program, a, 0)).toBe('ok')
    expect([alignment(program, a), alignment(program, b)]).toEqual([4096n, 1n])
  })

  test('checks in order: reserved, option, object, operation, value', () => {
    const program = Program.start(boot())
    const id = program.alloc()
    const wrong = { __reserved: 1, option_id: 7, object_id: 9, op: 5, val64: 2 }
    expect(program.option(wrong).outcome).toBe('EOPNOTSUPP OPTION_RESERVED')
    const known = { ...wrong, __reserved: 0 }
    expect(program.option(known).outcome).toBe('EOPNOTSUPP OPTION_UNKNOWN')
    const huge = { ...known, option_id }
    expect(program.option(huge).outcome).toBe('ENOENT OBJECT_UNKNOWN')
    expect(program.option({ ...huge, object_id: id }).outcome).toBe('EOPNOTSUPP OPTION_OP_UNKNOWN')
    expect(set(program, id, 2)).toBe('EINVAL HUGE_PAGES_VALUE')
    expect(set(program, id, 2n ** 32n)).toBe('EINVAL HUGE_PAGES_VALUE')
    expect(set(program, id, 2n ** 32n + 1n)).toBe('EINVAL HUGE_PAGES_VALUE')
  })

  test.each([
    ['iova', 0x1001, MEMORY, PAGE - 1],
    ['length', 0x1000, MEMORY, 0x800],
    ['memory', 0x1000, MEMORY + 0x10, PAGE],
  ])('an area with a misaligned %s stands in the way', (_what, iova, user_va, length) => {
    const program = Program.start(boot())
    const id = program.alloc()
    expect(program.mapAt(id, 0x10000).outcome).toBe('ok')
    expect(program.mapAt(id, iova, length, user_va).outcome).toBe('ok')
    expect(set(program, id, 0)).toBe('EADDRINUSE ALIGNMENT_BREAKS_AREA')
    expect([get(program, id), alignment(program, id)]).toEqual([1n, 1n])
    expect(program.unmap(id, iova, length).outcome).toBe('ok')
    expect(set(program, id, 0)).toBe('ok')
  })

  test('areas at both ends of the space are aligned', () => {
    const program = Program.start(boot())
    const id = program.alloc()
    expect(program.mapAt(id, 0).outcome).toBe('ok')
    expect(program.mapAt(id, U64_MAX - 0xfffn).outcome).toBe('ok')
    expect(set(program, id, 0)).toBe('ok')
  })

  test('only val64 goes back, and not after a refusal', () => {
    const program = Program.start(boot())
    const id = program.alloc()
    const values = { option_id, op: IOMMU_OPTION_OP_GET, object_id: id, val64: 9 }
    expect(program.option(values, ARG_READ_ONLY).outcome).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(program.option({ ...values, object_id: 9 }).val64).toBe(9n)
  })

  test('a setting that could not be answered stays', () => {
    const program = Program.start(boot())
    const id = program.alloc()
    const values = { option_id, op: IOMMU_OPTION_OP_SET, object_id: id, val64: 0 }
    expect(program.option(values, ARG_READ_ONLY).outcome).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(get(program, id)).toBe(0n)
  })
})

describe('the alignment that in-kernel users need (SPEC E2)', () => {
  test('a page for one that pins, nothing for one that does not', () => {
    const world = boot()
    const program = Program.start(world)
    const id = program.alloc()
    const ioas = program.ioas(id)
    const reader = Access.attached(world, ioas, 1)
    expect(ioas.iopt.alignment).toBe(1)
    const pinner = Access.attached(world, ioas, PAGE)
    expect(ioas.iopt.alignment).toBe(PAGE)
    reader.detach()
    expect(ioas.iopt.alignment).toBe(PAGE)
    pinner.detach()
    expect(ioas.iopt.alignment).toBe(1)
  })

  test('a misaligned area keeps one that pins out', () => {
    const world = boot()
    const program = Program.start(world)
    const id = program.alloc()
    program.mapAt(id, 0x1080, PAGE)
    const access = new Access(world, program.ioas(id))
    const before = snapshot(world)
    expect(access.attach()).toBeLessThan(0)
    expect(world.engine.refusals.last).toMatchObject({
      id: 'ALIGNMENT_BREAKS_AREA',
      operands: { areaIova: 0x1080n, areaLast: 0x207fn, alignment: PAGE },
    })
    expect(snapshot(world)).toEqual(before)
  })
})

test('IOAS_NOIOMMU_GET_PA knows no address (SPEC L15)', () => {
  const program = Program.start(boot())
  const values = { ioas_id: program.alloc(), iova: 0x1000, length: PAGE }
  const answer = program.call(IOMMU_IOAS_NOIOMMU_GET_PA, iommu_ioas_noiommu_get_pa, values)
  expect(answer.outcome).toBe('EOPNOTSUPP NOIOMMU_ABSENT')
})
