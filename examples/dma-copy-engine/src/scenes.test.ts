// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import readme from '../README.md?raw'
import { play } from './scenes.js'

test('a copy, and two that are stopped with a fault record, as the README shows', () => {
  const told: string[] = []
  play((line) => told.push(line))
  const [, shown] = /prints\n\n```\n(.*?)\n```/s.exec(readme) ?? []
  expect(told.join('\n')).toBe(shown)
})
