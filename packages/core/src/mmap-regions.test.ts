// SPDX-License-Identifier: Apache-2.0
//
// F8: pages that a driver offers, mapped by a program; and what lives because of that.

import { MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE } from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { type Booted, boot, PAGE, Thing, why } from '../test/harness.js'
import { MmapRegions } from './mmap-regions.js'

const RW = PROT_READ | PROT_WRITE
const ADDR = 0x1_3000_0000

/** A region of two pages at the first offset, of an object. */
function offered(): { booted: Booted; thing: Thing; ended: string[] } {
  const booted = boot()
  const { ctx, machine } = booted
  const ended: string[] = []
  const thing = new Thing(() => ended.push('thing'))
  ctx.objects.reserve(thing)
  ctx.objects.finalize(thing)
  const frames = new Uint32Array(2)
  expect(machine.allocate(2, frames, 0)).toBe(0)
  machine.writeFrame(frames[1] as number, 0, Uint8Array.of(42), 0, 1)
  expect(ctx.mmaps.add(thing, frames).page).toBe(1)
  return { booted, thing, ended }
}

function mmap(booted: Booted, offset: number, pages: number, prot = RW, type = MAP_SHARED): string {
  const { engine, process, fd } = booted
  const ret = process.mmap(ADDR, pages * PAGE, prot, type | MAP_FIXED, fd, offset)
  return ret === ADDR ? 'mapped' : why(engine, ret)
}

test('F8: the offset and the whole length map the pages, shared and not to be executed', () => {
  const { booted } = offered()
  expect(mmap(booted, PAGE, 2, RW, MAP_PRIVATE)).toBe('EINVAL MMAP_NOT_SHARED')
  expect(mmap(booted, PAGE, 2, RW | PROT_EXEC)).toBe('EPERM MMAP_EXECUTABLE')
  expect(mmap(booted, PAGE, 2, RW | PROT_EXEC, MAP_PRIVATE)).toBe('EINVAL MMAP_NOT_SHARED')
  for (const [offset, pages] of [
    [0, 2],
    [PAGE, 1],
    [PAGE, 3],
    [2 * PAGE, 1],
    [2 ** 40, 2],
  ] as const) {
    expect(mmap(booted, offset, pages)).toBe('ENXIO MMAP_REGION_UNKNOWN')
  }
  expect(mmap(booted, PAGE, 2)).toBe('mapped')
  expect(booted.process.load(ADDR + PAGE, 1)).toEqual(Uint8Array.of(42))
})

test('F8: each mapping is a user of the object: made, split, and inherited', () => {
  const { booted, thing } = offered()
  const { process } = booted
  expect(mmap(booted, PAGE, 2)).toBe('mapped')
  expect(thing.users).toBe(1)
  expect(booted.ctx.destroyId(thing.id)).toBe(-16)
  const child = process.fork()
  expect(thing.users).toBe(2)
  process.mprotect(ADDR, PAGE, PROT_READ)
  expect(thing.users).toBe(3)
  child.exit()
  process.munmap(ADDR, PAGE)
  expect(thing.users).toBe(1)
  process.munmap(ADDR, 2 * PAGE)
  expect(thing.users).toBe(0)
})

test('F8: a mapping keeps the context when its descriptor is closed', () => {
  const { booted, ended } = offered()
  const { process, engine } = booted
  expect(mmap(booted, PAGE, 2)).toBe('mapped')
  process.close(booted.fd)
  expect([engine.contexts.size, ended]).toEqual([1, []])
  process.munmap(ADDR, 2 * PAGE)
  expect([engine.contexts.size, ended]).toEqual([0, ['thing']])
})

test('F8: a region lies at the lowest offset with room, never at 0', () => {
  const regions = new MmapRegions()
  const add = (pages: number) => regions.add(new Thing(), new Uint32Array(pages))
  const [a, b, c] = [add(2), add(1), add(3)]
  expect([a.page, b.page, c.page]).toEqual([1, 3, 4])
  regions.remove(a)
  expect([add(3).page, add(1).page, add(1).page]).toEqual([7, 1, 2])
  regions.remove(b)
  expect(regions.find(3, 1)).toBeUndefined()
  expect(regions.find(4, 3)).toBe(c)
})
