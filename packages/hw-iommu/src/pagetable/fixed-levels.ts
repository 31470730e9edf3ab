// SPDX-License-Identifier: Apache-2.0
/**
 * What x86_64 and vtdss share: a top level that is chosen once, and pages of 4 KiB, 2 MiB and 1 GiB.
 *
 * Invariant: none of its own.
 */
import { EOPNOTSUPP } from '@iommufd/uapi'
import type { PageTableConfig } from './format.js'

export const SIZES_4K_2M_1G: bigint = (1n << 12n) | (1n << 21n) | (1n << 30n)

/** The top level, in `lowest` to 4, or -EOPNOTSUPP for another. */
export function fixedTopLevel(config: PageTableConfig, lowest: number): number {
  const level = config.topLevel ?? -1
  return level < lowest || level > 4 ? -EOPNOTSUPP : level
}
