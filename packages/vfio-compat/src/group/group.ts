// SPDX-License-Identifier: Apache-2.0
/**
 * A group: devices that are given to a program together, and where they are attached (SPEC section 6,
 * group side; V31, V32).
 *
 * Invariant: a group is open at most once, and is in one container or one iommufd or in none. In an
 * iommufd a device is bound and attached with its first open; in a type 1 container the whole group
 * is attached by SET_CONTAINER, and stays while a device is open. What a refused call did is undone.
 * A group is used by its own file or by those of its devices (SPEC section 7), never by both.
 */
import type { IommufdCtx } from '@iommufd/core'
import type { File, Task } from '@iommufd/host'
import type { IommuGroup } from '@iommufd/hw-iommu'
import { CAP_SYS_RAWIO, ENODEV } from '@iommufd/uapi'
import { BIND_GROUP_IN_USE } from '../cdev/refusals.js'
import { VfioCompat } from '../compat-ioas.js'
import { VfioContainer } from './container.js'
import type { VfioDevice, VfioDeviceKind } from './device.js'
import { VfioGroupFile } from './group-file.js'
import {
  FILE_IS_NO_CONTAINER,
  GROUP_HAS_CONTAINER,
  GROUP_HAS_OPEN_DEVICES,
  GROUP_OPEN_ALREADY,
  GROUP_USED_BY_DEVICE_FILES,
  GROUP_WITHOUT_CONTAINER,
  GROUP_WITHOUT_DEVICES,
  GROUP_WITHOUT_IOMMU_GROUP,
  NOIOMMU_DEVICE_DENIED,
  NOIOMMU_GROUP_DENIED,
} from './refusals.js'
import type { Vfio } from './vfio.js'

export class VfioGroup {
  readonly vfio: Vfio
  readonly number: number
  readonly kind: VfioDeviceKind
  /** What the IOMMU cannot tell apart; undefined for devices that have none. */
  readonly iommuGroup: IommuGroup | undefined
  readonly #devices: VfioDevice[] = []
  #container: VfioContainer | undefined
  #ctx: IommufdCtx | undefined
  #file: VfioGroupFile | undefined
  /** Devices that are bound to an iommufd. */
  readonly #bound = new Set<VfioDevice>()
  /** Devices that keep the group's file open. */
  readonly #holdsFile = new Set<VfioDevice>()
  /** Files of /dev/vfio/devices that have bound devices of the group. */
  #blocks = 0

  constructor(vfio: Vfio, number: number, kind: VfioDeviceKind, iommuGroup?: IommuGroup) {
    this.vfio = vfio
    this.number = number
    this.kind = kind
    this.iommuGroup = iommuGroup
  }

  get devices(): VfioDevice[] {
    return this.#devices
  }

  /** The type 1 container that the group is in. */
  get container(): VfioContainer | undefined {
    return this.#container
  }

  /** The iommufd that the group is in. */
  get ctx(): IommufdCtx | undefined {
    return this.#ctx
  }

  /** Whether the group is in a container or an iommufd. */
  get hasIommu(): boolean {
    return this.#container !== undefined || this.#ctx !== undefined
  }

  /** Whether somebody has taken the DMA of the group's devices. */
  get isClaimed(): boolean {
    return this.iommuGroup?.owner !== undefined
  }

  /** Opens the group for `task`: its file, or -ENODEV, -EPERM, -EBUSY. */
  open(task: Task): VfioGroupFile | number {
    const { refusals } = this.vfio.engine
    refusals.clear()
    if (this.#devices.length === 0) return refusals.refuse(GROUP_WITHOUT_DEVICES, this.number)
    if (this.kind === 'noiommu' && !task.capable(CAP_SYS_RAWIO)) {
      return refusals.refuse(NOIOMMU_GROUP_DENIED, this.number)
    }
    if (this.#blocks > 0) {
      return refusals.refuse(GROUP_USED_BY_DEVICE_FILES, this.number, this.#blocks)
    }
    if (this.#file !== undefined) return refusals.refuse(GROUP_OPEN_ALREADY, this.number)
    this.#file = new VfioGroupFile(this)
    return this.#file
  }

  /** The group's file is gone; devices that are open on an iommufd stay with that. */
  closed(): void {
    this.#file = undefined
    this.#leave()
  }

  /** Keeps the group from being opened, for a device that is bound by its own file: 0 or -EBUSY. */
  block(): number {
    if (this.#file !== undefined) {
      return this.vfio.engine.refusals.refuse(BIND_GROUP_IN_USE, this.number)
    }
    this.#blocks++
    return 0
  }

  /** Undoes `block`. */
  unblock(): void {
    this.#blocks--
  }

  /** VFIO_GROUP_SET_CONTAINER: 0 or a negative errno. */
  setContainer(task: Task, file: File, fd: number): number {
    const { engine } = this.vfio
    const { refusals } = engine
    if (this.hasIommu) return refusals.refuse(GROUP_HAS_CONTAINER, this.number)
    if (this.#devices.length === 0) return refusals.refuse(GROUP_WITHOUT_IOMMU_GROUP, this.number)
    if (file.ops instanceof VfioContainer) {
      const rc = file.ops.attachGroup(task, this)
      if (rc === 0) this.#container = file.ops
      return rc
    }
    const ctx = engine.contextOf(file)
    return ctx === undefined ? refusals.refuse(FILE_IS_NO_CONTAINER, fd) : this.#joinIommufd(ctx)
  }

  /** VFIO_GROUP_UNSET_CONTAINER: 0, -EINVAL, or -EBUSY while devices keep a container in use. */
  unsetContainer(): number {
    const { refusals } = this.vfio.engine
    if (!this.hasIommu) return refusals.refuse(GROUP_WITHOUT_CONTAINER, this.number)
    const open = this.#openDevices()
    if (this.#container !== undefined && open > 0) {
      return refusals.refuse(GROUP_HAS_OPEN_DEVICES, this.number, open)
    }
    this.#leave()
    return 0
  }

  /** Opens a device of the group: 0 or a negative errno. */
  openDevice(task: Task, device: VfioDevice): number {
    const { refusals } = this.vfio.engine
    if (!this.hasIommu || this.#container?.hasIommu === false) {
      return refusals.refuse(GROUP_WITHOUT_CONTAINER, this.number)
    }
    const rc = this.#ctx !== undefined && device.openCount === 0 ? this.#bind(task, device) : 0
    if (rc < 0) return rc
    // An open device keeps the group's file open, and with it the container.
    if (this.#container !== undefined && device.openCount === 0) {
      this.#file?.get()
      this.#holdsFile.add(device)
    }
    device.openCount++
    return 0
  }

  /** A file of the device is gone; with the last one the device leaves what it was opened on. */
  closeDevice(device: VfioDevice): void {
    device.openCount--
    if (device.openCount > 0) return
    if (this.#bound.delete(device)) device.unbind()
    if (this.#holdsFile.delete(device)) this.#file?.put()
  }

  #joinIommufd(ctx: IommufdCtx): number {
    const compat = VfioCompat.of(ctx)
    const isNoIommu = this.kind === 'noiommu' && this.vfio.options.noiommu === true
    const rc = isNoIommu ? compat.setNoIommu(ctx) : compat.create(ctx)
    if (rc === 0) this.#ctx = ctx.get()
    return rc
  }

  #leave(): void {
    this.#container?.detachGroup(this)
    this.#container = undefined
    const ctx = this.#ctx
    this.#ctx = undefined
    ctx?.put()
  }

  /** The first open of a device on an iommufd: it is bound, and attached to the compatibility IOAS. */
  #bind(task: Task, device: VfioDevice): number {
    const ctx = this.#ctx as IommufdCtx
    if (device.kind === 'noiommu') return this.#checkNoIommu(task, ctx)
    const rc = device.bind(ctx)
    if (rc < 0) return rc
    const ioas = VfioCompat.of(ctx).find(ctx)
    const attached = ioas === undefined ? -ENODEV : device.attach(ioas.id)
    if (attached < 0) {
      device.unbind()
      return attached
    }
    this.#bound.add(device)
    return 0
  }

  /** Whoever has a compatibility IOAS expects translation, which there would not be. */
  #checkNoIommu(task: Task, ctx: IommufdCtx): number {
    const { refusals } = this.vfio.engine
    const hasIoas = VfioCompat.of(ctx).find(ctx) !== undefined
    refusals.clear()
    if (task.capable(CAP_SYS_RAWIO) && !hasIoas) return 0
    return refusals.refuse(NOIOMMU_DEVICE_DENIED, hasIoas ? 1 : 0)
  }

  #openDevices(): number {
    return this.#devices.filter((device) => device.openCount > 0).length
  }
}
