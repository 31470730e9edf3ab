// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeHex, encodeHex, formatU64, parseU64 } from './hex.js'

test('every u64 survives being formatted and parsed, as a number where that is exact', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
      const parsed = parseU64(formatU64(value))
      expect(BigInt(parsed as number | bigint)).toBe(value)
      expect(typeof parsed).toBe(value < 2n ** 53n ? 'number' : 'bigint')
    }),
  )
})

test.each([
  ['0x0', 0],
  ['0x00000000000000ff', 255],
  ['0x1fffffffffffff', Number.MAX_SAFE_INTEGER],
  ['0x20000000000000', 2n ** 53n],
  ['0xABCDEF', 0xabcdef],
  ['0xffffffffffffffff', 2n ** 64n - 1n],
])('%s is %s', (text, value) => {
  expect(parseU64(text)).toBe(value)
})

test.each(['', '0x', '12', '0x1g', '0x10000000000000000', '0x-1', ' 0x1', '0x1 ', '0X1', '0xé'])(
  '%j is no number',
  (text) => {
    expect(parseU64(text)).toBeUndefined()
  },
)

test('bytes survive being encoded and decoded', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      expect(decodeHex(encodeHex(bytes))).toEqual(bytes)
    }),
  )
})

test.each(['0', '0g', 'g0', '0x', 'é0', '000'])('%j are no bytes', (text) => {
  expect(decodeHex(text)).toBeUndefined()
})
