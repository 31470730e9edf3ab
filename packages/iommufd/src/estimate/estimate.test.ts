// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { measure } from '../../test/estimate-world.js'
import { estimate } from './estimate.js'
import {
  type Accounting,
  type AddressSpaces,
  type BackEnd,
  type Setup,
  setupOf,
  setupProblem,
} from './setup.js'

const NO_LIMIT = Number.POSITIVE_INFINITY

/** Every combination of what changes the result, small enough to be set up. */
function* setups(): Generator<Setup> {
  for (const backEnd of ['type1', 'iommufd', 'vfio-compat'] as BackEnd[]) {
    for (const accounting of ['user', 'process', 'none'] as Accounting[]) {
      for (const addressSpaces of ['shared', 'each', 'copy'] as AddressSpaces[]) {
        for (const [devices, processes, users] of [
          [1, 1, 1],
          [3, 1, 1],
          [2, 3, 2],
        ] as const) {
          const counts = { devices, processes, users }
          const setup = setupOf({ memory: 21000n, backEnd, accounting, addressSpaces, ...counts })
          if (setupProblem(setup) === undefined) yield setup
        }
      }
    }
  }
}

const name = ({ backEnd, accounting, addressSpaces, devices, processes }: Setup): string =>
  `${backEnd}, ${accounting}, ${addressSpaces}, ${devices} devices, ${processes} processes`

describe('E5, V16 the estimate is what the machine counts', () => {
  test.each([...setups()].map((setup) => [name(setup), setup] as const))('%s', (_, setup) => {
    const told = estimate(setup)
    expect(measure(setup, NO_LIMIT)).toEqual({
      refused: false,
      vmPin: Number(told.vmPin),
      vmLck: Number(told.vmLck),
      perUser: Number(told.perUser),
    })
    if (told.limit === undefined) expect(measure(setup, 0).refused).toBe(false)
    else {
      expect(measure(setup, Number(told.limit)).refused).toBe(false)
      expect(measure(setup, Number(told.limit) - 4096).refused).toBe(true)
    }
  })

  test('memory of large pages is rounded up to them and counted in small ones', () => {
    const setup = setupOf({ memory: 3n << 20n, pageSize: 2n << 20n })
    const told = estimate(setup)
    expect(told.perProcess).toBe(4n << 20n)
    expect(measure(setup, NO_LIMIT).vmPin).toBe(4 << 20)
  })
})

test('what cannot be set up is refused, with the field', () => {
  const field = (given: Partial<Setup>) => setupProblem(setupOf({ memory: 1n, ...given }))?.field
  expect(field({})).toBe(undefined)
  expect(field({ devices: 0 })).toBe('devices')
  expect(field({ users: 1.5 })).toBe('users')
  expect(field({ memory: 0n })).toBe('memory')
  expect(field({ pageSize: 3000n })).toBe('pageSize')
  expect(field({ pageSize: 12288n })).toBe('pageSize')
  expect(field({ backEnd: 'type1', accounting: 'user' })).toBe('accounting')
  expect(field({ backEnd: 'vfio-compat', addressSpaces: 'copy' })).toBe('addressSpaces')
})
