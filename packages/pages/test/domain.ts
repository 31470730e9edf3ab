// SPDX-License-Identifier: Apache-2.0
//
// A hardware page table as a map from IOVA to physical address, one entry a granule. It throws where the page engine breaks
// its contract: mapping what is mapped, unmapping what is not, leaving the aperture, forgetting the alignment.

import { EADDRINUSE } from '@iommufd/uapi'
import type { IommuDomain } from '../src/domain.js'
import { PAGE, type World } from './harness.js'
import { hi, lo, type Range, U64_MAX, u64 } from './u64.js'

export class TestDomain implements IommuDomain {
  readonly minPageSize: number
  readonly apertureStartHi: number
  readonly apertureStartLo: number
  readonly apertureLastHi: number
  readonly apertureLastLo: number
  readonly aperture: Range
  /** Physical address by IOVA, for each granule of minPageSize bytes. */
  readonly entries = new Map<bigint, number>()
  /** Mapping this granule is refused with EADDRINUSE. */
  broken: bigint | undefined
  readonly #world: World

  constructor(world: World, minPageSize: number = PAGE, aperture = { start: 0n, last: U64_MAX }) {
    this.#world = world
    this.minPageSize = minPageSize
    this.aperture = aperture
    this.apertureStartHi = hi(aperture.start)
    this.apertureStartLo = lo(aperture.start)
    this.apertureLastHi = hi(aperture.last)
    this.apertureLastLo = lo(aperture.last)
  }

  map(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    offset: number,
    bytes: number,
  ): number {
    const { engine } = this.#world
    const rc = engine.allocate()
    if (rc < 0) return rc
    const iovas = this.#granules(u64(iovaHi, iovaLo), bytes)
    if (iovas.some((iova) => iova === this.broken)) return engine.refusals.refuse(ENTRY_IN_USE)
    for (const [i, iova] of iovas.entries()) {
      if (this.entries.has(iova)) throw new Error('maps what is mapped')
      const byte = offset + i * this.minPageSize
      const frame = frames[at + Math.floor(byte / PAGE)] as number
      this.entries.set(iova, frame * PAGE + (byte % PAGE))
    }
    return 0
  }

  unmap(iovaHi: number, iovaLo: number, bytes: number): void {
    for (const iova of this.#granules(u64(iovaHi, iovaLo), bytes)) {
      if (!this.entries.delete(iova)) throw new Error('unmaps what is not mapped')
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
    const page = u64(iovaHi, iovaLo) - BigInt(offset)
    for (let i = 0; i < n; i++) {
      frames[at + i] = this.frameAt(page + BigInt(i * PAGE + (i === 0 ? offset : 0)))
    }
  }

  frameAt(iova: bigint): number {
    const physical = this.entries.get(iova - (iova % BigInt(this.minPageSize)))
    if (physical === undefined) throw new Error('asks for what is not mapped')
    return Math.floor(physical / PAGE)
  }

  #granules(start: bigint, bytes: number): bigint[] {
    const granule = BigInt(this.minPageSize)
    const last = start + BigInt(bytes) - 1n
    const { aperture } = this
    if (bytes <= 0 || last > U64_MAX) throw new Error('not a range')
    if (start < aperture.start || last > aperture.last) throw new Error('outside of the aperture')
    if (start % granule !== 0n || BigInt(bytes) % granule !== 0n) throw new Error('misaligned')
    return Array.from({ length: bytes / this.minPageSize }, (_, i) => start + BigInt(i) * granule)
  }
}

const ENTRY_IN_USE = {
  id: 'TEST_ENTRY_IN_USE',
  errno: EADDRINUSE,
  spec: 'C6',
  operands: {},
  sentence: 'the entry is in use',
  remedy: 'none',
}
