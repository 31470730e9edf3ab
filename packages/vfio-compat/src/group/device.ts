// SPDX-License-Identifier: Apache-2.0
/**
 * Devices that are bound to a VFIO driver, of three kinds: behind an IOMMU, emulated by the kernel,
 * without an IOMMU (SPEC section 6, group side).
 *
 * Invariant: what a kind has to do with an iommufd (bind, attach, unbind) happens between its first
 * open and its last close, in that order; undone in reverse when a step is refused. What a program
 * can do with an open device is put behind it from outside (`operations`): this layer only decides
 * whether it can be opened and what its DMA reaches.
 */
import {
  type IommufdAccess,
  iommufd_access_attach,
  iommufd_access_create,
  iommufd_access_destroy,
  iommufd_access_detach,
  iommufd_access_replace,
} from '@iommufd/access'
import type { IommufdCtx } from '@iommufd/core'
import type { FileOperations, Task } from '@iommufd/host'
import {
  type Device,
  IOMMU_NO_PASID,
  type IommufdDevice,
  iommufd_device_attach,
  iommufd_device_bind,
  iommufd_device_replace,
  iommufd_device_unbind,
} from '@iommufd/hw-iommu'
import type { VfioGroup } from './group.js'

export type VfioDeviceKind = 'iommu' | 'emulated' | 'noiommu'

/** What an open device can do beyond being closed; a member left out answers as an unknown call. */
export type VfioDeviceOperations = (device: VfioDevice, task: Task) => FileOperations

export interface VfioDeviceOptions {
  /** Makes what stands behind a descriptor, once per open. Default: every ioctl is ENOTTY. */
  readonly operations?: VfioDeviceOperations
}

export abstract class VfioDevice {
  abstract readonly kind: VfioDeviceKind
  /** As in sysfs: `0000:06:0d.0`. What VFIO_GROUP_GET_DEVICE_FD is asked for. */
  readonly name: string
  readonly operations: VfioDeviceOperations | undefined
  /** From `Vfio.addDevice` to `Vfio.removeDevice`. */
  group: VfioGroup | undefined
  /** Descriptors' files that are open. */
  openCount = 0

  constructor(name: string, options: VfioDeviceOptions = {}) {
    this.name = name
    this.operations = options.operations
  }

  /** Whether its DMA can be marked with PASIDs at all. */
  abstract readonly hasPasids: boolean

  /** The device now belongs to the context: its id there, or a negative errno. */
  abstract bind(ctx: IommufdCtx): number
  /**
   * Its DMA, without a PASID or with one below 2^31, reaches the IOAS or table, instead of another if it
   * was attached: the id of what it is attached to, or a negative errno.
   */
  abstract attach(ptId: number, pasid?: number): number
  /** Its DMA reaches nothing any more; never fails, and does nothing when it is not attached. */
  abstract detach(pasid?: number): void
  /** Undoes `bind`, and every `attach` before; never fails. */
  abstract unbind(): void
}

/** A device behind an IOMMU. */
export class PhysicalVfioDevice extends VfioDevice {
  readonly kind = 'iommu'
  readonly hasPasids = true
  readonly device: Device
  #bound: IommufdDevice | undefined
  /** What is attached: PASIDs, and undefined for DMA without one. */
  readonly #attached = new Set<number | undefined>()

  constructor(device: Device, options: VfioDeviceOptions = {}) {
    super(device.name, options)
    this.device = device
  }

  /** While it is open on an iommufd. */
  get bound(): IommufdDevice | undefined {
    return this.#bound
  }

  bind(ctx: IommufdCtx): number {
    const bound = iommufd_device_bind(ctx, this.device)
    if (typeof bound === 'number') return bound
    this.#bound = bound
    return bound.id
  }

  attach(ptId: number, pasid?: number): number {
    const bound = this.#bound as IommufdDevice
    const used = pasid ?? IOMMU_NO_PASID
    if (this.#attached.has(pasid)) return iommufd_device_replace(bound, used, ptId)
    // A PASID is remembered beside the device, which takes memory.
    const allocated = pasid === undefined ? 0 : bound.ctx.engine.allocate()
    const rc = allocated < 0 ? allocated : iommufd_device_attach(bound, used, ptId)
    if (rc >= 0) this.#attached.add(pasid)
    return rc
  }

  /** Why a call is refused is still known afterwards, which iommufd_device_detach would forget. */
  detach(pasid?: number): void {
    if (this.#attached.delete(pasid)) this.#bound?.detach(pasid ?? IOMMU_NO_PASID)
  }

  unbind(): void {
    const pasids = [...this.#attached].filter((pasid) => pasid !== undefined)
    for (const pasid of pasids) this.detach(pasid)
    this.detach()
    iommufd_device_unbind(this.#bound as IommufdDevice)
    this.#bound = undefined
  }
}

/** Asked to let go of all pins in `length` bytes at `iova`. */
export type DmaUnmap = (iova: bigint, length: bigint) => void

/** A device that the kernel emulates (a mediated device): it reaches memory by pinning pages. */
export class EmulatedVfioDevice extends VfioDevice {
  readonly kind = 'emulated'
  readonly hasPasids = false
  readonly dmaUnmap: DmaUnmap
  #access: IommufdAccess<EmulatedVfioDevice> | undefined
  #isAttached = false

  constructor(name: string, dmaUnmap: DmaUnmap, options: VfioDeviceOptions = {}) {
    super(name, options)
    this.dmaUnmap = dmaUnmap
  }

  /** While it is open on an iommufd. */
  get access(): IommufdAccess<EmulatedVfioDevice> | undefined {
    return this.#access
  }

  bind(ctx: IommufdCtx): number {
    const ops = {
      needs_pin_pages: true,
      unmap: (self: EmulatedVfioDevice, iova: bigint, length: bigint) =>
        self.dmaUnmap(iova, length),
    }
    const access = iommufd_access_create<EmulatedVfioDevice>(ctx, ops, this)
    if (typeof access === 'number') return access
    this.#access = access
    return access.id
  }

  attach(ptId: number): number {
    const access = this.#access as IommufdAccess
    const rc = this.#isAttached
      ? iommufd_access_replace(access, ptId)
      : iommufd_access_attach(access, ptId)
    if (rc < 0) return rc
    this.#isAttached = true
    return ptId
  }

  detach(): void {
    if (this.#isAttached) iommufd_access_detach(this.#access as IommufdAccess)
    this.#isAttached = false
  }

  unbind(): void {
    iommufd_access_destroy(this.#access as IommufdAccess)
    this.#access = undefined
    this.#isAttached = false
  }
}

/** A device without an IOMMU, whose DMA reaches all memory. */
export class NoIommuVfioDevice extends VfioDevice {
  readonly kind = 'noiommu'
  readonly hasPasids = false

  bind(): number {
    return 0
  }

  attach(): number {
    return 0
  }

  detach(): void {}

  unbind(): void {}
}
