// SPDX-License-Identifier: Apache-2.0
// SPEC C6, C7, L8: IOAS_MAP and IOAS_MAP_FILE, check by check in the kernel's order, each errno with its refusal.

import { IOMMU_IOAS_MAP, IOMMU_IOAS_MAP_FILE } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { Access } from '../test/access.js'
import {
  ARG,
  ARG_READ_ONLY,
  boot,
  CONSTANT,
  FIXED,
  MEMORY,
  NOTHING,
  PAGE,
  PAGES,
  Program,
  READ,
  RW,
  RW_FIXED,
  WRITE,
} from '../test/harness.js'
import { areaLines, snapshot } from '../test/snapshot.js'
import { hi, lo, type Range, U64_MAX } from '../test/u64.js'

interface Scene {
  readonly program: Program
  readonly id: number
}

function scene(): Scene {
  const program = Program.start(boot())
  return { program, id: program.alloc() }
}

function reserve({ program, id }: Scene, { start, last }: Range): void {
  const { iopt } = program.ioas(id)
  expect(iopt.reserve(hi(start), lo(start), hi(last), lo(last))).toBe(0)
}

/** Alignment 4096. */
function useSmallPages({ program, id }: Scene): void {
  expect(program.ioas(id).iopt.disableLargePages()).toBe(0)
}

describe('IOAS_MAP: every check, in order (SPEC C6)', () => {
  // Each struct is wrong in its own way and in the ways of all rows below it, as far as they can go together.
  test.each([
    ['an unknown flag', { flags: 8, __reserved: 1 }, 'EOPNOTSUPP FLAGS_UNKNOWN'],
    ['reserved', { flags: 0, __reserved: 1, iova: U64_MAX }, 'EOPNOTSUPP RESERVED_NOT_ZERO'],
    ['iova 2^64-1', { flags: 0, iova: U64_MAX, ioas_id: 99 }, 'EOVERFLOW RANGE_AT_TOP'],
    ['length 2^64-1', { flags: 0, length: U64_MAX, ioas_id: 99 }, 'EOVERFLOW RANGE_AT_TOP'],
    ['no permission', { flags: FIXED, ioas_id: 99 }, 'EINVAL NO_PERMISSION_ASKED'],
    [
      'unknown IOAS',
      { flags: RW, ioas_id: 99, user_va: U64_MAX, length: 1 },
      'ENOENT OBJECT_UNKNOWN',
    ],
    [
      'user_va + length wraps',
      { user_va: U64_MAX - 0xfffn, length: U64_MAX - 1n },
      'EOVERFLOW USER_RANGE_WRAPS',
    ],
    ['length 0', { length: 0, iova: 0x801 }, 'EINVAL LENGTH_UNUSABLE'],
    [
      'length beyond 2^64-1-PAGE_SIZE',
      { user_va: 0, length: U64_MAX - 0xfffn, iova: 0x801 },
      'EINVAL LENGTH_UNUSABLE',
    ],
    [
      'misaligned length',
      { length: 0x801, iova: 0x801, user_va: MEMORY + 1 },
      'EINVAL LENGTH_MISALIGNED',
    ],
    ['misaligned iova', { iova: 0x801, user_va: MEMORY + 1 }, 'EINVAL IOVA_MISALIGNED'],
    [
      'iova + length wraps',
      { iova: U64_MAX - 0xfffn, length: 0x2000, user_va: MEMORY + 1 },
      'EOVERFLOW IOVA_WRAPS',
    ],
    [
      'reserved range',
      { iova: 0x8000, length: 0x9000, user_va: MEMORY + 1 },
      'EINVAL IOVA_RESERVED',
    ],
    ['overlap', { iova: 0xf000, length: 0x2000, user_va: MEMORY + 1 }, 'EEXIST AREA_OVERLAPS'],
    ['misaligned memory', { iova: 0x4000, user_va: MEMORY + 1 }, 'EINVAL OFFSET_MISALIGNED'],
  ])('%s', (_what, wrong, outcome) => {
    const { program, id } = scene()
    useSmallPages({ program, id })
    reserve({ program, id }, { start: 0x8000n, last: 0x8fffn })
    expect(program.mapAt(id, 0x10000).outcome).toBe('ok')
    const before = snapshot(program.world)
    const values = { flags: RW_FIXED, ioas_id: id, user_va: MEMORY, length: PAGE, iova: 0x4000 }
    expect(program.map({ ...values, ...wrong }).outcome).toBe(outcome)
    expect(snapshot(program.world)).toEqual(before)
  })

  test('iova is judged even when the kernel chooses it', () => {
    const { program, id } = scene()
    const values = { flags: RW, ioas_id: id, user_va: MEMORY, length: PAGE, iova: U64_MAX }
    expect(program.map(values).outcome).toBe('EOVERFLOW RANGE_AT_TOP')
  })

  test('user_va + length may not reach 2^64, iova + length may', () => {
    const { program, id } = scene()
    const top = U64_MAX - 0xfffn
    expect(program.mapAt(id, top, PAGE, top).outcome).toBe('EOVERFLOW USER_RANGE_WRAPS')
    expect(program.mapAt(id, top, PAGE, top - 1n).outcome).toBe('ok')
    expect(program.mapAt(id, U64_MAX - 1n, 2).outcome).toBe('EEXIST AREA_OVERLAPS')
  })

  test('the largest length', () => {
    const { program, id } = scene()
    const length = U64_MAX - 0x1000n
    expect(program.mapAt(id, 0, length + 1n, 0).outcome).toBe('EINVAL LENGTH_UNUSABLE')
    expect(program.mapAt(id, 0, length, 0).outcome).toBe('ok')
    expect(program.unmap(id, 0, length)).toMatchObject({ ret: 0, length })
  })

  test.each([
    ['READABLE', READ, 1],
    ['WRITEABLE', WRITE, 2],
    ['both', RW, 3],
  ])('permission %s is what the area has', (_name, flags, expected) => {
    const { program, id } = scene()
    expect(program.mapAt(id, 0x1000, PAGE, MEMORY, flags).outcome).toBe('ok')
    expect(areaLines(program.ioas(id))[0]).toContain(`flags ${expected},`)
  })

  test('neighbours may touch, one byte of overlap is refused and named', () => {
    const { program, id } = scene()
    expect(program.mapAt(id, 0x2000).outcome).toBe('ok')
    expect(program.mapAt(id, 0x1000).outcome).toBe('ok')
    expect(program.mapAt(id, 0x3000).outcome).toBe('ok')
    expect(program.mapAt(id, 0x3fff, 2).outcome).toBe('EEXIST AREA_OVERLAPS')
    expect(program.world.engine.refusals.last?.operands).toEqual({
      iova: 0x3fffn,
      last: 0x4000n,
      areaIova: 0x3000n,
      areaLast: 0x3fffn,
    })
  })

  test('a reserved range is named; the allowed list does not bind a chosen iova', () => {
    const { program, id } = scene()
    reserve({ program, id }, { start: 0x8000n, last: 0x8fffn })
    expect(program.mapAt(id, 0x7000, 0x1001).outcome).toBe('EINVAL IOVA_RESERVED')
    expect(program.world.engine.refusals.last?.operands).toMatchObject({
      reservedIova: 0x8000n,
      reservedLast: 0x8fffn,
    })
    expect(program.allow(id, [{ start: 0x100000n, last: 0x1fffffn }]).outcome).toBe('ok')
    expect(program.mapAt(id, 0x7000).outcome).toBe('ok')
  })

  test('bytes may be mapped anywhere while nothing asks for alignment', () => {
    const { program, id } = scene()
    expect(program.mapAt(id, 0x1003, 5, MEMORY + 0x2ffe).outcome).toBe('ok')
    const reader = Access.attached(program.world, program.ioas(id), 1)
    program.process.store(MEMORY + 0x2ffe, Uint8Array.of(1, 2, 3, 4, 5))
    expect(reader.read(0x1003n, 5)).toEqual([1, 2, 3, 4, 5])
    reader.detach()
  })

  test('nothing is pinned: memory that is not there is accepted, and refused when it is used', () => {
    const { program, id } = scene()
    expect(program.mapAt(id, 0x1000, PAGE, NOTHING).outcome).toBe('ok')
    expect(program.mapAt(id, 0x2000, PAGE, 0xffff_8000_0000_0000n).outcome).toBe('ok')
    expect(program.mapAt(id, 0x3000, PAGE, CONSTANT).outcome).toBe('ok')
    expect(program.world.machine.pinnedFrames).toBe(0)
    const access = Access.attached(program.world, program.ioas(id))
    for (const start of [0x1000n, 0x2000n, 0x3000n]) {
      expect(access.tryPin({ start, last: start + 0xfffn })).toBe('EFAULT USER_PAGES_BAD')
    }
    access.detach()
  })

  test('when the iova cannot be written back the mapping stays', () => {
    const { program, id } = scene()
    const values = { flags: RW_FIXED, ioas_id: id, user_va: MEMORY, length: PAGE, iova: 0x1000 }
    expect(program.map(values, ARG_READ_ONLY).outcome).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(program.map(values).outcome).toBe('EEXIST AREA_OVERLAPS')
    expect(program.unmap(id, 0x1000, PAGE).outcome).toBe('ok')
  })

  test('a struct that ends before iova is refused, one with a zero tail accepted', () => {
    const { program, id } = scene()
    const values = { flags: RW, ioas_id: id, user_va: MEMORY, length: PAGE }
    expect(program.map({ ...values, size: 39 }).outcome).toBe('EINVAL STRUCT_TOO_SMALL')
    expect(program.map({ ...values, size: 48 }).outcome).toBe('ok')
    program.process.store(ARG + 47, Uint8Array.of(1))
    expect(program.map({ ...values, size: 48 }).outcome).toBe('E2BIG STRUCT_TAIL_NOT_ZERO')
    expect(program.process.ioctl(program.fd, IOMMU_IOAS_MAP, NOTHING)).toBeLessThan(0)
    expect(program.world.engine.refusals.last?.id).toBe('STRUCT_UNREADABLE')
  })
})

describe('IOAS_MAP: the kernel chooses (SPEC C7)', () => {
  const auto = (
    { program, id }: Scene,
    length: number | bigint,
    user_va: number | bigint = MEMORY,
  ) => program.map({ flags: RW, ioas_id: id, user_va, length })

  test('the lowest, from PAGE_SIZE on, aligned to the length', () => {
    const place = scene()
    expect(auto(place, PAGE).iova).toBe(0x1000n)
    expect(auto(place, 3 * PAGE).iova).toBe(0x4000n)
    expect(auto(place, PAGE).iova).toBe(0x2000n)
    expect(auto(place, 5 * PAGE).iova).toBe(0x8000n)
    expect(auto(place, 1).iova).toBe(0x3000n)
    expect(auto(place, 1).iova).toBe(0x3001n)
  })

  test('aligned no more than the memory is', () => {
    const place = scene()
    expect(auto(place, 16 * PAGE, MEMORY + PAGE).iova).toBe(0x1000n)
    expect(auto(place, PAGE, MEMORY + 0x10).iova).toBe(0x11010n)
  })

  test.each([
    [0x200000, 0x200000n],
    [PAGE, 0x1000n],
    [0x10000, 0x10000n],
  ])('aligned to at most %i bytes', (maxIovaAlignment, iova) => {
    const program = Program.start(boot({ maxIovaAlignment }))
    const place = { program, id: program.alloc() }
    expect(auto(place, 0x40000000, 0x7f0000000000).iova).toBe(iova)
  })

  test('half of the space or more is refused', () => {
    const place = scene()
    expect(auto(place, 2n ** 63n - 1n, 0).outcome).toBe('EOVERFLOW AUTO_LENGTH_TOO_LARGE')
    expect(auto(place, 2n ** 63n - 2n, 0).outcome).toBe('ok')
    expect(auto(place, 2n ** 63n - 2n, 0).outcome).toBe('ENOSPC IOVA_SPACE_FULL')
  })

  test('memory that is less aligned than the address space', () => {
    const place = scene()
    useSmallPages(place)
    const outcome = 'EINVAL AUTO_ALIGNMENT_TOO_SMALL'
    expect(auto(place, PAGE, MEMORY + 0x800).outcome).toBe(outcome)
    expect(auto(place, 0x800, MEMORY).outcome).toBe('EINVAL LENGTH_MISALIGNED')
    expect(auto(place, 2n ** 63n, MEMORY + 0x800).outcome).toBe('EOVERFLOW AUTO_LENGTH_TOO_LARGE')
    expect(auto(place, PAGE, MEMORY).outcome).toBe('ok')
  })

  test('only in allowed ranges, if there are any', () => {
    const place = scene()
    const { program, id } = place
    program.allow(id, [{ start: 0x7000n, last: 0x8fffn }])
    expect(auto(place, PAGE).iova).toBe(0x7000n)
    expect(auto(place, PAGE).iova).toBe(0x8000n)
    expect(auto(place, PAGE)).toMatchObject({ outcome: 'ENOSPC IOVA_SPACE_FULL', iova: 0n })
    program.allow(id, [])
    expect(auto(place, PAGE).iova).toBe(0x1000n)
  })

  test('never in a reserved range', () => {
    const place = scene()
    reserve(place, { start: 0n, last: 2n ** 32n - 1n })
    expect(auto(place, PAGE).iova).toBe(2n ** 32n)
  })
})

describe('IOAS_MAP_FILE (SPEC L8)', () => {
  test.each([
    ['an unknown flag', { flags: 8 }, 'EOPNOTSUPP FLAGS_UNKNOWN'],
    ['iova 2^64-1', { flags: 0, iova: U64_MAX, ioas_id: 99 }, 'EOVERFLOW RANGE_AT_TOP'],
    ['no permission', { flags: FIXED, ioas_id: 99 }, 'EINVAL NO_PERMISSION_ASKED'],
    ['unknown IOAS', { ioas_id: 99, fd: 99 }, 'ENOENT OBJECT_UNKNOWN'],
    ['unknown descriptor', { fd: 99, length: 0 }, 'EBADF FILE_DESCRIPTOR_UNKNOWN'],
    ['negative descriptor', { fd: -1, length: 0 }, 'EBADF FILE_DESCRIPTOR_UNKNOWN'],
    [
      'start + length wraps',
      { start: U64_MAX - 0xfffn, length: 0x1001 },
      'EOVERFLOW USER_RANGE_WRAPS',
    ],
    ['length 0', { length: 0, start: U64_MAX }, 'EINVAL LENGTH_UNUSABLE'],
    ['misaligned length', { length: 0x801, iova: 0x801 }, 'EINVAL LENGTH_MISALIGNED'],
    ['misaligned iova', { iova: 0x801, start: 1 }, 'EINVAL IOVA_MISALIGNED'],
    ['reserved range', { iova: 0x8000, start: 1 }, 'EINVAL IOVA_RESERVED'],
    ['overlap', { iova: 0x10000, start: 1 }, 'EEXIST AREA_OVERLAPS'],
    ['misaligned start', { start: 1 }, 'EINVAL OFFSET_MISALIGNED'],
  ])('%s', (_what, wrong, outcome) => {
    const { program, id } = scene()
    useSmallPages({ program, id })
    reserve({ program, id }, { start: 0x8000n, last: 0x8fffn })
    expect(program.mapFileAt(id, 0x10000).outcome).toBe('ok')
    const before = snapshot(program.world)
    const fd = program.memfd
    const values = { flags: RW_FIXED, ioas_id: id, fd, start: 0, length: PAGE, iova: 0x4000 }
    expect(program.mapFile({ ...values, ...wrong }).outcome).toBe(outcome)
    expect(snapshot(program.world)).toEqual(before)
  })

  test('a file that is no memfd, and a range beyond the end, are refused when they are used', () => {
    const { program, id } = scene()
    const values = { flags: RW_FIXED, ioas_id: id, length: 2 * PAGE }
    expect(program.mapFile({ ...values, fd: 0, iova: 0x10000 }).outcome).toBe('ok')
    const start = (PAGES - 1) * PAGE
    const beyond = { ...values, fd: program.memfd, start, iova: 0x20000 }
    expect(program.mapFile(beyond).outcome).toBe('ok')
    const access = Access.attached(program.world, program.ioas(id))
    expect(access.tryPin({ start: 0x10000n, last: 0x10fffn })).toBe('EINVAL FILE_PAGES_BAD')
    expect(access.tryPin({ start: 0x20000n, last: 0x21fffn })).toBe('EINVAL FILE_PAGES_BAD')
    expect(access.tryPin({ start: 0x20000n, last: 0x20fffn })).toBe('ok')
    access.detach()
  })

  test('the mapping holds the file: descriptor and process may go', () => {
    const world = boot()
    const program = Program.start(world)
    const other = Program.start(world)
    const id = program.alloc()
    expect(program.mapFileAt(id, 0x10000, 2 * PAGE, PAGE).outcome).toBe('ok')
    program.process.close(program.memfd)
    const access = Access.attached(world, program.ioas(id))
    expect(access.read(0x10000n, 1)).toEqual([2])
    expect(access.read(0x11000n, 1)).toEqual([3])
    access.detach()
    other.process.exit()
    program.process.exit()
    expect(world.machine.framesInUse).toBe(0)
  })

  test('the automatic IOVA follows the offset in the file', () => {
    const { program, id } = scene()
    const values = { flags: RW, ioas_id: id, fd: program.memfd, length: 2 * PAGE }
    expect(program.mapFile({ ...values, start: 0 }).iova).toBe(0x2000n)
    expect(program.mapFile({ ...values, start: PAGE }).iova).toBe(0x4000n)
    expect(program.mapFile({ ...values, start: 0x10, length: 0x10 }).iova).toBe(0x1010n)
  })

  test('when the iova cannot be written back the mapping stays', () => {
    const { program, id } = scene()
    const fd = program.memfd
    const values = { flags: RW_FIXED, ioas_id: id, fd, length: PAGE, iova: 0x1000 }
    expect(program.mapFile(values, ARG_READ_ONLY).outcome).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(program.mapFile(values).outcome).toBe('EEXIST AREA_OVERLAPS')
    expect(program.process.ioctl(program.fd, IOMMU_IOAS_MAP_FILE, 0)).toBeLessThan(0)
  })
})
