// SPDX-License-Identifier: Apache-2.0
/** A device that does nothing but be attached (SPEC section 10). */
import { Device } from '@iommufd/hw-iommu'
import { MOCK_FLAGS_DEVICE_NO_DIRTY } from '@iommufd/uapi'

export class MockDevice extends Device {
  /** Whether its IOMMU can record which pages it writes. */
  readonly tracksDirty: boolean

  /** `flags`: MOCK_FLAGS_DEVICE_*. */
  constructor(name: string, flags: number) {
    super(name)
    this.tracksDirty = (flags & MOCK_FLAGS_DEVICE_NO_DIRTY) === 0
  }
}
