// SPDX-License-Identifier: Apache-2.0
/**
 * A device bound to a context (SPEC section 5, E8, E10, E11).
 *
 * Invariant: a bound device has a user, the driver that bound it, so user space cannot destroy it;
 * its group belongs to the context. What it is attached to changes whole or not at all. Attaching to
 * an IOAS takes the oldest automatic table that fits the device, or makes one.
 */
import { type IommufdCtx, IommufdObject, type ObjectType } from '@iommufd/core'
import { IOAS, type IommufdIoas } from '@iommufd/pages'
import { EINVAL } from '@iommufd/uapi'
import { type Device, IOMMU_NO_PASID } from './device.js'
import {
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_CAP_ENFORCE_CACHE_COHERENCY,
  type IommuOps,
} from './driver.js'
import { autoTables, IommufdHwpt, type IommufdHwptPaging, putHwpt } from './hwpt.js'
import { allocPaging } from './hwpt-paging-alloc.js'
import { IommufdGroup } from './iommufd-group.js'
import {
  DEVICE_NOT_COHERENT,
  DEVICE_WITHOUT_IOMMU,
  INTERRUPTS_NOT_ISOLATED,
  OBJECT_NOT_ATTACHABLE,
  PT_UNKNOWN,
} from './refusals.js'
import type { IommufdVdevice } from './vdevice.js'

export class IommufdDevice extends IommufdObject {
  readonly typeName: string = 'DEVICE'
  readonly ctx: IommufdCtx
  readonly dev: Device
  readonly igroup: IommufdGroup
  /** Whether tables made for this device must make every access coherent. */
  readonly enforcesCoherency: boolean
  readonly #holdsContext: boolean
  /** Its number on a vIOMMU. */
  vdevice: IommufdVdevice | undefined

  private constructor(igroup: IommufdGroup, dev: Device, holdsContext: boolean) {
    super()
    this.ctx = igroup.ctx
    this.igroup = igroup
    this.dev = dev
    this.enforcesCoherency = dev.iommuCapable(IOMMU_CAP_ENFORCE_CACHE_COHERENCY)
    this.#holdsContext = holdsContext
    if (holdsContext) this.ctx.get()
  }

  /**
   * Binds a device, whose group now belongs to the context: the bound device, or -EINVAL, -ENODEV,
   * -EPERM, -EBUSY, -ENOMEM. `holdsContext` false is for binders that end with the context.
   */
  static bind(ctx: IommufdCtx, dev: Device, holdsContext = true): IommufdDevice | number {
    const { engine } = ctx
    const { group } = dev
    if (group === undefined) return engine.refusals.refuse(DEVICE_WITHOUT_IOMMU)
    if (!dev.iommuCapable(IOMMU_CAP_CACHE_COHERENCY)) {
      return engine.refusals.refuse(DEVICE_NOT_COHERENT)
    }
    if (!group.hasIsolatedMsi && !group.iommu.allowUnsafeInterrupts) {
      return engine.refusals.refuse(INTERRUPTS_NOT_ISOLATED)
    }
    const igroup = IommufdGroup.of(ctx, group)
    const claimed = group.claimDmaOwner(dev, igroup)
    if (claimed < 0) return claimed
    const rc = engine.allocate()
    if (rc < 0) {
      group.releaseDmaOwner()
      return rc
    }
    const idev = new IommufdDevice(igroup, dev, holdsContext)
    idev.users = 1
    igroup.bound.set(dev, idev)
    ctx.objects.reserve(idev)
    ctx.objects.finalize(idev)
    return idev
  }

  /** Ends the binding and the virtual device (SPEC section 1); the device must be detached. */
  unbind(): void {
    for (const pasid of this.igroup.pasids(this.dev)) {
      this.ctx.engine.warn(`${this.dev.name} is unbound while it is attached`)
      this.detach(pasid)
    }
    if (this.vdevice !== undefined) this.ctx.objects.tombstone(this.vdevice)
    this.users--
    this.ctx.objects.remove(this)
  }

  override destroy(): void {
    this.igroup.bound.delete(this.dev)
    this.igroup.group.releaseDmaOwner()
    if (this.#holdsContext) this.ctx.put()
  }

  /** The driver of the device's IOMMU. */
  get ops(): IommuOps {
    return this.dev.ops as IommuOps
  }

  /** Attaches to an IOAS or a table: the id of the table, or a negative errno. */
  attach(ptId: number, pasid: number = IOMMU_NO_PASID): number {
    return this.#changeTo(ptId, pasid, false)
  }

  /** Moves from one table to another, with all attached devices of its group: as `attach`. */
  replace(ptId: number, pasid: number = IOMMU_NO_PASID): number {
    return this.#changeTo(ptId, pasid, true)
  }

  isAttached(pasid: number = IOMMU_NO_PASID): boolean {
    return this.igroup.isAttached(this.dev, pasid)
  }

  /** Leaves its table; without one there is nothing to do. */
  detach(pasid: number = IOMMU_NO_PASID): void {
    if (this.isAttached(pasid)) putHwpt(this.ctx, this.igroup.detach(this.dev, pasid))
  }

  #changeTo(ptId: number, pasid: number, isReplace: boolean): number {
    const { ctx } = this
    const { refusals } = ctx.engine
    const object = ctx.objects.get(ptId)
    if (object === undefined) return refusals.refuse(PT_UNKNOWN, ptId)
    if (IOAS.is(object)) return this.#changeToIoas(object, pasid, isReplace)
    if (!(object instanceof IommufdHwpt)) return refusals.refuse(OBJECT_NOT_ATTACHABLE, ptId)
    const rc = this.#change(object, pasid, isReplace)
    return rc < 0 ? rc : object.id
  }

  #change(hwpt: IommufdHwpt, pasid: number, isReplace: boolean): number {
    const { dev, igroup } = this
    return isReplace ? igroup.replace(dev, pasid, hwpt) : igroup.attach(dev, pasid, hwpt)
  }

  #changeToIoas(ioas: IommufdIoas, pasid: number, isReplace: boolean): number {
    const { refusals } = this.ctx.engine
    for (const hwpt of autoTables(ioas)) {
      const rc = this.#change(hwpt, pasid, isReplace)
      if (rc === 0) return hwpt.id
      if (rc !== -EINVAL) return rc
      // This table does not fit the device; the next may.
      refusals.clear()
    }
    return this.#changeToNew(ioas, pasid, isReplace)
  }

  /**
   * Some drivers finish a table only when a device is attached, so a new attachment comes before
   * the table is filled; a device that has a table moves to the new one when that is filled.
   */
  #changeToNew(ioas: IommufdIoas, pasid: number, isReplace: boolean): number {
    const { objects } = this.ctx
    const fill = (made: IommufdHwptPaging): number => this.#fill(made, pasid, isReplace)
    const hwpt = allocPaging(this, ioas, 0, undefined, fill)
    if (typeof hwpt === 'number') return hwpt
    hwpt.isAuto = true
    objects.finalize(hwpt)
    return hwpt.id
  }

  #fill(hwpt: IommufdHwptPaging, pasid: number, isReplace: boolean): number {
    if (isReplace) return hwpt.add() || this.igroup.replace(this.dev, pasid, hwpt)
    const rc = this.igroup.attach(this.dev, pasid, hwpt)
    if (rc < 0) return rc
    const added = hwpt.add()
    if (added < 0) this.detach(pasid)
    return added
  }
}

export const DEVICE: ObjectType<IommufdDevice> = {
  name: 'DEVICE',
  is: (object): object is IommufdDevice => object instanceof IommufdDevice,
}
