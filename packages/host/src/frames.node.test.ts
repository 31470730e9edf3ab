// SPDX-License-Identifier: Apache-2.0
// Not in a browser: a page may not be given 4 GiB, though none of it is touched.
import { ENOMEM } from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { Frames } from './frames.js'

test('4 GiB can be had but for the stage and the zero frame', () => {
  const frames = new Frames(2 ** 20)
  while (frames.allocate(true) > 0);
  expect(frames.allocate(true)).toBe(-ENOMEM)
  expect(frames.inUse).toBe(2 ** 20 - 16 - 1)
})
