// SPDX-License-Identifier: Apache-2.0
/**
 * Virtual devices: a device's number on a vIOMMU (SPEC L10, section 1).
 *
 * Invariant: a device has at most one, and a number belongs to at most one device of a vIOMMU. When
 * the device is unbound its virtual device ends too, and leaves its id as a tombstone: user space
 * knows the id, and did not destroy it.
 */
import { IommufdObject, type ObjectType, toBigInt, type Ucmd } from '@iommufd/core'
import { ENOENT, iommu_vdevice_alloc } from '@iommufd/uapi'
import { refuseForDriver } from './driver-refusal.js'
import { DEVICE, type IommufdDevice } from './iommufd-device.js'
import { DEVICE_HAS_VDEVICE, VDEVICE_OF_OTHER_IOMMU, VIRT_ID_TAKEN } from './refusals.js'
import { type IommufdViommu, VIOMMU } from './viommu.js'

const { at } = iommu_vdevice_alloc

export class IommufdVdevice extends IommufdObject {
  readonly typeName: string = 'VDEVICE'
  readonly viommu: IommufdViommu
  readonly idev: IommufdDevice
  /** What the guest calls the device: a u64, such as a stream id. */
  readonly virtId: bigint
  /** Whether the driver knows it. */
  isKnown = false

  constructor(viommu: IommufdViommu, idev: IommufdDevice, virtId: bigint) {
    super()
    this.viommu = viommu
    this.idev = idev
    this.virtId = virtId
    viommu.users++
    viommu.vdevices.set(virtId, this)
    idev.vdevice = this
  }

  override destroy(): void {
    const { viommu } = this
    if (this.isKnown) viommu.ops.vdeviceDestroy?.(this)
    this.idev.vdevice = undefined
    viommu.vdevices.delete(this.virtId)
    viommu.users--
  }
}

export const VDEVICE: ObjectType<IommufdVdevice> = {
  name: 'VDEVICE',
  is: (object): object is IommufdVdevice => object instanceof IommufdVdevice,
}

/** IOMMU_VDEVICE_ALLOC. */
export function vdeviceAlloc(ucmd: Ucmd): number {
  const { ctx } = ucmd
  const { engine } = ctx
  const viommu = ctx.find(ucmd.word(at.viommu_id), VIOMMU)
  if (viommu === undefined) return -ENOENT
  const idev = ctx.find(ucmd.word(at.dev_id), DEVICE)
  if (idev === undefined) return -ENOENT
  if (viommu.iommu !== idev.ops) {
    return engine.refusals.refuse(VDEVICE_OF_OTHER_IOMMU, idev.id, viommu.id)
  }
  if (idev.vdevice !== undefined) {
    return engine.refusals.refuse(DEVICE_HAS_VDEVICE, idev.id, idev.vdevice.id)
  }
  const [hi, lo] = [ucmd.hi(at.virt_id), ucmd.lo(at.virt_id)]
  const rc = engine.allocate()
  if (rc < 0) return rc
  const virtId = toBigInt(hi, lo)
  if (viommu.vdevices.has(virtId)) return engine.refusals.refuse(VIRT_ID_TAKEN, hi, lo, viommu.id)
  return make(ucmd, new IommufdVdevice(viommu, idev, virtId))
}

function make(ucmd: Ucmd, vdevice: IommufdVdevice): number {
  const { objects } = ucmd.ctx
  objects.reserve(vdevice)
  ucmd.setWord(at.out_vdevice_id, vdevice.id)
  const rc = init(vdevice) || ucmd.respond(iommu_vdevice_alloc.size)
  if (rc < 0) {
    vdevice.destroy()
    objects.abort(vdevice)
    return rc
  }
  objects.finalize(vdevice)
  return 0
}

function init(vdevice: IommufdVdevice): number {
  const { ctx, iommu, ops } = vdevice.viommu
  const rc = ops.vdeviceInit?.(vdevice) ?? 0
  if (rc < 0) return refuseForDriver(ctx.engine, iommu, rc)
  vdevice.isKnown = true
  return 0
}
