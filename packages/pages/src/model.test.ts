// SPDX-License-Identifier: Apache-2.0
// SPEC C1-C8, E1-E7: random sequences of calls and in-kernel uses over several address spaces against the naive model of
// test/model.ts: every answer, every area, usable ranges, which page is pinned how often, what is charged, what domains
// hold, every byte that is read or written, and that nothing is left in the end.

import fc from 'fast-check'
import { describe, test } from 'vitest'
import { PAGE } from '../test/harness.js'
import { type Mode, Pair } from '../test/pair.js'
import { anySteps, begin } from '../test/steps.js'

const MODES: Mode[] = [
  { name: 'none', spawn: { uid: 0, rlimitMemlock: 0 }, path: '/dev/iommu' },
  { name: 'user', spawn: { uid: 1000, rlimitMemlock: 4 * PAGE }, path: '/dev/iommu' },
  { name: 'mm', spawn: { uid: 1000, rlimitMemlock: 4 * PAGE }, path: '/dev/vfio/vfio' },
]

describe.each(MODES)('address spaces against the model, accounting mode $name', (mode) => {
  test('same answers, same areas, each page pinned once and charged, nothing left', () => {
    fc.assert(
      fc.property(anySteps, (steps) => {
        const pair = new Pair(mode)
        for (const next of [...begin, ...steps]) {
          pair.run(next)
          pair.compare()
        }
        pair.compareRanges()
        pair.finish()
      }),
      { numRuns: 40 },
    )
  })
})
