// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { copyBytes } from './copy-bytes.js'

test('every length arrives at its place and nowhere else', () => {
  const from = Uint8Array.from({ length: 300 }, (_, i) => i % 251)
  for (let length = 0; length <= 130; length++) {
    const to = new Uint8Array(300).fill(255)
    copyBytes(from, 3, to, 5, length)
    const expected = new Uint8Array(300).fill(255)
    for (let i = 0; i < length; i++) expected[5 + i] = (3 + i) % 251
    expect(to).toEqual(expected)
  }
})

test('a copy that would leave its buffer is refused, short or long', () => {
  const small = new Uint8Array(8)
  const large = new Uint8Array(200)
  expect(() => copyBytes(large, 0, small, 1, 8)).toThrow(RangeError)
  expect(() => copyBytes(small, 1, large, 0, 8)).toThrow(RangeError)
  expect(() => copyBytes(large, 100, large, 0, 101)).toThrow(RangeError)
})
