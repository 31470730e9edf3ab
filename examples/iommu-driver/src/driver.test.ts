// SPDX-License-Identifier: Apache-2.0
import { checkDriver, driverChecks, runCheck } from '@iommufd/hw-iommu/testing'
import { expect, test } from 'vitest'
import { meadow } from './subject.js'

// One test for each check, as in any test runner.
test.each(driverChecks.map((check) => [check.name, check] as const))('%s', (_name, check) => {
  const { outcome, sentence } = runCheck(check, meadow)
  expect(outcome, sentence).not.toBe('failed')
})

test('what the driver does not offer', () => {
  const results = checkDriver(meadow).filter(({ outcome }) => outcome === 'not offered')
  expect(results.map(({ name }) => name)).toEqual([
    'direct-regions-are-mapped',
    'domain-flags-are-optional',
    'coherency-is-enforced',
    'nested-domain-is-attached',
    'parts-of-frames-are-mapped',
    'pasids-are-kept-apart',
    'dirty-pages-are-reported',
    'page-requests-are-taken',
    'page-requests-of-pasids-are-taken',
  ])
})
