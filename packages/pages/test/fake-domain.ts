// SPDX-License-Identifier: Apache-2.0
// A domain that keeps its mappings in a Map, one entry for each 2 KiB, and throws at anything that a page table could
// not do: mapping what is mapped, unmapping or reading what is not.

import type { IommuDomain } from '../src/domain.js'
import { u64 } from './u64.js'

const GRANULE = 2048n

export class FakeDomain implements IommuDomain {
  readonly minPageSize: number
  readonly apertureStartHi = 0
  readonly apertureStartLo = 0x100_0000
  readonly apertureLastHi = 0
  readonly apertureLastLo = 0x7fff_ffff
  /** Frame by granule of IOVA. */
  readonly entries: Map<bigint, number> = new Map()
  /** Refuses every further mapping: the negative errno that this answers. */
  refuse: (() => number) | undefined

  constructor(minPageSize: number = Number(GRANULE)) {
    this.minPageSize = minPageSize
  }

  map(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    offset: number,
    bytes: number,
  ): number {
    if (this.refuse !== undefined) return this.refuse()
    for (let done = 0; done < bytes; done += Number(GRANULE)) {
      const key = (u64(iovaHi, iovaLo) + BigInt(done)) / GRANULE
      if (this.entries.has(key)) throw new Error(`granule ${key} is mapped already`)
      this.entries.set(key, frames[at + Math.floor((offset + done) / 4096)] as number)
    }
    return 0
  }

  unmap(iovaHi: number, iovaLo: number, bytes: number): void {
    for (let done = 0; done < bytes; done += Number(GRANULE)) {
      const key = (u64(iovaHi, iovaLo) + BigInt(done)) / GRANULE
      if (!this.entries.delete(key)) throw new Error(`granule ${key} is not mapped`)
    }
  }

  frameAt(iovaHi: number, iovaLo: number): number {
    const frame = this.entries.get(u64(iovaHi, iovaLo) / GRANULE)
    if (frame === undefined) throw new Error(`${u64(iovaHi, iovaLo)} is not mapped`)
    return frame
  }
}
