// SPDX-License-Identifier: Apache-2.0
//
// Two int32 words against bigint, over the whole range and around its edges.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  differenceHi,
  hiOf,
  isAfter,
  loOf,
  nextHi,
  nextLo,
  pageHi,
  pageLo,
  pageOf,
  previousHi,
  previousLo,
  sumHi,
  sumWraps,
  toBigInt,
} from './u64.js'

const MAX = 2n ** 64n - 1n
const EDGES = [0n, 1n, 0xfffn, 0x1000n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 63n, MAX]

/** Any u64; carries and borrows happen near the edges, so half of them lie there. */
const u64 = fc.oneof(
  fc.bigInt({ min: 0n, max: MAX }),
  fc
    .tuple(fc.constantFrom(...EDGES), fc.bigInt({ min: -3n, max: 3n }))
    .map(([edge, delta]) => BigInt.asUintN(64, edge + delta)),
)
const RUNS = { numRuns: 2000 }

function isInt32(word: number): boolean {
  return Object.is(word, word | 0)
}

describe('u64', () => {
  test('two int32 words hold every u64, and give it back', () => {
    const holds = (a: bigint): void => {
      expect(isInt32(hiOf(a)) && isInt32(loOf(a))).toBe(true)
      expect(toBigInt(hiOf(a), loOf(a))).toBe(a)
    }
    fc.assert(fc.property(u64, holds), RUNS)
    expect([hiOf(2 ** 53 - 1), loOf(2 ** 53 - 1)]).toEqual([0x1fffff, -1])
  })

  test('what is no u64 throws instead of being cut', () => {
    for (const value of [-1n, MAX + 1n, -1, 1.5, Number.NaN, 2 ** 64]) {
      expect(() => hiOf(value)).toThrow(RangeError)
      expect(() => loOf(value)).toThrow(RangeError)
    }
  })

  test('isAfter is >', () => {
    const holds = (a: bigint, b: bigint): void => {
      expect(isAfter(hiOf(a), loOf(a), hiOf(b), loOf(b))).toBe(a > b)
    }
    fc.assert(fc.property(u64, u64, holds), RUNS)
    fc.assert(fc.property(u64, (a) => holds(a, a)))
  })

  test('next and previous are + 1 and - 1', () => {
    const holds = (a: bigint): void => {
      const [hi, lo] = [hiOf(a), loOf(a)]
      if (a !== MAX) expect(toBigInt(nextHi(hi, lo), nextLo(lo))).toBe(a + 1n)
      if (a !== 0n) expect(toBigInt(previousHi(hi, lo), previousLo(lo))).toBe(a - 1n)
      expect([nextHi(hi, lo), nextLo(lo), previousHi(hi, lo), previousLo(lo)].every(isInt32)).toBe(
        true,
      )
    }
    fc.assert(fc.property(u64, holds), RUNS)
  })

  test('sum and difference are those modulo 2^64, and a sum that wraps says so', () => {
    const holds = (a: bigint, b: bigint): void => {
      const [aHi, aLo, bHi, bLo] = [hiOf(a), loOf(a), hiOf(b), loOf(b)]
      expect(toBigInt(sumHi(aHi, aLo, bHi, bLo), (aLo + bLo) | 0)).toBe(BigInt.asUintN(64, a + b))
      expect(sumWraps(aHi, aLo, bHi, bLo)).toBe(a + b > MAX)
      expect(toBigInt(differenceHi(aHi, aLo, bHi, bLo), (aLo - bLo) | 0)).toBe(
        BigInt.asUintN(64, a - b),
      )
      expect(isInt32(sumHi(aHi, aLo, bHi, bLo)) && isInt32(differenceHi(aHi, aLo, bHi, bLo))).toBe(
        true,
      )
    }
    fc.assert(fc.property(u64, u64, holds), RUNS)
    fc.assert(fc.property(u64, (a) => holds(a, MAX - a)))
    fc.assert(fc.property(u64, (a) => holds(a, BigInt.asUintN(64, MAX - a + 1n))))
  })

  test('a page number is exact for every address and leads back to the page', () => {
    const holds = (a: bigint): void => {
      const page = pageOf(hiOf(a), loOf(a))
      expect(BigInt(page)).toBe(a >> 12n)
      expect(toBigInt(pageHi(page), pageLo(page))).toBe((a >> 12n) << 12n)
      expect(isInt32(pageHi(page)) && isInt32(pageLo(page))).toBe(true)
    }
    fc.assert(fc.property(u64, holds), RUNS)
  })
})
