// SPDX-License-Identifier: Apache-2.0
//
// SPEC sections 8 and 9: a domain on a page table: what devices may remember, dirty pages, refusals.

import { EADDRINUSE, ENOMEM } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { DmaWorld, IOVA, PAGE } from '../test/dma-world.js'
import { type FormatName, type TableDriver, tableDriver } from '../test/table-driver.js'
import {
  type DeviceDma,
  IotlbGather,
  iovaToPhys,
  PageTableDomain,
  type PagingDomain,
  Translation,
} from './index.js'
import { Rig } from './testing/rig.js'

const LARGE_PAGES = 512
const LARGE = LARGE_PAGES * PAGE

/** A domain that nobody uses; `frames` from its pages on are numbers only. */
function domainOf(format: FormatName, tracksDirty = false): PageTableDomain {
  const { driver } = new Rig(tableDriver(format)) as Rig & { driver: TableDriver }
  return driver.makeDomain(driver.makeTable(), tracksDirty)
}

function map(domain: PagingDomain, iova: number, frames: number[], large = true): number {
  const list = Uint32Array.from(frames)
  return domain.map(0, iova, list, 0, 0, frames.length * PAGE, 3, large)
}

function run(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i)
}

describe('section 8: where a domain leads', () => {
  test('frames of 32 bits, and pages of all sizes', () => {
    const domain = domainOf('x86_64')
    const out = new Translation()
    expect(map(domain, 0x5000, [0xffff_fff0])).toBe(0)
    expect(domain.translate(0, 0x5123, out)).toBe(true)
    expect(out).toMatchObject({ frame: 0xffff_fff0, offset: 0x123, lg2: 12, prot: 3 })
    expect(iovaToPhys(domain, 0, 0x5123)).toBe(0xffff_fff0_123)
    expect(map(domain, LARGE, run(LARGE_PAGES * 8, LARGE_PAGES))).toBe(0)
    expect(domain.translate(0, LARGE + 0x12345, out)).toBe(true)
    expect(out).toMatchObject({ frame: LARGE_PAGES * 8 + 0x12, offset: 0x345, lg2: 21 })
    expect(iovaToPhys(domain, 0, 2 * LARGE)).toBe(-1)
    expect(domain.translate(1, 0x5000, out)).toBe(false)
  })

  test('a refused map takes back what it has mapped', () => {
    const domain = domainOf('x86_64')
    map(domain, 5 * PAGE, [900])
    expect(map(domain, 0, run(100, 10))).toBe(-EADDRINUSE)
    expect(run(0, 10).map((page) => iovaToPhys(domain, 0, page * PAGE) / PAGE)).toEqual([
      ...Array(5).fill(-1 / PAGE),
      900,
      ...Array(4).fill(-1 / PAGE),
    ])
  })

  test('no memory for a table', () => {
    const world = new Rig(tableDriver('riscv64')) as Rig & { driver: TableDriver }
    const domain = world.driver.makeDomain(world.driver.makeTable(), false)
    world.engine.faults.arm(2)
    expect(map(domain, 0, run(8, 3))).toBe(-ENOMEM)
    world.engine.faults.disarm()
    expect(iovaToPhys(domain, 0, 0)).toBe(-1)
    expect(map(domain, 0, run(8, 3))).toBe(0)
  })

  test('tables that were unlinked are used again after the flush only', () => {
    const domain = domainOf('x86_64')
    const { arena } = domain.table
    const before = arena.tables
    map(domain, 0, run(1, LARGE_PAGES), false)
    const gather = new IotlbGather()
    expect(domain.unmap(0, 0, LARGE, gather)).toBe(LARGE)
    expect(domain.table.unlinked).toHaveLength(1)
    const used = arena.tables
    domain.iotlbSync(gather)
    expect(domain.table.unlinked).toEqual([])
    expect(arena.tables).toBe(used - 1)
    expect(arena.tables).toBeGreaterThan(before)
  })
})

describe('section 8: dirty pages', () => {
  /** A device with a domain of large pages that records writes, and what was reported. */
  function tracking(): { domain: PageTableDomain; dma: DeviceDma; iova: bigint; world: DmaWorld } {
    const world = new DmaWorld('vtdss')
    const dev = world.device()
    const idev = world.bind(dev)
    const ioas = world.ioas()
    world.attach(idev, world.hwpt(idev.id, ioas, 2))
    const domain = dev.group?.domain as PageTableDomain
    const va = world.numbered(3 * LARGE_PAGES)
    const iova = world.mapAligned(ioas, domain, va, 3 * LARGE)
    return { domain, dma: world.dma(dev), iova, world }
  }

  function dirty(domain: PagingDomain, iova: bigint, bytes: number, noClear = false): string[] {
    const found: string[] = []
    const gather = new IotlbGather()
    const [hi, lo] = [Number(iova >> 32n), Number(BigInt.asIntN(32, iova))]
    const report = (_hi: number, at: number, lg2: number): void => {
      found.push(`0x${(at >>> 0).toString(16)} 2^${lg2}`)
    }
    expect(domain.dirtyOps?.readAndClearDirty(hi, lo, bytes, noClear, gather, report)).toBe(0)
    domain.iotlbSync?.(gather)
    return found
  }

  test('of a large page, the whole is cleared and the whole is forgotten by the IOTLB', () => {
    const { domain, dma, iova } = tracking()
    const large = ((iova + BigInt(LARGE - 1)) / BigInt(LARGE)) * BigInt(LARGE)
    const name = `0x${large.toString(16)} 2^21`
    const byte = new Uint8Array(1)
    domain.dirtyOps?.setDirtyTracking(true)
    dma.write(large, byte)
    dma.write(large + 0x9000n, byte)
    expect(dirty(domain, large, PAGE, true)).toEqual([name])
    expect(dirty(domain, large, PAGE)).toEqual([name])
    expect(dirty(domain, large, LARGE)).toEqual([])
    // The range that was asked for did not hold this place, and the IOTLB knew it as dirty.
    dma.write(large + 0x9000n, byte)
    expect(dirty(domain, large, LARGE)).toEqual([name])
  })

  test('reads, and writes while nothing is recorded, leave no mark', () => {
    const { domain, dma, iova } = tracking()
    const byte = new Uint8Array(1)
    dma.write(iova, byte)
    domain.dirtyOps?.setDirtyTracking(true)
    expect(domain.isTracking).toBe(true)
    dma.read(iova, byte)
    expect(dirty(domain, iova, LARGE)).toEqual([])
    dma.write(iova, byte)
    expect(dirty(domain, iova, LARGE)).toHaveLength(1)
    domain.dirtyOps?.setDirtyTracking(false)
    dma.write(iova, byte)
    expect(dirty(domain, iova, LARGE)).toEqual([])
  })

  test('a write that is stopped half-way marks what it has written', () => {
    const { domain, dma, iova } = tracking()
    domain.dirtyOps?.setDirtyTracking(true)
    const last = iova + BigInt(3 * LARGE - 1)
    expect(dma.write(last, new Uint8Array(2))).toBe(1)
    expect(dirty(domain, iova, 3 * LARGE)).toHaveLength(1)
  })

  test('a format without dirty bits cannot', () => {
    expect(() => domainOf('x86_64', true)).toThrow(/x86_64 do not track/)
    expect(domainOf('x86_64').dirtyOps).toBeUndefined()
  })
})

test('section 8: the aperture can be narrower than the table', () => {
  const world = new Rig(tableDriver('x86_64')) as Rig & { driver: TableDriver }
  const aperture = { start: IOVA, last: (1n << 33n) - 1n }
  const domain = new PageTableDomain(world.driver, world.driver.makeTable(), aperture)
  expect(domain).toMatchObject({
    apertureStartHi: 0,
    apertureStartLo: Number(IOVA),
    apertureLastHi: 1,
    apertureLastLo: -1,
    minPageSize: PAGE,
    pageSizesHi: 0,
    pageSizesLo: 0x4020_1000,
  })
})
