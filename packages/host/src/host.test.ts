// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { File, FMODE_READ, FMODE_WRITE } from './host.js'

test('the last put releases the file, once', () => {
  let released = 0
  const file = new File('thing', { release: () => released++ })
  expect(file.mode).toBe(FMODE_READ | FMODE_WRITE)
  expect(file.get()).toBe(file)
  file.put()
  expect(released).toBe(0)
  file.put()
  expect(released).toBe(1)
  expect(() => file.put()).toThrow('put of thing, which has been released')
  expect(() => file.get()).toThrow('get of thing, which has been released')
  expect(released).toBe(1)
})
