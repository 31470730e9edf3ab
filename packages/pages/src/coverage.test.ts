// SPDX-License-Identifier: Apache-2.0
// Coverage against a list of added ranges: how often each address is covered, over the full u64 range.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { clamp, hi, lo, merge, overlap, type Range, U64_MAX, u64 } from '../test/u64.js'
import { Coverage } from './coverage.js'

interface Counted extends Range {
  readonly count: number
}

/** The naive model: cut at every start and end, count who covers each piece, join equal neighbours. */
function count(added: readonly Range[]): Counted[] {
  const cuts = new Set<bigint>()
  for (const { start, last } of added) cuts.add(start).add(last + 1n)
  const sorted = [...cuts].sort((a, b) => (a < b ? -1 : 1))
  const pieces: { start: bigint; last: bigint; count: number }[] = []
  for (const [i, start] of sorted.slice(0, -1).entries()) {
    const piece = { start, last: (sorted[i + 1] as bigint) - 1n }
    const covering = added.filter((range) => overlap(range, piece)).length
    const before = pieces.at(-1)
    if (covering === 0) continue
    if (before?.count === covering && before.last + 1n === start) before.last = piece.last
    else pieces.push({ ...piece, count: covering })
  }
  return pieces
}

function dump({ tree }: Coverage): Counted[] {
  const ranges: Counted[] = []
  for (let pos = tree.first(); pos >= 0; pos = tree.next(pos)) {
    const start = u64(tree.startHi(pos), tree.startLo(pos))
    ranges.push({ start, last: u64(tree.lastHi(pos), tree.lastLo(pos)), count: tree.value(pos) })
  }
  return ranges
}

function add(coverage: Coverage, { start, last }: Range): void {
  coverage.add(hi(start), lo(start), hi(last), lo(last))
}

function remove(coverage: Coverage, { start, last }: Range): void {
  coverage.remove(hi(start), lo(start), hi(last), lo(last))
}

function intersects(coverage: Coverage, { start, last }: Range): boolean {
  return coverage.intersects(hi(start), lo(start), hi(last), lo(last))
}

/** Close together around the places where words and the space end, so that ranges touch and overlap. */
const address = fc
  .tuple(
    fc.constantFrom(0n, 2n ** 32n, 2n ** 44n, 2n ** 63n, U64_MAX),
    fc.oneof(
      fc.integer({ min: -6, max: 6 }),
      fc.integer({ min: -3, max: 3 }).map((n) => n * 4096),
    ),
  )
  .map(([anchor, delta]) => clamp(anchor + BigInt(delta)))

const range = fc
  .tuple(fc.oneof(address, fc.bigInt(0n, U64_MAX)), address)
  .map(([a, b]): Range => (a < b ? { start: a, last: b } : { start: b, last: a }))

const ranges = fc.array(range, { minLength: 1, maxLength: 8 })

describe('Coverage against a naive count (SPEC E1, E4)', () => {
  test('adding and removing in any order', () => {
    fc.assert(
      fc.property(ranges, fc.infiniteStream(fc.nat()), ranges, (first, picks, probes) => {
        const coverage = new Coverage()
        const added: Range[] = []
        for (const next of first) {
          add(coverage, next)
          added.push(next)
          expect(dump(coverage)).toEqual(count(added))
        }
        for (const probe of probes) {
          expect(intersects(coverage, probe)).toBe(added.some((range) => overlap(range, probe)))
        }
        while (added.length > 0) {
          const [gone] = added.splice(picks.next().value % added.length, 1)
          remove(coverage, gone as Range)
          expect(dump(coverage)).toEqual(count(added))
        }
        expect(coverage.isEmpty).toBe(true)
      }),
      { numRuns: 150 },
    )
  })

  test('the union of what was added is the tree', () => {
    fc.assert(
      fc.property(ranges, (added) => {
        const coverage = new Coverage()
        for (const next of added) add(coverage, next)
        expect(merge(dump(coverage))).toEqual(merge(added))
      }),
      { numRuns: 100 },
    )
  })
})

describe('Coverage at the edges (SPEC E1)', () => {
  const cover = (...added: Range[]): Coverage => {
    const coverage = new Coverage()
    for (const next of added) add(coverage, next)
    return coverage
  }

  test('the whole space can be covered, more than once', () => {
    const all = { start: 0n, last: U64_MAX }
    const coverage = cover(all, all)
    expect(dump(coverage)).toEqual([{ ...all, count: 2 }])
    remove(coverage, all)
    expect(dump(coverage)).toEqual([{ ...all, count: 1 }])
  })

  test('single bytes at both ends of the space', () => {
    const coverage = cover({ start: 0n, last: 0n }, { start: U64_MAX, last: U64_MAX })
    expect(dump(coverage)).toHaveLength(2)
    expect(intersects(coverage, { start: 1n, last: U64_MAX - 1n })).toBe(false)
    expect(intersects(coverage, { start: 1n, last: U64_MAX })).toBe(true)
    expect(intersects(coverage, { start: 0n, last: 0n })).toBe(true)
  })

  test('ranges that touch are one, and are parted again', () => {
    const low = { start: 0x1000n, last: 0x1fffn }
    const high = { start: 0x2000n, last: 0x2fffn }
    const coverage = cover(low, high)
    expect(dump(coverage)).toEqual([{ start: 0x1000n, last: 0x2fffn, count: 1 }])
    remove(coverage, low)
    expect(dump(coverage)).toEqual([{ ...high, count: 1 }])
  })

  test('touching ranges with different counts stay apart', () => {
    const low = { start: 0x1000n, last: 0x1fffn }
    const high = { start: 0x2000n, last: 0x2fffn }
    const coverage = cover(low, low, high)
    expect(dump(coverage)).toEqual([
      { ...low, count: 2 },
      { ...high, count: 1 },
    ])
  })
})
