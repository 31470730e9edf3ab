// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { play } from './scenes.js'

test('a copy, and two that are stopped with a fault record', () => {
  const told: string[] = []
  play((line) => told.push(line))
  expect(told).toEqual([])
})
