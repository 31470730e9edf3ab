// SPDX-License-Identifier: Apache-2.0
/**
 * What the IOTLBs must forget: IOVAs that were unmapped and not flushed yet (SPEC section 8).
 *
 * Invariant: one range that holds all that was added since `clear`; between the first and the last
 * of it there may be IOVAs that were not.
 */
import { isAfter, previousHi, previousLo, sumHi } from '@iommufd/core'

export class IotlbGather {
  isEmpty = true
  startHi = 0
  startLo = 0
  /** Inclusive. */
  lastHi = 0
  lastLo = 0

  /** `bytes`, at least 1, from the IOVA on must be forgotten. */
  add(iovaHi: number, iovaLo: number, bytes: number): void {
    const endHi = sumHi(iovaHi, iovaLo, Math.floor(bytes / 2 ** 32), bytes | 0)
    const endLo = (iovaLo + bytes) | 0
    const lastHi = previousHi(endHi, endLo)
    const lastLo = previousLo(endLo)
    if (this.isEmpty || isAfter(this.startHi, this.startLo, iovaHi, iovaLo)) {
      this.startHi = iovaHi
      this.startLo = iovaLo
    }
    if (this.isEmpty || isAfter(lastHi, lastLo, this.lastHi, this.lastLo)) {
      this.lastHi = lastHi
      this.lastLo = lastLo
    }
    this.isEmpty = false
  }

  clear(): void {
    this.isEmpty = true
  }
}
