// SPDX-License-Identifier: Apache-2.0
/** A row of the table of differences between vfio_iommu_type1 and an iommufd (SPEC section 6). */

/** One thing that was done on both sides, and what came out. The row's test does it. */
export interface DifferenceCase {
  readonly what: string
  readonly type1: string
  readonly iommufd: string
}

export interface DifferenceRow {
  /** `V1` to `V33`. */
  readonly row: string
  readonly situation: string
  /** What changes for a program that moves from type 1 to an iommufd. */
  readonly change: string
  /** What to do about it. */
  readonly remedy: string
  readonly cases: readonly DifferenceCase[]
}
