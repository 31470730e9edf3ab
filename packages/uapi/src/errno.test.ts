// SPDX-License-Identifier: Apache-2.0

import { expect, test } from 'vitest'
import * as uapi from './index.js'

test('1 to 133 without 41 and 58, ascending', () => {
  const all = Array.from({ length: 133 }, (_, i) => i + 1).filter((n) => n !== 41 && n !== 58)
  expect(uapi.errnos.map((info) => info.errno)).toEqual(all)
  expect(new Set(uapi.errnos.map((info) => info.text)).size).toBe(131)
})

test('names are those of the constants', () => {
  const constants = uapi as unknown as Readonly<Record<string, unknown>>
  for (const { errno, name } of uapi.errnos) expect(constants[name], name).toBe(errno)
})

test('spot checks: what the recordings answer', () => {
  expect([uapi.ENOENT, uapi.ENOTTY, uapi.EMSGSIZE, uapi.EBADFD, uapi.EOPNOTSUPP]).toEqual([
    2, 25, 90, 77, 95,
  ])
  expect([uapi.EWOULDBLOCK, uapi.EDEADLOCK]).toEqual([uapi.EAGAIN, uapi.EDEADLK])
})

test('errnoName and errnoText take either sign', () => {
  expect([uapi.errnoName(22), uapi.errnoName(-22)]).toEqual(['EINVAL', 'EINVAL'])
  expect(uapi.errnoText(-77)).toBe('File descriptor in bad state')
  expect([uapi.errnoName(-41), uapi.errnoText(41)]).toEqual(['errno 41', 'Unknown error 41'])
})
