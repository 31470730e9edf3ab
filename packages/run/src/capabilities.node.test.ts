// SPDX-License-Identifier: Apache-2.0

import { EPERM } from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { Capabilities } from './capabilities.js'

const CAP_IPC_LOCK = 14
const CAP_CHECKPOINT_RESTORE = 40

test('everything is there at first, up to the last capability', () => {
  const capabilities = new Capabilities()
  const has = Array.from({ length: 64 }, (_, cap) => capabilities.has(cap))
  expect(has).toEqual(has.map((_, cap) => cap <= CAP_CHECKPOINT_RESTORE))
})

test('what is given up does not come back', () => {
  const capabilities = new Capabilities()
  const all = capabilities.words.slice()
  const words = all.slice()
  words[0] = ~(1 << CAP_IPC_LOCK)
  expect(capabilities.set(words)).toBe(0)
  expect([capabilities.has(CAP_IPC_LOCK), capabilities.has(13)]).toEqual([false, true])
  expect(capabilities.set(all)).toBe(0)
  expect(capabilities.has(CAP_IPC_LOCK)).toBe(true)
  words[1] = ~(1 << CAP_IPC_LOCK)
  expect(capabilities.set(words)).toBe(0)
  expect(capabilities.set(all)).toBe(-EPERM)
  expect(capabilities.has(CAP_IPC_LOCK)).toBe(false)
})

test('what is effective must be permitted, in both halves', () => {
  const capabilities = new Capabilities()
  const words = Int32Array.of(0, 0, 0, 0x100, 0, 0)
  expect(capabilities.set(words)).toBe(-EPERM)
  expect(capabilities.has(CAP_CHECKPOINT_RESTORE)).toBe(true)
})
