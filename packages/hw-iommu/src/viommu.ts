// SPDX-License-Identifier: Apache-2.0
/**
 * Virtual IOMMUs: a slice of a physical IOMMU that a guest has (SPEC L9, section 1).
 *
 * Invariant: a vIOMMU is a user of its nesting parent. Its users are the virtual devices, nested
 * tables, event queues and hardware queues made on it, and mappings of its pages; so it outlives them
 * all, and they can use it without asking.
 */
import { type IommufdCtx, IommufdObject, type ObjectType, type Ucmd } from '@iommufd/core'
import { ENOENT, iommu_viommu_alloc } from '@iommufd/uapi'
import type { IommuOps } from './driver.js'
import { refuseForDriver } from './driver-refusal.js'
import { HWPT, type IommufdHwptPaging } from './hwpt.js'
import { DEVICE, type IommufdDevice } from './iommufd-device.js'
import {
  NO_NEST_PARENT,
  PARENT_OF_OTHER_DRIVER,
  VIOMMU_FLAGS_OR_TYPE,
  VIOMMU_UNSUPPORTED,
} from './refusals.js'
import { UserData } from './user-data.js'
import type { IommufdVdevice } from './vdevice.js'
import type { IommufdVeventq } from './veventq.js'
import type { ViommuOps } from './viommu-driver.js'

const { at } = iommu_viommu_alloc

export class IommufdViommu extends IommufdObject {
  readonly typeName: string = 'VIOMMU'
  readonly ctx: IommufdCtx
  /** IOMMU_VIOMMU_TYPE_* */
  readonly type: number
  /** The driver of the physical IOMMU. */
  readonly iommu: IommuOps
  /** The nesting parent: what it translates to is physical for the guest's tables. */
  readonly hwpt: IommufdHwptPaging
  /** Devices by the number that the guest knows them by. */
  readonly vdevices: Map<bigint, IommufdVdevice> = new Map()
  /** Event queues by type. */
  readonly veventqs: Map<number, IommufdVeventq> = new Map()
  /** What the driver does for it. */
  ops: ViommuOps = {}

  constructor(idev: IommufdDevice, hwpt: IommufdHwptPaging, type: number) {
    super()
    this.ctx = idev.ctx
    this.type = type
    this.iommu = idev.ops
    this.hwpt = hwpt
    hwpt.users++
  }

  override destroy(): void {
    this.ops.destroy?.()
    this.hwpt.users--
  }
}

export const VIOMMU: ObjectType<IommufdViommu> = {
  name: 'VIOMMU',
  is: (object): object is IommufdViommu => object instanceof IommufdViommu,
}

/** IOMMU_VIOMMU_ALLOC: what of it is refused leaves nothing, neither here nor with the driver. */
export function viommuAlloc(ucmd: Ucmd): number {
  const { ctx } = ucmd
  const { refusals } = ctx.engine
  const flags = ucmd.word(at.flags)
  const type = ucmd.word(at.type)
  if (flags !== 0 || type === 0) return refusals.refuse(VIOMMU_FLAGS_OR_TYPE, flags, type)
  const idev = ctx.find(ucmd.word(at.dev_id), DEVICE)
  if (idev === undefined) return -ENOENT
  if (idev.ops.supportsViommu?.(idev.dev, type >>> 0) !== true) {
    return refusals.refuse(VIOMMU_UNSUPPORTED, idev.id, type)
  }
  const hwpt = ctx.find(ucmd.word(at.hwpt_id), HWPT)
  if (hwpt === undefined) return -ENOENT
  if (!hwpt.isNestParent) return refusals.refuse(NO_NEST_PARENT, hwpt.id)
  if (hwpt.domain.owner !== idev.ops) return refusals.refuse(PARENT_OF_OTHER_DRIVER, hwpt.id)
  const rc = ctx.engine.allocate()
  return rc < 0 ? rc : make(ucmd, new IommufdViommu(idev, hwpt, type >>> 0))
}

function make(ucmd: Ucmd, viommu: IommufdViommu): number {
  const { objects } = ucmd.ctx
  objects.reserve(viommu)
  ucmd.setWord(at.out_viommu_id, viommu.id)
  const rc = init(ucmd, viommu) || ucmd.respond(iommu_viommu_alloc.size)
  if (rc < 0) {
    viommu.destroy()
    objects.abort(viommu)
    return rc
  }
  objects.finalize(viommu)
  return 0
}

function init(ucmd: Ucmd, viommu: IommufdViommu): number {
  const { engine } = ucmd.ctx
  const { hwpt, iommu } = viommu
  const ops = iommu.viommuInit?.(viommu, hwpt.domain, userDataOf(ucmd, viommu.type))
  if (typeof ops === 'number') return refuseForDriver(engine, iommu, ops)
  viommu.ops = ops ?? {}
  return 0
}

function userDataOf(ucmd: Ucmd, type: number): UserData | undefined {
  const length = ucmd.u32(at.data_len)
  if (length === 0) return undefined
  const { ctx, task } = ucmd
  return new UserData(ctx.engine, task, type, ucmd.hi(at.data_uptr), ucmd.lo(at.data_uptr), length)
}
