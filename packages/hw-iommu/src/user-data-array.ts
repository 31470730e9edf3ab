// SPDX-License-Identifier: Apache-2.0
/**
 * A list of structs for a driver that a command brings from user space (SPEC L5).
 *
 * Invariant: entries follow each other at the distance that the caller says; each is read by the rules
 * of data for drivers.
 */
import { type Iommufd, sumHi } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import { USER_DATA_ARRAY_EMPTY } from './refusals.js'
import { UserData } from './user-data.js'

export class UserDataArray {
  readonly #engine: Iommufd
  readonly #task: Task
  /** What the entries are: a number that the driver knows. */
  readonly type: number
  readonly #uptrHi: number
  readonly #uptrLo: number
  /** Bytes of an entry, at most 4096; at least 1 unless there is none. */
  readonly entryLength: number
  readonly count: number
  /** Entries that the driver has dealt with. */
  handled = 0

  constructor(
    engine: Iommufd,
    task: Task,
    type: number,
    uptrHi: number,
    uptrLo: number,
    entryLength: number,
    count: number,
  ) {
    this.#engine = engine
    this.#task = task
    this.type = type
    this.#uptrHi = uptrHi
    this.#uptrLo = uptrLo
    this.entryLength = entryLength
    this.count = count
  }

  /** Entry `index`, from 0. */
  entry(index: number): UserData {
    // At most 2^19 entries of 4096 bytes: below 2^32.
    const at = (index * this.entryLength) | 0
    const hi = sumHi(this.#uptrHi, this.#uptrLo, 0, at)
    const lo = (this.#uptrLo + at) | 0
    return new UserData(this.#engine, this.#task, this.type, hi, lo, this.entryLength)
  }

  /**
   * All entries, `bytes` bytes each, one behind the other; the caller's may be of any length: or
   * -EINVAL (another type, no entry), -E2BIG, -EFAULT.
   */
  readAll(type: number, bytes: number): Uint8Array | number {
    if (this.count === 0) return this.#engine.refusals.refuse(USER_DATA_ARRAY_EMPTY)
    const all = new Uint8Array(this.count * bytes)
    for (let i = 0; i < this.count; i++) {
      const rc = this.entry(i).readAnyLength(type, all.subarray(i * bytes, (i + 1) * bytes))
      if (rc < 0) return rc
    }
    return all
  }
}
