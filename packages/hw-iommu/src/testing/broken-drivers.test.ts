// SPDX-License-Identifier: Apache-2.0
//
// SPEC section 8: a driver that breaks the contract is caught by the check that is meant for it.

import { expect, test } from 'vitest'
import { brokenDrivers } from '../../test/broken-drivers.js'
import { tableDriver } from '../../test/table-driver.js'
import { assertDriver, driverChecks, runCheck } from './index.js'

const right = tableDriver('vtdss')

test.each(Object.entries(brokenDrivers))('a driver is caught: %s', (_name, [wanted, subject]) => {
  const check = driverChecks.find(({ name }) => name === wanted)
  if (check === undefined) throw new Error(`there is no check ${wanted}`)
  expect(runCheck(check, right)).toMatchObject({ outcome: 'passed', sentence: '' })
  const { outcome, sentence } = runCheck(check, subject)
  expect(outcome).toBe('failed')
  expect(sentence).toMatch(/[a-z]{3}/)
})

test('an unmap that leaves a page is told with addresses and numbers', () => {
  const [, subject] = brokenDrivers['unmaps too little'] as (typeof brokenDrivers)[string]
  expect(() => assertDriver(subject)).toThrow(
    /unmap-is-exact: unmap of 163840 bytes at 0x200000 answers 159744, which should be all/,
  )
})

test('a stale translation is told with its IOVA', () => {
  const [, subject] = brokenDrivers['no flush'] as (typeof brokenDrivers)[string]
  const check = driverChecks.find(({ name }) => name === 'unmapped-memory-is-flushed')
  expect(check && runCheck(check, subject).sentence).toMatch(
    /^a device still reads memory at 0x[0-9a-f]+ after it was unmapped$/,
  )
})
