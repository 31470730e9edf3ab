// SPDX-License-Identifier: Apache-2.0
//
// L7, section 8: random attaching, detaching, reports, reads and responses against the naive model of test/iopf-model.ts:
// nothing is lost, and every group is answered exactly once.

import fc from 'fast-check'
import { test } from 'vitest'
import { IopfModel, TABLES } from '../test/iopf-model.js'

type Step = (model: IopfModel) => void

const device = fc.nat(1)
const queue = fc.nat(1)
const pasid = fc.nat(1)
const grpid = fc.nat(2)
const attach = fc.tuple(device, pasid, fc.nat(TABLES - 1))
const report = fc.tuple(device, pasid, grpid, fc.boolean())
const respond = fc.tuple(queue, fc.integer({ min: 0, max: 4 }), fc.nat(1))

const steps: fc.Arbitrary<Step>[] = [
  attach.map((args) => (model) => model.attach(...args)),
  fc.tuple(device, pasid).map((args) => (model) => model.detach(...args)),
  report.map((args) => (model) => model.report(...args)),
  report.map((args) => (model) => model.report(...args)),
  report.map((args) => (model) => model.report(...args)),
  fc.tuple(queue, fc.nat(5)).map((args) => (model) => model.read(...args)),
  respond.map((args) => (model) => model.respond(...args)),
]

test('L7: page faults against a model', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(...steps), { minLength: 20, maxLength: 80 }), (sequence) => {
      const model = new IopfModel()
      for (const [of, table] of [
        [0, 0],
        [1, 2],
      ] as const) {
        model.attach(of, 0, table)
      }
      for (const step of sequence) {
        step(model)
        model.compare()
      }
      model.finish()
    }),
    { numRuns: 150 },
  )
})
