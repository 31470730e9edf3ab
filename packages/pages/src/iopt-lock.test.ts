// SPDX-License-Identifier: Apache-2.0
// SPEC C8, L14: areas that hardware uses are locked: they are not unmapped, whoever asks.

import { expect, test } from 'vitest'
import { Access } from '../test/access.js'
import { boot, MEMORY, outcomeOf, PAGE, Program, type World, WRITE } from '../test/harness.js'
import { snapshot } from '../test/snapshot.js'
import { lockRange, unlockRange } from './iopt-lock.js'

interface Scene {
  readonly world: World
  readonly program: Program
  readonly lock: (first: number, pages: number) => Uint32Array | number
  readonly unlock: (first: number, pages: number) => void
}

/** Areas of one page at 0x1000, of two at 0x3000 and 0x5000; the page at 0x8000 is for writing only. */
function scene(): Scene {
  const world = boot()
  const program = Program.start(world)
  const id = program.alloc()
  program.mapAt(id, 0x1000)
  program.mapAt(id, 0x3000, 2 * PAGE, MEMORY + PAGE)
  program.mapAt(id, 0x5000, 2 * PAGE, MEMORY + 4 * PAGE)
  program.mapAt(id, 0x8000, PAGE, MEMORY, WRITE)
  const { iopt } = program.ioas(id)
  return {
    world,
    program,
    lock: (first, pages) => {
      world.engine.refusals.clear()
      return lockRange(iopt, 0, first, 0, first + pages * PAGE - 1)
    },
    unlock: (first, pages) => unlockRange(iopt, 0, first, 0, first + pages * PAGE - 1),
  }
}

test('C8: unmapping a locked area is EBUSY, also a part of it; areas before it are gone', () => {
  const { program, lock, unlock } = scene()
  const frames = lock(0x4000, 1)
  expect(frames).toHaveLength(1)
  expect(program.unmap(1, 0x3000, 2 * PAGE).outcome).toBe('EBUSY AREA_LOCKED')
  expect(program.unmap(1, 0x4000, PAGE).outcome).toBe('EBUSY AREA_LOCKED')
  expect(program.unmap(1, 0x5000, PAGE).outcome).toBe('ENOENT AREA_PARTLY_COVERED')
  expect(program.unmap(1, 0, 0x10000).outcome).toBe('EBUSY AREA_LOCKED')
  expect(program.unmap(1, 0x1000, PAGE).outcome).toBe('ENOENT NOTHING_MAPPED')
  unlock(0x4000, 1)
  expect(program.unmap(1, 0x3000, 2 * PAGE).outcome).toBe('ok')
})

test('C8: each lock counts, over all areas of its range', () => {
  const { program, world, lock, unlock } = scene()
  expect(lock(0x3000, 4)).toHaveLength(4)
  expect(lock(0x5000, 1)).toHaveLength(1)
  unlock(0x3000, 4)
  expect(program.unmap(1, 0x5000, 2 * PAGE).outcome).toBe('EBUSY AREA_LOCKED')
  expect(program.unmap(1, 0x3000, 2 * PAGE).outcome).toBe('ok')
  unlock(0x5000, 1)
  expect(program.unmap(1, 0x5000, 2 * PAGE).outcome).toBe('ok')
  expect(world.machine.pinnedFrames).toBe(0)
})

test('C8: nobody is asked to let a locked area go', () => {
  const { program, world, lock, unlock } = scene()
  const access = Access.attached(world, program.ioas(1))
  access.pin({ start: 0x3000n, last: 0x4fffn })
  lock(0x3000, 1)
  expect(program.unmap(1, 0x3000, 2 * PAGE).outcome).toBe('EBUSY AREA_LOCKED')
  expect(access.asked).toEqual([])
  unlock(0x3000, 1)
  access.detach()
})

test.each([
  ['a hole', 0x2000, 1, 'ENOENT ACCESS_NOT_MAPPED'],
  ['a hole far behind', 0x3000, 2 ** 16, 'ENOENT ACCESS_NOT_MAPPED'],
  ['an area for writing only', 0x8000, 1, 'EPERM ACCESS_FORBIDDEN'],
])('L14: %s locks nothing', (_what, first, pages, outcome) => {
  const { world, lock } = scene()
  const before = snapshot(world)
  expect(outcomeOf(world, lock(first, pages) as number)).toBe(outcome)
  expect(snapshot(world)).toEqual(before)
})

test('L14: each allocation of a lock fails in turn and locks nothing', () => {
  const { world, program, lock } = scene()
  const before = snapshot(world)
  const { faults } = world.engine
  let n = 0
  for (;;) {
    faults.arm(++n)
    const locked = lock(0x3000, 4)
    if (!faults.fired) break
    faults.disarm()
    expect(outcomeOf(world, locked as number)).toMatch(/INJECTED/)
    expect(snapshot(world)).toEqual(before)
  }
  faults.disarm()
  expect(n).toBeGreaterThan(2)
  expect(program.unmap(1, 0x3000, 2 * PAGE).outcome).toBe('EBUSY AREA_LOCKED')
})
