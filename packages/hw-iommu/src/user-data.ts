// SPDX-License-Identifier: Apache-2.0
/**
 * Data for a driver that a command brings from user space (SPEC L1).
 *
 * Invariant: only as many bytes are read as the caller says it has; what the driver knows beyond
 * them is zero, what the caller has beyond the driver's struct must be.
 */

import type { Iommufd } from '@iommufd/core'
import { sumHi } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import { USER_DATA_TAIL_NOT_ZERO, USER_DATA_TOO_SHORT, USER_DATA_TYPE } from './refusals.js'

export class UserData {
  readonly engine: Iommufd
  readonly #task: Task
  /** IOMMU_HWPT_DATA_* or another number that the driver knows. */
  readonly type: number
  readonly #uptrHi: number
  readonly #uptrLo: number
  /** Bytes that the caller has, from 1. */
  readonly length: number

  constructor(
    engine: Iommufd,
    task: Task,
    type: number,
    uptrHi: number,
    uptrLo: number,
    length: number,
  ) {
    this.engine = engine
    this.#task = task
    this.type = type
    this.#uptrHi = uptrHi
    this.#uptrLo = uptrLo
    this.length = length
  }

  /**
   * Fills `bytes` with a struct of this type, of which the caller must have at least `minLength`
   * bytes: 0, -EINVAL (another type, too short), -E2BIG (unknown tail not zero), -EFAULT.
   */
  read(type: number, bytes: Uint8Array, minLength: number): number {
    const { refusals } = this.engine
    if (this.type !== type) return refusals.refuse(USER_DATA_TYPE, this.type | 0, type)
    if (this.length < minLength) return refusals.refuse(USER_DATA_TOO_SHORT, this.length, minLength)
    const known = Math.min(this.length, bytes.length)
    const rc = this.#checkTail(bytes.length)
    if (rc < 0) return rc
    bytes.fill(0, known)
    return this.#copy(0, bytes, known)
  }

  #checkTail(known: number): number {
    const byte = new Uint8Array(1)
    for (let at = known; at < this.length; at++) {
      const rc = this.#copy(at, byte, 1)
      if (rc < 0) return rc
      if (byte[0] === 0) continue
      return this.engine.refusals.refuse(USER_DATA_TAIL_NOT_ZERO, this.length | 0, known)
    }
    return 0
  }

  #copy(at: number, bytes: Uint8Array, length: number): number {
    const hi = sumHi(this.#uptrHi, this.#uptrLo, 0, at | 0)
    return this.engine.copyFromUser(this.#task, hi, (this.#uptrLo + at) | 0, bytes, 0, length)
  }
}
