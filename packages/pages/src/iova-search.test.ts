// SPDX-License-Identifier: Apache-2.0
// SPEC C7: IovaSearch, and IOAS_MAP without a fixed IOVA, against a linear search over all gaps, over the full u64 range.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { boot, MEMORY, PAGE, Program, RW } from '../test/harness.js'
import { linearSearch, type Wanted } from '../test/linear-search.js'
import { clamp, hi, lo, overlap, type Range, U64_MAX, u64 } from '../test/u64.js'
import { Coverage } from './coverage.js'
import { IovaSearch } from './iova-search.js'
import { RangeTree } from './range-tree.js'

/** Where words, the searched space and the space itself end. */
const anchor = fc.constantFrom(0n, 4096n, 2n ** 32n, 2n ** 63n, U64_MAX - 4096n, U64_MAX)
const delta = fc.oneof(
  fc.integer({ min: -24, max: 24 }).map((n) => n * PAGE),
  fc.integer({ min: -24, max: 24 }).map((n) => n * PAGE - 1),
  fc.integer({ min: -0x8000, max: 0x8000 }),
  fc.integer({ min: -4, max: 4 }).map((n) => n * 0x200000),
)
const address = fc.tuple(anchor, delta).map(([a, d]) => clamp(a + BigInt(d)))
const somewhere = fc.oneof({ weight: 6, arbitrary: address }, fc.bigInt(0n, U64_MAX))

const range = fc.oneof(
  fc.tuple(somewhere, fc.integer({ min: 0, max: 6 * PAGE })).map(([start, span]) => ({
    start,
    last: clamp(start + BigInt(span)),
  })),
  fc.tuple(somewhere, somewhere).map(([a, b]): Range => {
    return a < b ? { start: a, last: b } : { start: b, last: a }
  }),
)

/** Ranges that do not overlap; some are cut so that the next one touches them. */
const disjoint = fc.array(fc.tuple(range, fc.boolean()), { maxLength: 10 }).map((drawn) => {
  const kept: Range[] = []
  for (const [next, touches] of drawn) {
    const before = kept.at(-1)
    const start = touches && before !== undefined ? clamp(before.last + 1n) : next.start
    const candidate = { start, last: next.last }
    if (candidate.start > candidate.last) continue
    if (!kept.some((other) => overlap(other, candidate))) kept.push(candidate)
  }
  return kept
})

/** Alignments up to 2 MiB; an offset in the page is a multiple of the alignment, as C7 makes it. */
const wanted: fc.Arbitrary<Wanted> = fc
  .record({
    length: fc.oneof(
      fc.integer({ min: 1, max: 3 * PAGE }).map(BigInt),
      fc.integer({ min: 1, max: 32 }).map((pages) => BigInt(pages * PAGE)),
      fc.bigInt(1n, 2n ** 63n - 2n),
    ),
    shift: fc.integer({ min: 0, max: 21 }),
    offset: fc.integer({ min: 0, max: PAGE - 1 }),
  })
  .map(({ length, shift, offset }) => {
    const alignment = 2n ** BigInt(shift)
    return { length, alignment, pageOffset: BigInt(offset) & -alignment }
  })

function treeOf(ranges: readonly Range[]): RangeTree {
  const tree = new RangeTree()
  for (const { start, last } of ranges) {
    if (tree.insert(hi(start), lo(start), hi(last), lo(last), 0) !== 0) throw new Error('overlap')
  }
  return tree
}

function coverageOf(ranges: readonly Range[]): Coverage {
  const coverage = new Coverage()
  for (const { start, last } of ranges) coverage.add(hi(start), lo(start), hi(last), lo(last))
  return coverage
}

/** What IovaSearch finds, or undefined. */
function find(
  allowed: readonly Range[],
  areas: readonly Range[],
  reserved: readonly Range[],
  { length, alignment, pageOffset }: Wanted,
): bigint | undefined {
  const search = new IovaSearch(treeOf(areas), coverageOf(reserved).tree)
  const lengthM1 = length - 1n
  const found = search.find(
    treeOf(allowed),
    hi(lengthM1),
    lo(lengthM1),
    Number(alignment),
    Number(pageOffset),
  )
  return found ? u64(search.iovaHi, search.iovaLo) : undefined
}

describe('IovaSearch.find equals a linear search (SPEC C7)', () => {
  const check = (
    allowed: readonly Range[],
    areas: readonly Range[],
    reserved: readonly Range[],
    want: Wanted,
  ): void => {
    const expected = linearSearch(allowed, [...areas, ...reserved], want)
    expect(find(allowed, areas, reserved, want)).toBe(expected)
  }

  test('areas and reserved ranges anywhere, everything allowed', () => {
    fc.assert(
      fc.property(disjoint, fc.array(range, { maxLength: 6 }), wanted, (areas, reserved, want) =>
        check([], areas, reserved, want),
      ),
      { numRuns: 800 },
    )
  })

  test('allowed ranges, some of which touch, cut by areas and reserved ranges', () => {
    fc.assert(
      fc.property(
        disjoint,
        disjoint,
        fc.array(range, { maxLength: 4 }),
        wanted,
        (allowed, areas, reserved, want) => check(allowed, areas, reserved, want),
      ),
      { numRuns: 1500 },
    )
  })

  test('a space that is nearly full: many small areas, few gaps', () => {
    const step = fc.record({
      pages: fc.integer({ min: 1, max: 3 }),
      gap: fc.integer({ min: 0, max: 2 }),
    })
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 40, maxLength: 120 }),
        fc.constantFrom(PAGE, PAGE / 2, 1),
        fc.constantFrom(1n, 2n, 3n),
        wanted,
        (steps, unit, length, want) => {
          const areas: Range[] = []
          let start = BigInt(PAGE)
          for (const { pages, gap } of steps) {
            const last = start + BigInt(pages * PAGE) - 1n
            areas.push({ start, last })
            start = last + 1n + BigInt(gap * unit)
          }
          check([], areas, [], { ...want, length: length * BigInt(unit) })
        },
      ),
      { numRuns: 100 },
    )
  })
})

describe('IovaSearch.find by example (SPEC C7)', () => {
  const page = { length: 4096n, alignment: 4096n, pageOffset: 0n }

  test('never 0, never beyond 2^64 - 1 - PAGE_SIZE', () => {
    expect(find([], [], [], page)).toBe(4096n)
    const below = { start: 0n, last: U64_MAX - 0x2000n }
    expect(find([], [], [below], page)).toBe(U64_MAX - 0x1fffn)
    expect(find([], [], [below], { ...page, length: 4097n })).toBeUndefined()
    expect(find([], [], [{ start: 0n, last: U64_MAX - 0x1000n }], page)).toBeUndefined()
  })

  test('allowed ranges that lie outside of that are of no use', () => {
    expect(find([{ start: 0n, last: 0xfffn }], [], [], page)).toBeUndefined()
    expect(find([{ start: U64_MAX - 0xfffn, last: U64_MAX }], [], [], page)).toBeUndefined()
    expect(find([{ start: 0n, last: 0x1fffn }], [], [], page)).toBe(0x1000n)
  })

  test('allowed ranges that touch act as one', () => {
    const low = { start: 0x10000n, last: 0x10fffn }
    const high = { start: 0x11000n, last: 0x11fffn }
    const two = { length: 0x2000n, alignment: 4096n, pageOffset: 0n }
    expect(find([low, high], [], [], two)).toBe(0x10000n)
    expect(find([low, { ...high, start: 0x11001n, last: 0x12fffn }], [], [], two)).toBeUndefined()
  })

  test('the offset in the page is kept, and skips a gap that is too short behind it', () => {
    const want = { length: 0x1000n, alignment: 0x10n, pageOffset: 0x810n }
    const areas = [{ start: 0x2000n, last: 0x2fffn }]
    expect(find([], areas, [], want)).toBe(0x3810n)
    expect(find([], areas, [], { ...want, length: 0x7f0n })).toBe(0x1810n)
  })

  test('a gap that begins below the allowed range begins with it', () => {
    const allowed = [{ start: 0x10100n, last: 0x1ffffn }]
    const want = { length: 0x100n, alignment: 0x100n, pageOffset: 0n }
    expect(find(allowed, [{ start: 0x8000n, last: 0x8fffn }], [], want)).toBe(0x10100n)
  })

  test('an allowed range that cannot hold the length is skipped whole', () => {
    const allowed = [
      { start: 0x1800n, last: 0x2fffn },
      { start: 0x8000n, last: 0x9fffn },
    ]
    expect(find(allowed, [], [], { ...page, length: 0x1800n })).toBe(0x8000n)
  })
})

describe('IOAS_MAP chooses the IOVA of the linear search (SPEC C7)', () => {
  interface Mapping {
    readonly user_va: number
    readonly length: number
  }

  const mapping: fc.Arbitrary<Mapping> = fc.record({
    user_va: fc.oneof(
      fc.integer({ min: 0, max: 15 }).map((page) => MEMORY + page * PAGE),
      fc.integer({ min: 0, max: 15 * PAGE }).map((offset) => MEMORY + offset),
    ),
    length: fc.oneof(
      fc.integer({ min: 1, max: 2 * PAGE }),
      fc.integer({ min: 1, max: 1024 }).map((pages) => pages * PAGE),
      fc.constantFrom(0x200000, 0x600000, 2 ** 32 - PAGE, 2 ** 32, 2 ** 40 + 1),
    ),
  })

  /** min(length rounded up to a power of two, lowest set bit of the address, the host's most). */
  const alignmentOf = ({ user_va, length }: Mapping, most: number): bigint => {
    let alignment = 1
    while (alignment < length && alignment < most) alignment *= 2
    while (user_va % alignment !== 0) alignment /= 2
    return BigInt(alignment)
  }

  const sequence = fc.array(mapping, { minLength: 1, maxLength: 12 })
  const reservedRanges = fc.array(range, { maxLength: 3 })

  const run = (most: number, allowed: Range[], reserved: Range[], wants: Mapping[]): void => {
    const world = boot({ maxIovaAlignment: most })
    const program = Program.start(world)
    const id = program.alloc()
    const { iopt } = program.ioas(id)
    for (const { start, last } of reserved) iopt.reserve(hi(start), lo(start), hi(last), lo(last))
    const list = allowed.filter(({ start, last }) => {
      return start < last && !reserved.some((other) => overlap(other, { start, last }))
    })
    expect(program.allow(id, list).outcome).toBe('ok')
    const used = [...reserved]
    for (const want of wants) {
      const { user_va } = want
      const length = BigInt(want.length)
      const pageOffset = BigInt(user_va % PAGE)
      const alignment = alignmentOf(want, most)
      const expected = linearSearch(list, used, { length, alignment, pageOffset })
      const answer = program.map({ flags: RW, ioas_id: id, user_va, length })
      if (expected === undefined) {
        expect(answer.outcome).toBe('ENOSPC IOVA_SPACE_FULL')
        continue
      }
      expect(answer).toMatchObject({ ret: 0, iova: expected })
      used.push({ start: expected, last: expected + length - 1n })
    }
  }

  test.each([0x200000, PAGE])('at most %i bytes of alignment', (most) => {
    fc.assert(
      fc.property(disjoint, reservedRanges, sequence, (allowed, reserved, wants) =>
        run(most, allowed, reserved, wants),
      ),
      { numRuns: 30 },
    )
  })

  test('everything allowed', () => {
    fc.assert(
      fc.property(reservedRanges, sequence, (reserved, wants) =>
        run(0x200000, [], reserved, wants),
      ),
      { numRuns: 30 },
    )
  })
})
