// SPDX-License-Identifier: Apache-2.0
// SPEC L8: random maps, copies, unmaps, revocations and domains of dma-bufs in several address spaces against the naive
// model of test/dma-buf-model.ts: every answer, what every domain holds, who is attached, and that nothing is left.

import fc from 'fast-check'
import { test } from 'vitest'
import { BUFFER_PAGES, BUFFERS, DmaBufModel, IOVA_PAGES, SPACES } from '../test/dma-buf-model.js'

type Step = (model: DmaBufModel) => void

const space = fc.nat(SPACES - 1)
const buffer = fc.nat(BUFFERS - 1)
const page = fc.nat(IOVA_PAGES - 1)
const inside = fc.nat(BUFFER_PAGES - 1)
const npages = fc.integer({ min: 1, max: BUFFER_PAGES })
const some = fc.nat(20)

const mapping = fc.tuple(space, buffer, inside, npages, page)
const steps: fc.Arbitrary<Step>[] = [
  mapping.map((args) => (model) => model.map(...args)),
  mapping.map((args) => (model) => model.map(...args)),
  fc.tuple(some, inside, space, page).map((args) => (model) => model.copy(...args)),
  fc.tuple(some, inside, space, page).map((args) => (model) => model.copy(...args)),
  some.map((n) => (model) => model.unmap(n)),
  fc.tuple(buffer, fc.boolean()).map((args) => (model) => model.revoke(...args)),
  space.map((which) => (model) => model.addDomain(which)),
  fc.tuple(space, some).map((args) => (model) => model.removeDomain(...args)),
]

test('L8: domains hold what is mapped of dma-bufs and not revoked', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(...steps), { minLength: 10, maxLength: 60 }), (sequence) => {
      const model = new DmaBufModel()
      for (const step of sequence) {
        step(model)
        model.compare()
      }
      model.finish()
    }),
    { numRuns: 60 },
  )
})
