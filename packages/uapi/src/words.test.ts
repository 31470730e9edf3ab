// SPDX-License-Identifier: Apache-2.0

import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  hiWord,
  loWord,
  s32,
  setU8,
  setU16,
  setU32,
  setU64,
  u8,
  u16,
  u32,
  u64,
  u64Hi,
  u64Lo,
} from './words.js'

const memory = fc.uint8Array({ minLength: 32, maxLength: 32 })
const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })

test('reads what DataView reads', () => {
  fc.assert(
    fc.property(memory, fc.nat(23), (bytes, at) => {
      const view = new DataView(bytes.buffer)
      const words = new Int32Array(bytes.buffer)
      const at4 = at & ~3
      expect(u8(words, at)).toBe(view.getUint8(at))
      expect(u16(words, at & ~1)).toBe(view.getUint16(at & ~1, true))
      expect(u32(words, at4)).toBe(view.getUint32(at4, true))
      expect(s32(words, at4)).toBe(view.getInt32(at4, true))
      expect(u64(u64Hi(words, at4), u64Lo(words, at4))).toBe(view.getBigUint64(at4, true))
    }),
  )
})

test('writes what DataView writes', () => {
  fc.assert(
    fc.property(memory, fc.nat(23), word, word, (bytes, at, hi, lo) => {
      const expected = bytes.slice()
      const view = new DataView(expected.buffer)
      const words = new Int32Array(bytes.buffer)
      const at4 = at & ~3
      setU64(words, at4, hi, lo)
      view.setBigUint64(at4, u64(hi, lo), true)
      setU32(words, 24, lo >>> 0)
      view.setUint32(24, lo, true)
      setU16(words, at & ~1, hi)
      view.setUint16(at & ~1, hi, true)
      setU8(words, at, lo)
      view.setUint8(at, lo)
      expect(bytes).toEqual(expected)
    }),
  )
})

test('a u64 and its two words', () => {
  fc.assert(
    fc.property(fc.bigInt(0n, 2n ** 64n - 1n), (value) => {
      expect(u64(hiWord(value), loWord(value))).toBe(value)
    }),
    { examples: [[0n], [2n ** 31n], [2n ** 32n - 1n], [2n ** 63n], [2n ** 64n - 1n]] },
  )
  expect([hiWord(2 ** 52), loWord(2 ** 52 + 5)]).toEqual([2 ** 20, 5])
  expect([hiWord(2n ** 64n - 1n), loWord(2n ** 64n - 1n)]).toEqual([-1, -1])
  for (const value of [-1, 2n ** 64n, 0.5, Number.NaN]) {
    expect(() => hiWord(value)).toThrow(new RangeError(`${value} is not in 0..2^64-1`))
    expect(() => loWord(value)).toThrow(RangeError)
  }
})
