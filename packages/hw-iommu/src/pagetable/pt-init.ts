// SPDX-License-Identifier: Apache-2.0
/**
 * Making a page table (SPEC section 9).
 *
 * Invariant: a table that exists has a format, features and a geometry that its format supports, and
 * no page size that would fill the whole address space or more than the output addresses hold.
 */
import { EINVAL, EOPNOTSUPP } from '@iommufd/uapi'
import { levelLg2, type PageTableConfig, type PageTableFormat, type PtFeature } from './format.js'
import { type MayAllocate, PageTable } from './page-table.js'

/**
 * An empty page table; or -EINVAL (address sizes or levels that the format cannot have), -EOPNOTSUPP
 * (features it does not have, or lacks ones that it needs; levels of x86_64 and vtdss).
 * `mayAllocate` is asked before each further table.
 */
export function createPageTable(
  format: PageTableFormat,
  config: PageTableConfig,
  mayAllocate: MayAllocate = () => 0,
): PageTable | number {
  const { maxVaszLg2, maxOaszLg2 } = config
  if (maxVaszLg2 <= 0 || maxVaszLg2 > format.maxVaszLg2 || maxOaszLg2 <= 0) return -EINVAL
  const topLevel = format.topLevelOf(config)
  if (topLevel < 0) return topLevel
  if (maxOaszLg2 > format.maxOaszLg2) return -EINVAL
  if (!config.debugBuild && !hasFeatures(format, config.features)) return -EOPNOTSUPP
  const features = new Set<PtFeature>(config.features)
  const covered = features.has('DYNAMIC_TOP') ? 64 : levelLg2(format, topLevel + 1)
  if (maxVaszLg2 > covered && !format.cutsVasz) return -EOPNOTSUPP
  const vaszLg2 = Math.min(maxVaszLg2, covered)
  // Of a top table that is larger than its address space not even one word would be used.
  if (vaszLg2 < levelLg2(format, topLevel)) return -EINVAL
  const geometry = {
    features,
    topLevel,
    maxVaszLg2: vaszLg2,
    // A page is smaller than half of the address space.
    pageSizes: BigInt.asUintN(Math.min(vaszLg2 - 1, maxOaszLg2), format.pageSizes(features)),
  }
  return new PageTable(format, config, geometry, mayAllocate)
}

function hasFeatures(format: PageTableFormat, features: readonly PtFeature[]): boolean {
  const isKnown = features.every((feature) => format.supported.includes(feature))
  return isKnown && format.required.every((feature) => features.includes(feature))
}
