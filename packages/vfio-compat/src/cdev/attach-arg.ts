// SPDX-License-Identifier: Apache-2.0
/**
 * The structs of VFIO_DEVICE_ATTACH_IOMMUFD_PT and VFIO_DEVICE_DETACH_IOMMUFD_PT (SPEC section 7): both
 * end with a PASID that counts only with its flag.
 *
 * Invariant: after `read` size and flags have been judged, and `pasid` has been read if it counts.
 */
import type { Iommufd } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import {
  VFIO_DEVICE_ATTACH_PASID,
  vfio_device_attach_iommufd_pt,
  vfio_device_detach_iommufd_pt,
} from '@iommufd/uapi'
import { ContainerArg } from '../container-arg.js'
import { ATTACH_FLAGS, ATTACH_WITHOUT_PASIDS, CDEV_ARGSZ_TOO_SMALL } from './refusals.js'

const { at: ATTACH } = vfio_device_attach_iommufd_pt
/** The PASID is the last field of both structs; its flag is the same bit. */
export const ATTACH_PASID_AT: number = ATTACH.pasid
export const DETACH_PASID_AT: number = vfio_device_detach_iommufd_pt.at.pasid

export class AttachArg {
  readonly #engine: Iommufd
  readonly #pasidAt: number
  readonly #arg: ContainerArg

  /** `pasidAt`: where the PASID lies, behind all other fields. */
  constructor(engine: Iommufd, pasidAt: number) {
    this.#engine = engine
    this.#pasidAt = pasidAt
    this.#arg = new ContainerArg(engine, pasidAt + 4)
  }

  get ptId(): number {
    return this.#arg.lo(ATTACH.pt_id)
  }

  /** The PASID, a u32; undefined for DMA without one. */
  get pasid(): number | undefined {
    const hasPasid = (this.#arg.lo(ATTACH.flags) & VFIO_DEVICE_ATTACH_PASID) !== 0
    return hasPasid ? this.#arg.lo(this.#pasidAt) >>> 0 : undefined
  }

  /** 0, -EFAULT, -EINVAL, or -EOPNOTSUPP for a PASID of a device without. */
  read(task: Task, hi: number, lo: number, hasPasids: boolean): number {
    const { refusals } = this.#engine
    const arg = this.#arg
    const minSize = this.#pasidAt
    const rc = arg.read(task, hi, lo, minSize)
    if (rc < 0) return rc
    const argsz = arg.lo(ATTACH.argsz)
    const flags = arg.lo(ATTACH.flags)
    if (argsz >>> 0 < minSize) return refusals.refuse(CDEV_ARGSZ_TOO_SMALL, argsz, minSize)
    if ((flags & ~VFIO_DEVICE_ATTACH_PASID) !== 0) return refusals.refuse(ATTACH_FLAGS, flags)
    if (flags === 0) return 0
    if (!hasPasids) return refusals.refuse(ATTACH_WITHOUT_PASIDS)
    const size = minSize + 4
    if (argsz >>> 0 < size) return refusals.refuse(CDEV_ARGSZ_TOO_SMALL, argsz, size)
    return arg.read(task, hi, lo, size)
  }

  /** Tells the caller the table in use: 0 or -EFAULT. */
  writePtId(ptId: number): number {
    const bytes = new Uint8Array(Int32Array.of(ptId).buffer)
    return this.#arg.writeAt(ATTACH.pt_id, bytes, bytes.length)
  }
}
