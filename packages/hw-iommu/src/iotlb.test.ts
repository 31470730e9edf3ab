// SPDX-License-Identifier: Apache-2.0
//
// SPEC section 8: what IOTLBs remember is used until it is flushed, and the engine flushes what it unmaps.

import { describe, expect, test } from 'vitest'
import { DmaWorld, faultsOf, IOVA, PAGE } from '../test/dma-world.js'
import { TableDomain, TableDriver } from '../test/table-driver.js'
import { Iotlb, IotlbGather, type PageTableDomain, Translation } from './index.js'
import type { PageTable } from './pagetable/index.js'

function found(frame: number, offset = 0, prot = 3): Translation {
  return Object.assign(new Translation(), { frame, offset, prot })
}

function gathered(hi: number, lo: number, bytes: number): IotlbGather {
  const gather = new IotlbGather()
  gather.add(hi, lo, bytes)
  return gather
}

describe('Iotlb', () => {
  test('remembers pages with all that is known of them', () => {
    const iotlb = new Iotlb(PAGE)
    const out = new Translation()
    expect(iotlb.lookup(-1, -5, out)).toBe(false)
    iotlb.insert(-1, -5, Object.assign(found(2 ** 32 - 1, 4091, 1), { isDirty: true }))
    expect(iotlb.lookup(-1, -4096, out)).toBe(true)
    expect(out).toMatchObject({ frame: 2 ** 32 - 1, offset: 0, lg2: 12, prot: 1, isDirty: true })
    expect(iotlb.lookup(-2, -4096, out)).toBe(false)
    expect([iotlb.hits, iotlb.misses]).toEqual([1, 2])
  })

  test('granules below a page have their place in the frame', () => {
    const iotlb = new Iotlb(2048)
    const out = new Translation()
    iotlb.insert(0, 0x1810, found(7, 0x810))
    iotlb.insert(0, 0x1010, found(9, 0x810))
    expect(iotlb.lookup(0, 0x1fff, out) && [out.frame, out.offset]).toEqual([7, 0xfff])
    expect(iotlb.lookup(0, 0x17ff, out) && [out.frame, out.offset]).toEqual([9, 0xfff])
  })

  test('two IOVAs for which there is one place: the later one stays', () => {
    const iotlb = new Iotlb(PAGE)
    const out = new Translation()
    iotlb.insert(0, 0, found(1))
    iotlb.insert(0, 256 * PAGE, found(2))
    expect(iotlb.lookup(0, 0, out)).toBe(false)
    expect(iotlb.lookup(0, 256 * PAGE, out) && out.frame).toBe(2)
  })

  test.each([
    ['one page', 0, 5 * PAGE, PAGE, [5]],
    ['a byte', 0, 5 * PAGE + 9, 1, [5]],
    ['from inside a page into the next', 0, 6 * PAGE - 1, 2, [5, 6]],
    ['more pages than are looked for one by one', 0, 0, 100 * PAGE, [...Array(100).keys()]],
    ['nothing, of other pages', 0, 300 * PAGE, PAGE, []],
  ])('forgets %s', (_name, hi, lo, bytes, gone) => {
    const iotlb = new Iotlb(PAGE)
    const out = new Translation()
    for (let page = 0; page < 200; page++) iotlb.insert(0, page * PAGE, found(page))
    iotlb.flush(gathered(hi, lo, bytes))
    for (const page of gone) expect(iotlb.lookup(0, page * PAGE, out)).toBe(false)
    if (gone.length < 3 && gone.length > 0) expect(iotlb.lookup(0, 9 * PAGE, out)).toBe(true)
  })

  test('a range across 4 GiB is forgotten on both sides; an empty gather forgets nothing', () => {
    const iotlb = new Iotlb(PAGE)
    const out = new Translation()
    iotlb.insert(0, -PAGE, found(1))
    iotlb.insert(1, 0, found(2))
    iotlb.flush(new IotlbGather())
    expect(iotlb.lookup(0, -PAGE, out)).toBe(true)
    iotlb.flush(gathered(0, -PAGE, 2 * PAGE))
    expect(iotlb.lookup(0, -PAGE, out)).toBe(false)
    expect(iotlb.lookup(1, 0, out)).toBe(false)
  })
})

test('a gather is the range that holds all that was added', () => {
  const gather = gathered(1, 0, 2 ** 33)
  expect(gather).toMatchObject({ startHi: 1, startLo: 0, lastHi: 2, lastLo: -1 })
  gather.add(0, -PAGE, PAGE)
  expect(gather).toMatchObject({ startHi: 0, startLo: -PAGE, lastHi: 2, lastLo: -1 })
  gather.add(-1, -PAGE, PAGE)
  expect(gather).toMatchObject({ startHi: 0, startLo: -PAGE, lastHi: -1, lastLo: -1 })
  gather.clear()
  expect(gather.isEmpty).toBe(true)
  gather.add(5, 0, 1)
  expect(gather).toMatchObject({ startHi: 5, startLo: 0, lastHi: 5, lastLo: 0 })
})

/** Forgets to flush. */
class NoFlush extends TableDomain {
  override iotlbSync(): void {}
}

class NoFlushDriver extends TableDriver {
  override makeDomain(table: PageTable): PageTableDomain {
    return new NoFlush(this, table)
  }
}

describe('section 8: flushes', () => {
  function scene(Driver: typeof TableDriver): { world: DmaWorld; read: () => number | string } {
    const world = new DmaWorld('vtdss', Driver)
    const { dma, ioas } = world.attached()
    const keeper = world.attached()
    const [old, fresh] = [world.memory(PAGE, () => 1), world.memory(PAGE, () => 2)]
    const byte = new Uint8Array(1)
    const read = (): number | string =>
      dma.read(IOVA, byte) === 1 ? (byte[0] as number) : (faultsOf(dma)[0] as string)
    world.map(ioas, old, PAGE, IOVA)
    world.copy(ioas, IOVA, keeper.ioas, PAGE)
    expect(read()).toBe(1)
    world.unmap(ioas, IOVA, PAGE)
    world.map(ioas, fresh, PAGE, IOVA)
    return { world, read }
  }

  test('a device sees the memory that is mapped now', () => {
    expect(scene(TableDriver).read()).toBe(2)
  })

  test('a missing flush is seen: the device still reads the old memory', () => {
    expect(scene(NoFlushDriver).read()).toBe(1)
  })

  test('a missing flush is seen: memory that is no longer pinned is a fault', () => {
    const world = new DmaWorld('vtdss', NoFlushDriver)
    const { dma, ioas } = world.attached()
    world.map(ioas, world.numbered(1), PAGE, IOVA)
    const byte = new Uint8Array(1)
    expect(dma.read(IOVA, byte)).toBe(1)
    world.unmap(ioas, IOVA, PAGE)
    expect(dma.read(IOVA, byte)).toBe(0)
    expect(faultsOf(dma)).toEqual(['read NO_MEMORY at 0x1000000'])
  })

  test('a page is walked once and then remembered', () => {
    const world = new DmaWorld()
    const { dma, dev, ioas } = world.attached()
    world.map(ioas, world.numbered(1), PAGE, IOVA)
    const { iotlb } = dev.current as TableDomain
    for (let i = 0; i < 5; i++) dma.read(IOVA + BigInt(i), new Uint8Array(1))
    expect([iotlb.hits, iotlb.misses]).toEqual([4, 1])
  })
})
