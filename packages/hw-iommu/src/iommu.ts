// SPDX-License-Identifier: Apache-2.0
/**
 * The IOMMUs of a machine: drivers, and the devices that they serve (SPEC section 8).
 *
 * Invariant: a device belongs to the first registered driver that takes it, and to one group; or,
 * after a refusal, to none.
 */
import type { Iommufd } from '@iommufd/core'
import { ENODEV } from '@iommufd/uapi'
import type { Device } from './device.js'
import type { IommuOps } from './driver.js'
import { refuseForDriver } from './driver-refusal.js'
import { DEVICE_WITHOUT_IOMMU } from './refusals.js'

export interface IommuOptions {
  /**
   * iommufd's module parameter: bind devices whose interrupts are not isolated, which lets whoever
   * has such a device raise interrupts of the host. Default false.
   */
  readonly allowUnsafeInterrupts?: boolean
}

export class Iommu {
  readonly engine: Iommufd
  readonly allowUnsafeInterrupts: boolean
  readonly #drivers: IommuOps[] = []

  constructor(engine: Iommufd, options: IommuOptions = {}) {
    this.engine = engine
    this.allowUnsafeInterrupts = options.allowUnsafeInterrupts ?? false
  }

  registerDriver(ops: IommuOps): void {
    this.#drivers.push(ops)
  }

  /** Gives the device a driver and a group: 0, -ENODEV when no driver takes it, or its errno. */
  addDevice(dev: Device): number {
    for (const ops of this.#drivers) {
      const rc = ops.probeDevice(dev)
      if (rc === -ENODEV) continue
      return rc < 0 ? refuseForDriver(this.engine, ops, rc) : this.#join(dev, ops)
    }
    return this.engine.refusals.refuse(DEVICE_WITHOUT_IOMMU)
  }

  /** The device is gone; it must not be bound. */
  removeDevice(dev: Device): void {
    dev.group?.remove(dev)
    this.#release(dev)
  }

  #join(dev: Device, ops: IommuOps): number {
    dev.ops = ops
    dev.group = ops.deviceGroup(dev)
    const rc = dev.group.add(dev, ops)
    if (rc < 0) this.#release(dev)
    return rc
  }

  #release(dev: Device): void {
    dev.ops?.releaseDevice?.(dev)
    dev.ops = undefined
    dev.group = undefined
  }
}
