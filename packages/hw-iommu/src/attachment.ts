// SPDX-License-Identifier: Apache-2.0
/**
 * What devices of a group are attached to, without a PASID or for one PASID (SPEC E8, E10).
 *
 * Invariant: the devices of an attachment share its table. Only DMA without a PASID reserves IOVAs:
 * of each device its reserved regions, in the table's address space.
 */
import { type Device, IOMMU_NO_PASID } from './device.js'
import type { IommufdHwpt } from './hwpt.js'
import { DeviceReservation } from './resv-regions.js'

/** Attached devices, each with what it reserves. */
type AttachedDevices = Map<Device, DeviceReservation | undefined>

export class Attachment {
  readonly pasid: number
  #hwpt: IommufdHwpt
  #devices: AttachedDevices = new Map()

  constructor(pasid: number, hwpt: IommufdHwpt) {
    this.pasid = pasid
    this.#hwpt = hwpt
  }

  get hwpt(): IommufdHwpt {
    return this.#hwpt
  }

  /** How many devices are attached. */
  get size(): number {
    return this.#devices.size
  }

  get devices(): IterableIterator<Device> {
    return this.#devices.keys()
  }

  has(dev: Device): boolean {
    return this.#devices.has(dev)
  }

  /** A device joins: 0, or what reserving its regions refuses. */
  add(dev: Device): number {
    const reservation = this.#reserve(this.#hwpt, dev)
    if (typeof reservation === 'number') return reservation
    this.#devices.set(dev, reservation)
    return 0
  }

  remove(dev: Device): void {
    this.#devices.get(dev)?.release()
    this.#devices.delete(dev)
  }

  /** Reserves in another table's address space what the devices need there, or a negative errno. */
  reserveFor(hwpt: IommufdHwpt): AttachedDevices | number {
    if (hwpt.paging.ioas === this.#hwpt.paging.ioas) return this.#devices
    const devices: AttachedDevices = new Map()
    for (const dev of this.#devices.keys()) {
      const reservation = this.#reserve(hwpt, dev)
      if (typeof reservation === 'number') {
        releaseAll(devices)
        return reservation
      }
      devices.set(dev, reservation)
    }
    return devices
  }

  /** The devices do not move after all. */
  giveBack(devices: AttachedDevices): void {
    if (devices !== this.#devices) releaseAll(devices)
  }

  /** The devices have moved to the table that `devices` was reserved for. */
  moveTo(hwpt: IommufdHwpt, devices: AttachedDevices): void {
    if (devices !== this.#devices) releaseAll(this.#devices)
    this.#devices = devices
    this.#hwpt = hwpt
  }

  #reserve(hwpt: IommufdHwpt, dev: Device): DeviceReservation | number | undefined {
    if (this.pasid !== IOMMU_NO_PASID) return undefined
    return DeviceReservation.take(hwpt.paging.ioas.iopt, dev)
  }
}

function releaseAll(devices: AttachedDevices): void {
  for (const reservation of devices.values()) reservation?.release()
}
