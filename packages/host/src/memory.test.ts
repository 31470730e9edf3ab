// SPDX-License-Identifier: Apache-2.0
// What the engine asks of an Mm: copies, pins, lookups, over every kind of mapping and through fork.

import { EFAULT, ENOMEM, PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import {
  BASE,
  boot,
  hi,
  lo,
  load,
  mapped,
  PAGE,
  PRIVATE,
  peek,
  pin,
  pinOne,
  poke,
  RW,
  SHARED,
  store,
  unpin,
} from '../test/fixtures.js'
import { Machine } from './machine.js'

describe('user copies', () => {
  test('untouched memory reads zero and costs no frame', () => {
    const { machine, process } = boot()
    mapped(process, 4)
    expect(load(process, BASE + 100, 2 * PAGE)).toEqual(new Array(2 * PAGE).fill(0))
    expect(machine.framesInUse).toBe(0)
  })

  test('lengths around a page border, across page table leaves', () => {
    const { process } = boot()
    mapped(process, 6)
    const bytes = Uint8Array.from({ length: 5 * PAGE }, (_, i) => i % 253)
    expect(process.store(BASE + 50, bytes)).toBe(0)
    for (const [at, length] of [
      [0, 40],
      [PAGE - 60, 20],
      [PAGE - 70, 40],
      [PAGE - 51, 1],
      [2000, 3 * PAGE],
      [0, 5 * PAGE],
    ] as const)
      expect(process.load(BASE + 50 + at, length)).toEqual(bytes.slice(at, at + length))
  })

  test('page by page: what lies before the fault arrives', () => {
    const { process } = boot()
    mapped(process, 2)
    const source = new Uint8Array(3 * PAGE).fill(7)
    expect(process.store(BASE + 100, source)).toBe(-EFAULT)
    expect(load(process, BASE + 2 * PAGE - 1, 1)).toEqual([7])
    const target = new Uint8Array(3 * PAGE)
    expect(process.mm.copyFromUser(hi(BASE), lo(BASE + 100), target, 5, 3 * PAGE - 5)).toBe(-EFAULT)
    expect([target[4], target[5], target[2 * PAGE - 96], target[2 * PAGE - 95]]).toEqual([
      0, 7, 7, 0,
    ])
  })

  test('a page that may not be read ends a copy, though its frame is the next one', () => {
    const { process } = boot()
    mapped(process, 3)
    process.store(BASE, new Uint8Array(3 * PAGE).fill(1))
    process.mprotect(BASE + PAGE, PAGE, PROT_NONE)
    const target = new Uint8Array(3 * PAGE)
    expect(process.mm.copyFromUser(hi(BASE), lo(BASE), target, 0, 3 * PAGE)).toBe(-EFAULT)
    expect(target.lastIndexOf(1)).toBe(PAGE - 1)
  })

  test('copyToUser of a page that may not be written: -EFAULT, nothing changes', () => {
    const { process } = boot()
    mapped(process, 2)
    store(process, BASE + PAGE, 1)
    process.mprotect(BASE + PAGE, PAGE, PROT_READ)
    expect(process.store(BASE + PAGE - 2, Uint8Array.of(5, 5, 5))).toBe(-EFAULT)
    expect(load(process, BASE + PAGE - 2, 3)).toEqual([5, 5, 1])
  })

  test.each<[string, number, number, number]>([
    ['the kernel half', -1, -4096, 8],
    ['beyond user addresses', 0x7fff, -4096, 8],
    ['running out of user addresses', 0x7fff, -4104, 16],
    ['2^47', 0x8000, 0, 1],
    ['NULL', 0, 0, 8],
  ])('%s: -EFAULT both ways, length 0 is 0', (_, addressHi, addressLo, length) => {
    const { process } = boot()
    process.mmap(0x7fff_ffff_e000, PAGE, RW, PRIVATE)
    const bytes = new Uint8Array(length)
    expect(process.mm.copyFromUser(addressHi, addressLo, bytes, 0, length)).toBe(-EFAULT)
    expect(process.mm.copyToUser(addressHi, addressLo, bytes, 0, length)).toBe(-EFAULT)
    expect(process.mm.copyFromUser(addressHi, addressLo, bytes, 0, 0)).toBe(0)
  })

  test('any right at all lets the processor read; PROT_NONE nothing', () => {
    const { process } = boot()
    for (const [prot, readable, writable] of [
      [PROT_WRITE, true, true],
      [PROT_EXEC, true, false],
      [PROT_NONE, false, false],
    ] as const) {
      mapped(process, 1, PRIVATE, prot)
      expect(load(process, BASE, 1) !== -EFAULT).toBe(readable)
      expect(store(process, BASE, 1) === 0).toBe(writable)
    }
  })

  test('a buffer too short for the copy is an error of the caller', () => {
    const { process } = boot()
    mapped(process, 1)
    store(process, BASE, 1)
    expect(() => process.mm.copyFromUser(hi(BASE), lo(BASE), new Uint8Array(4), 0, 8)).toThrow(
      RangeError,
    )
  })

  test('the machine out of frames: -EFAULT for a copy, -ENOMEM for a pin', () => {
    const machine = new Machine({ memory: 3 * PAGE })
    const process = machine.spawn()
    mapped(process, 4)
    expect(process.store(BASE, new Uint8Array(4 * PAGE).fill(1))).toBe(-EFAULT)
    expect(load(process, BASE, 2 * PAGE)).toEqual(new Array(2 * PAGE).fill(1))
    expect(pin(process, BASE + 2 * PAGE, 1, true)).toBe(-ENOMEM)
    expect(machine.framesInUse).toBe(2)
  })
})

describe('copy on write', () => {
  test('private pages part at the first write of either, shared ones never', () => {
    const { machine, process } = boot()
    mapped(process, 2)
    process.mmap(BASE + 2 * PAGE, PAGE, RW, SHARED)
    store(process, BASE, 1)
    store(process, BASE + PAGE, 2)
    store(process, BASE + 2 * PAGE, 3)
    const child = process.fork()
    expect(machine.framesInUse).toBe(3)
    store(child, BASE, 11)
    store(process, BASE + PAGE, 22)
    store(child, BASE + 2 * PAGE, 33)
    expect(machine.framesInUse).toBe(5)
    expect([0, 1, 2].map((i) => load(process, BASE + i * PAGE, 1))).toEqual([[1], [22], [33]])
    expect([0, 1, 2].map((i) => load(child, BASE + i * PAGE, 1))).toEqual([[11], [2], [33]])
    child.exit()
    expect(machine.framesInUse).toBe(3)
  })

  test('the last owner writes in place', () => {
    const { machine, process } = boot()
    mapped(process, 1)
    store(process, BASE, 1)
    const before = process.mm.lookup(hi(BASE), lo(BASE))
    process.fork().exit()
    store(process, BASE, 2)
    expect(process.mm.lookup(hi(BASE), lo(BASE))).toBe(before)
    expect(machine.framesInUse).toBe(1)
  })

  test('shared memory not touched before fork is still the same memory', () => {
    const { process } = boot()
    mapped(process, 1, SHARED)
    const child = process.fork()
    store(child, BASE, 5)
    expect(load(process, BASE, 1)).toEqual([5])
    process.exit()
    expect(load(child, BASE, 1)).toEqual([5])
  })
})

describe('pin', () => {
  test.each([
    ['private, untouched', PRIVATE, false],
    ['private, read', PRIVATE, true],
    ['shared', SHARED, false],
  ])('%s: for reading or writing, pin and process see the same', (_, flags, read) => {
    for (const write of [false, true]) {
      const { machine, process } = boot()
      mapped(process, 2, flags)
      if (read) load(process, BASE, 1)
      const frame = pinOne(process, BASE + 5, write)
      expect(frame).toBeGreaterThan(0)
      store(process, BASE, 1, 2)
      expect(peek(machine, frame, 2)).toEqual([1, 2])
      poke(machine, frame, 3)
      expect(load(process, BASE, 2)).toEqual([3, 2])
      expect(process.mm.lookup(hi(BASE), lo(BASE))).toBe(frame)
    }
  })

  test('many pages across page table leaves, neighbours side by side', () => {
    const { machine, process } = boot()
    mapped(process, 700)
    const frames = pin(process, BASE, 700, true) as number[]
    expect(frames).toEqual(Array.from({ length: 700 }, (_, i) => (frames[0] as number) + i))
    expect(machine.pinnedFrames).toBe(700)
    expect(pin(process, BASE, 700, false)).toEqual(frames)
    expect(machine.pins(frames[699] as number)).toBe(2)
  })

  test('ends before the page that cannot be pinned; -EFAULT when that is the first', () => {
    const { process } = boot()
    mapped(process, 4)
    process.munmap(BASE + 2 * PAGE, PAGE)
    process.mprotect(BASE + 3 * PAGE, PAGE, PROT_READ)
    expect((pin(process, BASE, 4, false) as number[]).length).toBe(2)
    expect(pin(process, BASE + 2 * PAGE, 2, false)).toBe(-EFAULT)
    expect((pin(process, BASE + 3 * PAGE, 1, false) as number[]).length).toBe(1)
    expect(pin(process, BASE + 3 * PAGE, 1, true)).toBe(-EFAULT)
  })

  test.each([0x8000, -1])('hi word %i is no user address: -EFAULT', (word) => {
    const { process } = boot()
    expect(process.mm.pin(word, 0, 1, false, new Uint32Array(1), 0)).toBe(-EFAULT)
    expect(process.mm.lookup(word, 0)).toBe(-EFAULT)
  })

  test('PROT_NONE, and PROT_WRITE alone for reading: -EFAULT', () => {
    const { process } = boot()
    mapped(process, 1, PRIVATE, PROT_NONE)
    expect(pin(process, BASE, 1, false)).toBe(-EFAULT)
    expect(pin(process, BASE, 1, true)).toBe(-EFAULT)
    mapped(process, 1, PRIVATE, PROT_WRITE)
    expect(pin(process, BASE, 1, false)).toBe(-EFAULT)
    expect((pin(process, BASE, 1, true) as number[]).length).toBe(1)
  })

  test('a PROT_READ private mapping is unshared, so that a later write hits the pinned page', () => {
    const { machine, process } = boot()
    mapped(process, 1, PRIVATE, PROT_READ)
    const frame = pinOne(process, BASE, false)
    expect(frame).not.toBe(0)
    expect(store(process, BASE, 1)).toBe(-EFAULT)
    process.mprotect(BASE, PAGE, RW)
    store(process, BASE, 7)
    expect(peek(machine, frame, 1)).toEqual([7])
  })

  test.each([false, true])(
    'a page shared by fork is unshared in the process that pins (write %s)',
    (write) => {
      const { machine, process } = boot()
      mapped(process, 1)
      store(process, BASE, 1)
      const child = process.fork()
      const frame = pinOne(process, BASE, write)
      store(process, BASE, 2)
      store(child, BASE, 3)
      expect(peek(machine, frame, 1)).toEqual([2])
      expect([load(process, BASE, 1), load(child, BASE, 1)]).toEqual([[2], [3]])
      expect(machine.framesInUse).toBe(2)
    },
  )

  test('a pinned page stays with the parent at fork', () => {
    const { machine, process } = boot()
    mapped(process, 1)
    const frame = pinOne(process, BASE, false)
    store(process, BASE, 1)
    const child = process.fork()
    store(process, BASE, 2)
    expect(peek(machine, frame, 1)).toEqual([2])
    expect(load(child, BASE, 1)).toEqual([1])
    poke(machine, frame, 9)
    expect([load(process, BASE, 1), load(child, BASE, 1)]).toEqual([[9], [1]])
    expect(process.mm.lookup(hi(BASE), lo(BASE))).toBe(frame)
  })

  test('the page keeps its identity through munmap, MAP_FIXED, mprotect and exit', () => {
    const { machine, process } = boot()
    for (const change of [
      () => process.munmap(BASE, PAGE),
      () => mapped(process, 1),
      () => process.mprotect(BASE, PAGE, PROT_NONE),
      () => process.exit(),
    ]) {
      if (process.mm.alive) mapped(process, 1)
      store(process, BASE, 42)
      const frame = pinOne(process, BASE, true)
      change()
      if (process.mm.alive) {
        process.mmap(BASE + PAGE, 5 * PAGE, RW, PRIVATE)
        process.store(BASE + PAGE, new Uint8Array(5 * PAGE).fill(1))
      }
      expect(peek(machine, frame, 1)).toEqual([42])
      expect(machine.pins(frame)).toBe(1)
      unpin(machine, frame)
    }
    expect([machine.framesInUse, machine.pinnedFrames]).toEqual([0, 0])
  })

  test('a new page at the same address is another frame', () => {
    const { process } = boot()
    mapped(process, 1)
    const old = pinOne(process, BASE, true)
    mapped(process, 1)
    expect(pinOne(process, BASE, true)).not.toBe(old)
  })

  test('after exit: no copy, no pin, no lookup', () => {
    const { process } = boot()
    mapped(process, 1)
    store(process, BASE, 1)
    expect(process.mm.alive).toBe(true)
    process.exit()
    expect(process.mm.alive).toBe(false)
    const bytes = new Uint8Array(1)
    expect(process.mm.copyFromUser(hi(BASE), lo(BASE), bytes, 0, 1)).toBe(-EFAULT)
    expect(process.mm.copyToUser(hi(BASE), lo(BASE), bytes, 0, 1)).toBe(-EFAULT)
    expect(pin(process, BASE, 1, false)).toBe(-EFAULT)
    expect(process.mm.lookup(hi(BASE), lo(BASE))).toBe(-EFAULT)
  })
})

describe('lookup', () => {
  test('an untouched private page is the zero page, whoever asks; a touched one is its own', () => {
    const { machine, process } = boot()
    mapped(process, 2)
    const at = (page: number): number => process.mm.lookup(hi(BASE), lo(BASE + page * PAGE + 8))
    expect([at(0), at(1)]).toEqual([0, 0])
    store(process, BASE, 1)
    expect(at(0)).not.toBe(0)
    expect(at(0)).toBe(at(0))
    expect(machine.pinnedFrames).toBe(0)
  })

  test('holes, PROT_NONE and PROT_WRITE alone: -EFAULT', () => {
    const { process } = boot()
    expect(process.mm.lookup(hi(BASE), lo(BASE))).toBe(-EFAULT)
    for (const prot of [PROT_NONE, PROT_WRITE]) {
      mapped(process, 1, PRIVATE, prot)
      expect(process.mm.lookup(hi(BASE), lo(BASE))).toBe(-EFAULT)
    }
  })

  test('shared memory is the same frame in parent and child', () => {
    const { process } = boot()
    mapped(process, 1, SHARED)
    const child = process.fork()
    expect(child.mm.lookup(hi(BASE), lo(BASE))).toBe(process.mm.lookup(hi(BASE), lo(BASE)))
  })
})

describe('words', () => {
  test('words and bytes are two views of the same memory, across pages and before a first touch', () => {
    const { process } = boot()
    mapped(process, 2)
    for (const address of [BASE + 16, BASE + PAGE - 8]) {
      const words = Int32Array.from([1, -2, 0x12345678, -0x80000000])
      expect(process.mm.writeWords(hi(address), lo(address), words, 1, 3)).toBe(0)
      expect(process.load(address, 12)).toEqual(new Uint8Array(words.slice(1).buffer))
      const back = new Int32Array(4)
      expect(process.mm.readWords(hi(address), lo(address), back, 3)).toBe(0)
      expect([...back]).toEqual([-2, 0x12345678, -0x80000000, 0])
    }
  })

  test('EFAULT where there is no memory, or none to write', () => {
    const { process } = boot()
    mapped(process, 1)
    const words = new Int32Array(4)
    expect(process.mm.readWords(hi(BASE + PAGE), lo(BASE + PAGE), words, 4)).toBe(-EFAULT)
    expect(process.mprotect(BASE, PAGE, PROT_READ)).toBe(0)
    expect(process.mm.writeWords(hi(BASE), lo(BASE), words, 0, 4)).toBe(-EFAULT)
    expect(process.mm.readWords(hi(BASE), lo(BASE), words, 4)).toBe(0)
  })
})
