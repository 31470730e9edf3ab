// SPDX-License-Identifier: Apache-2.0
//
// Ids against a set that is searched from 1 on.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { IdAllocator } from './id-allocator.js'

function lowestFree(used: ReadonlySet<number>): number {
  let id = 1
  while (used.has(id)) id++
  return id
}

test('F6: the first id is 1, and the lowest free id is reused', () => {
  const ids = new IdAllocator()
  expect([ids.allocate(), ids.allocate(), ids.allocate(), ids.allocate()]).toEqual([1, 2, 3, 4])
  ids.release(3)
  ids.release(1)
  expect([ids.allocate(), ids.allocate(), ids.allocate()]).toEqual([1, 3, 5])
})

test('F6: any order of allocating and releasing gives what a search from 1 gives', () => {
  // A number releases the id at that place among the used ones; -1 allocates.
  const steps = fc.array(fc.oneof(fc.constant(-1), fc.nat(200)), { maxLength: 300 })
  const holds = (script: number[]): void => {
    const ids = new IdAllocator()
    const used = new Set<number>()
    for (const step of script) {
      if (step < 0 || used.size === 0) {
        const expected = lowestFree(used)
        expect(ids.allocate()).toBe(expected)
        used.add(expected)
      } else {
        const id = [...used][step % used.size] as number
        ids.release(id)
        used.delete(id)
      }
    }
  }
  fc.assert(fc.property(steps, holds), { numRuns: 300 })
})

test('F6: a thousand ids released in any order come back ascending', () => {
  const all = Array.from({ length: 1000 }, (_, i) => i + 1)
  const shuffled = fc.shuffledSubarray(all, { minLength: 1000 })
  const holds = (order: number[]): void => {
    const ids = new IdAllocator()
    for (const id of all) expect(ids.allocate()).toBe(id)
    for (const id of order) ids.release(id)
    expect(all.map(() => ids.allocate())).toEqual(all)
    expect(ids.allocate()).toBe(1001)
  }
  fc.assert(fc.property(shuffled, holds), { numRuns: 5 })
})
