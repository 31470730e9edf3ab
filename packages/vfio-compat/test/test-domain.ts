// SPDX-License-Identifier: Apache-2.0
//
// A domain on paper: keeps what is mapped byte range by byte range, and throws when it is not used as SPEC section 8 asks.
// Pages of 4 KiB to 64 GiB, an aperture from 16 MiB to 2 GiB, as the mock domains of Linux have.

import type { RefusalSite, Refusals } from '@iommufd/core'
import type { IommuDomain } from '@iommufd/pages'
import { EINVAL, PAGE_SIZE } from '@iommufd/uapi'
import type { DomainTraits } from '../src/index.js'

const NO_PERMISSION: RefusalSite = {
  id: 'NO_PERMISSION',
  errno: EINVAL,
  spec: 'section 9',
  operands: {},
  sentence: 'a page table cannot map without permission',
  remedy: 'ask for one',
}

export const APERTURE_START = 0x100_0000
export const APERTURE_LAST = 0x7fff_ffff

export class TestDomain implements IommuDomain, DomainTraits {
  readonly minPageSize = PAGE_SIZE
  readonly apertureStartHi = 0
  readonly apertureStartLo = APERTURE_START
  readonly apertureLastHi = 0
  readonly apertureLastLo = APERTURE_LAST
  readonly pageSizesHi = 0x1f
  readonly pageSizesLo = -0x800
  enforcesCacheCoherency = false
  /** Frame by page of IOVA. */
  readonly frames = new Map<number, number>()
  readonly #refusals: Refusals

  constructor(refusals: Refusals) {
    this.#refusals = refusals
  }

  map(
    _hi: number,
    lo: number,
    frames: Uint32Array,
    at: number,
    _offset: number,
    bytes: number,
    prot: number,
  ): number {
    if (prot === 0) return this.#refusals.refuse(NO_PERMISSION)
    for (let i = 0; i < bytes / PAGE_SIZE; i++) {
      const page = (lo >>> 12) + i
      if (this.frames.has(page)) throw new Error(`page ${page} is mapped already`)
      this.frames.set(page, frames[at + i] as number)
    }
    return 0
  }

  unmap(_hi: number, lo: number, bytes: number): void {
    for (let i = 0; i < bytes / PAGE_SIZE; i++) {
      if (!this.frames.delete((lo >>> 12) + i)) throw new Error('unmap of what is not mapped')
    }
  }

  framesAt(
    _hi: number,
    lo: number,
    _offset: number,
    frames: Uint32Array,
    at: number,
    n: number,
  ): void {
    for (let i = 0; i < n; i++) {
      const frame = this.frames.get((lo >>> 12) + i)
      if (frame === undefined) throw new Error('frame of what is not mapped')
      frames[at + i] = frame
    }
  }
}
