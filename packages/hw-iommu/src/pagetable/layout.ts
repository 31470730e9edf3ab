// SPDX-License-Identifier: Apache-2.0
/**
 * The words of one page table: what its format makes of its features, computed once.
 *
 * Invariant: all layouts have one shape whatever their format, so that reading them on every access
 * stays fast.
 */
import { type PageTableFormat, PT_MMIO, type PtFeature, type Word } from './format.js'

const PROTS = 32
const LEVELS = 8
const LG2S = 64

export class Layout {
  readonly presentLo: number
  readonly tableMaskLo: number
  readonly granuleLg2: number
  /** Bit of a word at which the number of the granule begins. */
  readonly fieldLg2: number
  /** Bits of the address in the halves of a word. */
  readonly fieldHi: number
  readonly fieldLo: number
  /** Places by which the bits of an address stand higher in a word. */
  readonly shift: number
  readonly runHi: number
  readonly runLo: number
  /** Of words that lead to a table, by level. */
  readonly tableHi: Int32Array = new Int32Array(LEVELS)
  readonly tableLo: Int32Array = new Int32Array(LEVELS)
  /** Of leaves, by PT_*: 0 or the errno of what cannot be said, and the bits. */
  readonly leafRc: Int32Array = new Int32Array(PROTS)
  readonly leafHi: Int32Array = new Int32Array(PROTS)
  readonly leafLo: Int32Array = new Int32Array(PROTS)
  /** Of leaves, by the lg2 of the bytes of their page: the level, and the bits that tell the size. */
  readonly levelOf: Int32Array = new Int32Array(LG2S)
  readonly sizeHi: Int32Array = new Int32Array(LG2S)
  readonly sizeLo: Int32Array = new Int32Array(LG2S)

  /** `encryptionHi`: the encryption bit, in the high half of a word. */
  constructor(format: PageTableFormat, features: ReadonlySet<PtFeature>, encryptionHi: number) {
    this.presentLo = format.presentLo
    this.tableMaskLo = format.tableMaskLo
    this.granuleLg2 = format.granuleLg2
    this.fieldLg2 = format.fieldLg2
    this.fieldHi = format.fieldHi & ~encryptionHi
    this.fieldLo = -1 << format.fieldLg2
    this.shift = format.fieldLg2 - format.granuleLg2
    this.runHi = format.run.hi
    this.runLo = format.run.lo
    this.#fillTables(format, features, encryptionHi)
    this.#fillLeaves(format, features, encryptionHi)
    this.#fillSizes(format)
  }

  #fillTables(
    format: PageTableFormat,
    features: ReadonlySet<PtFeature>,
    encryptionHi: number,
  ): void {
    const word: Word = { hi: 0, lo: 0 }
    for (let level = 1; level < LEVELS; level++) {
      format.table(word, level, features)
      this.tableHi[level] = word.hi | encryptionHi
      this.tableLo[level] = word.lo
    }
  }

  #fillLeaves(
    format: PageTableFormat,
    features: ReadonlySet<PtFeature>,
    encryptionHi: number,
  ): void {
    const word: Word = { hi: 0, lo: 0 }
    for (let prot = 0; prot < PROTS; prot++) {
      this.leafRc[prot] = format.leaf(word, prot, features)
      this.leafHi[prot] = (prot & PT_MMIO) === 0 ? word.hi | encryptionHi : word.hi
      this.leafLo[prot] = word.lo
    }
  }

  #fillSizes(format: PageTableFormat): void {
    const word: Word = { hi: 0, lo: 0 }
    for (let lg2 = format.granuleLg2; lg2 < LG2S; lg2++) {
      const level = Math.floor((lg2 - format.granuleLg2) / 9)
      format.size(word, level, lg2)
      this.levelOf[lg2] = level
      this.sizeHi[lg2] = word.hi
      this.sizeLo[lg2] = word.lo
    }
  }

  /** The level-`level` word covers 2^this bytes. */
  lg2Of(level: number): number {
    return this.granuleLg2 + 9 * level
  }
}
