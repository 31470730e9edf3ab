// SPDX-License-Identifier: Apache-2.0
/**
 * The contract of IOMMU drivers as checks that any driver can be run through (SPEC section 8).
 *
 * Invariant: nothing here knows a test runner: a check gives a result, `assertDriver` throws.
 */
import { attachChecks } from './attach-checks.js'
import { type CheckResult, type DriverCheck, type DriverUnderTest, runCheck } from './check.js'
import { deviceChecks } from './device-checks.js'
import { dmaChecks } from './dma-checks.js'
import { faultChecks } from './fault-checks.js'
import { mapChecks } from './map-checks.js'
import { randomChecks } from './random-check.js'

export { type CheckResult, type DriverCheck, type DriverUnderTest, runCheck } from './check.js'

/** All checks. */
export const driverChecks: readonly DriverCheck[] = [
  ...deviceChecks,
  ...attachChecks,
  ...mapChecks,
  ...randomChecks,
  ...dmaChecks,
  ...faultChecks,
]

/** Runs all checks, each on a machine of its own. */
export function checkDriver(subject: DriverUnderTest): CheckResult[] {
  return driverChecks.map((check) => runCheck(check, subject))
}

/** Runs all checks: an Error that names each that has failed, with what was found. */
export function assertDriver(subject: DriverUnderTest): void {
  const failed = checkDriver(subject).filter(({ outcome }) => outcome === 'failed')
  if (failed.length === 0) return
  const lines = failed.map(({ name, rule, sentence }) => `${name}: ${sentence} (${rule})`)
  throw new Error(`the driver fails ${failed.length} checks\n${lines.join('\n')}`)
}
