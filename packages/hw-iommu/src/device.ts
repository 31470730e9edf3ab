// SPDX-License-Identifier: Apache-2.0
/**
 * A device that does DMA (SPEC section 8).
 *
 * Invariant: `ops` and `group` are set together, from `Iommu.addDevice` to `Iommu.removeDevice`.
 * Drivers keep what they know of a device in a class of their own that extends this one.
 */
import type { IommuOps, IommuResvRegion } from './driver.js'
import type { IommuGroup } from './iommu-group.js'
import type { DeviceIopf } from './iopf-queue.js'

/** The PASID that stands for DMA without one. */
export const IOMMU_NO_PASID = 0

export interface DeviceOptions {
  /**
   * Whether the platform lets the device raise only interrupts that were set up for it. Default
   * true; without it a device can be bound only where unsafe interrupts are allowed.
   */
  readonly isolatedMsi?: boolean
  /**
   * Whether it is a virtual function of PCI that asks for pages through what it shares with the
   * others (PRI), so that a refused request would harm them. Default false.
   */
  readonly sharesPri?: boolean
}

export class Device {
  readonly name: string
  readonly isolatedMsi: boolean
  readonly sharesPri: boolean
  /** The driver of its IOMMU, undefined while it has none. */
  ops: IommuOps | undefined
  /** Devices that its IOMMU cannot tell apart from it. */
  group: IommuGroup | undefined
  /**
   * The device can mark its DMA with PASIDs below this number; 0: with none. Known before its driver
   * has taken it.
   */
  maxPasids = 0
  /** IOMMU_HW_CAP_PCI_PASID_*: what it can ask for with a PASID beside reading and writing. */
  pasidCapabilities = 0
  /** The pages that it has asked for; undefined until a domain that handles such requests is used. */
  iopf: DeviceIopf | undefined

  constructor(name: string, options: DeviceOptions = {}) {
    this.name = name
    this.isolatedMsi = options.isolatedMsi ?? true
    this.sharesPri = options.sharesPri ?? false
  }

  /** Whether its IOMMU has the capability, IOMMU_CAP_*. */
  iommuCapable(cap: number): boolean {
    return this.ops?.capable(this, cap) ?? false
  }

  /** The IOVAs that it reserves. */
  get resvRegions(): readonly IommuResvRegion[] {
    return this.ops?.getResvRegions?.(this) ?? []
  }
}
