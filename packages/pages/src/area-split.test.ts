// SPDX-License-Identifier: Apache-2.0

import { describe, expect, test } from 'vitest'
import { Access } from '../test/access.js'
import { boot, MEMORY, must, outcomeOf, PAGE, Program, RW, type World } from '../test/harness.js'
import { areaLines, snapshot } from '../test/snapshot.js'
import { hi, lo, U64_MAX } from '../test/u64.js'
import { splitAfter } from './area-split.js'
import { AREA_PREVENT_ACCESS } from './area-table.js'
import type { IommufdIoas } from './ioas.js'

const IOVA = 0x10_0000n
const page = (n: number): bigint => IOVA + BigInt(n * PAGE)

interface Scene {
  readonly world: World
  readonly program: Program
  readonly id: number
  readonly ioas: IommufdIoas
}

/** One area of four pages at IOVA, whose pages begin with their number in memory, from 1. */
function scene(): Scene {
  const world = boot()
  const program = Program.start(world)
  const id = program.alloc()
  must(program.mapAt(id, IOVA, 4 * PAGE).ret)
  return { world, program, id, ioas: program.ioas(id) }
}

function split({ world, ioas }: Scene, iova: bigint): string {
  world.engine.refusals.clear()
  return outcomeOf(world, splitAfter(ioas.iopt, hi(iova), lo(iova)))
}

function areas({ ioas }: Scene): string[] {
  return areaLines(ioas).map((line) => line.replace(/ of pages.*/, ''))
}

describe('E6 splitting an area', () => {
  test('gives two areas that show what the one showed', () => {
    const s = scene()
    expect(split(s, page(1) - 1n)).toBe('ok')
    expect(split(s, page(3) - 1n)).toBe('ok')
    expect(areas(s)).toEqual([
      '[0x100000, 0x100fff] byte 0',
      '[0x101000, 0x102fff] byte 4096',
      '[0x103000, 0x103fff] byte 12288',
    ])
    const access = Access.attached(s.world, s.ioas)
    for (let n = 0; n < 4; n++) expect(access.read(page(n), 1)).toEqual([n + 1])
    expect(access.tryPin({ start: IOVA, last: page(4) - 1n })).toBe('ok')
    access.detach()
  })

  test('keeps the offset of memory that does not begin at a page', () => {
    const s = scene()
    must(s.program.mapAt(s.id, 0x20_0003n, 0x2000, MEMORY + 0x123, RW).ret)
    expect(split(s, 0x20_0004n)).toBe('ok')
    expect(areas(s).slice(1)).toEqual([
      '[0x200003, 0x200004] byte 291',
      '[0x200005, 0x202002] byte 293',
    ])
  })

  test('splits nothing at borders and where nothing is mapped', () => {
    const s = scene()
    const before = snapshot(s.world)
    for (const iova of [0n, IOVA - 1n, IOVA, page(4) - 1n, page(4), U64_MAX]) {
      expect(split(s, iova)).toBe('ok')
    }
    expect(snapshot(s.world)).toEqual(before)
  })

  test('lets the parts be unmapped one by one, and frees everything with the last', () => {
    const s = scene()
    expect(split(s, page(2) - 1n)).toBe('ok')
    expect(s.program.unmap(s.id, IOVA, 2 * PAGE).length).toBe(BigInt(2 * PAGE))
    expect(areas(s)).toEqual(['[0x102000, 0x103fff] byte 8192'])
    expect(s.program.unmap(s.id, page(2), 2 * PAGE).outcome).toBe('ok')
    expect(s.world.tables.areas.count).toBe(0)
    expect(s.world.tables.pages.count).toBe(0)
  })

  test('refuses parts that would not be aligned', () => {
    const s = scene()
    const access = Access.attached(s.world, s.ioas)
    const before = snapshot(s.world)
    expect(split(s, page(1))).toBe('EINVAL SPLIT_MISALIGNED')
    expect(snapshot(s.world)).toEqual(before)
    access.detach()
    expect(split(s, page(1))).toBe('ok')
  })

  test('refuses an area in which somebody holds a pin, wherever the pin is', () => {
    const s = scene()
    const access = Access.attached(s.world, s.ioas)
    expect(access.tryPin({ start: page(3), last: page(4) - 1n })).toBe('ok')
    const before = snapshot(s.world)
    expect(split(s, page(1) - 1n)).toBe('EINVAL SPLIT_AREA_PINNED')
    expect(snapshot(s.world)).toEqual(before)
    access.detach()
    expect(split(s, page(1) - 1n)).toBe('ok')
  })

  test('refuses an area that is being unmapped', () => {
    const s = scene()
    const access = Access.attached(s.world, s.ioas)
    expect(access.tryPin({ start: IOVA, last: page(1) - 1n })).toBe('ok')
    let outcome = ''
    access.onUnmap = () => {
      const { iopt } = s.ioas
      const area = iopt.areas.value(iopt.areas.first())
      expect((iopt.tables.areas.flags[area] as number) & AREA_PREVENT_ACCESS).not.toBe(0)
      outcome = split(s, page(1) - 1n)
    }
    expect(s.program.unmap(s.id, IOVA, 4 * PAGE).ret).toBe(0)
    expect(outcome).toBe('EBUSY SPLIT_AREA_GOING')
    access.detach()
  })

  test('changes nothing when the allocation fails', () => {
    const s = scene()
    const before = snapshot(s.world)
    s.world.engine.faults.arm(1)
    expect(split(s, page(1) - 1n)).toBe('ENOMEM INJECTED_ENOMEM')
    s.world.engine.faults.disarm()
    expect(snapshot(s.world)).toEqual(before)
    expect(split(s, page(1) - 1n)).toBe('ok')
  })
})
