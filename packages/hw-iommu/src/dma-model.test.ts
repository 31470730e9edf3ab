// SPDX-License-Identifier: Apache-2.0
//
// SPEC section 8, E4: random maps, unmaps, reads and writes of two devices, a program and an in-kernel user against the
// naive model of test/dma-model.ts: every byte, every fault record, nothing left.

import fc from 'fast-check'
import { describe, test } from 'vitest'
import { DmaModel, IOVA_PAGES, MEMORY_PAGES } from '../test/dma-model.js'
import { PAGE, READ, WRITE } from '../test/dma-world.js'

type Step = (model: DmaModel) => void

const page = fc.nat(IOVA_PAGES - 1)
const memory = fc.nat(MEMORY_PAGES - 1)
const some = fc.integer({ min: 1, max: 5 })
const value = fc.integer({ min: 1, max: 255 })
const device = fc.nat(1)
const prot = fc.constantFrom(READ | WRITE, READ | WRITE, READ, WRITE)
const place = fc.nat((IOVA_PAGES + 1) * PAGE)
const length = fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 4 * PAGE }))

const steps: fc.Arbitrary<Step>[] = [
  fc.tuple(page, memory, some, prot).map((args) => (model) => model.map(...args)),
  fc.tuple(page, memory, some, prot).map((args) => (model) => model.map(...args)),
  page.map((which) => (model) => model.unmap(which)),
  fc.tuple(device, place, length, value).map((args) => (model) => model.deviceWrites(...args)),
  fc.tuple(device, place, length).map((args) => (model) => model.deviceReads(...args)),
  fc.tuple(memory, value).map((args) => (model) => model.programWrites(...args)),
  memory.map((at) => (model) => model.programReplaces(at)),
  fc.tuple(page, some).map((args) => (model) => model.pin(...args)),
  page.map((which) => (model) => model.unpin(which)),
]

describe.each(['amdv1_mock', 'vtdss'] as const)(
  'section 8, E4: DMA against a model, %s',
  (format) => {
    test('same bytes, same faults, nothing left', () => {
      fc.assert(
        fc.property(fc.array(fc.oneof(...steps), { minLength: 20, maxLength: 60 }), (sequence) => {
          const model = new DmaModel(format)
          for (const step of sequence) {
            step(model)
            model.compare()
          }
          model.finish()
        }),
        { numRuns: 40 },
      )
    })
  },
)
