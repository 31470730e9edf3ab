// SPDX-License-Identifier: Apache-2.0
// FrameStore against a map from index to frame, with runs that cross chunks and indexes up to the last page of 2^64.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FrameStore } from './frame-store.js'

const LAST_INDEX = 2 ** 52 - 1
const CHUNK = 512

const index = fc
  .tuple(fc.constantFrom(0, CHUNK, 5 * CHUNK, 2 ** 32, LAST_INDEX - 2 * CHUNK), fc.nat(2 * CHUNK))
  .map(([base, offset]) => base + offset)

const step = fc.record({
  drops: fc.boolean(),
  index,
  n: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 3 * CHUNK })),
})

/** Indexes from `first` on, as long as the map has (or has not) them. */
function run(model: Map<number, number>, first: number, most: number, stored: boolean): number {
  let n = 0
  while (n < most && first + n <= LAST_INDEX && model.has(first + n) === stored) n++
  return n
}

test('frames come back for as long as they are stored, and nothing is held in the end (SPEC E4)', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const store = new FrameStore()
      const model = new Map<number, number>()
      let next = 1
      for (const { drops, index: first, n: most } of steps) {
        const n = run(model, first, most, drops)
        if (n === 0) continue
        if (drops) {
          store.drop(first, n)
          for (let i = 0; i < n; i++) model.delete(first + i)
          continue
        }
        const frames = Uint32Array.from({ length: n + 3 }, () => next++)
        store.put(first, frames, 3, n)
        for (let i = 0; i < n; i++) model.set(first + i, frames[3 + i] as number)
      }
      for (const first of [...model.keys()].filter((at) => at % 16 === 0)) {
        const n = run(model, first, 40, true)
        const frames = new Uint32Array(n + 2)
        store.get(first, frames, 2, n)
        const expected = Array.from({ length: n }, (_, i) => model.get(first + i))
        if (String([...frames.subarray(2)]) !== String(expected))
          expect([...frames]).toEqual(expected)
      }
      for (const first of [...model.keys()]) store.drop(first, 1)
      expect(store.bytes).toBe(0)
    }),
    { numRuns: 40 },
  )
})

test('four bytes a page: a few pages hold few bytes, a whole chunk its frames and no more', () => {
  const store = new FrameStore()
  store.put(7, new Uint32Array(1), 0, 1)
  expect(store.bytes).toBeLessThanOrEqual(64)
  store.put(CHUNK, new Uint32Array(CHUNK), 0, CHUNK)
  store.drop(7, 1)
  expect(store.bytes).toBe(4 * CHUNK)
})
