// SPDX-License-Identifier: Apache-2.0
/**
 * A device opened as /dev/vfio/devices/vfioN (SPEC section 7).
 *
 * Invariant: an open file can do nothing until it has bound the device to an iommufd, which it does at
 * most once; from then to its end the device is the context's, which it keeps alive, and the device's
 * group cannot be opened. At the end all is given back in reverse order: what stands behind the device,
 * the binding with what is attached, the context, the group.
 */
import { iommufd_ctx_from_fd } from '@iommufd/access'
import type { IommufdCtx } from '@iommufd/core'
import type { FileOperations, Task } from '@iommufd/host'
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
} from '@iommufd/uapi'
import type { VfioDevice } from '../group/device.js'
import type { VfioGroup } from '../group/group.js'
import { VfioOpenDevice } from '../group/open-device.js'
import { ATTACH_PASID_AT, AttachArg, DETACH_PASID_AT } from './attach-arg.js'
import { BindArg } from './bind-arg.js'
import {
  ATTACH_PASID_TOO_LARGE,
  BIND_DEVICE_OPEN,
  BIND_TOKEN_UNSUPPORTED,
  BIND_TWICE,
  CDEV_DEVICE_GONE,
  CDEV_NOT_BOUND,
} from './refusals.js'

/** What a file has from binding to its end. */
interface Binding {
  readonly group: VfioGroup
  readonly ctx: IommufdCtx
  readonly behind: FileOperations
}

export class VfioCdevFile extends VfioOpenDevice {
  readonly device: VfioDevice
  /** N of vfioN. */
  readonly number: number
  #binding: Binding | undefined

  constructor(group: VfioGroup, device: VfioDevice, number: number) {
    super(group.vfio.engine)
    this.device = device
    this.number = number
  }

  release(): void {
    const binding = this.#binding
    if (binding === undefined) return
    binding.behind.release?.()
    this.#close()
    binding.ctx.put()
    binding.group.unblock()
  }

  protected override behind(): FileOperations | number {
    return this.#binding?.behind ?? this.engine.refusals.refuse(CDEV_NOT_BOUND, this.number)
  }

  protected serve(task: Task, cmd: number, argHi: number, argLo: number): number {
    if (cmd === VFIO_DEVICE_BIND_IOMMUFD) return this.#bind(task, argHi, argLo)
    if (this.#binding !== undefined) {
      if (cmd === VFIO_DEVICE_ATTACH_IOMMUFD_PT) return this.#attach(task, argHi, argLo)
      if (cmd === VFIO_DEVICE_DETACH_IOMMUFD_PT) return this.#detach(task, argHi, argLo)
    }
    return this.serveBehind(task, cmd, argHi, argLo)
  }

  #bind(task: Task, argHi: number, argLo: number): number {
    const arg = new BindArg(this.engine)
    const rc = arg.read(task, argHi, argLo)
    if (rc < 0) return rc
    const { group } = this.device
    if (group === undefined) return this.engine.refusals.refuse(CDEV_DEVICE_GONE, this.number)
    const blocked = group.block()
    if (blocked < 0) return blocked
    const bound = this.#bindBlocked(task, group, arg)
    if (bound < 0) group.unblock()
    return bound
  }

  /** The group cannot be opened meanwhile. */
  #bindBlocked(task: Task, group: VfioGroup, arg: BindArg): number {
    const { refusals } = this.engine
    if (this.#binding !== undefined) return refusals.refuse(BIND_TWICE, this.number)
    if (arg.hasToken) return refusals.refuse(BIND_TOKEN_UNSUPPORTED, this.number)
    const ctx = iommufd_ctx_from_fd(this.engine, task, arg.iommufd)
    if (typeof ctx === 'number') return ctx
    const rc = this.#open(task, group, ctx, arg)
    if (rc < 0) ctx.put()
    return rc
  }

  #open(task: Task, group: VfioGroup, ctx: IommufdCtx, arg: BindArg): number {
    const { device } = this
    if (device.openCount > 0) return this.engine.refusals.refuse(BIND_DEVICE_OPEN, this.number)
    const devid = device.bind(ctx)
    if (devid < 0) return devid
    device.openCount++
    const rc = arg.writeDevid(devid)
    if (rc < 0) {
      this.#close()
      return rc
    }
    this.#binding = { group, ctx, behind: device.operations?.(device, task) ?? {} }
    return 0
  }

  #close(): void {
    this.device.openCount--
    this.device.unbind()
  }

  /** A table that the caller cannot be told of is detached again, also one that replaced another. */
  #attach(task: Task, argHi: number, argLo: number): number {
    const { device } = this
    const arg = new AttachArg(this.engine, ATTACH_PASID_AT)
    const rc = arg.read(task, argHi, argLo, device.hasPasids)
    if (rc < 0) return rc
    const ptId = this.#attachTo(arg.ptId, arg.pasid)
    if (ptId < 0) return ptId
    const written = arg.writePtId(ptId)
    if (written < 0) device.detach(arg.pasid)
    return written
  }

  /** The device remembers PASIDs as numbers of 31 bits. */
  #attachTo(ptId: number, pasid: number | undefined): number {
    const { device, engine } = this
    if (pasid !== undefined && pasid >= 2 ** 31) {
      return engine.refusals.refuse(ATTACH_PASID_TOO_LARGE, pasid | 0)
    }
    return device.attach(ptId, pasid)
  }

  #detach(task: Task, argHi: number, argLo: number): number {
    const arg = new AttachArg(this.engine, DETACH_PASID_AT)
    const rc = arg.read(task, argHi, argLo, this.device.hasPasids)
    if (rc === 0) this.device.detach(arg.pasid)
    return rc
  }
}
