// SPDX-License-Identifier: Apache-2.0
/**
 * A driver's domain as an address space sees it (SPEC section 8).
 *
 * Invariant: whatever was unmapped is flushed from the IOTLBs before the call returns, so before its
 * memory is unpinned; whatever was mapped is known to the hardware. A driver that does not unmap
 * exactly what it was asked breaks its contract and is warned about.
 */
import type { Iommufd } from '@iommufd/core'
import { sumHi } from '@iommufd/core'
import type { IommuDomain } from '@iommufd/pages'
import { PAGE_SIZE } from '@iommufd/uapi'
import type { PagingDomain } from './driver.js'
import { refuseForDriver } from './driver-refusal.js'
import { IotlbGather } from './iotlb-gather.js'
import { Translation } from './translation.js'

const gather = new IotlbGather()
const translation = new Translation()

export class DomainView implements IommuDomain {
  readonly minPageSize: number
  readonly apertureStartHi: number
  readonly apertureStartLo: number
  readonly apertureLastHi: number
  readonly apertureLastLo: number
  readonly #engine: Iommufd
  readonly #domain: PagingDomain

  constructor(engine: Iommufd, domain: PagingDomain) {
    this.#engine = engine
    this.#domain = domain
    this.minPageSize = domain.minPageSize
    this.apertureStartHi = domain.apertureStartHi
    this.apertureStartLo = domain.apertureStartLo
    this.apertureLastHi = domain.apertureLastHi
    this.apertureLastLo = domain.apertureLastLo
  }

  map(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    offset: number,
    bytes: number,
    prot: number,
    largePages: boolean,
  ): number {
    const domain = this.#domain
    const rc = domain.map(iovaHi, iovaLo, frames, at, offset, bytes, prot, largePages)
    if (rc < 0) return refuseForDriver(this.#engine, domain.owner, rc)
    domain.iotlbSyncMap?.(iovaHi, iovaLo, bytes)
    return 0
  }

  unmap(iovaHi: number, iovaLo: number, bytes: number): void {
    const domain = this.#domain
    gather.clear()
    const unmapped = domain.unmap(iovaHi, iovaLo, bytes, gather)
    domain.iotlbSync?.(gather)
    if (unmapped !== bytes) {
      const { name } = domain.owner
      this.#engine.warn(`the driver ${name} unmapped ${unmapped} bytes instead of ${bytes}`)
    }
  }

  framesAt(
    iovaHi: number,
    iovaLo: number,
    offset: number,
    frames: Uint32Array,
    at: number,
    n: number,
  ): void {
    if (this.#domain.framesAt !== undefined) {
      this.#domain.framesAt(iovaHi, iovaLo, offset, frames, at, n)
      return
    }
    let hi = iovaHi
    let lo = iovaLo
    let inFrame = offset
    for (let done = 0; done < n; ) {
      if (!this.#domain.translate(hi, lo, translation)) {
        throw new Error(`the driver ${this.#domain.owner.name} has lost a mapping`)
      }
      const run = Math.min(n - done, framesToEnd(lo))
      for (let i = 0; i < run; i++) frames[at + done + i] = translation.frame + i
      const bytes = run * PAGE_SIZE - inFrame
      hi = sumHi(hi, lo, 0, bytes)
      lo = (lo + bytes) | 0
      inFrame = 0
      done += run
    }
  }
}

/** How many frames follow one another from the translated IOVA to the end of its page. */
function framesToEnd(iovaLo: number): number {
  const { lg2, offset } = translation
  if (lg2 <= 12) return 1
  // Pages of 2 GiB and more are read in parts, so that the arithmetic stays in 32 bits.
  const mask = lg2 >= 31 ? 0x7fffffff : (1 << lg2) - 1
  return Math.ceil((mask + 1 - (iovaLo & mask) + offset) / PAGE_SIZE)
}
