// SPDX-License-Identifier: Apache-2.0
//
// The numbers of fault points, alone and in the calls of the bare core.

import { IOMMU_IOAS_ALLOC, iommu_ioas_alloc } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { boot, ioctl, why } from '../test/harness.js'
import { FaultPoints } from './fault-points.js'

describe('FaultPoints', () => {
  test('the n-th point from arming on fails, once', () => {
    const faults = new FaultPoints()
    faults.hit()
    faults.arm(3)
    expect([faults.passed, faults.fired]).toEqual([0, false])
    expect([faults.hit(), faults.hit(), faults.fired]).toEqual([false, false, false])
    expect([faults.hit(), faults.fired, faults.passed]).toEqual([true, true, 3])
    expect([faults.hit(), faults.fired, faults.passed]).toEqual([false, true, 4])
  })

  test('arming again counts from the beginning, disarming lets everything pass', () => {
    const faults = new FaultPoints()
    faults.arm(1)
    expect(faults.hit()).toBe(true)
    faults.arm(1)
    expect(faults.fired).toBe(false)
    expect(faults.hit()).toBe(true)
    faults.disarm()
    expect([faults.hit(), faults.passed, faults.fired]).toEqual([false, 1, false])
  })

  test('n counts from 1', () => {
    const faults = new FaultPoints()
    for (const n of [0, -1, 1.5, Number.NaN]) expect(() => faults.arm(n)).toThrow(RangeError)
  })
})

describe('in a call', () => {
  test('each copy of the struct is a point, in order: size, struct, answer', () => {
    const booted = boot()
    const { engine, ctx } = booted
    const answers: string[] = []
    for (let n = 1; ; n++) {
      engine.faults.arm(n)
      const { ret } = ioctl(booted, IOMMU_IOAS_ALLOC, iommu_ioas_alloc, {})
      answers.push(why(engine, ret))
      if (!engine.faults.fired) break
      expect(engine.refusals.last?.operands).toEqual({ point: n })
      expect(ctx.objects.isEmpty).toBe(true)
    }
    const failed = 'EFAULT INJECTED_EFAULT'
    expect(answers).toEqual([failed, failed, failed, '0'])
  })

  test('the same calls pass the same points', () => {
    const counts = [0, 1].map(() => {
      const booted = boot()
      booted.engine.faults.disarm()
      for (let i = 0; i < 5; i++) ioctl(booted, IOMMU_IOAS_ALLOC, iommu_ioas_alloc, {})
      return booted.engine.faults.passed
    })
    expect(counts).toEqual([15, 15])
  })

  test('an allocation that fails is ENOMEM', () => {
    const { engine } = boot()
    engine.faults.arm(1)
    expect(why(engine, engine.allocate())).toBe('ENOMEM INJECTED_ENOMEM')
    expect(engine.allocate()).toBe(0)
  })
})
