// SPDX-License-Identifier: Apache-2.0
/**
 * The struct of VFIO_DEVICE_BIND_IOMMUFD (SPEC section 7): in contrast to VFIO's other structs one with
 * a tail that must be zero.
 *
 * Invariant: after `read` the caller's size, tail, flags and descriptor number have been judged, in
 * that order; nothing of the device has been looked at.
 */
import { coreRefusals, type Iommufd, sumHi } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import { PAGE_SIZE, VFIO_DEVICE_BIND_FLAG_TOKEN, vfio_device_bind_iommufd } from '@iommufd/uapi'
import { ContainerArg } from '../container-arg.js'
import { BIND_ARGUMENT, CDEV_ARGSZ_TOO_SMALL } from './refusals.js'

const { at: BIND, size: BIND_SIZE } = vfio_device_bind_iommufd
/** What the first version of the struct had: up to out_devid. */
const BIND_MIN = BIND.token_uuid_ptr

export class BindArg {
  readonly #engine: Iommufd
  readonly #arg: ContainerArg

  constructor(engine: Iommufd) {
    this.#engine = engine
    this.#arg = new ContainerArg(engine, BIND_SIZE)
  }

  get iommufd(): number {
    return this.#arg.lo(BIND.iommufd)
  }

  get hasToken(): boolean {
    return (this.#arg.lo(BIND.flags) & VFIO_DEVICE_BIND_FLAG_TOKEN) !== 0
  }

  /** 0, -EFAULT, -EINVAL, or -E2BIG. */
  read(task: Task, hi: number, lo: number): number {
    const { refusals } = this.#engine
    const arg = this.#arg
    const rc = arg.read(task, hi, lo, 4)
    if (rc < 0) return rc
    const argsz = arg.lo(BIND.argsz) >>> 0
    if (argsz < BIND_MIN) return refusals.refuse(CDEV_ARGSZ_TOO_SMALL, argsz, BIND_MIN)
    const whole =
      this.#checkTail(task, hi, lo, argsz) || arg.read(task, hi, lo, Math.min(argsz, BIND_SIZE))
    if (whole < 0) return whole
    const flags = arg.lo(BIND.flags)
    if (this.iommufd >= 0 && (flags & ~VFIO_DEVICE_BIND_FLAG_TOKEN) === 0) return 0
    return refusals.refuse(BIND_ARGUMENT, this.iommufd, flags)
  }

  /** Tells the caller the device's id: 0 or -EFAULT. */
  writeDevid(devid: number): number {
    const bytes = new Uint8Array(Int32Array.of(devid).buffer)
    return this.#arg.writeAt(BIND.out_devid, bytes, bytes.length)
  }

  /** Page by page and in order, so that the first byte that is not zero or not there decides. */
  #checkTail(task: Task, hi: number, lo: number, argsz: number): number {
    const engine = this.#engine
    const bytes = new Uint8Array(Math.min(PAGE_SIZE, Math.max(0, argsz - BIND_SIZE)))
    for (let at = BIND_SIZE; at < argsz; ) {
      const chunk = Math.min(argsz - at, PAGE_SIZE - (((lo >>> 0) + at) % PAGE_SIZE))
      const tailHi = sumHi(hi, lo, 0, at | 0)
      const rc = engine.copyFromUser(task, tailHi, (lo + at) | 0, bytes, 0, chunk)
      if (rc < 0) return rc
      if (bytes.subarray(0, chunk).some((byte) => byte !== 0)) {
        const { STRUCT_TAIL_NOT_ZERO } = coreRefusals
        return engine.refusals.refuse(STRUCT_TAIL_NOT_ZERO, argsz | 0, BIND_SIZE)
      }
      at += chunk
    }
    return 0
  }
}
