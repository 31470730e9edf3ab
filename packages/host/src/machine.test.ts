// SPDX-License-Identifier: Apache-2.0
import { ENOMEM } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { boot, PAGE, peek, unpin } from '../test/fixtures.js'
import { Machine } from './machine.js'

describe('misuse is said clearly', () => {
  const machine = new Machine()
  test.each([-1, 1.5, 2 ** 32 - 1, Number.NaN])('uid %d', (uid) => {
    expect(() => machine.spawn({ uid })).toThrow(
      /^uid .*: must be an integer from 0 to 4294967294$/,
    )
  })

  test('limits, capabilities, memory, devices', () => {
    expect(() => machine.spawn({ rlimitMemlock: -1 })).toThrow(
      'rlimitMemlock -1: must be 0 or more',
    )
    expect(() => machine.spawn({ caps: [99] })).toThrow('capability 99: must be 0 to 40')
    for (const memory of [0, 4096, 2 ** 33, Number.NaN])
      expect(() => new Machine({ memory })).toThrow(
        `memory ${memory}: must be 8192 to 4294967296 bytes`,
      )
    expect(() => machine.registerDevice('/dev/null', () => 0)).toThrow(
      '/dev/null is registered already',
    )
    expect(machine.processes).toEqual([])
  })
})

describe('frames of nobody', () => {
  test('are zero, pinned once, and go when they are unpinned', () => {
    const { machine } = boot()
    const frames = new Uint32Array(4)
    expect(machine.allocate(3, frames, 1)).toBe(0)
    expect([...frames]).toEqual([0, 1, 2, 3])
    expect(peek(machine, 3, 8)).toEqual(new Array(8).fill(0))
    expect([machine.pins(1), machine.pinnedFrames, machine.framesInUse]).toEqual([1, 3, 3])
    unpin(machine, 1, 2, 3)
    expect([machine.pinnedFrames, machine.framesInUse]).toEqual([0, 0])
  })

  test('all or none', () => {
    const machine = new Machine({ memory: 4 * PAGE })
    const frames = new Uint32Array(4)
    expect(machine.allocate(4, frames, 0)).toBe(-ENOMEM)
    expect(machine.framesInUse).toBe(0)
    expect(machine.allocate(3, frames, 0)).toBe(0)
  })

  test('follow each other, in a gap that is large enough before memory that was never in use', () => {
    const machine = new Machine({ memory: 12 * PAGE })
    const frames = new Uint32Array(10)
    expect(machine.allocate(8, frames, 0)).toBe(0)
    machine.writeFrame(4, 0, new Uint8Array(2 * PAGE).fill(7), 0, 2 * PAGE)
    unpin(machine, 2, 4, 5)
    const [two, three] = [new Uint32Array(2), new Uint32Array(3)]
    expect(machine.allocate(2, two, 0)).toBe(0)
    expect([...two]).toEqual([4, 5])
    expect([peek(machine, 4, 8), peek(machine, 5, 8)]).toEqual([
      new Array(8).fill(0),
      new Array(8).fill(0),
    ])
    expect(machine.allocate(3, three, 0)).toBe(0)
    expect([...three]).toEqual([9, 10, 11])
    unpin(machine, ...three)
    expect(machine.allocate(4, frames, 0)).toBe(-ENOMEM)
    expect(machine.allocate(1, frames, 0)).toBe(0)
    expect(frames[0]).toBe(2)
    expect(machine.framesInUse).toBe(8)
  })
})

test('untouched memory does not grow the machine', () => {
  const { machine, process } = boot()
  const before = machine.bytesReserved
  process.mmap(0x1000_0000, 2 ** 40, 3, 0x32)
  process.load(0x1000_0000, 1 << 20)
  expect(machine.bytesReserved).toBe(before)
  process.store(0x1000_0000, new Uint8Array(2 << 20))
  expect(machine.bytesReserved).toBeGreaterThan(before)
})
