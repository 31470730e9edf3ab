// SPDX-License-Identifier: Apache-2.0
// One I/O virtual address on the way that hardware takes it: from the top table down, at each level the word that the address
// selects, until a page or the reason why there is none.

import { belowHi, belowLo, hiOf, isBitSet, loOf, toBigint } from './bits.js'
import { NOWHERE, TABLE_BYTES, TableImage, type TableMemory } from './image.js'
import { Word, type WordFault, wordLg2 } from './word.js'

/** Why an address has no page. */
export type TranslationFault =
  | WordFault
  | 'not-present'
  | 'outside'
  | 'pointer-misaligned'
  | 'pointer-outside'
  | 'unknown-bits'
  | 'unreadable'

/** One step of a translation. */
export interface TranslationStep {
  readonly level: number
  /** physical address of the word */
  readonly at: bigint
  readonly word: bigint
}

export interface Translation {
  /** physical address that the I/O virtual address leads to; undefined: none */
  readonly phys: bigint | undefined
  /** undefined where there is a physical address */
  readonly fault: TranslationFault | undefined
  /** log2 of the bytes of the page */
  readonly lg2: number
  /** what the words on the way permit together */
  readonly read: boolean
  readonly write: boolean
  /** undefined where the format has no such permission */
  readonly execute: boolean | undefined
  /** the words on the way, from the top */
  readonly steps: readonly TranslationStep[]
}

/**
 * Translates one I/O virtual address (0n to 2^64 - 1).
 *
 * A word that hardware might refuse, for bits without a meaning or an impossible size, ends the translation with that reason.
 */
export function translate(memory: TableMemory, iova: bigint): Translation {
  const image = new TableImage(memory)
  const steps: TranslationStep[] = []
  const [hi, lo] = [hiOf(iova), loOf(iova)]
  if (image.problem !== undefined) return faulted('unreadable', steps)
  if (!image.contains(hi, lo)) return faulted('outside', steps)
  return descend(image, hi, lo, steps)
}

function descend(image: TableImage, hi: number, lo: number, steps: TranslationStep[]): Translation {
  const { layout } = image
  const word = new Word()
  const permitted = { read: true, write: true, execute: undefined as boolean | undefined }
  let table = image.top
  for (let level = image.topLevel; ; level--) {
    const index = indexOf(image, level, hi, lo)
    const [wordHi, wordLo] = [image.wordHi(table, index), image.wordLo(table, index)]
    steps.push({ level, at: image.addressOf(table, index), word: toBigint(wordHi, wordLo) })
    const fault = inspect(image, level, image.plainHi(wordHi), image.plainLo(wordLo), word)
    if (fault !== undefined) return faulted(fault, steps)
    if (word.kind === 'leaf' || layout.tablesRestrict) {
      permitted.read &&= layout.canRead(wordHi, wordLo)
      permitted.write &&= layout.canWrite(wordHi, wordLo)
      const execute = layout.canExecute(wordHi, wordLo)
      permitted.execute = permitted.execute === undefined ? execute : permitted.execute && execute
    }
    if (word.kind === 'leaf') {
      return { phys: physOf(word, hi, lo), fault: undefined, lg2: word.lg2, ...permitted, steps }
    }
    if (word.addressLo % TABLE_BYTES !== 0) return faulted('pointer-misaligned', steps)
    table = image.tableAt(word.addressHi, word.addressLo)
    if (table === NOWHERE) return faulted('pointer-outside', steps)
  }
}

/** Why the word ends the translation without a page, if it does. */
function inspect(
  image: TableImage,
  level: number,
  hi: number,
  lo: number,
  word: Word,
): TranslationFault | undefined {
  image.layout.classify(level, hi, lo, word)
  if (word.kind === 'empty') return 'not-present'
  const { knownHi, knownLo } = image.layout.meaning(word.kind, level)
  const unknown = (hi & ~(word.fieldHi | knownHi)) | (lo & ~(word.fieldLo | knownLo))
  return word.fault ?? (unknown === 0 ? undefined : 'unknown-bits')
}

/** Which word of a table of `level` the address selects. */
function indexOf(image: TableImage, level: number, hi: number, lo: number): number {
  const first = wordLg2(image.layout, level)
  const end = Math.min(first + 9, image.vaBits)
  let index = 0
  for (let bit = first; bit < end; bit++) if (isBitSet(hi, lo, bit)) index |= 1 << (bit - first)
  return index
}

function physOf(word: Word, hi: number, lo: number): bigint {
  const offsetHi = hi & belowHi(word.lg2)
  const offsetLo = lo & belowLo(word.lg2)
  return toBigint(word.addressHi | offsetHi, word.addressLo | offsetLo)
}

function faulted(fault: TranslationFault, steps: readonly TranslationStep[]): Translation {
  return { phys: undefined, fault, lg2: 0, read: false, write: false, execute: undefined, steps }
}
