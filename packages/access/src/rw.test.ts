// SPDX-License-Identifier: Apache-2.0
//
// iommufd_access_rw: reading and writing by IOVA, and the three ways to the bytes.

import { PROT_NONE, PROT_READ } from '@iommufd/uapi'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  allocIoas,
  type Booted,
  BUFFER,
  BUFFER_PAGES,
  boot,
  destroyId,
  IOVA,
  map,
  mapFile,
  mmap,
  newAccess,
  PAGE,
  type Pins,
  READ,
  WRITE,
  why,
} from '../test/harness.js'
import {
  IOMMUFD_ACCESS_RW_KTHREAD,
  IOMMUFD_ACCESS_RW_READ,
  IOMMUFD_ACCESS_RW_WRITE,
  type IommufdAccess,
  iommufd_access_pin_pages,
  iommufd_access_rw,
  iommufd_access_unpin_pages,
} from './index.js'

const READS = IOMMUFD_ACCESS_RW_READ
const WRITES = IOMMUFD_ACCESS_RW_WRITE
const KTHREAD = IOMMUFD_ACCESS_RW_KTHREAD

interface Ready extends Booted {
  readonly ioas: number
  readonly access: IommufdAccess<Pins>
}

/** One area of `pages` pages at IOVA and an access; the buffer's page i is full of i + 1. */
function ready(pages: number, prot: number = READ | WRITE): Ready {
  const booted = boot()
  const ioas = allocIoas(booted)
  if (map(booted, ioas, { length: pages * PAGE, prot }) !== '0') throw new Error('map')
  fill(booted, 1)
  return { ...booted, ioas, access: newAccess(booted, ioas).access }
}

/** Page i of the buffer is full of first + i. */
function fill({ process }: Booted, first: number): void {
  for (let i = 0; i < BUFFER_PAGES; i++) {
    process.store(BUFFER + i * PAGE, new Uint8Array(PAGE).fill(first + i))
  }
}

/** The answer, and what was read. */
function read(
  { engine, access }: Ready,
  iova: number | bigint,
  length: number,
  flags: number = READS,
): [string, ...number[]] {
  const data = new Uint8Array(length).fill(0xee)
  return [why(engine, iommufd_access_rw(access, iova, data, flags)), ...data]
}

function write(
  { engine, access }: Ready,
  iova: number | bigint,
  bytes: number[],
  flags = 0,
): string {
  return why(engine, iommufd_access_rw(access, iova, Uint8Array.from(bytes), WRITES | flags))
}

function load({ process }: Booted, addr: number, length: number): number[] {
  const bytes = process.load(addr, length)
  if (typeof bytes === 'number') throw new Error('load')
  return [...bytes]
}

/** Runs on behalf of the process, as inside an ioctl of it. */
function as<T>({ engine, process }: Booted, run: () => T): T {
  engine.current = process
  try {
    return run()
  } finally {
    engine.current = undefined
  }
}

describe('E7: what is refused', () => {
  test('E7: length 0 is EINVAL, then a wrap EOVERFLOW, then no IOAS ENOENT', () => {
    const booted = boot()
    const { engine } = booted
    const access = newAccess(booted).access
    const rw = (iova: bigint, length: number): string =>
      why(engine, iommufd_access_rw(access, iova, new Uint8Array(length), READS))
    expect(rw(2n ** 64n - 1n, 0)).toBe('EINVAL ACCESS_LENGTH_ZERO')
    expect(rw(2n ** 64n - 1n, 2)).toBe('EOVERFLOW ACCESS_RANGE_WRAPS')
    expect(rw(2n ** 64n - 1n, 1)).toBe('ENOENT ACCESS_NOT_ATTACHED')
    expect(rw(0n, 1)).toBe('ENOENT ACCESS_NOT_ATTACHED')
  })

  test('E7: a hole is ENOENT, wrong permission EPERM, memory that is gone EFAULT', () => {
    const readable = ready(2, READ)
    expect(write(readable, IOVA, [1])).toBe('EPERM ACCESS_FORBIDDEN')
    expect(write(readable, IOVA - 1, [1])).toBe('ENOENT ACCESS_NOT_MAPPED')
    expect(load(readable, BUFFER, 1)).toEqual([1])
    const writable = ready(2, WRITE)
    expect(read(writable, IOVA, 1)).toEqual(['EPERM ACCESS_FORBIDDEN', 0xee])
    writable.process.munmap(BUFFER, PAGE)
    expect(write(writable, IOVA, [1])).toBe('EFAULT USER_RANGE_BAD')
    expect(write(writable, IOVA + PAGE, [7])).toBe('0')
  })

  test('E7: the whole space can be named', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    const top = 2n ** 64n - 4096n
    expect(map(booted, ioas, { iova: top, length: PAGE })).toBe('0')
    fill(booted, 1)
    const there = { ...booted, ioas, access: newAccess(booted, ioas).access }
    expect(write(there, 2n ** 64n - 2n, [8, 9])).toBe('0')
    expect(read(there, 2n ** 64n - 3n, 3)).toEqual(['0', 1, 8, 9])
    expect(load(booted, BUFFER + PAGE - 3, 3)).toEqual([1, 8, 9])
  })
})

describe('E7: what was done before a refusal stays', () => {
  test('E7: areas before a hole are read and written', () => {
    const there = ready(1)
    const edge = IOVA + PAGE - 2
    expect(read(there, edge, 4)).toEqual(['ENOENT ACCESS_NOT_MAPPED', 1, 1, 0xee, 0xee])
    expect(write(there, edge, [7, 8, 9])).toBe('ENOENT ACCESS_NOT_MAPPED')
    expect(load(there, BUFFER + PAGE - 3, 4)).toEqual([1, 7, 8, 2])
  })

  test('E7: areas before one without the permission are written', () => {
    const there = ready(1)
    map(there, there.ioas, { iova: IOVA + PAGE, va: BUFFER + 4 * PAGE, length: PAGE, prot: READ })
    expect(write(there, IOVA + PAGE - 1, [7, 8])).toBe('EPERM ACCESS_FORBIDDEN')
    expect(load(there, BUFFER + PAGE - 2, 3)).toEqual([1, 7, 2])
    expect(load(there, BUFFER + 4 * PAGE, 1)).toEqual([5])
    expect(read(there, IOVA + PAGE - 1, 2)).toEqual(['0', 7, 5])
  })

  test('E7: pages before one that is gone are read and written', () => {
    const there = ready(3)
    there.process.munmap(BUFFER + 2 * PAGE, PAGE)
    const edge = IOVA + 2 * PAGE - 1
    for (const flags of [READS, KTHREAD]) {
      const [answer, first, second] = read(there, edge, 2, flags)
      expect([answer.split(' ')[0], first, second]).toEqual(['EFAULT', 2, 0xee])
    }
    expect(write(there, edge, [7, 8]).split(' ')[0]).toBe('EFAULT')
    expect(load(there, BUFFER + 2 * PAGE - 2, 2)).toEqual([2, 7])
  })
})

describe('E7: bytes', () => {
  test('E7: any range over areas in any order is what the process sees there', () => {
    const order = [5, 2, 9, 0]
    const cases = fc.record({
      start: fc.integer({ min: 0, max: order.length * PAGE - 1 }),
      length: fc.integer({ min: 1, max: order.length * PAGE }),
      flags: fc.constantFrom(0, KTHREAD),
      own: fc.boolean(),
      value: fc.integer({ min: 1, max: 255 }),
    })
    const booted = boot()
    const ioas = allocIoas(booted)
    order.forEach((page, i) => {
      map(booted, ioas, { iova: IOVA + i * PAGE, va: BUFFER + page * PAGE, length: PAGE })
    })
    fill(booted, 1)
    const access = newAccess(booted, ioas, {}).access
    const there: Ready = { ...booted, ioas, access }
    const seen = (): number[] => order.flatMap((page) => load(booted, BUFFER + page * PAGE, PAGE))
    const holds = (c: {
      start: number
      length: number
      flags: number
      own: boolean
      value: number
    }): void => {
      const { start, flags, own, value } = c
      const length = Math.min(c.length, order.length * PAGE - start)
      const run = <T>(body: () => T): T => (own ? as(booted, body) : body())
      const expected = seen()
      expected.fill(value, start, start + length)
      const bytes = new Array<number>(length).fill(value)
      expect(run(() => write(there, IOVA + start, bytes, flags))).toBe('0')
      expect(seen()).toEqual(expected)
      const [answer, ...got] = run(() => read(there, IOVA + start, length, flags))
      expect(answer).toBe('0')
      expect(got).toEqual(bytes)
      expect(booted.machine.pinnedFrames).toBe(0)
    }
    fc.assert(fc.property(cases, holds), { numRuns: 40 })
  })

  test('E7: areas need no alignment', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    map(booted, ioas, { iova: 0x1003, va: BUFFER + 4090, length: 10 })
    map(booted, ioas, { iova: 0x100d, va: BUFFER + 1, length: 3 })
    fill(booted, 1)
    const access = newAccess(booted, ioas, {}).access
    const there: Ready = { ...booted, ioas, access }
    expect(read(there, 0x1007, 9)).toEqual(['0', 1, 1, 2, 2, 2, 2, 1, 1, 1])
    expect(write(there, 0x100b, [51, 52, 53])).toBe('0')
    expect(load(booted, BUFFER + PAGE + 2, 3)).toEqual([51, 52, 2])
    expect(load(booted, BUFFER, 3)).toEqual([1, 53, 1])
  })

  test('E7: nothing stays pinned or charged, whichever way', () => {
    const there = ready(4)
    for (const flags of [READS, KTHREAD]) read(there, IOVA + 1, 3 * PAGE, flags)
    as(there, () => read(there, IOVA + 1, 3 * PAGE))
    expect([there.machine.pinnedFrames, there.process.status()]).toEqual([
      0,
      { VmPin: 0, VmLck: 0 },
    ])
  })
})

/** Page i of what is pinned holds i + 1; what the process sees there since is 11 + i. */
function remapped(): Ready {
  const there = ready(3)
  const frames = new Uint32Array(3)
  if (iommufd_access_pin_pages(there.access, IOVA, 3 * PAGE, frames, READS) !== 0) {
    throw new Error('pin')
  }
  mmap(there.process, BUFFER, 3)
  fill(there, 11)
  return there
}

describe('E7: three ways to one IOVA', () => {
  const edge = IOVA + PAGE - 1

  test('E7: the mapper uses its own addresses', () => {
    const there = remapped()
    expect(as(there, () => read(there, edge, 2))).toEqual(['0', 11, 12])
    expect(as(there, () => write(there, edge, [1, 2]))).toBe('0')
    expect(load(there, BUFFER + PAGE - 1, 2)).toEqual([1, 2])
  })

  test('E7: somebody else goes through page tables inside one page, through pins across pages', () => {
    const there = remapped()
    expect(read(there, edge, 1)).toEqual(['0', 11])
    expect(read(there, edge, 2)).toEqual(['0', 1, 2])
    expect(write(there, IOVA, [70])).toBe('0')
    expect(write(there, edge, [71, 72])).toBe('0')
    expect(load(there, BUFFER, 1)).toEqual([70])
    expect(load(there, BUFFER + PAGE - 1, 2)).toEqual([11, 12])
    expect(read(there, edge, 2)).toEqual(['0', 71, 72])
  })

  test('E7: another process is somebody else', () => {
    const there = remapped()
    const child = there.process.fork()
    mmap(child, BUFFER, 3)
    const asChild: Ready = { ...there, process: child }
    expect(as(asChild, () => read(there, edge, 1))).toEqual(['0', 11])
    expect(as(asChild, () => read(there, edge, 2))).toEqual(['0', 1, 2])
  })

  test('E7: KTHREAD takes the mapper address space on', () => {
    const there = remapped()
    expect(read(there, edge, 1, KTHREAD)).toEqual(['0', 11])
    expect(read(there, edge, 2, KTHREAD)).toEqual(['0', 11, 12])
    expect(write(there, edge, [70, 71], KTHREAD)).toBe('0')
    expect(load(there, BUFFER + PAGE - 1, 2)).toEqual([70, 71])
  })

  test('E7: a page that is PROT_NONE now is EFAULT inside it, and readable by its pin across pages', () => {
    const there = ready(3)
    iommufd_access_pin_pages(there.access, IOVA, 3 * PAGE, new Uint32Array(3), READS)
    there.process.mprotect(BUFFER, 3 * PAGE, PROT_NONE)
    expect(read(there, edge, 1)).toEqual(['EFAULT USER_RANGE_BAD', 0xee])
    expect(read(there, edge, 2)).toEqual(['0', 1, 2])
    expect(as(there, () => read(there, edge, 2))[0]).toBe('EFAULT USER_RANGE_BAD')
    expect(read(there, edge, 2, KTHREAD)[0]).toBe('EFAULT USER_RANGE_BAD')
  })

  test('E7: a page that is PROT_READ now can be read but not written', () => {
    const there = ready(1)
    there.process.mprotect(BUFFER, PAGE, PROT_READ)
    expect(read(there, IOVA, 1)).toEqual(['0', 1])
    expect(write(there, IOVA, [9])).toBe('EFAULT USER_RANGE_BAD')
  })

  test('E7: pins of a part serve that part, the rest is pinned for the moment', () => {
    const there = ready(3)
    const { machine, process } = there
    iommufd_access_pin_pages(there.access, IOVA + PAGE, PAGE, new Uint32Array(1), READS)
    mmap(process, BUFFER, 3)
    fill(there, 11)
    const [answer, ...bytes] = read(there, IOVA, 3 * PAGE)
    expect(answer).toBe('0')
    expect([0, PAGE, 2 * PAGE].map((at) => bytes[at])).toEqual([11, 2, 13])
    expect(machine.pinnedFrames).toBe(1)
    iommufd_access_unpin_pages(there.access, IOVA + PAGE, PAGE)
    expect(read(there, IOVA + PAGE - 1, 2)).toEqual(['0', 11, 12])
  })
})

describe('E7: after the mapper has exited', () => {
  test('E7: what is pinned can be read and written, also inside one page', () => {
    const there = ready(3)
    iommufd_access_pin_pages(there.access, IOVA, 2 * PAGE, new Uint32Array(2), READS)
    there.process.exit()
    for (const flags of [READS, KTHREAD]) {
      expect(read(there, IOVA, 1, flags)).toEqual(['0', 1])
      expect(read(there, IOVA + PAGE - 1, 2, flags)).toEqual(['0', 1, 2])
    }
    expect(write(there, IOVA, [50], KTHREAD)).toBe('0')
    expect(read(there, IOVA, 1)).toEqual(['0', 50])
  })

  test('E7: what is not pinned is EFAULT', () => {
    const there = ready(3)
    iommufd_access_pin_pages(there.access, IOVA, PAGE, new Uint32Array(1), READS)
    there.process.exit()
    for (const flags of [READS, KTHREAD]) {
      expect(read(there, IOVA + PAGE, 1, flags)[0]).toBe('EFAULT USER_PAGES_BAD')
    }
  })

  test('L8: files do not care', () => {
    const booted = boot()
    const { process } = booted
    const memfd = process.memfdCreate('m', 0)
    process.ftruncate(memfd, 2 * PAGE)
    const ioas = allocIoas(booted)
    expect(mapFile(booted, ioas, memfd, 2 * PAGE)).toBe('0')
    const there: Ready = {
      ...booted,
      ioas,
      access: newAccess(booted, ioas).access,
    }
    expect(write(there, IOVA + PAGE - 1, [1, 2])).toBe('0')
    process.exit()
    expect(read(there, IOVA + PAGE - 2, 4, KTHREAD)).toEqual(['0', 0, 1, 2, 0])
    expect(there.machine.pinnedFrames).toBe(0)
  })
})

test('every fault point of a read and a write leaves nothing pinned', () => {
  const there = ready(4)
  const { engine, machine } = there
  map(there, there.ioas, { iova: IOVA + 4 * PAGE, va: BUFFER + 8 * PAGE, length: 2 * PAGE })
  let failures = 0
  for (; ; failures++) {
    engine.faults.arm(failures + 1)
    const answers = [read(there, IOVA, 6 * PAGE)[0], write(there, IOVA + 5, [1, 2])]
    if (!engine.faults.fired) break
    expect(answers.filter((answer) => answer === 'EFAULT INJECTED_EFAULT')).toHaveLength(1)
    expect(machine.pinnedFrames).toBe(0)
  }
  engine.faults.disarm()
  expect(failures).toBeGreaterThanOrEqual(3)
  there.access.close()
  expect(destroyId(there, there.ioas)).toBe('0')
})
