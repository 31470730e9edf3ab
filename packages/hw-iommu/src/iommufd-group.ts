// SPDX-License-Identifier: Apache-2.0
/**
 * A group as one context sees it: which of its devices are attached, to which tables (SPEC E8, E10).
 *
 * Invariant: for each PASID the attached devices of a group share one table, of which each is a user.
 * The hardware is attached with the first device and detached with the last. While a PASID is
 * attached, every table of the group is made for use with PASIDs. A refused call leaves devices,
 * tables and reservations as they were.
 */
import type { IommufdCtx, IommufdObject } from '@iommufd/core'
import { Attachment } from './attachment.js'
import { type Device, IOMMU_NO_PASID } from './device.js'
import { type IommufdHwpt, putHwpt } from './hwpt.js'
import type { IommuGroup } from './iommu-group.js'
import {
  DEVICE_ATTACHED_ALREADY,
  DEVICE_HWPT_WITHOUT_PASID,
  DEVICE_NOT_ATTACHED,
  FAULT_HWPT_FOR_VF,
  GROUP_HAS_OTHER_HWPT,
  GROUP_USES_PASIDS,
  HWPT_WITHOUT_PASID,
} from './refusals.js'
import { softwareMsiWindow } from './resv-regions.js'
import { GroupMsiPages } from './sw-msi.js'

export class IommufdGroup {
  readonly ctx: IommufdCtx
  readonly group: IommuGroup
  /** Bound devices of the group, and the objects that programs name them by. */
  readonly bound: Map<Device, IommufdObject> = new Map()
  readonly #msiPages: GroupMsiPages
  readonly #attachments = new Map<number, Attachment>()

  private constructor(ctx: IommufdCtx, group: IommuGroup) {
    this.ctx = ctx
    this.group = group
    this.#msiPages = new GroupMsiPages(ctx)
  }

  /** What `ctx` knows of the group: the owner that it is already, or a new one. */
  static of(ctx: IommufdCtx, group: IommuGroup): IommufdGroup {
    const { owner } = group
    return owner instanceof IommufdGroup && owner.ctx === ctx ? owner : new IommufdGroup(ctx, group)
  }

  /** The table that the attached devices use for the PASID; undefined while none is attached. */
  hwpt(pasid: number): IommufdHwpt | undefined {
    return this.#attachments.get(pasid)?.hwpt
  }

  isAttached(dev: Device, pasid: number): boolean {
    return this.#attachments.get(pasid)?.has(dev) ?? false
  }

  /** What the device is attached with: IOMMU_NO_PASID and PASIDs. */
  pasids(dev: Device): number[] {
    return [...this.#attachments.keys()].filter((pasid) => this.isAttached(dev, pasid))
  }

  /** Attaches a device: 0, -EBUSY, -EINVAL, -EADDRINUSE, -ENOMEM, or the driver's answer. */
  attach(dev: Device, pasid: number, hwpt: IommufdHwpt): number {
    const { engine } = this.ctx
    const others = this.#attachments.get(pasid)
    if (others?.has(dev)) return engine.refusals.refuse(DEVICE_ATTACHED_ALREADY)
    if (others !== undefined && others.hwpt !== hwpt) {
      return engine.refusals.refuse(GROUP_HAS_OTHER_HWPT, others.hwpt.id)
    }
    const attachment = others ?? new Attachment(pasid, hwpt)
    const added = engine.allocate() || attachment.add(dev)
    if (added < 0) return added
    const rc = others === undefined ? this.#attachFirst(dev, attachment) : 0
    if (rc < 0) attachment.remove(dev)
    else hwpt.users++
    return rc
  }

  /** Detaches an attached device; the caller has to put the table that is given back. */
  detach(dev: Device, pasid: number): IommufdHwpt {
    const attachment = this.#attachments.get(pasid) as Attachment
    if (attachment.size === 1) {
      this.#detachLast(pasid)
      this.#attachments.delete(pasid)
    }
    attachment.remove(dev)
    attachment.hwpt.dropFaults(dev, pasid)
    return attachment.hwpt
  }

  /** Moves all devices attached for the PASID, `dev` among them, to another table: as `attach`. */
  replace(dev: Device, pasid: number, hwpt: IommufdHwpt): number {
    const attachment = this.#attachments.get(pasid)
    if (!attachment?.has(dev)) return this.ctx.engine.refusals.refuse(DEVICE_NOT_ATTACHED)
    const old = attachment.hwpt
    if (old === hwpt) return 0
    const reserved = attachment.reserveFor(hwpt)
    if (typeof reserved === 'number') return reserved
    const rc = this.#prepareMsi(pasid, hwpt) || this.#replaceHardware(dev, pasid, hwpt)
    if (rc < 0) {
      attachment.giveBack(reserved)
      return rc
    }
    attachment.moveTo(hwpt, reserved)
    for (const moved of attachment.devices) old.dropFaults(moved, pasid)
    hwpt.users += attachment.size
    old.users -= attachment.size - 1
    putHwpt(this.ctx, old)
    return 0
  }

  /**
   * Lets attached devices reach the interrupt page of a physical address: its IOVA, undefined where
   * interrupts need no mapping, or a negative errno.
   */
  mapMsi(msiAddr: bigint): bigint | number | undefined {
    const window = softwareMsiWindow(this.group.devices)
    const hwpt = this.hwpt(IOMMU_NO_PASID)
    if (window === undefined || hwpt === undefined) return undefined
    return this.#msiPages.use(hwpt.paging, window, msiAddr)
  }

  #attachFirst(dev: Device, attachment: Attachment): number {
    const { pasid, hwpt } = attachment
    const rc = this.#prepareMsi(pasid, hwpt) || this.#attachHardware(dev, pasid, hwpt)
    if (rc === 0) this.#attachments.set(pasid, attachment)
    return rc
  }

  #attachHardware(dev: Device, pasid: number, hwpt: IommufdHwpt): number {
    const rc = this.#checkFaults(dev, hwpt) || this.#checkPasid(pasid, hwpt)
    if (rc < 0) return rc
    if (pasid === IOMMU_NO_PASID) return this.group.attach(hwpt.domain)
    return this.group.pasids.set(dev, pasid, hwpt.domain)
  }

  #replaceHardware(dev: Device, pasid: number, hwpt: IommufdHwpt): number {
    const rc = this.#checkFaults(dev, hwpt) || this.#checkPasid(pasid, hwpt)
    if (rc < 0) return rc
    if (pasid === IOMMU_NO_PASID) return this.group.replace(hwpt.domain)
    return this.group.pasids.set(dev, pasid, hwpt.domain)
  }

  #detachLast(pasid: number): void {
    if (pasid === IOMMU_NO_PASID) this.group.detach()
    else this.group.pasids.remove(pasid)
  }

  /** A failed page request of one virtual function would stop the requests of all. */
  #checkFaults(dev: Device, hwpt: IommufdHwpt): number {
    if (!dev.sharesPri || !hwpt.handlesFaults) return 0
    return this.ctx.engine.refusals.refuse(FAULT_HWPT_FOR_VF, hwpt.id)
  }

  /** Tables with PASIDs and tables without do not go together. */
  #checkPasid(pasid: number, hwpt: IommufdHwpt): number {
    const { refusals } = this.ctx.engine
    if (pasid === IOMMU_NO_PASID) {
      const hasPasids = [...this.#attachments.keys()].some((used) => used !== IOMMU_NO_PASID)
      return hasPasids && !hwpt.allowsPasids ? refusals.refuse(GROUP_USES_PASIDS, hwpt.id) : 0
    }
    if (!hwpt.allowsPasids) return refusals.refuse(HWPT_WITHOUT_PASID, pasid, hwpt.id)
    const plain = this.hwpt(IOMMU_NO_PASID)
    if (plain === undefined || plain.allowsPasids) return 0
    return refusals.refuse(DEVICE_HWPT_WITHOUT_PASID, pasid, plain.id)
  }

  /** Maps the interrupt pages that the group uses already into a table that it comes to. */
  #prepareMsi(pasid: number, { paging }: IommufdHwpt): number {
    return pasid === IOMMU_NO_PASID ? this.#msiPages.prepare(paging) : 0
  }
}
