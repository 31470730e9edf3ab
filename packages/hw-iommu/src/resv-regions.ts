// SPDX-License-Identifier: Apache-2.0
/**
 * What a device reserves in the address space that it is attached to (SPEC E8).
 *
 * Invariant: while a device is attached, nothing is mapped, allowed or can be mapped where its
 * reserved regions are, but for the relaxable ones. A reservation is whole or refused.
 */
import { hiOf, loOf } from '@iommufd/core'
import type { IoPagetable } from '@iommufd/pages'
import type { Device } from './device.js'
import {
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_MSI,
  IOMMU_RESV_SW_MSI,
  type IommuResvRegion,
} from './driver.js'
import { MSI_REGIONS_CONTRADICT } from './refusals.js'

export class DeviceReservation {
  readonly iopt: IoPagetable
  readonly #regions: readonly IommuResvRegion[]

  /** Use `take`. */
  private constructor(iopt: IoPagetable, regions: readonly IommuResvRegion[]) {
    this.iopt = iopt
    this.#regions = regions
  }

  /** Reserves what `dev` needs: -EADDRINUSE where something is mapped or allowed, -EINVAL, -ENOMEM. */
  static take(iopt: IoPagetable, dev: Device): DeviceReservation | number {
    const regions = dev.resvRegions.filter(({ type }) => type !== IOMMU_RESV_DIRECT_RELAXABLE)
    const ofType = (type: number): number => regions.filter((region) => region.type === type).length
    const software = ofType(IOMMU_RESV_SW_MSI)
    if (software > 1 || (software > 0 && ofType(IOMMU_RESV_MSI) > 0)) {
      iopt.engine.warn(`${dev.name} has reserved regions for interrupts that contradict each other`)
      return iopt.engine.refusals.refuse(MSI_REGIONS_CONTRADICT)
    }
    for (const [done, region] of regions.entries()) {
      const rc = reserve(iopt, region)
      if (rc === 0) continue
      new DeviceReservation(iopt, regions.slice(0, done)).release()
      return rc
    }
    return new DeviceReservation(iopt, regions)
  }

  release(): void {
    for (const { start, length } of this.#regions) {
      const last = start + length - 1n
      this.iopt.unreserve(hiOf(start), loOf(start), hiOf(last), loOf(last))
    }
  }
}

function reserve(iopt: IoPagetable, { start, length }: IommuResvRegion): number {
  const last = start + length - 1n
  return iopt.reserve(hiOf(start), loOf(start), hiOf(last), loOf(last))
}

/** Where the window lies in which software maps interrupt pages for the devices of a group. */
export function softwareMsiWindow(devices: readonly Device[]): bigint | undefined {
  return devices
    .flatMap(({ resvRegions }) => resvRegions)
    .find(({ type }) => type === IOMMU_RESV_SW_MSI)?.start
}
