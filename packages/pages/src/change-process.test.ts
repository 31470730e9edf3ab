// SPDX-License-Identifier: Apache-2.0
// SPEC L11: IOAS_CHANGE_PROCESS: who may take over, what is charged to whom, and that a refusal changes nothing.

import { IOMMU_OPTION_OP_SET, IOMMU_OPTION_RLIMIT_MODE } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { Access } from '../test/access.js'
import { boot, PAGE, Program, type World } from '../test/harness.js'
import { snapshot } from '../test/snapshot.js'

const RANGE = { start: 0x10000n, last: 0x13fffn }

interface Scene {
  readonly world: World
  readonly parent: Program
  readonly id: number
}

/** A process with four pages of a memfd mapped at RANGE; 0x18000 shows two of them again. */
function scene(uid: number, mode: 'user' | 'mm' = 'user'): Scene {
  const world = boot()
  const parent = Program.start(world, { uid }, mode === 'mm' ? '/dev/vfio/vfio' : '/dev/iommu')
  const id = parent.alloc()
  parent.mapFileAt(id, 0x10000, 4 * PAGE)
  const ids = { dst_ioas_id: id, src_ioas_id: id }
  parent.copy({ ...ids, flags: 7, length: 2 * PAGE, src_iova: 0x11000, dst_iova: 0x18000 })
  return { world, parent, id }
}

function counts(program: Program): [pinned: number, locked: number, user: number] {
  const { mm, user } = program.process
  return [mm.pinnedVm, mm.lockedVm, user.lockedVm]
}

describe('IOAS_CHANGE_PROCESS: checks (SPEC L11)', () => {
  test('reserved', () => {
    const { parent } = scene(0)
    expect(parent.changeProcess(1).outcome).toBe('EOPNOTSUPP RESERVED_NOT_ZERO')
  })

  test('a context without address spaces, and one without areas', () => {
    const program = Program.start(boot())
    expect(program.changeProcess().outcome).toBe('ok')
    program.alloc()
    expect(program.changeProcess().outcome).toBe('ok')
  })

  test('any user memory is refused and named, whoever mapped it and asks', () => {
    const { world, parent, id } = scene(0)
    const second = parent.alloc()
    parent.mapAt(second, 0x5000)
    const before = snapshot(world)
    for (const program of [parent, parent.fork()]) {
      expect(program.changeProcess().outcome).toBe('EINVAL AREA_NOT_A_FILE')
      expect(world.engine.refusals.last?.operands).toEqual({ ioas: second, iova: 0x5000n })
    }
    world.machine.processes[1]?.exit()
    expect(snapshot(world)).toEqual(before)
    parent.unmap(second, 0x5000, PAGE)
    expect(parent.changeProcess().outcome).toBe('ok')
    expect(id).toBe(1)
  })
})

describe('IOAS_CHANGE_PROCESS: charges (SPEC L11, E5)', () => {
  test('nothing pinned: nothing is charged, but what is pinned later is the new process’s', () => {
    const { world, parent, id } = scene(1000)
    const child = parent.fork()
    expect(child.changeProcess().outcome).toBe('ok')
    expect([counts(parent), counts(child)]).toEqual([
      [0, 0, 0],
      [0, 0, 0],
    ])
    const access = Access.attached(world, parent.ioas(id))
    access.pin(RANGE)
    expect([counts(parent), counts(child)]).toEqual([
      [0, 0, 4],
      [4, 0, 4],
    ])
    access.detach()
    expect(counts(child)).toEqual([0, 0, 0])
  })

  test('mode user, same user: VmPin moves, the user stays charged once', () => {
    const { world, parent, id } = scene(1000)
    const access = Access.attached(world, parent.ioas(id))
    access.pin(RANGE)
    access.pin({ start: 0x18000n, last: 0x19fffn })
    const child = parent.fork()
    expect(child.changeProcess().outcome).toBe('ok')
    expect([counts(parent), counts(child)]).toEqual([
      [0, 0, 4],
      [4, 0, 4],
    ])
    access.detach()
    expect([counts(parent), counts(child)]).toEqual([
      [0, 0, 0],
      [0, 0, 0],
    ])
  })

  test('mode mm: VmLck moves too', () => {
    const { world, parent, id } = scene(1000, 'mm')
    const access = Access.attached(world, parent.ioas(id))
    access.pin(RANGE)
    const child = parent.fork()
    expect(child.changeProcess().outcome).toBe('ok')
    expect([counts(parent), counts(child)]).toEqual([
      [0, 0, 0],
      [4, 4, 0],
    ])
    access.detach()
    expect(counts(child)).toEqual([0, 0, 0])
  })

  test('both must be admitted: the limit refuses, and nothing has changed', () => {
    const { world, parent, id } = scene(1000)
    const access = Access.attached(world, parent.ioas(id))
    access.pin(RANGE)
    const child = parent.fork()
    child.process.setrlimitMemlock(7 * PAGE, 7 * PAGE)
    const before = snapshot(world)
    expect(child.changeProcess().outcome).toBe('ENOMEM USER_LIMIT_EXCEEDED')
    expect(snapshot(world)).toEqual(before)
    const other = parent.fork()
    other.process.setrlimitMemlock(8 * PAGE, 8 * PAGE)
    expect(other.changeProcess().outcome).toBe('ok')
    access.detach()
    expect([counts(parent), counts(child), counts(other)].flat()).toEqual(Array(9).fill(0))
  })

  test('mode mm compares with the process alone', () => {
    const { world, parent, id } = scene(1000, 'mm')
    const access = Access.attached(world, parent.ioas(id))
    access.pin(RANGE)
    const child = parent.fork()
    child.process.setrlimitMemlock(3 * PAGE, 8 * PAGE)
    expect(child.changeProcess().outcome).toBe('ENOMEM PROCESS_LIMIT_EXCEEDED')
    child.process.setrlimitMemlock(4 * PAGE, 8 * PAGE)
    expect(child.changeProcess().outcome).toBe('ok')
    access.detach()
  })

  test('the owner asks again: nothing moves', () => {
    const { world, parent, id } = scene(1000)
    const access = Access.attached(world, parent.ioas(id))
    access.pin(RANGE)
    parent.process.setrlimitMemlock(0, 8 * PAGE)
    const before = snapshot(world)
    expect(parent.changeProcess().outcome).toBe('ok')
    expect(snapshot(world)).toEqual(before)
    access.detach()
  })

  test('the mapper may have ended: its charge goes to who takes over', () => {
    const { world, parent, id } = scene(1000)
    const access = Access.attached(world, parent.ioas(id))
    access.pin(RANGE)
    const child = parent.fork()
    parent.process.exit()
    expect(child.changeProcess().outcome).toBe('ok')
    expect(counts(child)).toEqual([4, 0, 4])
    access.detach()
    expect(counts(child)).toEqual([0, 0, 0])
  })

  test('all address spaces of the context change together, and no other context', () => {
    const { world, parent, id } = scene(1000)
    const fd = parent.process.open('/dev/iommu')
    const elsewhere = new Program(world, parent.process, parent.memfd, fd)
    elsewhere.mapFileAt(elsewhere.alloc(), 0x10000)
    const second = parent.alloc()
    parent.mapFileAt(second, 0x10000, PAGE)
    const accesses = [
      Access.attached(world, parent.ioas(id)),
      Access.attached(world, parent.ioas(second)),
      Access.attached(world, elsewhere.ioas(1)),
    ]
    for (const access of accesses) access.pin({ start: 0x10000n, last: 0x10fffn })
    const child = parent.fork()
    expect(child.changeProcess().outcome).toBe('ok')
    expect([counts(parent), counts(child)]).toEqual([
      [1, 0, 3],
      [2, 0, 3],
    ])
    for (const access of accesses) access.detach()
    expect([counts(parent), counts(child)].flat()).toEqual(Array(6).fill(0))
  })

  test('memory that root mapped keeps its mode: no limit', () => {
    const { world, parent, id } = scene(0)
    const access = Access.attached(world, parent.ioas(id))
    access.pin(RANGE)
    const child = parent.fork()
    child.process.setresuid(1000)
    child.process.setrlimitMemlock(0, 0)
    expect(child.changeProcess().outcome).toBe('ok')
    expect(child.process.user.lockedVm).toBe(0)
    access.detach()
    expect(child.process.user.lockedVm).toBe(0)
  })

  test('RLIMIT_MODE belongs to the context at the time of mapping (SPEC C9)', () => {
    const world = boot()
    const program = Program.start(world)
    const values = { option_id: IOMMU_OPTION_RLIMIT_MODE, op: IOMMU_OPTION_OP_SET, val64: 1 }
    expect(program.option(values).outcome).toBe('ok')
    program.process.setresuid(1000)
    const id = program.alloc()
    program.mapFileAt(id, 0x10000, 4 * PAGE)
    const access = Access.attached(world, program.ioas(id))
    access.pin(RANGE)
    expect(counts(program)).toEqual([4, 4, 0])
    access.detach()
    expect(counts(program)).toEqual([0, 0, 0])
  })
})
