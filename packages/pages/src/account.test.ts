// SPDX-License-Identifier: Apache-2.0
// SPEC E5: who is charged for pinned memory, in the three modes, and what becomes of charges when processes change.

import { CAP_IPC_LOCK } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { Access } from '../test/access.js'
import { boot, CONSTANT, MEMORY, PAGE, Program, READ, type World } from '../test/harness.js'
import { snapshot } from '../test/snapshot.js'
import type { Range } from '../test/u64.js'

const pages = (first: number, count: number): Range => {
  return { start: BigInt(first), last: BigInt(first + count * PAGE) - 1n }
}

function counts(program: Program): [pinned: number, locked: number, user: number] {
  const { mm, user } = program.process
  return [mm.pinnedVm, mm.lockedVm, user.lockedVm]
}

/** Maps eight pages at 0x10000; whoever pins in the address space is `access`. */
function mapped(world: World, program: Program): Access {
  const id = program.alloc()
  expect(program.mapAt(id, 0x10000, 8 * PAGE).outcome).toBe('ok')
  return Access.attached(world, program.ioas(id))
}

describe.each([
  ['none', { uid: 0 }, '/dev/iommu', [4, 0, 0]],
  ['none by capability', { uid: 1000, caps: [CAP_IPC_LOCK] }, '/dev/iommu', [4, 0, 0]],
  ['user', { uid: 1000 }, '/dev/iommu', [4, 0, 4]],
  ['user, root without CAP_IPC_LOCK', { uid: 0, caps: [] }, '/dev/iommu', [4, 0, 4]],
  ['mm', { uid: 1000 }, '/dev/vfio/vfio', [4, 4, 0]],
] as const)('mode %s (SPEC E5)', (mode, spawn, path, expected) => {
  const isLimited = !mode.startsWith('none')
  const refusal = mode === 'mm' ? 'ENOMEM PROCESS_LIMIT_EXCEEDED' : 'ENOMEM USER_LIMIT_EXCEEDED'

  test('VmPin, VmLck and the user’s count, up and down', () => {
    const world = boot()
    const program = Program.start(world, spawn, path)
    const access = mapped(world, program)
    access.pin(pages(0x10000, 3))
    access.pin(pages(0x11000, 3))
    expect(counts(program)).toEqual(expected)
    access.unpin(pages(0x10000, 3))
    access.unpin(pages(0x11000, 3))
    expect(counts(program)).toEqual([0, 0, 0])
    access.detach()
  })

  test('the limit admits exactly its pages; one more is refused and leaves nothing', () => {
    const world = boot()
    const program = Program.start(world, { ...spawn, rlimitMemlock: 5 * PAGE + 100 }, path)
    const access = mapped(world, program)
    access.pin(pages(0x10000, 4))
    const before = snapshot(world)
    expect(access.tryPin(pages(0x12000, 4))).toBe(isLimited ? refusal : 'ok')
    if (isLimited) expect(snapshot(world)).toEqual(before)
    else access.unpin(pages(0x12000, 4))
    expect(access.tryPin(pages(0x12000, 3))).toBe('ok')
    access.detach()
    expect(counts(program)).toEqual([0, 0, 0])
  })

  test('the limit of today counts, not that of the mapping', () => {
    const world = boot()
    const program = Program.start(world, spawn, path)
    const access = mapped(world, program)
    program.process.setrlimitMemlock(PAGE, 8 * PAGE)
    expect(access.tryPin(pages(0x10000, 2))).toBe(isLimited ? refusal : 'ok')
    program.process.setrlimitMemlock(2 * PAGE, 8 * PAGE)
    expect(access.tryPin(pages(0x10000, 2))).toBe('ok')
    access.detach()
  })

  test('the mapper’s end: unpinning later brings every count back', () => {
    const world = boot()
    const program = Program.start(world, spawn, path)
    const child = program.fork()
    const { user } = child.process
    const access = mapped(world, child)
    access.pin(pages(0x10000, 4))
    child.process.exit()
    access.detach()
    expect(user.lockedVm).toBe(0)
    expect(world.machine.pinnedFrames).toBe(0)
    expect(counts(program)).toEqual([0, 0, 0])
  })
})

describe('mode user (SPEC E5)', () => {
  test('all processes of the user count, each by its own limit', () => {
    const world = boot()
    const [a, b] = [Program.start(world, { uid: 7 }), Program.start(world, { uid: 7 })]
    const [inA, inB] = [mapped(world, a), mapped(world, b)]
    inA.pin(pages(0x10000, 5))
    b.process.setrlimitMemlock(6 * PAGE, 9 * PAGE)
    expect(inB.tryPin(pages(0x10000, 2))).toBe('ENOMEM USER_LIMIT_EXCEEDED')
    expect(world.engine.refusals.last?.operands).toEqual({
      uid: 7,
      locked: 5n,
      pages: 2n,
      limit: 6n,
    })
    b.process.setrlimitMemlock(7 * PAGE, 9 * PAGE)
    expect(inB.tryPin(pages(0x10000, 2))).toBe('ok')
    expect([counts(a), counts(b)]).toEqual([
      [5, 0, 7],
      [2, 0, 7],
    ])
    inA.detach()
    inB.detach()
    expect([counts(a), counts(b)].flat()).toEqual(Array(6).fill(0))
  })

  test('another user is not affected', () => {
    const world = boot()
    const [a, b] = [Program.start(world, { uid: 7 }), Program.start(world, { uid: 8 })]
    const [inA, inB] = [mapped(world, a), mapped(world, b)]
    inA.pin(pages(0x10000, 5))
    b.process.setrlimitMemlock(2 * PAGE, 2 * PAGE)
    expect(inB.tryPin(pages(0x10000, 2))).toBe('ok')
    inA.detach()
    inB.detach()
  })

  test('the user at the time of mapping is charged, whoever the process is later', () => {
    const world = boot()
    const program = Program.start(world, { uid: 0, caps: [7] })
    const access = mapped(world, program)
    const root = program.process.user
    program.process.setresuid(1000)
    access.pin(pages(0x10000, 3))
    expect([root.lockedVm, program.process.user.lockedVm]).toEqual([3, 0])
    access.detach()
    expect([root.lockedVm, program.process.user.lockedVm]).toEqual([0, 0])
  })
})

describe('mode none (SPEC E5)', () => {
  test('belongs to the mapping: root’s stays unlimited, a later one does not', () => {
    const world = boot()
    const program = Program.start(world, { rlimitMemlock: 2 * PAGE })
    const id = program.alloc()
    program.mapAt(id, 0x10000, 4 * PAGE)
    program.process.setresuid(1000)
    program.mapAt(id, 0x20000, 4 * PAGE)
    const access = Access.attached(world, program.ioas(id))
    expect(access.tryPin(pages(0x10000, 4))).toBe('ok')
    expect(access.tryPin(pages(0x20000, 4))).toBe('ENOMEM USER_LIMIT_EXCEEDED')
    expect(access.tryPin(pages(0x20000, 2))).toBe('ok')
    expect(counts(program)).toEqual([6, 0, 2])
    access.detach()
  })
})

describe('mode mm (SPEC E5)', () => {
  test('a process by itself: a fork has its own count', () => {
    const world = boot()
    const parent = Program.start(world, { uid: 7, rlimitMemlock: 4 * PAGE }, '/dev/vfio/vfio')
    const child = parent.fork()
    const [inParent, inChild] = [mapped(world, parent), mapped(world, child)]
    expect(inParent.tryPin(pages(0x10000, 4))).toBe('ok')
    expect(inChild.tryPin(pages(0x10000, 4))).toBe('ok')
    expect(inChild.tryPin(pages(0x14000, 1))).toBe('ENOMEM PROCESS_LIMIT_EXCEEDED')
    expect(world.engine.refusals.last?.operands).toMatchObject({ locked: 4n, pages: 1n, limit: 4n })
    inParent.detach()
    expect([counts(parent), counts(child)]).toEqual([
      [0, 0, 0],
      [4, 4, 0],
    ])
    inChild.detach()
  })

  test('what a process that has ended had mapped from a file is charged to it all the same', () => {
    const world = boot()
    const parent = Program.start(world, { uid: 7 }, '/dev/vfio/vfio')
    const child = parent.fork()
    const id = child.alloc()
    child.mapFileAt(id, 0x10000, 4 * PAGE)
    child.process.exit()
    const access = Access.attached(world, parent.ioas(id))
    expect(access.tryPin(pages(0x10000, 4))).toBe('ok')
    expect(child.process.mm.lockedVm).toBe(4)
    access.detach()
  })
})

test('memory for reading is charged like any other', () => {
  const world = boot()
  const program = Program.start(world, { uid: 7 })
  const id = program.alloc()
  program.mapAt(id, 0x10000, 2 * PAGE, CONSTANT, READ)
  program.mapAt(id, 0x12000, 2 * PAGE, MEMORY, READ)
  const access = Access.attached(world, program.ioas(id))
  expect(access.tryPin(pages(0x10000, 4), false)).toBe('ok')
  expect(counts(program)).toEqual([4, 0, 4])
  access.detach()
  expect(counts(program)).toEqual([0, 0, 0])
})
