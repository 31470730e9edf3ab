// SPDX-License-Identifier: Apache-2.0
/**
 * The translations that an IOMMU remembers of one domain.
 *
 * Invariant: what is remembered is used until it is flushed, whether it is still true or not: as in
 * the hardware, whoever changes the table must flush. Direct mapped; a full flush is one step.
 */
import type { IotlbGather } from './iotlb-gather.js'
import type { Translation } from './translation.js'

const ENTRIES = 256

export class Iotlb {
  /** Bytes of IOVAs that one entry translates, as lg2. */
  readonly granuleLg2: number
  /** Questions that were answered, and that were not. */
  hits = 0
  misses = 0
  readonly #tagHi = new Int32Array(ENTRIES)
  readonly #tagLo = new Int32Array(ENTRIES)
  readonly #frame = new Uint32Array(ENTRIES)
  /** Of the granule in its frame. */
  readonly #offset = new Uint16Array(ENTRIES)
  readonly #prot = new Uint8Array(ENTRIES)
  readonly #isDirty = new Uint8Array(ENTRIES)
  /** Entries of another generation than this are empty. */
  #generation = 1
  readonly #generations = new Uint32Array(ENTRIES)

  /** `minPageSize`: the smallest page of the domain, in bytes. */
  constructor(minPageSize: number) {
    this.granuleLg2 = Math.min(12, 31 - Math.clz32(minPageSize))
  }

  /** Whether the IOVA is remembered; then `out` is filled, but for the size of the page. */
  lookup(iovaHi: number, iovaLo: number, out: Translation): boolean {
    const slot = (iovaLo >>> this.granuleLg2) & (ENTRIES - 1)
    const isHit =
      this.#generations[slot] === this.#generation &&
      this.#tagLo[slot] === iovaLo >> this.granuleLg2 &&
      this.#tagHi[slot] === iovaHi
    if (!isHit) {
      this.misses++
      return false
    }
    this.hits++
    out.frame = this.#frame[slot] as number
    out.offset = (this.#offset[slot] as number) + (iovaLo & ((1 << this.granuleLg2) - 1))
    out.lg2 = this.granuleLg2
    out.prot = this.#prot[slot] as number
    out.isDirty = this.#isDirty[slot] === 1
    return true
  }

  /** Remembers where the IOVA leads. */
  insert(iovaHi: number, iovaLo: number, found: Translation): void {
    const slot = (iovaLo >>> this.granuleLg2) & (ENTRIES - 1)
    this.#generations[slot] = this.#generation
    this.#tagLo[slot] = iovaLo >> this.granuleLg2
    this.#tagHi[slot] = iovaHi
    this.#frame[slot] = found.frame
    this.#offset[slot] = found.offset - (iovaLo & ((1 << this.granuleLg2) - 1))
    this.#prot[slot] = found.prot
    this.#isDirty[slot] = found.isDirty ? 1 : 0
  }

  /** Forgets everything. */
  flushAll(): void {
    this.#generation++
  }

  /** Forgets the IOVAs of the gather, and with a large one everything. */
  flush(gather: IotlbGather): void {
    if (gather.isEmpty) return
    const first = gather.startLo >>> this.granuleLg2
    const count = (gather.lastLo >>> this.granuleLg2) - first + 1
    if (gather.startHi !== gather.lastHi || count > ENTRIES / 4) {
      this.flushAll()
      return
    }
    for (let i = 0; i < count; i++) this.#generations[(first + i) & (ENTRIES - 1)] = 0
  }
}
