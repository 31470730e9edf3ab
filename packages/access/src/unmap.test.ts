// SPDX-License-Identifier: Apache-2.0
//
// The unmap callback: who is asked, for what, and what happens to those who do not let go.

import { describe, expect, test } from 'vitest'
import {
  allocIoas,
  type Booted,
  BUFFER,
  boot,
  destroyId,
  IOVA,
  map,
  newAccess,
  PAGE,
  type Pins,
  pinOps,
  unmap,
  why,
} from '../test/harness.js'
import {
  iommufd_access_destroy,
  iommufd_access_detach,
  iommufd_access_pin_pages,
  iommufd_access_rw,
  iommufd_access_unpin_pages,
} from './index.js'

const ALL = 2n ** 64n - 1n

/** Pins and remembers it, so that the callback lets it go. */
function hold(pins: Pins, iova: number, pages: number): void {
  const ret = iommufd_access_pin_pages(pins.access, iova, pages * PAGE, new Uint32Array(pages), 0)
  if (ret !== 0) throw new Error(`pin: ${ret}`)
  pins.held.push([BigInt(iova), BigInt(pages * PAGE)])
}

/** Three areas of one page each from IOVA on. */
function three(booted: Booted): number {
  const ioas = allocIoas(booted)
  for (let i = 0; i < 3; i++) {
    map(booted, ioas, { iova: IOVA + i * PAGE, va: BUFFER + i * PAGE, length: PAGE })
  }
  return ioas
}

describe('C8: who is asked', () => {
  test('C8: an area with pins is asked for whole, and goes when they are gone', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    map(booted, ioas, { length: 4 * PAGE })
    const pins = newAccess(booted, ioas)
    hold(pins, IOVA + PAGE, 1)
    hold(pins, IOVA + PAGE, 2)
    expect(unmap(booted, ioas, 0, ALL)).toEqual(['0', BigInt(4 * PAGE)])
    expect(pins.asked).toEqual([[BigInt(IOVA), BigInt(4 * PAGE)]])
    expect(booted.machine.pinnedFrames).toBe(0)
  })

  test('C8: an area without pins goes without a question', () => {
    const booted = boot()
    const ioas = three(booted)
    const pins = newAccess(booted, ioas)
    hold(pins, IOVA + PAGE, 1)
    expect(unmap(booted, ioas, IOVA, 3 * PAGE)).toEqual(['0', BigInt(3 * PAGE)])
    expect(pins.asked).toEqual([[BigInt(IOVA + PAGE), BigInt(PAGE)]])
  })

  test('C8: every access of the IOAS is asked, and no other', () => {
    const booted = boot()
    const ioas = three(booted)
    const [holder, bystander] = [newAccess(booted, ioas), newAccess(booted, ioas)]
    const elsewhere = newAccess(booted, three(booted))
    const unattached = newAccess(booted)
    newAccess(booted, ioas, {})
    hold(holder, IOVA, 1)
    hold(elsewhere, IOVA, 1)
    expect(unmap(booted, ioas, IOVA, PAGE)).toEqual(['0', BigInt(PAGE)])
    const asked = [holder, bystander, elsewhere, unattached].map((pins) => pins.asked.length)
    expect(asked).toEqual([1, 1, 0, 0])
  })

  test('C8: a pin over two areas is let go for both when the first is asked for', () => {
    const booted = boot()
    const ioas = three(booted)
    const pins = newAccess(booted, ioas)
    hold(pins, IOVA, 3)
    expect(unmap(booted, ioas, IOVA, PAGE)).toEqual(['0', BigInt(PAGE)])
    expect([pins.held, booted.machine.pinnedFrames]).toEqual([[], 0])
    expect(unmap(booted, ioas, IOVA + PAGE, 2 * PAGE)).toEqual(['0', BigInt(2 * PAGE)])
    expect(pins.asked).toHaveLength(1)
  })

  test('C8: a refused range asks for nothing', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    map(booted, ioas, { length: 2 * PAGE })
    const pins = newAccess(booted, ioas)
    hold(pins, IOVA, 1)
    expect(unmap(booted, ioas, IOVA, PAGE)[0]).toBe('ENOENT AREA_PARTLY_COVERED')
    expect(pins.asked).toEqual([])
  })
})

describe('C8: while it is asked', () => {
  test('C8: nothing of the area can be pinned, read or written, and the call succeeds all the same', () => {
    const booted = boot()
    const { engine } = booted
    const ioas = three(booted)
    const answers: string[] = []
    const pins = newAccess(booted, ioas, {
      needs_pin_pages: true,
      unmap: ({ access }) => {
        const frames = new Uint32Array(2)
        answers.push(why(engine, iommufd_access_pin_pages(access, IOVA, PAGE, frames, 0)))
        answers.push(why(engine, iommufd_access_rw(access, IOVA, new Uint8Array(4), 0)))
        answers.push(why(engine, iommufd_access_rw(access, IOVA, new Uint8Array(4), 1)))
        answers.push(why(engine, iommufd_access_rw(access, IOVA + PAGE, new Uint8Array(4), 1)))
        iommufd_access_unpin_pages(access, IOVA, PAGE)
      },
    })
    hold(pins, IOVA, 1)
    expect(unmap(booted, ioas, IOVA, PAGE)).toEqual(['0', BigInt(PAGE)])
    const going = 'EINVAL AREA_GOING_AWAY'
    expect(answers).toEqual([going, going, going, '0'])
  })

  test('section 5: the access may leave', () => {
    const booted = boot()
    const ioas = three(booted)
    const pins = newAccess(booted, ioas, {
      needs_pin_pages: true,
      unmap: (self, iova, length) => {
        self.asked.push([iova, length])
        self.letGo(iova, length)
        if (self.access.ioas !== undefined) iommufd_access_detach(self.access)
      },
    })
    hold(pins, IOVA, 3)
    expect(unmap(booted, ioas, IOVA, 3 * PAGE)).toEqual(['0', BigInt(3 * PAGE)])
    expect(pins.asked).toEqual([
      [BigInt(IOVA), BigInt(PAGE)],
      [0n, ALL],
    ])
    expect(destroyId(booted, ioas)).toBe('0')
  })
})

describe('C8: who does not let go', () => {
  /** An access that unpins only when it has been asked `patience` times. */
  function stubborn(booted: Booted, ioas: number, patience: number): Pins {
    return newAccess(booted, ioas, {
      needs_pin_pages: true,
      unmap: (pins, iova, length) => {
        pins.asked.push([iova, length])
        if (pins.asked.length >= patience) pins.letGo(iova, length)
      },
    })
  }

  test('C8: it is asked again and again', () => {
    const booted = boot()
    const ioas = three(booted)
    const pins = stubborn(booted, ioas, 99)
    hold(pins, IOVA, 1)
    expect(unmap(booted, ioas, IOVA, PAGE)).toEqual(['0', BigInt(PAGE)])
    expect(pins.asked).toHaveLength(99)
  })

  test('C8: each area has its own tries', () => {
    const booted = boot()
    const ioas = three(booted)
    const pins = newAccess(booted, ioas, {
      needs_pin_pages: true,
      unmap: (self, iova, length) => {
        self.asked.push([iova, length])
        if (self.asked.length % 60 === 0) self.letGo(iova, length)
      },
    })
    for (let i = 0; i < 3; i++) hold(pins, IOVA + i * PAGE, 1)
    expect(unmap(booted, ioas, IOVA, 3 * PAGE)).toEqual(['0', BigInt(3 * PAGE)])
    expect(pins.asked).toHaveLength(180)
  })

  test('C8: after 100 tries it is EDEADLOCK, with a warning; areas before it are gone', () => {
    const heard: string[] = []
    const booted = boot({ onWarning: (message) => heard.push(message) })
    const ioas = three(booted)
    const pins = stubborn(booted, ioas, 1000)
    hold(pins, IOVA + PAGE, 1)
    const [answer, length] = unmap(booted, ioas, IOVA, 3 * PAGE)
    expect([answer, length]).toEqual(['EDEADLK ACCESS_HOLDS_AREA', BigInt(3 * PAGE)])
    expect(heard).toEqual(['an access does not unpin what is unmapped under it'])
    // The first question and up to 100 tries again.
    expect(pins.asked.length).toBe(101)
    expect(new Set(pins.asked.map(String))).toEqual(new Set([`${IOVA + PAGE},${PAGE}`]))
    expect(map(booted, ioas, { iova: IOVA, length: PAGE })).toBe('0')
    expect(map(booted, ioas, { iova: IOVA + PAGE, length: PAGE })).toBe('EEXIST AREA_OVERLAPS')
  })

  test('C8: an area that was asked for in vain is closed to new users, and goes when it is free', () => {
    const booted = boot({ onWarning: () => {} })
    const { engine } = booted
    const ioas = three(booted)
    const pins = stubborn(booted, ioas, 1000)
    hold(pins, IOVA, 1)
    unmap(booted, ioas, IOVA, PAGE)
    const other = newAccess(booted, ioas, pinOps)
    const frames = new Uint32Array(1)
    const answer = (): string =>
      why(engine, iommufd_access_pin_pages(other.access, IOVA, PAGE, frames, 0))
    expect(answer()).toBe('EINVAL AREA_GOING_AWAY')
    pins.letGo(BigInt(IOVA), BigInt(PAGE))
    expect(unmap(booted, ioas, IOVA, PAGE)).toEqual(['0', BigInt(PAGE)])
    expect(answer()).toBe('ENOENT ACCESS_NOT_MAPPED')
    for (const { access } of [pins, other]) iommufd_access_destroy(access)
    expect(destroyId(booted, ioas)).toBe('0')
  })
})

test('F7: an IOAS that ends with its context asks nobody: its users have left before', () => {
  const booted = boot()
  const { process, fd, ctx, machine } = booted
  const pins = newAccess(booted, three(booted))
  hold(pins, IOVA, 3)
  process.close(fd)
  iommufd_access_destroy(pins.access)
  expect(pins.asked).toEqual([[0n, ALL]])
  process.exit()
  expect([ctx.released, machine.pinnedFrames, machine.framesInUse]).toEqual([true, 0, 0])
})
