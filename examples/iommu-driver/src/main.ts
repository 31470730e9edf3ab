// SPDX-License-Identifier: Apache-2.0
/** Runs the driver through the checks of `@iommufd/hw-iommu/testing` and prints what they say. */
import { checkDriver } from '@iommufd/hw-iommu/testing'
import { meadow } from './subject.js'

const results = checkDriver(meadow)
for (const { name, outcome, sentence } of results) {
  console.log(`${outcome.padEnd(12)} ${name}${sentence === '' ? '' : `: ${sentence}`}`)
}
const failed = results.filter(({ outcome }) => outcome === 'failed').length
console.log(`${results.length} checks, ${failed} failed`)
if (failed > 0) process.exitCode = 1
