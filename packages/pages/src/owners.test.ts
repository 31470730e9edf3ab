// SPDX-License-Identifier: Apache-2.0
// SPEC E5: an owner is the process, its address space and its user at the moment of mapping.

import { Machine } from '@iommufd/host'
import { expect, test } from 'vitest'
import { isOwner, OwnerTable } from './owners.js'

test('one number for equal triples', () => {
  const machine = new Machine()
  const table = new OwnerTable()
  const [a, b] = [machine.spawn(), machine.spawn()]
  const first = table.get(a)
  expect(table.get(a)).toBe(first)
  const second = table.get(b)
  expect(second).not.toBe(first)
  expect(table.get(a)).toBe(first)
  expect(table.owner(first).task).toBe(a)
  expect(table.owner(first).users).toBe(3)
})

test('a change of user makes another owner; the first keeps naming the former user', () => {
  const machine = new Machine()
  const table = new OwnerTable()
  const process = machine.spawn()
  const root = table.get(process)
  process.setresuid(1000)
  const user = table.get(process)
  expect(user).not.toBe(root)
  expect(table.owner(root).user.uid).toBe(0)
  expect(table.owner(user).user.uid).toBe(1000)
  expect(isOwner(table.owner(root), process)).toBe(false)
  expect(isOwner(table.owner(user), process)).toBe(true)
})

test('a fork is another owner, of another address space', () => {
  const machine = new Machine()
  const table = new OwnerTable()
  const parent = machine.spawn()
  const number = table.get(parent)
  expect(table.get(parent.fork())).not.toBe(number)
})

test('an owner outlives its process for as long as something names it', () => {
  const machine = new Machine()
  const table = new OwnerTable()
  const process = machine.spawn()
  const { mm } = process
  const number = table.get(process)
  process.exit()
  table.get(machine.spawn())
  const owner = table.owner(number)
  expect(owner.task === process && owner.mm === mm && owner.users === 1).toBe(true)
})

test('numbers of forgotten owners are used again: as many as ever lived at once, and one', () => {
  const machine = new Machine()
  const table = new OwnerTable()
  const numbers = new Set<number>()
  for (let i = 0; i < 50; i++) {
    const number = table.get(machine.spawn())
    numbers.add(number)
    table.put(number)
  }
  expect(numbers.size).toBeLessThanOrEqual(2)
})
