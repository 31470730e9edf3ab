// SPDX-License-Identifier: Apache-2.0
/**
 * Data for a driver that a command brings from user space, and its answer (SPEC L1, L9).
 *
 * Invariant: only as many bytes are read as the caller says it has; what the driver knows beyond
 * them is zero. What the caller has beyond the driver's struct is refused.
 */

import type { Iommufd } from '@iommufd/core'
import { sumHi } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import {
  USER_DATA_TAIL_NOT_ZERO,
  USER_DATA_TOO_LONG,
  USER_DATA_TOO_SHORT,
  USER_DATA_TYPE,
} from './refusals.js'

const zeros = new Uint8Array(4096)

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
   * bytes and no more than the driver knows: 0, -EINVAL (another type, too short, too long), -EFAULT.
   */
  read(type: number, bytes: Uint8Array, minLength: number): number {
    const { refusals } = this.engine
    const { length } = this
    if (this.type !== type) return refusals.refuse(USER_DATA_TYPE, this.type | 0, type)
    if (length < minLength) return refusals.refuse(USER_DATA_TOO_SHORT, length, minLength)
    if (length > bytes.length) {
      return refusals.refuse(USER_DATA_TOO_LONG, length | 0, bytes.length)
    }
    return this.#fill(bytes)
  }

  /**
   * As `read`, but of a struct that may have any length: what the caller has behind the driver's must
   * be zero, else -E2BIG.
   */
  readAnyLength(type: number, bytes: Uint8Array): number {
    if (this.type !== type) {
      return this.engine.refusals.refuse(USER_DATA_TYPE, this.type | 0, type)
    }
    return this.#checkTail(bytes.length) || this.#fill(bytes)
  }

  /**
   * Writes the driver's struct back, as much of it as the caller has room for, and zeros behind it: 0
   * or -EFAULT.
   */
  write(bytes: Uint8Array): number {
    const known = Math.min(this.length, bytes.length)
    for (let at = known; at < this.length; at += zeros.length) {
      const rc = this.#copyOut(at, zeros, Math.min(this.length - at, zeros.length))
      if (rc < 0) return rc
    }
    return this.#copyOut(0, bytes, known)
  }

  #fill(bytes: Uint8Array): number {
    const known = Math.min(this.length, bytes.length)
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
  #copyOut(at: number, bytes: Uint8Array, length: number): number {
    const hi = sumHi(this.#uptrHi, this.#uptrLo, 0, at | 0)
    return this.engine.copyToUser(this.#task, hi, (this.#uptrLo + at) | 0, bytes, 0, length)
  }
}
