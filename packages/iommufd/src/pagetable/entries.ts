// SPDX-License-Identifier: Apache-2.0
// The words of a table as the independent reader finds them, with the words that share a page taken together, and pages that follow
// each other in every respect taken together where that is wanted.
//
// A table can have millions of words: only what is shown is kept or decoded.

import {
  type DecodedWord,
  decodeWord,
  type Finding,
  type TableMemory,
  type WalkedWord,
  walkTable,
} from '@iommufd/hw-iommu/table-reader'

/** One word; of the words that share a page the first. */
export interface Entry {
  readonly level: number
  /** position in its table */
  readonly index: number
  readonly va: bigint
  readonly word: bigint
  readonly decoded: DecodedWord
  /** why the page is not larger; undefined where that is not known */
  readonly why: string | undefined
}

/** One word, or pages of one size that differ only in their addresses, which follow each other. */
export interface Series {
  readonly first: Entry
  /** the same as `first` where `count` is 1 */
  readonly last: Entry
  /** pages, or 1 */
  readonly count: number
}

export interface Reading {
  readonly series: readonly Series[]
  /** the first of them, at most {@link MAX_FINDINGS} */
  readonly findings: readonly Finding[]
  /** those that are not in `findings` */
  readonly moreFindings: number
  /** whether there is more than `maxSeries` */
  readonly isCut: boolean
}

export interface ReadingOptions {
  /** take pages that follow each other together */
  readonly fold: boolean
  readonly maxSeries: number
  /** why a page has its size, by its first address and the log2 of its bytes */
  readonly why: (va: bigint, lg2: number) => string | undefined
}

const MAX_FINDINGS = 1000

/** Reads a table. */
export function readSeries(memory: TableMemory, options: ReadingOptions): Reading {
  const collector = new Collector(memory, options)
  const findings: Finding[] = []
  let moreFindings = 0
  walkTable(
    memory,
    (word) => collector.see(word),
    (finding) => {
      if (findings.length < MAX_FINDINGS) findings.push(finding)
      else moreFindings++
    },
  )
  collector.end()
  return { series: collector.series, isCut: collector.isCut, findings, moreFindings }
}

/** A place for the numbers of one word. */
interface Place {
  level: number
  index: number
  vaHi: number
  vaLo: number
  hi: number
  lo: number
  kind: WalkedWord['kind']
  lg2: number
}

class Collector {
  readonly series: Series[] = []
  isCut = false
  readonly #memory: TableMemory
  readonly #options: ReadingOptions
  readonly #wordLg2: number
  readonly #strideShift: number
  readonly #first: Place = emptyPlace()
  readonly #last: Place = emptyPlace()
  #count = 0

  constructor(memory: TableMemory, options: ReadingOptions) {
    this.#memory = memory
    this.#options = options
    this.#wordLg2 = memory.format === 'amdv1_mock' ? 11 : 12
    this.#strideShift = strideShifts[memory.format] ?? 0
  }

  see(word: WalkedWord): void {
    if (this.#count > 0 && this.#isRestOfRun(word)) return
    if (this.#count > 0 && this.#options.fold && this.#follows(word)) {
      this.#count++
      copy(word, this.#last)
      return
    }
    this.end()
    this.#count = 1
    copy(word, this.#first)
    copy(word, this.#last)
  }

  /** Closes the series that is being collected. */
  end(): void {
    if (this.#count === 0) return
    if (this.series.length === this.#options.maxSeries) {
      this.isCut = true
      return
    }
    const first = this.#entry(this.#first)
    const last = this.#count === 1 ? first : this.#entry(this.#last)
    this.series.push({ first, last, count: this.#count })
  }

  #isRestOfRun({ level, index, kind, lg2, hi, lo }: WalkedWord): boolean {
    const last = this.#last
    if (kind !== 'leaf' || last.level !== level || last.hi !== hi || last.lo !== lo) return false
    const inRun = index & ((1 << (lg2 - this.#wordLg2 - 9 * level)) - 1)
    return inRun !== 0 && last.index === index - inRun
  }

  #follows({ level, vaHi, vaLo, hi, lo, kind, lg2 }: WalkedWord): boolean {
    const last = this.#last
    return (
      kind === 'leaf' &&
      last.kind === 'leaf' &&
      last.level === level &&
      last.lg2 === lg2 &&
      isNext(last.vaHi, last.vaLo, vaHi, vaLo, lg2) &&
      isNext(last.hi, last.lo, hi, lo, lg2 + this.#strideShift)
    )
  }

  #entry({ level, index, vaHi, vaLo, hi, lo, kind, lg2 }: Place): Entry {
    const { format, encryptionMask } = this.#memory
    const [va, word] = [toBigint(vaHi, vaLo), toBigint(hi, lo)]
    const decoded = decodeWord(format, level, word, encryptionMask)
    const why = kind === 'leaf' ? this.#options.why(va, lg2) : undefined
    return { level, index, va, word, decoded, why }
  }
}

/** How much higher than in an address the bits of an address are in a word. */
const strideShifts: Readonly<Record<string, number>> = { amdv1_mock: 1, riscv64: -2 }

function emptyPlace(): Place {
  return { level: 0, index: 0, vaHi: 0, vaLo: 0, hi: 0, lo: 0, kind: 'empty', lg2: 0 }
}

function copy(word: WalkedWord, into: Place): void {
  into.level = word.level
  into.index = word.index
  into.vaHi = word.vaHi
  into.vaLo = word.vaLo
  into.hi = word.hi
  into.lo = word.lo
  into.kind = word.kind
  into.lg2 = word.lg2
}

/** Whether b is a + 2^lg2; halves are unsigned. */
function isNext(aHi: number, aLo: number, bHi: number, bLo: number, lg2: number): boolean {
  const lo = (aLo + (lg2 < 32 ? 1 << lg2 : 0)) >>> 0
  const carry = lo < aLo ? 1 : 0
  const hi = (aHi + (lg2 < 32 ? 0 : 1 << (lg2 - 32)) + carry) >>> 0
  return lo === bLo && hi === bHi
}

function toBigint(hi: number, lo: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo)
}
