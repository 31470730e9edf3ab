// SPDX-License-Identifier: Apache-2.0
// Records of areas: columns that grow, numbers that are used again (SPEC E1).

import { expect, test } from 'vitest'
import { AREA_READ, AREA_WRITE, AreaTable } from './area-table.js'

test('records keep what they were made with while the columns grow', () => {
  const table = new AreaTable()
  const numbers = Array.from({ length: 5000 }, (_, i) => table.create(i, i - 7, -i, AREA_READ))
  expect(new Set(numbers).size).toBe(5000)
  expect(table.count).toBe(5000)
  const wrong = numbers.filter((area, i) => {
    const isSame = table.pages[area] === i && table.startHi[area] === i - 7
    return !isSame || table.startLo[area] !== -i || table.flags[area] !== AREA_READ
  })
  expect(wrong).toEqual([])
})

test('a record is made afresh where one was removed', () => {
  const table = new AreaTable()
  const [first, second] = [table.create(1, 2, 3, AREA_WRITE), table.create(4, 5, 6, AREA_READ)]
  table.accesses[first] = 9
  table.remove(first)
  expect(table.count).toBe(1)
  expect(table.create(7, 0, 0, AREA_READ)).toBe(first)
  expect(table.accesses[first]).toBe(0)
  expect(table.flags[first]).toBe(AREA_READ)
  expect(table.pages[second]).toBe(4)
})

test('17 bytes a record, at most half of them spare', () => {
  const table = new AreaTable()
  for (let i = 0; i < 100_000; i++) table.create(i, 0, 0, 0)
  expect(table.bytes / table.count).toBeLessThan(26)
  for (let i = 0; i < 100_000; i++) table.remove(i)
  for (let i = 0; i < 100_000; i++) table.create(i, 0, 0, 0)
  expect(table.bytes / table.count).toBeLessThan(26)
})
