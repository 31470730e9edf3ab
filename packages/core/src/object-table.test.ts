// SPDX-License-Identifier: Apache-2.0
//
// What is visible when, and in which order things end.

import { describe, expect, test } from 'vitest'
import { Thing } from '../test/harness.js'
import { ObjectTable } from './object-table.js'

function added(table: ObjectTable, thing: Thing = new Thing()): Thing {
  table.reserve(thing)
  table.finalize(thing)
  return thing
}

describe('visibility', () => {
  test('F9: a reserved object has its id but is invisible until it is final', () => {
    const table = new ObjectTable()
    const thing = new Thing()
    table.reserve(thing)
    expect(thing.id).toBe(1)
    expect([table.get(1), table.count, [...table], table.isEmpty]).toEqual([
      undefined,
      0,
      [],
      false,
    ])
    table.finalize(thing)
    expect([table.get(1), table.count, [...table]]).toEqual([thing, 1, [thing]])
  })

  test('F9: an aborted object was never there: its id is free, and it is not destroyed', () => {
    const table = new ObjectTable()
    const kept = added(table)
    const thing = new Thing(() => {
      throw new Error('destroyed')
    })
    table.reserve(thing)
    table.abort(thing)
    expect([thing.id, table.get(2), table.count]).toEqual([0, undefined, 1])
    expect(added(table).id).toBe(2)
    expect([...table].map(({ id }) => id)).toEqual([kept.id, 2])
  })

  test('F9: an id reserved meanwhile is not given to another', () => {
    const table = new ObjectTable()
    const [a, b] = [new Thing(), new Thing()]
    table.reserve(a)
    table.reserve(b)
    expect([a.id, b.id]).toEqual([1, 2])
    table.abort(a)
    table.finalize(b)
    expect([table.get(1), table.get(2), added(table).id]).toEqual([undefined, b, 1])
  })

  test('F6: ids that can never exist give nothing', () => {
    const table = new ObjectTable()
    added(table)
    for (const id of [0, -1, -(2 ** 31), 2, 2 ** 31 - 1]) expect(table.get(id)).toBeUndefined()
  })
})

describe('the end', () => {
  test('F7: a removed object is gone from the table before it is destroyed', () => {
    const table = new ObjectTable()
    const seen: unknown[] = []
    const thing = added(table, new Thing(({ id }) => seen.push(id, table.get(id), table.count)))
    table.remove(thing)
    expect(seen).toEqual([1, undefined, 0])
    expect([thing.id, table.isEmpty]).toEqual([0, true])
  })

  test('F7: closing destroys leaves first, whatever their ids', () => {
    const table = new ObjectTable()
    const ended: number[] = []
    // 1 is used by 3, 3 by 2; 4 stands alone.
    const uses = new Map<number, Thing>()
    const end = (thing: Thing): void => {
      ended.push(thing.id)
      const used = uses.get(thing.id)
      if (used) used.users--
    }
    const [first, second, third] = [1, 2, 3, 4].map(() => added(table, new Thing(end)))
    if (!first || !second || !third) throw new Error('unreachable')
    uses.set(third.id, first)
    uses.set(second.id, third)
    first.users = 1
    third.users = 1
    expect(table.removeAll()).toBe(true)
    expect(ended).toEqual([2, 3, 4, 1])
    expect(table.isEmpty).toBe(true)
  })

  test('F7: objects that hold each other are left, and the table says so', () => {
    const table = new ObjectTable()
    const [a, b, c] = [added(table), added(table), added(table)]
    a.users = 1
    c.users = 1
    expect(table.removeAll()).toBe(false)
    expect([...table]).toEqual([a, c])
    expect(table.get(b.id)).toBeUndefined()
  })

  test('F7: an object that ends another one while closing does no harm', () => {
    const table = new ObjectTable()
    const late = new Thing()
    added(table, new Thing(() => table.remove(late)))
    added(table, late)
    expect(table.removeAll()).toBe(true)
    expect(table.isEmpty).toBe(true)
  })
})

test('section 1: a tombstone is nobody, and its id is never given again', () => {
  const table = new ObjectTable()
  const ended: number[] = []
  const thing = added(table, new Thing(({ id }) => ended.push(id)))
  table.tombstone(thing)
  expect([ended, thing.id, table.get(1), table.count, [...table]]).toEqual([
    [1],
    0,
    undefined,
    0,
    [],
  ])
  expect(table.isEmpty).toBe(false)
  expect(added(table).id).toBe(2)
  expect(table.removeAll()).toBe(true)
})
