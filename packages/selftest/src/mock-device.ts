// SPDX-License-Identifier: Apache-2.0
/**
 * A device that does nothing but be attached and, when told to, ask for a page (SPEC section 10).
 *
 * Invariant: for IOMMU_TEST_PASID_RESERVED every second table is refused, so that undoing can be
 * tested; blocking it never is. Its page requests are taken while one of its tables handles them.
 */
import { type AttachableDomain, Device, type IopfQueue } from '@iommufd/hw-iommu'
import {
  IOMMU_TEST_PASID_RESERVED,
  MOCK_FLAGS_DEVICE_NO_DIRTY,
  MOCK_FLAGS_DEVICE_PASID,
  MOCK_PASID_WIDTH,
} from '@iommufd/uapi'

export class MockDevice extends Device {
  /** Whether its IOMMU can record which pages it writes. */
  readonly tracksDirty: boolean
  /** Where its page requests go; its driver's. */
  iopfQueue: IopfQueue | undefined
  #refusesNext = false

  /** `flags`: MOCK_FLAGS_DEVICE_*. */
  constructor(name: string, flags: number) {
    super(name)
    this.tracksDirty = (flags & MOCK_FLAGS_DEVICE_NO_DIRTY) === 0
    if ((flags & MOCK_FLAGS_DEVICE_PASID) !== 0) this.maxPasids = 2 ** MOCK_PASID_WIDTH
  }

  /** Whether a table for the PASID is taken now. */
  takesTable(pasid: number): boolean {
    if (pasid !== IOMMU_TEST_PASID_RESERVED) return true
    this.#refusesNext = !this.#refusesNext
    return this.#refusesNext
  }

  /** Uses `next` in place of `old`, with or without a PASID: 0, or -ENOMEM. */
  changeDomain(next: AttachableDomain, old: AttachableDomain | undefined): number {
    return this.iopfQueue?.move(this, next, old) ?? 0
  }

  /** The PASID is blocked. */
  blockPasid(pasid: number): void {
    if (pasid === IOMMU_TEST_PASID_RESERVED) this.#refusesNext = false
  }
}
