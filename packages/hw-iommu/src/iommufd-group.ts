// SPDX-License-Identifier: Apache-2.0
/**
 * A group as one context sees it: which of its devices are attached, to which table (SPEC E8, E10).
 *
 * Invariant: the attached devices of a group share one table, of which each is a user, and each has
 * its reserved regions in that table's address space. The hardware is attached with the first device
 * and detached with the last. A refused call leaves devices, tables and reservations as they were.
 */
import type { IommufdCtx } from '@iommufd/core'
import type { IoPagetable } from '@iommufd/pages'
import type { Device } from './device.js'
import { type IommufdHwpt, putHwpt } from './hwpt.js'
import type { IommuGroup } from './iommu-group.js'
import { DEVICE_ATTACHED_ALREADY, DEVICE_NOT_ATTACHED, GROUP_HAS_OTHER_HWPT } from './refusals.js'
import { DeviceReservation } from './resv-regions.js'

export class IommufdGroup {
  readonly ctx: IommufdCtx
  readonly group: IommuGroup
  #hwpt: IommufdHwpt | undefined
  #attached = new Map<Device, DeviceReservation>()

  private constructor(ctx: IommufdCtx, group: IommuGroup) {
    this.ctx = ctx
    this.group = group
  }

  /** What `ctx` knows of the group: the owner that it is already, or a new one. */
  static of(ctx: IommufdCtx, group: IommuGroup): IommufdGroup {
    const { owner } = group
    return owner instanceof IommufdGroup && owner.ctx === ctx ? owner : new IommufdGroup(ctx, group)
  }

  /** The table that the attached devices use; undefined while none is attached. */
  get hwpt(): IommufdHwpt | undefined {
    return this.#hwpt
  }

  isAttached(dev: Device): boolean {
    return this.#attached.has(dev)
  }

  /** Attaches a device: 0, -EBUSY, -EINVAL, -EADDRINUSE, -ENOMEM, or the driver's answer. */
  attach(dev: Device, hwpt: IommufdHwpt): number {
    const { engine } = this.ctx
    if (this.isAttached(dev)) return engine.refusals.refuse(DEVICE_ATTACHED_ALREADY)
    if (this.#hwpt !== undefined && this.#hwpt !== hwpt) {
      return engine.refusals.refuse(GROUP_HAS_OTHER_HWPT, this.#hwpt.id)
    }
    const rc = engine.allocate()
    if (rc < 0) return rc
    const reservation = DeviceReservation.take(hwpt.paging.ioas.iopt, dev)
    if (typeof reservation === 'number') return reservation
    const attached = this.#hwpt === undefined ? this.group.attach(hwpt.domain) : 0
    if (attached < 0) {
      reservation.release()
      return attached
    }
    this.#hwpt = hwpt
    this.#attached.set(dev, reservation)
    hwpt.users++
    return 0
  }

  /** Detaches an attached device; the caller has to put the table that is given back. */
  detach(dev: Device): IommufdHwpt {
    const hwpt = this.#hwpt as IommufdHwpt
    const reservation = this.#attached.get(dev)
    this.#attached.delete(dev)
    if (this.#attached.size === 0) {
      this.group.detach()
      this.#hwpt = undefined
    }
    reservation?.release()
    return hwpt
  }

  /** Moves all attached devices, `dev` among them, to another table: 0 or a negative errno. */
  replace(dev: Device, hwpt: IommufdHwpt): number {
    const { refusals } = this.ctx.engine
    const old = this.#hwpt
    if (old === undefined || !this.isAttached(dev)) return refusals.refuse(DEVICE_NOT_ATTACHED)
    if (old === hwpt) return 0
    const { iopt } = hwpt.paging.ioas
    const reservations = iopt === old.paging.ioas.iopt ? this.#attached : this.#reserveIn(iopt)
    if (typeof reservations === 'number') return reservations
    const rc = this.group.replace(hwpt.domain)
    if (rc < 0) {
      if (reservations !== this.#attached) releaseAll(reservations)
      return rc
    }
    if (reservations !== this.#attached) releaseAll(this.#attached)
    this.#attached = reservations
    this.#hwpt = hwpt
    this.#moveUsers(old, hwpt)
    return 0
  }

  #moveUsers(old: IommufdHwpt, hwpt: IommufdHwpt): void {
    const count = this.#attached.size
    hwpt.users += count
    old.users -= count - 1
    putHwpt(this.ctx, old)
  }

  /** What the attached devices reserve, in another address space, or a negative errno. */
  #reserveIn(iopt: IoPagetable): Map<Device, DeviceReservation> | number {
    const reservations = new Map<Device, DeviceReservation>()
    for (const dev of this.#attached.keys()) {
      const reservation = DeviceReservation.take(iopt, dev)
      if (typeof reservation === 'number') {
        releaseAll(reservations)
        return reservation
      }
      reservations.set(dev, reservation)
    }
    return reservations
  }
}

function releaseAll(reservations: ReadonlyMap<Device, DeviceReservation>): void {
  for (const reservation of reservations.values()) reservation.release()
}
