// SPDX-License-Identifier: Apache-2.0
// A whole table, depth first and in index order: every word that is not zero, a table's own word before what is below it.
//
// Whatever the bytes are, the walk ends: a table is entered once. A word that leads to a table which was entered before is shown and
// reported, and not followed.

import { shiftedHi, shiftedLo, toBigint } from './bits.js'
import type { Finding, FindingCode } from './finding.js'
import { NOWHERE, TABLE_BYTES, TABLE_WORDS, TableImage, type TableMemory } from './image.js'
import { Word, type WordKind, wordLg2 } from './word.js'

/** One word on the way. The same object comes with every word: what is to be kept has to be copied. Halves are unsigned. */
export interface WalkedWord {
  readonly level: number
  /** position in its table, from 0 */
  readonly index: number
  /** first I/O virtual address that the word covers, sign extended where the table is */
  readonly vaHi: number
  readonly vaLo: number
  readonly hi: number
  readonly lo: number
  readonly kind: WordKind
  /** log2 of the bytes of the whole page of a leaf, else of what the word covers */
  readonly lg2: number
}

/** One word as {@link readTable} keeps it. */
export interface TableEntry {
  readonly level: number
  readonly va: bigint
  readonly word: bigint
  readonly kind: WordKind
  readonly lg2: number
}

const ON_THE_WAY = 1
const DONE = 2

/**
 * Shows every word of the table that is not zero to `visit`, and reports what is wrong.
 *
 * Nothing in the memory makes it throw or run on: at most 512 words for each 4 KiB of memory are read, and one finding for each is made
 * (two for the words of a run).
 */
export function walkTable(
  memory: TableMemory,
  visit: (word: WalkedWord) => void,
  report: (finding: Finding) => void,
): void {
  new Walk(new TableImage(memory), visit, report).run(memory.topAddress)
}

/** The words and the findings of {@link walkTable} as lists. */
export function readTable(memory: TableMemory): { entries: TableEntry[]; findings: Finding[] } {
  const entries: TableEntry[] = []
  const findings: Finding[] = []
  walkTable(
    memory,
    ({ level, vaHi, vaLo, hi, lo, kind, lg2 }) =>
      entries.push({ level, va: toBigint(vaHi, vaLo), word: toBigint(hi, lo), kind, lg2 }),
    (finding) => findings.push(finding),
  )
  return { entries, findings }
}

class Walk {
  readonly #image: TableImage
  readonly #visit: (word: WalkedWord) => void
  readonly #report: (finding: Finding) => void
  readonly #entered: Uint8Array
  readonly #word = new Word()
  readonly #shown = {
    level: 0,
    index: 0,
    vaHi: 0,
    vaLo: 0,
    hi: 0,
    lo: 0,
    kind: 'empty' as WordKind,
    lg2: 0,
  }

  constructor(
    image: TableImage,
    visit: (word: WalkedWord) => void,
    report: (finding: Finding) => void,
  ) {
    this.#image = image
    this.#visit = visit
    this.#report = report
    this.#entered = new Uint8Array(image.tables)
  }

  run(topAddress: bigint): void {
    const { problem: code, topLevel: level, top, topWords } = this.#image
    if (code !== undefined) {
      this.#report({ code, level, va: 0n, at: topAddress, word: 0n, other: 0n, lg2: 0 })
      return
    }
    this.#table(level, top, 0, 0)
    for (let index = topWords; index < TABLE_WORDS; index++) {
      this.#shown.index = index
      this.#setShown(level, top, 0, 0)
      if ((this.#shown.hi | this.#shown.lo) !== 0) this.#find('beyond-address-space', top)
    }
  }

  #table(level: number, table: number, vaHi: number, vaLo: number): void {
    const image = this.#image
    this.#entered[table] = ON_THE_WAY
    const words = level === image.topLevel ? image.topWords : TABLE_WORDS
    let runEnd = 0
    for (let index = 0; index < words; index++) {
      if ((image.wordLo(table, index) | image.wordHi(table, index)) === 0) continue
      this.#shown.index = index
      this.#setShown(level, table, vaHi, vaLo)
      const count = this.#show(level, table)
      if (count > 1 && index >= runEnd) runEnd = this.#checkRun(table, index, count)
      if (this.#shown.kind === 'table') this.#descend(level, table, index, vaHi, vaLo)
    }
    this.#entered[table] = DONE
  }

  /** Reads the word at the index that is set already. */
  #setShown(level: number, table: number, vaHi: number, vaLo: number): void {
    const { layout } = this.#image
    const shown = this.#shown
    const shift = wordLg2(layout, level)
    const hi = (vaHi | shiftedHi(shown.index, shift)) >>> 0
    const lo = (vaLo | shiftedLo(shown.index, shift)) >>> 0
    shown.level = level
    shown.vaHi = this.#image.extendHi(hi, lo)
    shown.vaLo = this.#image.extendLo(hi, lo)
    shown.hi = this.#image.wordHi(table, shown.index)
    shown.lo = this.#image.wordLo(table, shown.index)
    shown.lg2 = shift
  }

  /** Shows the word and reports what is wrong with it alone. Returns the number of words that share its page. */
  #show(level: number, table: number): number {
    const { layout } = this.#image
    const [shown, word] = [this.#shown, this.#word]
    const hi = this.#image.plainHi(shown.hi)
    const lo = this.#image.plainLo(shown.lo)
    layout.classify(level, hi, lo, word)
    shown.kind = word.kind
    shown.lg2 = word.lg2
    this.#visit(shown)
    if (word.kind === 'empty') {
      this.#find('word-not-present', table)
      return 1
    }
    const { knownHi, knownLo } = layout.meaning(word.kind, level)
    const unknown = (hi & ~(word.fieldHi | knownHi)) | (lo & ~(word.fieldLo | knownLo))
    if (unknown !== 0) this.#find('unknown-bits', table)
    if (word.fault !== undefined) this.#find(word.fault, table)
    return word.kind === 'leaf' ? 1 << (word.lg2 - wordLg2(layout, level)) : 1
  }

  /** Every word of a run is the same, but for what hardware marks in single words. Returns the index after the run. */
  #checkRun(table: number, index: number, count: number): number {
    const image = this.#image
    const ignored = image.layout.hardwareSetLo
    const start = index - (index % count)
    const [hi, lo] = [image.wordHi(table, index), image.wordLo(table, index)]
    for (let at = start; at < start + count; at++) {
      const [otherHi, otherLo] = [image.wordHi(table, at), image.wordLo(table, at)]
      if (otherHi === hi && ((otherLo ^ lo) & ~ignored) === 0) continue
      this.#find('run-differs', table, toBigint(otherHi, otherLo))
      break
    }
    return start + count
  }

  #descend(level: number, table: number, index: number, vaHi: number, vaLo: number): void {
    if (this.#word.fault !== undefined) return
    const below = this.#image.tableAt(this.#word.addressHi, this.#word.addressLo)
    const problem = this.#pointerProblem(below)
    if (problem !== undefined) {
      this.#find(problem, table)
      return
    }
    const shift = wordLg2(this.#image.layout, level)
    const hi = (vaHi | shiftedHi(index, shift)) >>> 0
    const lo = (vaLo | shiftedLo(index, shift)) >>> 0
    this.#table(level - 1, below, hi, lo)
  }

  /** Why the table below the word cannot be entered, if so. */
  #pointerProblem(below: number): FindingCode | undefined {
    if (this.#word.addressLo % TABLE_BYTES !== 0) return 'pointer-misaligned'
    if (below === NOWHERE) return 'pointer-outside'
    if (this.#entered[below] === ON_THE_WAY) return 'loop'
    return this.#entered[below] === DONE ? 'shared-table' : undefined
  }

  #find(code: FindingCode, table: number, other = 0n): void {
    const { level, index, vaHi, vaLo, hi, lo, lg2 } = this.#shown
    const at = this.#image.addressOf(table, index)
    const [va, word] = [toBigint(vaHi, vaLo), toBigint(hi, lo)]
    this.#report({ code, level, va, at, word, other, lg2 })
  }
}
