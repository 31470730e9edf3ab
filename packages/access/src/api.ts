// SPDX-License-Identifier: Apache-2.0
/**
 * The types of the in-kernel access API (SPEC section 5): what a consumer programs against.
 *
 * Invariant: this file is types and numbers alone. The engine's entry (`@iommufd/access`) and the
 * entry of a kernel without iommufd (`@iommufd/access/disabled`) both have this shape, so a consumer
 * builds against either without a change.
 */

/** Read from the address space. */
export const IOMMUFD_ACCESS_RW_READ = 0
/** Write to the address space. */
export const IOMMUFD_ACCESS_RW_WRITE = 1
/** The caller is a kernel thread: it takes on the mapping process's address space. */
export const IOMMUFD_ACCESS_RW_KTHREAD = 2

/** What an in-kernel user tells the engine about itself. */
export interface IommufdAccessOps<Data = unknown> {
  /** It pins pages: the address space is then aligned to pages, and `unmap` must be there. */
  readonly needs_pin_pages?: boolean
  /**
   * A range is about to be unmapped. Before it returns, the user must have unpinned everything that
   * touches the `length` bytes at `iova`.
   */
  unmap?(data: Data, iova: bigint, length: bigint): void
}
