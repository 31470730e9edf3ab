// SPDX-License-Identifier: Apache-2.0
// SPEC C8: IOAS_UNMAP, check by check, areas only partly covered, and in-kernel users that hold pins.

import { describe, expect, test } from 'vitest'
import { Access } from '../test/access.js'
import { ARG_READ_ONLY, boot, MEMORY, PAGE, Program, type World } from '../test/harness.js'
import { areaLines, snapshot } from '../test/snapshot.js'
import { U64_MAX } from '../test/u64.js'

interface Scene {
  readonly world: World
  readonly program: Program
  readonly id: number
}

/** Areas of one page at 0x1000, of two at 0x3000, and one up to the last byte of the space. */
function scene(onWarning?: (message: string) => void): Scene {
  const world = boot(onWarning === undefined ? {} : { onWarning })
  const program = Program.start(world)
  const id = program.alloc()
  program.mapAt(id, 0x1000)
  program.mapAt(id, 0x3000, 2 * PAGE)
  program.mapAt(id, U64_MAX - 0xfffn)
  return { world, program, id }
}

function areas({ program, id }: Scene): string[] {
  return areaLines(program.ioas(id)).map((line) => line.split(' byte')[0] as string)
}

const LOW = '[0x1000, 0x1fff]'
const TWO = '[0x3000, 0x4fff]'
const TOP = '[0xfffffffffffff000, 0xffffffffffffffff]'

describe('IOAS_UNMAP: every check, in order (SPEC C8)', () => {
  test.each([
    ['unknown IOAS', 99, 0, U64_MAX, 'ENOENT OBJECT_UNKNOWN'],
    ['iova 2^64-1', 1, U64_MAX, 0n, 'EOVERFLOW RANGE_AT_TOP'],
    ['length 2^64-1 but not all', 1, 1, U64_MAX, 'EOVERFLOW RANGE_AT_TOP'],
    ['length 0', 1, 0x1000, 0n, 'EINVAL LENGTH_ZERO'],
    ['wrap', 1, U64_MAX - 0xfffn, 0x1001n, 'EOVERFLOW IOVA_WRAPS'],
    ['nothing mapped', 1, 0x2000, 0x1000n, 'ENOENT NOTHING_MAPPED'],
    ['the begin of an area', 1, 0x3000, 0x1000n, 'ENOENT AREA_PARTLY_COVERED'],
    ['the end of an area', 1, 0x4000, 0x1000n, 'ENOENT AREA_PARTLY_COVERED'],
    ['the middle of an area', 1, 0x3001, 0x1n, 'ENOENT AREA_PARTLY_COVERED'],
  ])('%s', (_what, ioas, iova, length, outcome) => {
    const { world, program } = scene()
    const before = snapshot(world)
    expect(program.unmap(ioas, iova, length)).toMatchObject({ outcome, length })
    expect(snapshot(world)).toEqual(before)
  })

  test('several areas at once, holes between them, more than they cover', () => {
    const place = scene()
    const { program, id } = place
    expect(program.unmap(id, 0, 0x10000)).toMatchObject({ ret: 0, length: 0x3000n })
    expect(areas(place)).toEqual([TOP])
  })

  test('up to the last byte of the space', () => {
    const place = scene()
    const { program, id } = place
    expect(program.unmap(id, 0x3000, U64_MAX - 0x2fffn)).toMatchObject({ ret: 0, length: 0x3000n })
    expect(areas(place)).toEqual([LOW])
  })

  test('an area that is partly covered stays; those before it are gone, and length is as given', () => {
    const place = scene()
    const { program, id } = place
    const answer = program.unmap(id, 0, 0x4000)
    expect(answer).toMatchObject({ outcome: 'ENOENT AREA_PARTLY_COVERED', length: 0x4000n })
    expect(program.world.engine.refusals.last?.operands).toMatchObject({ areaIova: 0x3000n })
    expect(areas(place)).toEqual([TWO, TOP])
  })

  test('(0, 2^64-1) is everything, and no error when that is nothing', () => {
    const place = scene()
    const { program, id } = place
    expect(program.unmap(id, 0, U64_MAX)).toMatchObject({ ret: 0, length: 0x4000n })
    expect(areas(place)).toEqual([])
    expect(program.unmap(id, 0, U64_MAX)).toMatchObject({ ret: 0, length: 0n })
  })

  test('the whole space less a byte is a range like any other', () => {
    const place = scene()
    const { program, id } = place
    const outcome = 'ENOENT AREA_PARTLY_COVERED'
    expect(program.unmap(id, 0, U64_MAX - 1n).outcome).toBe(outcome)
    expect(areas(place)).toEqual([TOP])
  })

  test('when the length cannot be written back the areas are gone', () => {
    const place = scene()
    const { program, id } = place
    const answer = program.unmap(id, 0, 0x10000, ARG_READ_ONLY)
    expect(answer.outcome).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(areas(place)).toEqual([TOP])
  })
})

describe('IOAS_UNMAP under in-kernel users (SPEC C8, E7)', () => {
  const two = { start: 0x3000n, last: 0x4fffn }

  test('each area that is pinned is announced once, whole, before it goes', () => {
    const place = scene()
    const { world, program, id } = place
    const access = Access.attached(world, program.ioas(id))
    access.pin({ start: 0x4000n, last: 0x4fffn })
    access.pin(two)
    expect(program.unmap(id, 0, 0x10000)).toMatchObject({ ret: 0, length: 0x3000n })
    expect(access.asked).toEqual([two])
    expect([access.held, world.machine.pinnedFrames]).toEqual([[], 0])
    access.detach()
  })

  test('every user of the address space is asked, users of another are not', () => {
    const { world, program, id } = scene()
    const other = program.alloc()
    program.copy({
      flags: 7,
      dst_ioas_id: other,
      src_ioas_id: id,
      length: 2 * PAGE,
      src_iova: 0x3000,
      dst_iova: 0x3000,
    })
    const users = [id, id, other].map((ioas) => Access.attached(world, program.ioas(ioas)))
    for (const user of users) user.pin(two)
    expect(program.unmap(id, 0x3000, 2 * PAGE).outcome).toBe('ok')
    expect(users.map((user) => user.asked.length)).toEqual([1, 1, 0])
    expect(users.map((user) => user.held.length)).toEqual([0, 0, 1])
    expect(world.machine.pinnedFrames).toBe(2)
    for (const user of users) user.detach()
    expect(world.machine.pinnedFrames).toBe(0)
  })

  test('a pin over two areas goes with the first of them', () => {
    const { world, program, id } = scene()
    program.mapAt(id, 0x2000)
    const access = Access.attached(world, program.ioas(id))
    access.pin({ start: 0x1000n, last: 0x4fffn })
    expect(program.unmap(id, 0x1000, PAGE).outcome).toBe('ok')
    expect([access.held, world.machine.pinnedFrames]).toEqual([[], 0])
    access.detach()
  })

  test('while an area is announced it cannot be used, nor mapped again', () => {
    const { world, program, id } = scene()
    const access = Access.attached(world, program.ioas(id))
    const outcomes: string[] = []
    access.pin(two)
    access.onUnmap = () => {
      outcomes.push(access.tryPin(two), access.tryRw(0x3000n, new Uint8Array(1)))
      outcomes.push(access.tryPin({ start: 0x1000n, last: 0x1fffn }))
    }
    expect(program.unmap(id, 0x3000, 2 * PAGE).outcome).toBe('ok')
    expect(outcomes).toEqual(['EINVAL AREA_GOING_AWAY', 'EINVAL AREA_GOING_AWAY', 'ok'])
    access.detach()
  })

  test('a callback may let go late', () => {
    const { world, program, id } = scene()
    const access = Access.attached(world, program.ioas(id))
    access.pin(two)
    access.isStubborn = true
    access.onUnmap = () => {
      if (access.asked.length === 50) access.isStubborn = false
    }
    expect(program.unmap(id, 0x3000, 2 * PAGE).outcome).toBe('ok')
    expect(access.asked).toHaveLength(50)
    access.detach()
  })

  test('a user that never lets go: EDEADLOCK and a warning in the end, areas before are gone', () => {
    const warnings: string[] = []
    const place = scene((message) => warnings.push(message))
    const { world, program, id } = place
    const access = Access.attached(world, program.ioas(id))
    access.pin(two)
    access.isStubborn = true
    const answer = program.unmap(id, 0, 0x10000)
    expect(answer).toMatchObject({ outcome: 'EDEADLK ACCESS_HOLDS_AREA', length: 0x10000n })
    expect(access.asked.length).toBe(101)
    expect(warnings).toHaveLength(1)
    expect(areas(place)).toEqual([TWO, TOP])
    expect(world.machine.pinnedFrames).toBe(2)
    access.detach()
    expect(program.unmap(id, 0x3000, 2 * PAGE).outcome).toBe('ok')
  })

  test('an unmapping of half an area asks nobody', () => {
    const { world, program, id } = scene()
    const access = Access.attached(world, program.ioas(id))
    access.pin(two)
    expect(program.unmap(id, 0x3000, PAGE).outcome).toBe('ENOENT AREA_PARTLY_COVERED')
    expect([access.asked, access.held]).toEqual([[], [two]])
    access.detach()
  })
})

test('memory that was unmapped can be mapped again, at the same IOVA (SPEC C8)', () => {
  const { world, program, id } = scene()
  const before = snapshot(world)
  for (let i = 0; i < 3; i++) {
    expect(program.unmap(id, 0x1000, PAGE).outcome).toBe('ok')
    expect(program.mapAt(id, 0x1000, PAGE, MEMORY).outcome).toBe('ok')
  }
  expect(snapshot(world)).toEqual(before)
})
