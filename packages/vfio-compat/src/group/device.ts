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
} from '@iommufd/access'
import type { IommufdCtx } from '@iommufd/core'
import type { FileOperations, Task } from '@iommufd/host'
import {
  type Device,
  IOMMU_NO_PASID,
  type IommufdDevice,
  iommufd_device_attach,
  iommufd_device_bind,
  iommufd_device_detach,
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

  /** The device now belongs to the context: 0 or a negative errno. */
  abstract bind(ctx: IommufdCtx): number
  /** Its DMA reaches the IOAS: 0 or positive, or a negative errno. */
  abstract attach(ioasId: number): number
  /** Undoes `bind`, and `attach` if there was one; never fails. */
  abstract unbind(): void
}

/** A device behind an IOMMU. */
export class PhysicalVfioDevice extends VfioDevice {
  readonly kind = 'iommu'
  readonly device: Device
  #bound: IommufdDevice | undefined
  #isAttached = false

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
    return 0
  }

  attach(ioasId: number): number {
    const rc = iommufd_device_attach(this.#bound as IommufdDevice, IOMMU_NO_PASID, ioasId)
    this.#isAttached = rc >= 0
    return rc
  }

  unbind(): void {
    const bound = this.#bound as IommufdDevice
    if (this.#isAttached) iommufd_device_detach(bound, IOMMU_NO_PASID)
    this.#isAttached = false
    iommufd_device_unbind(bound)
    this.#bound = undefined
  }
}

/** Asked to let go of all pins in `length` bytes at `iova`. */
export type DmaUnmap = (iova: bigint, length: bigint) => void

/** A device that the kernel emulates (a mediated device): it reaches memory by pinning pages. */
export class EmulatedVfioDevice extends VfioDevice {
  readonly kind = 'emulated'
  readonly dmaUnmap: DmaUnmap
  #access: IommufdAccess<EmulatedVfioDevice> | undefined

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
    return 0
  }

  attach(ioasId: number): number {
    return iommufd_access_attach(this.#access as IommufdAccess, ioasId)
  }

  unbind(): void {
    iommufd_access_destroy(this.#access as IommufdAccess)
    this.#access = undefined
  }
}

/** A device without an IOMMU, whose DMA reaches all memory. */
export class NoIommuVfioDevice extends VfioDevice {
  readonly kind = 'noiommu'

  bind(): number {
    return 0
  }

  attach(): number {
    return 0
  }

  unbind(): void {}
}
