// SPDX-License-Identifier: Apache-2.0
/**
 * What differs between vfio_iommu_type1 and an iommufd, row by row (SPEC section 6, V1 to V33).
 *
 * Invariant: data alone. Every case of every row is done on both sides by a test of this package,
 * which compares what comes out with what stands here; docs/type1-differences.md is made of it.
 */
import { information } from './differences/information.js'
import { mapping } from './differences/mapping.js'
import type { DifferenceRow } from './differences/row.js'
import { settingUp } from './differences/setting-up.js'
import { unmapping } from './differences/unmapping.js'

export type { DifferenceCase, DifferenceRow } from './differences/row.js'

/** The rows in order, V1 first. */
export const type1Differences: readonly DifferenceRow[] = [
  ...settingUp,
  ...mapping,
  ...unmapping,
  ...information,
].sort((a, b) => Number(a.row.slice(1)) - Number(b.row.slice(1)))
