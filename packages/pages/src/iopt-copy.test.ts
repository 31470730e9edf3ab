// SPDX-License-Identifier: Apache-2.0
// SPEC C4: IOAS_COPY, check by check, and what a copy shares with its source.

import { describe, expect, test } from 'vitest'
import { Access } from '../test/access.js'
import {
  ARG_READ_ONLY,
  boot,
  FIXED,
  MEMORY,
  PAGE,
  Program,
  READ,
  RW,
  RW_FIXED,
  SHARED,
  WRITE,
} from '../test/harness.js'
import { areaLines, snapshot } from '../test/snapshot.js'
import { hi, lo, U64_MAX } from '../test/u64.js'

interface Scene {
  readonly program: Program
  readonly src: number
  readonly dst: number
}

/** The source shows four pages at 0x10000 as two areas that touch, and one read-only page at 0x20000. */
function scene(): Scene {
  const program = Program.start(boot())
  const [src, dst] = [program.alloc(), program.alloc()]
  program.mapAt(src, 0x10000, 2 * PAGE, MEMORY + PAGE)
  program.mapAt(src, 0x12000, 2 * PAGE, SHARED)
  program.mapAt(src, 0x20000, PAGE, MEMORY, READ)
  return { program, src, dst }
}

describe('IOAS_COPY: every check, in order (SPEC C4)', () => {
  test.each([
    ['an unknown flag', { flags: 8, length: U64_MAX }, 'EOPNOTSUPP FLAGS_UNKNOWN'],
    ['length 2^64-1', { flags: 0, length: U64_MAX }, 'EOVERFLOW RANGE_AT_TOP'],
    ['src_iova 2^64-1', { flags: 0, src_iova: U64_MAX }, 'EOVERFLOW RANGE_AT_TOP'],
    ['dst_iova 2^64-1', { flags: 0, dst_iova: U64_MAX }, 'EOVERFLOW RANGE_AT_TOP'],
    ['no permission', { flags: FIXED, src_ioas_id: 99 }, 'EINVAL NO_PERMISSION_ASKED'],
    ['unknown source', { src_ioas_id: 99, length: 0, dst_ioas_id: 99 }, 'ENOENT OBJECT_UNKNOWN'],
    ['length 0', { length: 0, dst_ioas_id: 99 }, 'EINVAL LENGTH_ZERO'],
    [
      'src_iova + length wraps',
      { length: 0x10001n, src_iova: U64_MAX - 0xffffn, dst_ioas_id: 99 },
      'EOVERFLOW IOVA_WRAPS',
    ],
    ['source not mapped', { src_iova: 0x30000, dst_ioas_id: 99 }, 'ENOENT SOURCE_NOT_MAPPED'],
    ['a hole behind the source', { length: 5 * PAGE, dst_ioas_id: 99 }, 'ENOENT SOURCE_NOT_MAPPED'],
    ['unknown destination', { dst_ioas_id: 99, length: 0x801 }, 'ENOENT OBJECT_UNKNOWN'],
    ['misaligned length', { length: 0x801, dst_iova: 0x801 }, 'EINVAL LENGTH_MISALIGNED'],
    ['misaligned dst_iova', { dst_iova: 0x801, src_iova: 0x10001 }, 'EINVAL IOVA_MISALIGNED'],
    [
      'dst_iova + length wraps',
      { dst_iova: U64_MAX - 0xfffn, length: 2 * PAGE, src_iova: 0x10001 },
      'EOVERFLOW IOVA_WRAPS',
    ],
    ['reserved', { dst_iova: 0x8000, length: 2 * PAGE, src_iova: 0x10001 }, 'EINVAL IOVA_RESERVED'],
    ['overlap', { dst_iova: 0xf000, length: 2 * PAGE, src_iova: 0x10001 }, 'EEXIST AREA_OVERLAPS'],
    ['read-only source', { src_iova: 0x20000 }, 'EPERM PAGES_READ_ONLY'],
    ['misaligned source', { src_iova: 0x10001 }, 'EINVAL OFFSET_MISALIGNED'],
  ])('%s', (_what, wrong, outcome) => {
    const { program, src, dst } = scene()
    const { iopt } = program.ioas(dst)
    iopt.disableLargePages()
    iopt.reserve(0, 0x9000, 0, 0x9fff)
    program.mapAt(dst, 0x10000)
    const before = snapshot(program.world)
    const ids = { dst_ioas_id: dst, src_ioas_id: src }
    const values = { ...ids, flags: RW_FIXED, length: PAGE, src_iova: 0x10000, dst_iova: 0x4000 }
    expect(program.copy({ ...values, ...wrong }).outcome).toBe(outcome)
    expect(snapshot(program.world)).toEqual(before)
  })

  test('the missing place of the source is named', () => {
    const { program, src, dst } = scene()
    const ids = { dst_ioas_id: dst, src_ioas_id: src }
    program.copy({ ...ids, flags: RW, length: 5 * PAGE, src_iova: 0x10000 })
    expect(program.world.engine.refusals.last?.operands).toEqual({
      iova: 0x10000n,
      length: 0x5000n,
      missing: 0x14000n,
    })
  })

  test('writing to what was mapped for reading, in the second of two areas: nothing is left', () => {
    const { program, src, dst } = scene()
    program.mapAt(src, 0xf000, PAGE, MEMORY)
    program.mapAt(src, 0x21000, PAGE, MEMORY)
    const ids = { dst_ioas_id: dst, src_ioas_id: src }
    const before = snapshot(program.world)
    const range = { length: 2 * PAGE, src_iova: 0x20000 }
    expect(program.copy({ ...ids, ...range, flags: RW }).outcome).toBe('EPERM PAGES_READ_ONLY')
    expect(snapshot(program.world)).toEqual(before)
    expect(program.copy({ ...ids, ...range, flags: READ }).outcome).toBe('ok')
  })
})

describe('IOAS_COPY: what may be copied (SPEC C4)', () => {
  test('several areas become as many, one behind the other', () => {
    const { program, src, dst } = scene()
    const values = { flags: RW_FIXED, dst_ioas_id: dst, src_ioas_id: src, dst_iova: 0x100000 }
    const answer = program.copy({ ...values, length: 4 * PAGE, src_iova: 0x10000 })
    expect(answer.outcome).toBe('ok')
    expect(areaLines(program.ioas(dst)).map((line) => line.split(' byte')[0])).toEqual([
      '[0x100000, 0x101fff]',
      '[0x102000, 0x103fff]',
    ])
    expect(program.world.tables.pages.count).toBe(3)
  })

  test('a part of an area, of bytes even', () => {
    const { program, src, dst } = scene()
    const values = { flags: RW_FIXED, dst_ioas_id: dst, src_ioas_id: src, dst_iova: 0x777 }
    program.process.store(MEMORY + 2 * PAGE - 1, Uint8Array.of(41, 42, 43))
    expect(program.copy({ ...values, length: 3, src_iova: 0x10fff }).outcome).toBe('ok')
    const reader = Access.attached(program.world, program.ioas(dst), 1)
    expect(reader.read(0x777n, 3)).toEqual([41, 42, 43])
    reader.detach()
  })

  test('within one address space, and a copy of a copy', () => {
    const { program, src } = scene()
    const ids = { dst_ioas_id: src, src_ioas_id: src, length: PAGE }
    const first = program.copy({ ...ids, flags: RW_FIXED, src_iova: 0x11000, dst_iova: 0x50000 })
    const second = program.copy({ ...ids, flags: RW_FIXED, src_iova: 0x50000, dst_iova: 0x60000 })
    expect([first.outcome, second.outcome]).toEqual(['ok', 'ok'])
    expect(program.world.tables.pages.count).toBe(3)
    const overlapping = { src_iova: 0x10000, dst_iova: 0x10000 }
    const third = program.copy({ ...ids, flags: RW_FIXED, ...overlapping })
    expect(third.outcome).toBe('EEXIST AREA_OVERLAPS')
  })

  test('the automatic IOVA is aligned as the memory of the first area is', () => {
    const { program, src, dst } = scene()
    const values = { flags: RW, dst_ioas_id: dst, src_ioas_id: src }
    expect(program.copy({ ...values, length: 4 * PAGE, src_iova: 0x10000 }).dst_iova).toBe(0x1000n)
    expect(program.copy({ ...values, length: 2 * PAGE, src_iova: 0x11000 }).dst_iova).toBe(0x6000n)
    expect(program.copy({ ...values, length: 0x10, src_iova: 0x10020 }).dst_iova).toBe(0x5020n)
  })

  test('shares memory: pinned and charged once, for as long as one of them is pinned', () => {
    const world = boot()
    const program = Program.start(world, { uid: 1000 })
    const [src, dst] = [program.alloc(), program.alloc()]
    program.mapAt(src, 0x10000, 4 * PAGE)
    const ids = { dst_ioas_id: dst, src_ioas_id: src }
    program.copy({ ...ids, flags: RW_FIXED, length: 3 * PAGE, src_iova: 0x11000, dst_iova: 0x1000 })
    const [a, b] = [
      Access.attached(world, program.ioas(src)),
      Access.attached(world, program.ioas(dst)),
    ]
    const frames = a.pin({ start: 0x10000n, last: 0x12fffn }) as number[]
    expect(b.pin({ start: 0x1000n, last: 0x3fffn })).toEqual([
      frames[1],
      frames[2],
      expect.any(Number),
    ])
    expect(world.machine.pinnedFrames).toBe(4)
    expect(frames.map((frame) => world.machine.pins(frame))).toEqual([1, 1, 1])
    expect([program.process.mm.pinnedVm, program.process.user.lockedVm]).toEqual([4, 4])
    a.detach()
    expect([program.process.mm.pinnedVm, world.machine.pinnedFrames]).toEqual([3, 3])
    expect(program.destroy(src).outcome).toBe('ok')
    expect(b.read(0x1000n, 1)).toEqual([2])
    b.detach()
    expect([program.process.mm.pinnedVm, world.machine.pinnedFrames]).toEqual([0, 0])
  })

  test('permissions of the copy are its own, within those of the memory', () => {
    const { program, src, dst } = scene()
    const values = { dst_ioas_id: dst, src_ioas_id: src, length: PAGE, src_iova: 0x10000 }
    const copy = (flags: number, dst_iova: number) =>
      program.copy({ ...values, flags: flags | FIXED, dst_iova }).outcome
    expect([copy(READ, 0x1000), copy(WRITE, 0x2000), copy(RW, 0x3000)]).toEqual(['ok', 'ok', 'ok'])
    const access = Access.attached(program.world, program.ioas(dst))
    const one = (start: bigint) => ({ start, last: start + 0xfffn })
    expect(access.tryPin(one(0x1000n), true)).toBe('EPERM ACCESS_FORBIDDEN')
    expect(access.tryPin(one(0x2000n), false)).toBe('EPERM ACCESS_FORBIDDEN')
    expect(access.tryPin(one(0x3000n), true)).toBe('ok')
    access.detach()
  })

  test('when dst_iova cannot be written back the copy stays', () => {
    const { program, src, dst } = scene()
    const values = { flags: RW_FIXED, dst_ioas_id: dst, src_ioas_id: src, dst_iova: 0x1000 }
    const range = { length: PAGE, src_iova: 0x10000 }
    const answer = program.copy({ ...values, ...range }, ARG_READ_ONLY)
    expect(answer.outcome).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(program.unmap(dst, 0x1000, PAGE).outcome).toBe('ok')
  })

  test('up to the last byte of the space', () => {
    const { program, src, dst } = scene()
    const top = U64_MAX - 0x1fffn
    const values = { flags: RW_FIXED, dst_ioas_id: dst, src_ioas_id: src, length: 2 * PAGE }
    expect(program.copy({ ...values, src_iova: 0x11000, dst_iova: top }).outcome).toBe('ok')
    const { areas } = program.ioas(dst).iopt
    expect(areas.at(hi(U64_MAX), lo(U64_MAX))).toBeGreaterThanOrEqual(0)
    const back = { ...values, dst_ioas_id: src, src_ioas_id: dst, length: PAGE }
    expect(program.copy({ ...back, src_iova: top + 0x1000n, dst_iova: 0 }).outcome).toBe('ok')
  })
})
