// SPDX-License-Identifier: Apache-2.0
//
// iommufd_access_pin_pages and iommufd_access_unpin_pages.

import { PROT_NONE, PROT_READ } from '@iommufd/uapi'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  allocIoas,
  type Booted,
  BUFFER,
  BUFFER_PAGES,
  boot,
  IOVA,
  map,
  mapFile,
  mmap,
  newAccess,
  PAGE,
  type Pins,
  READ,
  unmap,
  WRITE,
  why,
} from '../test/harness.js'
import {
  IOMMUFD_ACCESS_RW_READ,
  IOMMUFD_ACCESS_RW_WRITE,
  type IommufdAccess,
  iommufd_access_pin_pages,
  iommufd_access_unpin_pages,
} from './index.js'

const READS = IOMMUFD_ACCESS_RW_READ
const WRITES = IOMMUFD_ACCESS_RW_WRITE

interface Pinned {
  readonly answer: string
  readonly frames: number[]
}

/** Pins, with as many frames as it has pages. */
function pin(
  { engine }: Booted,
  access: IommufdAccess<Pins>,
  iova: number | bigint,
  length: number | bigint,
  flags: number = READS,
): Pinned {
  const frames = new Uint32Array(Math.min(64, Math.ceil(Number(length) / PAGE)))
  const ret = iommufd_access_pin_pages(access, iova, length, frames, flags)
  return { answer: why(engine, ret), frames: [...frames] }
}

/** Frames that the process sees now. */
function lookup({ process }: Booted, addr: number, pages: number): number[] {
  return Array.from({ length: pages }, (_, i) =>
    process.mm.lookup(Math.floor(addr / 2 ** 32), (addr + i * PAGE) | 0),
  )
}

function firstByte({ machine }: Booted, frame: number): number {
  const byte = new Uint8Array(1)
  machine.readFrame(frame, 0, byte, 0, 1)
  return byte[0] as number
}

/** A machine with one area of `pages` pages at IOVA and a pinning access. */
function one(
  pages = 4,
  prot: number = READ | WRITE,
): Booted & { ioas: number; access: IommufdAccess<Pins> } {
  const booted = boot()
  const ioas = allocIoas(booted)
  map(booted, ioas, { length: pages * PAGE, prot })
  return { ...booted, ioas, access: newAccess(booted, ioas).access }
}

describe('E7: what is refused', () => {
  test('E7: an access that does not pin, or has no callback, is EINVAL before anything else', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    for (const ops of [{}, { unmap: () => {} }, { needs_pin_pages: true }]) {
      const { access } = newAccess(booted, ioas, ops)
      expect(pin(booted, access, IOVA, 0).answer).toBe('EINVAL ACCESS_WITHOUT_PINNING')
    }
  })

  test('E7: length 0 is EINVAL, then a wrap EOVERFLOW, then no IOAS ENOENT', () => {
    const booted = boot()
    const access = newAccess(booted).access
    expect(pin(booted, access, 2n ** 64n - 1n, 0).answer).toBe('EINVAL ACCESS_LENGTH_ZERO')
    for (const [iova, length] of [
      [2n ** 64n - 1n, 2],
      [1, 2n ** 64n - 1n],
      [2n ** 63n, 2n ** 63n + 1n],
    ] as const) {
      const wraps = BigInt(iova) + BigInt(length) > 2n ** 64n
      const expected = wraps ? 'EOVERFLOW ACCESS_RANGE_WRAPS' : 'ENOENT ACCESS_NOT_ATTACHED'
      expect(pin(booted, access, iova, length).answer).toBe(expected)
    }
    expect(pin(booted, access, 0, 2n ** 64n - 1n).answer).toBe('ENOENT ACCESS_NOT_ATTACHED')
    expect(pin(booted, access, 2n ** 64n - 1n, 1).answer).toBe('ENOENT ACCESS_NOT_ATTACHED')
  })

  test('E7: a hole is ENOENT, wherever it lies', () => {
    const booted = one()
    const { access } = booted
    const end = IOVA + 4 * PAGE
    for (const [iova, length] of [
      [IOVA - PAGE, PAGE],
      [IOVA - PAGE, 2 * PAGE],
      [IOVA, 5 * PAGE],
      [end, PAGE],
      [0, 2n ** 64n - 1n],
      [IOVA, 2n ** 63n],
    ] as const) {
      expect(pin(booted, access, iova, length).answer).toBe('ENOENT ACCESS_NOT_MAPPED')
    }
    expect(booted.machine.pinnedFrames).toBe(0)
  })

  test('E7: a part that does not begin with a page is EINVAL, also without the permission', () => {
    const booted = one(4, READ)
    const { access } = booted
    for (const [iova, length] of [
      [IOVA + 1, PAGE],
      [IOVA + 2048, 2048],
      [IOVA + PAGE + 4095, 1],
    ] as const) {
      expect(pin(booted, access, iova, length, WRITES).answer).toBe('EINVAL PIN_MISALIGNED')
    }
    expect(pin(booted, access, IOVA, 1).answer).toBe('0')
  })

  test('E7: permissions are those of the area', () => {
    const readable = one(2, READ)
    expect(pin(readable, readable.access, IOVA, PAGE, WRITES).answer).toBe('EPERM ACCESS_FORBIDDEN')
    expect(pin(readable, readable.access, IOVA, PAGE, READS).answer).toBe('0')
    const writable = one(2, WRITE)
    expect(pin(writable, writable.access, IOVA, PAGE, READS).answer).toBe('EPERM ACCESS_FORBIDDEN')
    expect(pin(writable, writable.access, IOVA, PAGE, WRITES).answer).toBe('0')
  })

  test('E7: memory that is not there is EFAULT, after the permission', () => {
    const booted = one(2, READ)
    const { process, access } = booted
    process.munmap(BUFFER, PAGE)
    expect(pin(booted, access, IOVA, PAGE, WRITES).answer).toBe('EPERM ACCESS_FORBIDDEN')
    expect(pin(booted, access, IOVA, PAGE).answer).toBe('EFAULT USER_PAGES_BAD')
    expect(pin(booted, access, IOVA + PAGE, PAGE).answer).toBe('0')
  })

  test('E7: memory that is not writable any more is EFAULT for a writable area', () => {
    const booted = one(1)
    booted.process.mprotect(BUFFER, PAGE, PROT_READ)
    expect(pin(booted, booted.access, IOVA, PAGE, READS).answer).toBe('EFAULT USER_PAGES_BAD')
    booted.process.mprotect(BUFFER, PAGE, PROT_NONE)
    expect(pin(booted, booted.access, IOVA, PAGE, READS).answer).toBe('EFAULT USER_PAGES_BAD')
  })

  test('E7: whatever refuses, nothing stays pinned in the areas before it', () => {
    const booted = boot()
    const { machine, process } = booted
    const ioas = allocIoas(booted)
    const third = IOVA + 2 * PAGE
    map(booted, ioas, { iova: IOVA, va: BUFFER, length: PAGE })
    map(booted, ioas, { iova: IOVA + PAGE, va: BUFFER + PAGE, length: PAGE })
    const access = newAccess(booted, ioas).access
    const asked = { hole: 3 * PAGE, forbidden: 3 * PAGE, bad: 3 * PAGE }
    expect(pin(booted, access, IOVA, asked.hole, WRITES).answer).toBe('ENOENT ACCESS_NOT_MAPPED')
    map(booted, ioas, { iova: third, va: BUFFER + 2 * PAGE, length: PAGE, prot: READ })
    expect(pin(booted, access, IOVA, asked.forbidden, WRITES).answer).toBe('EPERM ACCESS_FORBIDDEN')
    process.munmap(BUFFER + 2 * PAGE, PAGE)
    expect(pin(booted, access, IOVA, asked.bad).answer).toBe('EFAULT USER_PAGES_BAD')
    expect(machine.pinnedFrames).toBe(0)
    expect(unmap(booted, ioas, IOVA, 3 * PAGE)).toEqual(['0', BigInt(3 * PAGE)])
  })
})

describe('E7: what is pinned', () => {
  test('E7: one frame for each page, those that the process sees', () => {
    const booted = one(4)
    const { answer, frames } = pin(booted, booted.access, IOVA, 4 * PAGE, WRITES)
    expect(answer).toBe('0')
    expect(frames).toEqual(lookup(booted, BUFFER, 4))
    expect(new Set(frames).size).toBe(4)
    expect(frames.map((frame) => booted.machine.pins(frame))).toEqual([1, 1, 1, 1])
  })

  test('E7: a last page counts, however little of it is asked for', () => {
    const booted = one(3)
    const frames = new Uint32Array(4)
    const { access } = booted
    expect(iommufd_access_pin_pages(access, IOVA, PAGE + 1, frames, READS)).toBe(0)
    expect([...frames]).toEqual([...lookup(booted, BUFFER, 2), 0, 0])
    iommufd_access_unpin_pages(access, IOVA, PAGE + 1)
    expect(booted.machine.pinnedFrames).toBe(0)
  })

  test('E7: a range may run over several areas', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    const order = [3, 0, 2]
    order.forEach((page, i) => {
      map(booted, ioas, { iova: IOVA + i * PAGE, va: BUFFER + page * PAGE, length: PAGE })
    })
    const access = newAccess(booted, ioas).access
    const { answer, frames } = pin(booted, access, IOVA, 3 * PAGE, WRITES)
    expect(answer).toBe('0')
    expect(frames).toEqual(order.map((page) => lookup(booted, BUFFER + page * PAGE, 1)[0]))
    iommufd_access_unpin_pages(access, IOVA, 3 * PAGE)
    expect(booted.machine.pinnedFrames).toBe(0)
  })

  test('E4: pages are pinned once, whoever pins them and how often', () => {
    const booted = one(3)
    const { access, ioas, machine } = booted
    const other = newAccess(booted, ioas).access
    const [frame] = pin(booted, access, IOVA, PAGE).frames
    pin(booted, access, IOVA, PAGE)
    pin(booted, other, IOVA, 3 * PAGE)
    expect([machine.pins(frame as number), machine.pinnedFrames]).toEqual([1, 3])
    iommufd_access_unpin_pages(access, IOVA, PAGE)
    iommufd_access_unpin_pages(access, IOVA, PAGE)
    expect(machine.pinnedFrames).toBe(3)
    iommufd_access_unpin_pages(other, IOVA, 3 * PAGE)
    expect(machine.pinnedFrames).toBe(0)
  })

  test('E5: pins are counted for the process that mapped', () => {
    const booted = one(4)
    const { process, access } = booted
    pin(booted, access, IOVA, 3 * PAGE)
    pin(booted, access, IOVA + PAGE, 3 * PAGE)
    expect(process.status().VmPin).toBe(16)
    iommufd_access_unpin_pages(access, IOVA, 3 * PAGE)
    expect(process.status().VmPin).toBe(12)
    iommufd_access_unpin_pages(access, IOVA + PAGE, 3 * PAGE)
    expect(process.status().VmPin).toBe(0)
  })

  test('E5: over the limit of an unprivileged mapper is ENOMEM, and nothing is pinned', () => {
    const booted = boot()
    const { process, machine } = booted
    process.setrlimitMemlock(2 * PAGE, 2 * PAGE)
    process.setresuid(1000)
    const ioas = allocIoas(booted)
    map(booted, ioas, { length: 4 * PAGE })
    const access = newAccess(booted, ioas).access
    expect(pin(booted, access, IOVA, 3 * PAGE).answer).toBe('ENOMEM USER_LIMIT_EXCEEDED')
    expect([machine.pinnedFrames, process.user.lockedVm]).toEqual([0, 0])
    expect(pin(booted, access, IOVA, 2 * PAGE).answer).toBe('0')
    expect(pin(booted, access, IOVA + 2 * PAGE, PAGE).answer).toBe('ENOMEM USER_LIMIT_EXCEEDED')
    iommufd_access_unpin_pages(access, IOVA, 2 * PAGE)
    expect(process.user.lockedVm).toBe(0)
  })

  test('E7: pins that overlap in any way leave nothing behind', () => {
    const range = fc
      .tuple(fc.nat(BUFFER_PAGES - 1), fc.nat(BUFFER_PAGES - 1))
      .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)
    const holds = (ranges: (readonly [number, number])[]): void => {
      const booted = one(BUFFER_PAGES)
      const { access, machine } = booted
      const covered = new Set<number>()
      for (const [first, last] of ranges) {
        const [iova, length] = [IOVA + first * PAGE, (last - first + 1) * PAGE]
        const { frames } = pin(booted, access, iova, length)
        expect(frames).toEqual(lookup(booted, BUFFER + first * PAGE, last - first + 1))
        for (let page = first; page <= last; page++) covered.add(page)
        expect(machine.pinnedFrames).toBe(covered.size)
      }
      for (const [first, last] of [...ranges].reverse()) {
        iommufd_access_unpin_pages(access, IOVA + first * PAGE, (last - first + 1) * PAGE)
      }
      expect([machine.pinnedFrames, booted.process.status().VmPin]).toEqual([0, 0])
    }
    fc.assert(fc.property(fc.array(range, { maxLength: 6 }), holds), { numRuns: 50 })
  })
})

describe('E4: pins outlive mappings', () => {
  test('E4: a pinned page survives munmap, and is what a second pin gives', () => {
    const booted = one(2)
    const { process, access } = booted
    process.store(BUFFER, Uint8Array.of(1))
    const [frame] = pin(booted, access, IOVA, PAGE).frames
    mmap(process, BUFFER, 2)
    process.store(BUFFER, Uint8Array.of(2))
    expect(firstByte(booted, frame as number)).toBe(1)
    expect(pin(booted, access, IOVA, PAGE).frames).toEqual([frame])
    const whole = pin(booted, access, IOVA, 2 * PAGE).frames
    expect(whole).toEqual([frame, lookup(booted, BUFFER + PAGE, 1)[0]])
  })

  test('E4: once it is unpinned, the next pin sees what is mapped then', () => {
    const booted = one(1)
    const { process, access } = booted
    pin(booted, access, IOVA, PAGE)
    process.munmap(BUFFER, PAGE)
    iommufd_access_unpin_pages(access, IOVA, PAGE)
    expect(pin(booted, access, IOVA, PAGE).answer).toBe('EFAULT USER_PAGES_BAD')
    mmap(process, BUFFER, 1)
    process.store(BUFFER, Uint8Array.of(9))
    const again = pin(booted, access, IOVA, PAGE).frames
    expect(again).toEqual(lookup(booted, BUFFER, 1))
    expect(firstByte(booted, again[0] as number)).toBe(9)
  })

  test('E4: after the mapper has exited, what is pinned stays and nothing new is', () => {
    const booted = one(2)
    const { process, access, machine, ctx } = booted
    process.store(BUFFER, Uint8Array.of(5))
    const [frame] = pin(booted, access, IOVA, PAGE).frames
    process.exit()
    expect(ctx.released).toBe(false)
    expect(firstByte(booted, frame as number)).toBe(5)
    expect(pin(booted, access, IOVA, PAGE).frames).toEqual([frame])
    expect(pin(booted, access, IOVA + PAGE, PAGE).answer).toBe('EFAULT USER_PAGES_BAD')
    iommufd_access_unpin_pages(access, IOVA, PAGE)
    iommufd_access_unpin_pages(access, IOVA, PAGE)
    expect([machine.pinnedFrames, machine.framesInUse]).toEqual([0, 0])
  })

  test('L8: pages of a file need no process', () => {
    const booted = boot()
    const { process, machine } = booted
    const memfd = process.memfdCreate('m', 0)
    process.ftruncate(memfd, 4 * PAGE)
    const ioas = allocIoas(booted)
    expect(mapFile(booted, ioas, memfd, 4 * PAGE)).toBe('0')
    const access = newAccess(booted, ioas).access
    process.exit()
    expect(pin(booted, access, IOVA, 4 * PAGE, WRITES).answer).toBe('0')
    expect(machine.pinnedFrames).toBe(4)
    iommufd_access_unpin_pages(access, IOVA, 4 * PAGE)
    expect(machine.pinnedFrames).toBe(0)
  })
})

test('every fault point of a pin over two areas leaves everything as it was', () => {
  const booted = boot()
  const { engine, machine, process } = booted
  const ioas = allocIoas(booted)
  map(booted, ioas, { iova: IOVA, va: BUFFER, length: 2 * PAGE })
  map(booted, ioas, { iova: IOVA + 2 * PAGE, va: BUFFER + 4 * PAGE, length: 2 * PAGE })
  const access = newAccess(booted, ioas).access
  let failures = 0
  for (; ; failures++) {
    engine.faults.arm(failures + 1)
    const { answer } = pin(booted, access, IOVA, 4 * PAGE, WRITES)
    if (!engine.faults.fired) break
    expect(answer).toMatch(/INJECTED/)
    expect([machine.pinnedFrames, process.status().VmPin]).toEqual([0, 0])
  }
  engine.faults.disarm()
  expect(failures).toBeGreaterThanOrEqual(4)
  expect(machine.pinnedFrames).toBe(4)
  iommufd_access_unpin_pages(access, IOVA, 4 * PAGE)
  expect(unmap(booted, ioas, IOVA, 4 * PAGE)).toEqual(['0', BigInt(4 * PAGE)])
})
