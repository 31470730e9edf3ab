// SPDX-License-Identifier: Apache-2.0
//
// The record of the last refusal, and the sentence that is made of it.

import { EINVAL } from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { type RefusalSite, Refusals } from './refusal.js'

const SITE: RefusalSite = {
  id: 'TEST_SITE',
  errno: EINVAL,
  spec: 'F5',
  operands: { address: 'u64', count: 'u32', delta: 's32', bits: 'flags', last: 'u64' },
  sentence: '{count} at {address} to {last} ({delta}, {bits}); {count} again',
  remedy: 'use {bits}, not {unknown}',
}

test('a refusal is a number at first, and explained when asked', () => {
  const refusals = new Refusals()
  expect([refusals.last, refusals.site]).toEqual([undefined, undefined])
  expect(refusals.refuse(SITE, -1, -4096, -1, -1, -1, 0, 16)).toBe(-EINVAL)
  expect(refusals.site).toBe(SITE)
  expect(refusals.last).toEqual({
    id: 'TEST_SITE',
    errno: EINVAL,
    errnoName: 'EINVAL',
    spec: 'F5',
    sentence: '4294967295 at 0xfffffffffffff000 to 0x10 (-1, 0xffffffff); 4294967295 again',
    remedy: 'use 0xffffffff, not {unknown}',
    operands: {
      address: 0xffff_ffff_ffff_f000n,
      count: 0xffffffff,
      delta: -1,
      bits: 0xffffffff,
      last: 16n,
    },
  })
})

test('operands not given are 0', () => {
  const refusals = new Refusals()
  refusals.refuse(SITE, 1, 2, 3, 4, 5, 6, 7)
  refusals.refuse(SITE)
  expect(refusals.last?.operands).toEqual({ address: 0n, count: 0, delta: 0, bits: 0, last: 0n })
})

test('only the last one is kept, until it is cleared', () => {
  const refusals = new Refusals()
  refusals.refuse(SITE, 1)
  refusals.refuse({ ...SITE, id: 'OTHER' })
  const kept = refusals.last
  expect(kept?.id).toBe('OTHER')
  refusals.clear()
  expect([refusals.last, refusals.site]).toEqual([undefined, undefined])
  expect(kept?.id).toBe('OTHER')
})
