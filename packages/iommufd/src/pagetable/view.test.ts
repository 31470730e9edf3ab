// SPDX-License-Identifier: Apache-2.0
import type { TableFormatName } from '@iommufd/hw-iommu/table-reader'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type BuiltTable, buildTable } from './build.js'
import { type Reading, readSeries } from './entries.js'
import { configOf } from './geometry.js'
import { memoryOf } from './memory.js'
import { parseRange } from './range.js'
import { treeLines } from './tree.js'
import { whyThisSize } from './why.js'

function build(format: TableFormatName, ...ranges: string[]): BuiltTable {
  const limits = { maxTables: 1000 }
  const built = buildTable(format, configOf({ format }), ranges.map(parseRange), limits)
  if (typeof built === 'number') throw new Error(`no table: ${built}`)
  return built
}

function readBuilt({ table, ranges }: BuiltTable, fold: boolean): Reading {
  const { name } = table.format
  return readSeries(memoryOf(table, name as TableFormatName), {
    fold,
    maxSeries: 100_000,
    why: (va, lg2) => whyThisSize(va, lg2, table.pageSizes, ranges),
  })
}

const tree = (built: BuiltTable, fold = true) => {
  const { series, findings } = readBuilt(built, fold)
  expect(findings).toEqual([])
  return treeLines(series, built.table.topLevel)
}

test('section 9: a table as a tree, with the reason of each page size', () => {
  const built = build('x86_64', '0x1fe000:0x80000000:2M:rw', '0x40000000:0x40000000:1G:r')
  expect(tree(built)).toEqual([
    '  level 3 [0] va 0x0: 0x100001027 table of 512 GiB at 0x100001000 rwx (P RW US A)',
    '    level 2 [0] va 0x0: 0x100002027 table of 1 GiB at 0x100002000 rwx (P RW US A)',
    '      level 1 [0] va 0x0: 0x100003027 table of 2 MiB at 0x100003000 rwx (P RW US A)',
    '        level 0 [510] va 0x1fe000: 0x80000067 4 KiB page at 0x80000000 rwx (P RW US A D); ' +
      'not 2 MiB: the IOVA is no multiple of it',
    '        level 0 [511] va 0x1ff000: 0x80001067 4 KiB page at 0x80001000 rwx (P RW US A D); ' +
      'not 2 MiB: the IOVA is no multiple of it, the physical address is no multiple of it, ' +
      'only 2044 KiB of the range are left',
    '      level 1 [1] va 0x200000: 0x100004027 table of 2 MiB at 0x100004000 rwx (P RW US A)',
    '        level 0 [0] va 0x200000: 0x80002067 4 KiB page at 0x80002000 rwx (P RW US A D); ' +
      'not 2 MiB: the physical address is no multiple of it, only 2040 KiB of the range are left',
    '        … 508 more pages of 4 KiB, each next to the one before',
    '        level 0 [509] va 0x3fd000: 0x801ff067 4 KiB page at 0x801ff000 rwx (P RW US A D); ' +
      'not 2 MiB: the IOVA is no multiple of it, the physical address is no multiple of it, ' +
      'only 4 KiB of the range are left',
    '    level 2 [1] va 0x40000000: 0x400000a5 1 GiB page at 0x40000000 r-x (P US A PS); ' +
      'the largest page size of the table',
  ])
})

test('the words of a run are one line', () => {
  const lines = tree(build('riscv64', '0:0x80000000:128K:r'))
  expect(lines.slice(2)).toEqual([
    '      level 0 [0] va 0x0: 0x800000002000205b 64 KiB page in 16 words at 0x80000000 ' +
      'r-x (V R X U A N); not 2 MiB: only 128 KiB of the range are left',
    '      level 0 [16] va 0x10000: 0x800000002000605b 64 KiB page in 16 words at 0x80010000 ' +
      'r-x (V R X U A N); not 2 MiB: the IOVA is no multiple of it, ' +
      'the physical address is no multiple of it, only 64 KiB of the range are left',
  ])
})

test('pages in a row that permit otherwise, or lead elsewhere, are not folded', () => {
  const lines = tree(build('vtdss', '0:0:8K:r', '0x2000:0x2000:8K:w', '0x4000:0x9000:4K:w'))
  expect(lines.slice(3).map((line) => line.replace(/;.*/, ''))).toEqual([
    '        level 0 [0] va 0x0: 0x1 4 KiB page at 0x0 r- (R)',
    '        level 0 [1] va 0x1000: 0x1001 4 KiB page at 0x1000 r- (R)',
    '        level 0 [2] va 0x2000: 0x2002 4 KiB page at 0x2000 -w (W)',
    '        level 0 [3] va 0x3000: 0x3002 4 KiB page at 0x3000 -w (W)',
    '        level 0 [4] va 0x4000: 0x9002 4 KiB page at 0x9000 -w (W)',
  ])
})

test('a refused range says how much of it is mapped', () => {
  const { ranges } = build('amdv1', '0x4000:0:4K', '0x2000:0x10002000:16K', '0:1:4K')
  expect(ranges.map(({ ret, mapped }) => [ret, mapped])).toEqual([
    [0, 0x1000n],
    [-98, 0x2000n],
    [-6, 0n],
  ])
})

test('a range that ends within a page is refused before anything is made of it', () => {
  expect(() => build('x86_64', '0:0:6K')).toThrow(
    'range 0x0:0x0:0x1800:rw: the length is no multiple of the smallest page, 4 KiB',
  )
  expect(build('amdv1_mock', '0:0:6K').ranges[0]).toMatchObject({ ret: 0, mapped: 0x1800n })
})

test('tables have a limit', () => {
  const config = configOf({ format: 'x86_64' })
  const range = parseRange('0x1000:0:1G')
  const built = buildTable('x86_64', config, [range], { maxTables: 8 }) as BuiltTable
  expect(built.ranges[0]?.ret).toBe(-12)
  expect(built.table.arena.tables).toBeLessThanOrEqual(8)
})

test('there may be more words than are wanted', () => {
  const built = build('x86_64', '0:0x1000:64K')
  const options = { fold: false, maxSeries: 5, why: () => undefined }
  const reading = readSeries(memoryOf(built.table, 'x86_64'), options)
  expect(reading.isCut).toBe(true)
  expect(reading.series).toHaveLength(5)
})

describe('folding', () => {
  const formats: TableFormatName[] = ['amdv1', 'amdv1_mock', 'riscv64', 'vtdss', 'x86_64']
  test.each(formats)('leaves out nothing of a table of %s', (format) => {
    const step = fc.tuple(
      fc.nat(40),
      fc.nat(3),
      fc.integer({ min: 1, max: 12 }),
      fc.constantFrom('r', 'rw'),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (list) => {
        const ranges = list.map(([at, shift, pages, prot]) => {
          return `${at * 8}K:${(at + shift) * 8}K:${pages * 4}K:${prot}`
        })
        const built = build(format, ...ranges)
        const all = readBuilt(built, false).series
        const folded = readBuilt(built, true).series
        expect(all.every(({ count, first, last }) => count === 1 && first === last)).toBe(true)
        let at = 0
        for (const { first, last, count } of folded) {
          expect(first).toEqual(all[at]?.first)
          expect(last).toEqual(all[at + count - 1]?.last)
          at += count
        }
        expect(at).toBe(all.length)
      }),
      { numRuns: 50 },
    )
  })
})
