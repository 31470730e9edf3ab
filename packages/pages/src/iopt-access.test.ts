// SPDX-License-Identifier: Apache-2.0
// SPEC E7, E4: in-kernel users pin, read and write by IOVA: every check, and the three ways to the bytes.

import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { Access } from '../test/access.js'
import {
  boot,
  CONSTANT,
  FILE,
  MEMORY,
  NOTHING,
  PAGE,
  PAGES,
  Program,
  READ,
  type World,
  WRITE,
} from '../test/harness.js'
import { snapshot } from '../test/snapshot.js'
import { type Range, U64_MAX } from '../test/u64.js'
import { RW_KTHREAD, RW_SLOW_PATH, RW_WRITE } from './pages-rw.js'

interface Scene {
  readonly world: World
  readonly program: Program
  readonly id: number
  readonly access: Access
}

function scene(alignment = PAGE): Scene {
  const world = boot()
  const program = Program.start(world)
  const id = program.alloc()
  return { world, program, id, access: Access.attached(world, program.ioas(id), alignment) }
}

const pages = (first: number, count: number): Range => {
  return { start: BigInt(first), last: BigInt(first + count * PAGE) - 1n }
}

/** What the frames begin with. */
function firstBytes({ world }: Scene, frames: number[] | number): number[] {
  if (typeof frames === 'number') throw new Error(`not pinned: ${frames}`)
  const byte = new Uint8Array(1)
  return frames.map((frame) => {
    world.machine.readFrame(frame, 0, byte, 0, 1)
    return byte[0] as number
  })
}

describe('pinning: checks (SPEC E7)', () => {
  test.each([
    ['nothing mapped', 0x8000, 1, 'ENOENT ACCESS_NOT_MAPPED'],
    ['a hole in the middle', 0x1000, 5, 'ENOENT ACCESS_NOT_MAPPED'],
    ['a hole at the end', 0x5000, 2, 'ENOENT ACCESS_NOT_MAPPED'],
    ['an area for reading only, behind a good one', 0x10000, 2, 'EPERM ACCESS_FORBIDDEN'],
    ['memory that is not there, behind a good area', 0x20000, 2, 'EFAULT USER_PAGES_BAD'],
    ['memory that may not be written', 0x30000, 1, 'EFAULT USER_PAGES_BAD'],
    ['a begin inside a page', 0x1010, 1, 'EINVAL PIN_MISALIGNED'],
  ])('%s: refused, and nothing stays pinned', (_what, first, count, outcome) => {
    const place = scene()
    const { world, program, id, access } = place
    program.mapAt(id, 0x1000, 2 * PAGE)
    program.mapAt(id, 0x5000, PAGE)
    program.mapAt(id, 0x10000, PAGE)
    program.mapAt(id, 0x11000, PAGE, MEMORY, READ)
    program.mapAt(id, 0x20000, PAGE)
    program.mapAt(id, 0x21000, PAGE, NOTHING)
    program.mapAt(id, 0x30000, PAGE, CONSTANT)
    const before = snapshot(world)
    expect(access.tryPin(pages(first, count))).toBe(outcome)
    expect(snapshot(world)).toEqual(before)
  })

  test('parts must join at page boundaries of the memory', () => {
    const place = scene(1)
    const { program, id, access } = place
    program.mapAt(id, 0x1000, 0x1800, MEMORY)
    program.mapAt(id, 0x2800, PAGE, MEMORY)
    program.mapAt(id, 0x10000, PAGE, MEMORY)
    program.mapAt(id, 0x11000, PAGE, MEMORY + 0x80)
    expect(access.tryPin({ start: 0x1000n, last: 0x2fffn })).toBe('EINVAL PIN_MISALIGNED')
    expect(access.tryPin({ start: 0x10000n, last: 0x11fffn })).toBe('EINVAL PIN_MISALIGNED')
    expect(access.tryPin({ start: 0x1000n, last: 0x27ffn })).toBe('ok')
    expect(access.tryPin({ start: 0x2800n, last: 0x37ffn })).toBe('ok')
    access.detach()
  })

  test('each permission by itself', () => {
    const { program, id, access } = scene()
    program.mapAt(id, 0x1000, PAGE, MEMORY, READ)
    program.mapAt(id, 0x2000, PAGE, MEMORY, WRITE)
    expect(access.tryPin(pages(0x1000, 1), false)).toBe('ok')
    expect(access.tryPin(pages(0x1000, 1), true)).toBe('EPERM ACCESS_FORBIDDEN')
    expect(access.tryPin(pages(0x2000, 1), true)).toBe('ok')
    expect(access.tryPin(pages(0x2000, 1), false)).toBe('EPERM ACCESS_FORBIDDEN')
    access.detach()
  })

  test('the missing place is named', () => {
    const { world, program, id, access } = scene()
    program.mapAt(id, 0x1000, 2 * PAGE)
    access.pin(pages(0x1000, 3))
    expect(world.engine.refusals.last?.operands).toEqual({
      iova: 0x1000n,
      last: 0x3fffn,
      missing: 0x3000n,
    })
  })
})

describe('pinning: frames (SPEC E4, E7)', () => {
  test('one frame for each page of the range, over several areas', () => {
    const place = scene()
    const { program, id, access } = place
    program.mapAt(id, 0x1000, 2 * PAGE, MEMORY + 3 * PAGE)
    program.mapFileAt(id, 0x3000, 2 * PAGE, 6 * PAGE)
    program.mapAt(id, 0x5000, PAGE, MEMORY)
    expect(firstBytes(place, access.pin(pages(0x1000, 5)))).toEqual([4, 5, 7, 8, 1])
    expect(firstBytes(place, access.pin(pages(0x2000, 2)))).toEqual([5, 7])
    access.detach()
  })

  test('up to the last byte of the space', () => {
    const place = scene()
    const { program, id, access } = place
    program.mapAt(id, U64_MAX - 0x1fffn, 2 * PAGE)
    const frames = access.pin({ start: U64_MAX - 0xfffn, last: U64_MAX })
    expect(firstBytes(place, frames)).toEqual([2])
    access.detach()
  })

  test('a page is pinned once however many pin it; the last one unpins it', () => {
    const { world, program, id, access } = scene()
    program.mapAt(id, 0x1000, 8 * PAGE)
    const pins = () => program.process.mm.pinnedVm
    access.pin(pages(0x2000, 4))
    access.pin(pages(0x4000, 4))
    expect([pins(), world.machine.pinnedFrames]).toEqual([6, 6])
    access.pin(pages(0x2000, 4))
    expect(pins()).toBe(6)
    access.unpin(pages(0x2000, 4))
    expect(pins()).toBe(6)
    access.unpin(pages(0x2000, 4))
    expect(pins()).toBe(4)
    access.unpin(pages(0x4000, 4))
    expect([pins(), world.machine.pinnedFrames, world.tables.pages.pinnedCount]).toEqual([0, 0, 0])
    access.detach()
  })

  test('two mappings of the same memory pin it twice', () => {
    const { world, program, id, access } = scene()
    program.mapAt(id, 0x1000)
    program.mapAt(id, 0x2000)
    const frames = access.pin(pages(0x1000, 2)) as number[]
    expect(frames[0]).toBe(frames[1])
    expect([world.machine.pins(frames[0] as number), program.process.mm.pinnedVm]).toEqual([2, 2])
    access.detach()
  })

  test('a pin names its page whatever the process does to its memory', () => {
    const place = scene()
    const { program, id, access } = place
    program.mapAt(id, 0x1000)
    const frames = access.pin(pages(0x1000, 1))
    program.process.munmap(MEMORY, PAGE)
    expect(firstBytes(place, frames)).toEqual([1])
    expect(firstBytes(place, access.pin(pages(0x1000, 1)))).toEqual([1])
    access.detach()
    expect(access.tryPin(pages(0x1000, 1))).toBe('EFAULT USER_PAGES_BAD')
  })

  test('batches: the result is the same however many pages are pinned at a time', () => {
    const place = scene()
    const { world, program, id, access } = place
    program.mapAt(id, 0x1000, 8 * PAGE)
    program.mapAt(id, 0x10000, (PAGES + 1) * PAGE)
    const expected = [1, 2, 3, 4, 5, 6, 7, 8]
    for (const size of [1, 3, 8, 100]) {
      world.tables.pages.setBatchPages(size)
      expect(firstBytes(place, access.pin(pages(0x1000, 8)))).toEqual(expected)
      access.unpin(pages(0x1000, 8))
      expect(access.tryPin(pages(0x10000, PAGES + 1))).toBe('EFAULT USER_PAGES_BAD')
      expect(world.machine.pinnedFrames).toBe(0)
    }
    access.detach()
  })

  test('a process that has ended cannot be pinned any more, a file can', () => {
    const place = scene()
    const { world, program, id, access } = place
    const child = program.fork()
    child.mapAt(id, 0x1000)
    child.mapFileAt(id, 0x2000)
    child.process.exit()
    expect(access.tryPin(pages(0x1000, 1))).toBe('EFAULT USER_PAGES_BAD')
    expect(firstBytes(place, access.pin(pages(0x2000, 1)))).toEqual([1])
    access.detach()
    expect(world.machine.pinnedFrames).toBe(0)
  })
})

describe('reading and writing (SPEC E7)', () => {
  test.each([
    ['nothing mapped', 0x8000n, 1, 0, 'ENOENT ACCESS_NOT_MAPPED'],
    ['writing what may be read', 0x10000n, 1, RW_WRITE, 'EPERM ACCESS_FORBIDDEN'],
    ['reading what may be written', 0x11000n, 1, 0, 'EPERM ACCESS_FORBIDDEN'],
    ['memory that is not there', 0x20000n, 1, 0, 'EFAULT USER_RANGE_BAD'],
    ['memory that is not there, by pins', 0x20ff0n, 0x20, 0, 'EFAULT USER_PAGES_BAD'],
    ['memory that is for reading', 0x30000n, 1, RW_WRITE, 'EFAULT USER_RANGE_BAD'],
    ['beyond the file', 0x40000n, 1, 0, 'EINVAL FILE_PAGES_BAD'],
  ])('%s is refused', (_what, start, length, flags, outcome) => {
    const { world, program, id, access } = scene(1)
    program.mapAt(id, 0x10000, PAGE, MEMORY, READ)
    program.mapAt(id, 0x11000, PAGE, MEMORY, WRITE)
    program.mapAt(id, 0x20000, 2 * PAGE, NOTHING)
    program.mapAt(id, 0x30000, PAGE, CONSTANT)
    program.mapFileAt(id, 0x40000, PAGE, PAGES * PAGE)
    const before = snapshot(world)
    expect(access.tryRw(start, new Uint8Array(length), flags)).toBe(outcome)
    expect(snapshot(world)).toEqual(before)
    access.detach()
  })

  test('over several areas; what was done before a hole stays done', () => {
    const { program, id, access } = scene(1)
    program.mapAt(id, 0x1000, 0x800, MEMORY)
    program.mapAt(id, 0x1800, 0x10, MEMORY + 2 * PAGE - 8)
    const data = Uint8Array.from({ length: 0x20 }, (_, i) => 100 + i)
    expect(access.tryRw(0x17f8n, data, RW_WRITE)).toBe('ENOENT ACCESS_NOT_MAPPED')
    expect(access.read(0x17f8n, 0x18)).toEqual([...data.subarray(0, 0x18)])
    expect([...(program.process.load(MEMORY + 0x7f8, 8) as Uint8Array)]).toEqual([
      ...data.subarray(0, 8),
    ])
    access.detach()
  })

  test('writing sees a process’s memory and a file, and the process sees the writing', () => {
    const { program, id, access } = scene()
    program.mapAt(id, 0x1000, 2 * PAGE)
    program.mapFileAt(id, 0x3000, 2 * PAGE, PAGE)
    const data = new Uint8Array(4 * PAGE).fill(77)
    expect(access.rw(0x1000n, data, RW_WRITE)).toBe(0)
    expect(program.process.load(MEMORY + 2 * PAGE - 1, 2)).toEqual(Uint8Array.of(77, 3))
    expect(program.process.load(FILE + 3 * PAGE - 1, 2)).toEqual(Uint8Array.of(77, 4))
    access.detach()
  })

  test('nothing stays pinned or charged', () => {
    const world = boot()
    const program = Program.start(world, { uid: 1000, rlimitMemlock: 0 })
    const id = program.alloc()
    const access = Access.attached(world, program.ioas(id))
    program.mapAt(id, 0x1000, 4 * PAGE)
    const before = snapshot(world)
    expect(access.read(0x1000n, 4 * PAGE, RW_SLOW_PATH)).toHaveLength(4 * PAGE)
    expect(snapshot(world)).toEqual(before)
    access.detach()
  })

  test('pages that are pinned are read by their pins, others are pinned for the moment', () => {
    const { world, program, id, access } = scene()
    program.mapAt(id, 0x1000, 6 * PAGE)
    access.pin(pages(0x2000, 2))
    access.pin(pages(0x5000, 1))
    program.process.munmap(MEMORY + PAGE, PAGE)
    const before = snapshot(world)
    const bytes = access.read(0x1000n, 6 * PAGE, RW_SLOW_PATH) as number[]
    expect([0, 1, 2, 3, 4, 5].map((page) => bytes[page * PAGE])).toEqual([1, 2, 3, 4, 5, 6])
    expect(snapshot(world)).toEqual(before)
    access.detach()
  })

  test('the way to the bytes: the mapper by its addresses, others by pins for more than a page', () => {
    const { world, program, id, access } = scene()
    const { process } = program
    program.mapAt(id, 0x1000, 2 * PAGE)
    access.pin(pages(0x1000, 2))
    const fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    process.mmap(MEMORY, 2 * PAGE, PROT_READ | PROT_WRITE, fixed)
    process.store(MEMORY, Uint8Array.of(90))
    const first = (flags: number, length: number) =>
      (access.read(0x1000n, length, flags) as number[])[0]
    const [byPins, byAddress] = [1, 90]
    expect(first(0, 1)).toBe(byAddress)
    expect(first(0, PAGE + 1)).toBe(byPins)
    expect(first(RW_KTHREAD, PAGE + 1)).toBe(byAddress)
    world.engine.current = process
    expect(first(0, PAGE + 1)).toBe(byAddress)
    expect(first(RW_SLOW_PATH, PAGE + 1)).toBe(byPins)
    world.engine.current = program.fork().process
    expect(first(0, PAGE + 1)).toBe(byPins)
    world.engine.current = undefined
    access.detach()
  })

  test('when the mapper has ended only pins are left', () => {
    const { program, id, access } = scene()
    const child = program.fork()
    child.mapAt(id, 0x1000, 2 * PAGE)
    access.pin(pages(0x1000, 1))
    child.process.exit()
    for (const flags of [0, RW_KTHREAD, RW_SLOW_PATH]) {
      expect(access.read(0x1000n, 1, flags)).toEqual([1])
      expect(access.tryRw(0x2000n, new Uint8Array(1), flags)).toBe('EFAULT USER_PAGES_BAD')
    }
    access.detach()
  })

  test('large reads go in batches', () => {
    const { world, program, id, access } = scene()
    program.mapAt(id, 0x1000, PAGES * PAGE)
    for (const size of [1, 5, PAGES]) {
      world.tables.pages.setBatchPages(size)
      const bytes = access.read(0x1800n, (PAGES - 1) * PAGE, RW_SLOW_PATH) as number[]
      const starts = Array.from({ length: PAGES - 1 }, (_, i) => bytes[0x800 + i * PAGE])
      expect(starts).toEqual(Array.from({ length: PAGES - 1 }, (_, i) => i + 2))
    }
    access.detach()
  })

  test('bytes before an unusable page are written, that page is refused', () => {
    const { program, id, access } = scene()
    program.mapAt(id, 0x1000, (PAGES + 1) * PAGE)
    const last = BigInt(0x1000 + PAGES * PAGE)
    const data = new Uint8Array(16).fill(55)
    expect(access.tryRw(last - 8n, data, RW_WRITE)).toBe('EFAULT USER_PAGES_BAD')
    expect(program.process.load(MEMORY + PAGES * PAGE - 8, 8)).toEqual(new Uint8Array(8).fill(55))
    access.detach()
  })
})
