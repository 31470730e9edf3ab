// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { STAGE_BYTES, Stage } from './stage.js'

const MEMORY_BYTES = 200_000

function filled(): { stage: Stage; memory: Uint8Array } {
  const buffer = new ArrayBuffer(STAGE_BYTES + MEMORY_BYTES)
  const memory = new Uint8Array(buffer, STAGE_BYTES)
  for (let i = 0; i < memory.length; i++) memory[i] = i % 251
  return { stage: new Stage(buffer), memory }
}

/** Index of the first byte that differs, or -1. (A matcher on arrays of this size takes seconds.) */
function difference(a: Uint8Array, b: Uint8Array): number {
  return a.length === b.length ? a.findIndex((byte, i) => byte !== b[i]) : 0
}

const lengths = [1, 96, 4096, 4097, STAGE_BYTES, STAGE_BYTES + 1, 150_000]

test.each(lengths)('%i bytes come out to their place and nowhere else', (length) => {
  const { stage, memory } = filled()
  const dst = new Uint8Array(length + 20).fill(255)
  stage.copyOut(1234, dst, 7, length)
  const expected = new Uint8Array(length + 20).fill(255)
  expected.set(memory.slice(1234, 1234 + length), 7)
  expect(difference(dst, expected)).toBe(-1)
})

test.each(lengths)('%i bytes go in, of a whole array and of a part of one', (length) => {
  for (const at of [0, 7]) {
    const { stage, memory } = filled()
    const expected = memory.slice()
    const src = Uint8Array.from({ length: length + at * 2 }, (_, i) => (i * 7) % 253)
    stage.copyIn(src, at, 1234, length)
    expected.set(src.slice(at, at + length), 1234)
    expect(difference(memory, expected)).toBe(-1)
  }
})

test('a copy that would leave its buffer is refused', () => {
  const { stage } = filled()
  const array = new Uint8Array(200)
  expect(() => stage.copyOut(MEMORY_BYTES - 99, array, 0, 100)).toThrow(RangeError)
  expect(() => stage.copyOut(0, array, 101, 100)).toThrow(RangeError)
  expect(() => stage.copyIn(array, 101, 0, 100)).toThrow(RangeError)
  expect(() => stage.copyIn(array, 0, MEMORY_BYTES - 99, 100)).toThrow(RangeError)
})

test('after the memory has grown, copies go to the new buffer', () => {
  const { stage } = filled()
  const dst = new Uint8Array(100)
  stage.copyOut(0, dst, 0, 100)
  const grown = new ArrayBuffer(STAGE_BYTES + 2 * MEMORY_BYTES)
  new Uint8Array(grown).fill(9)
  stage.use(grown)
  stage.copyOut(MEMORY_BYTES, dst, 0, 100)
  expect(dst).toEqual(new Uint8Array(100).fill(9))
})
