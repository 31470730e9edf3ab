// SPDX-License-Identifier: Apache-2.0
// What a 64-bit word of a page table can be, and what a format has to say about it.
//
// A layout knows single words and nothing of where they are: pointers, runs and loops are the walk's business.

import { belowHi, belowLo, bitsHi, bitsLo } from './bits.js'

export type TableFormatName = 'amdv1' | 'amdv1_mock' | 'riscv64' | 'vtdss' | 'x86_64'

/** `empty`: hardware sees nothing there. `table`: the address of a table one level below. `leaf`: a page. */
export type WordKind = 'empty' | 'leaf' | 'table'

/** Why hardware would refuse a word that is present. */
export type WordFault = 'bad-level' | 'bad-permissions' | 'bad-size' | 'misaligned-page'

/** Bits of 64 that mean something by themselves, by their name in the architecture's manual. */
export type BitNames = Readonly<Record<string, number>>

/** What the bits of one kind of word mean, apart from its fields. Halves are unsigned. */
export interface BitMeaning {
  readonly names: BitNames
  /** left to software by the architecture */
  readonly softwareHi: number
  readonly softwareLo: number
  /** named or software's */
  readonly knownHi: number
  readonly knownLo: number
}

export function bitMeaning(names: BitNames, software: readonly number[]): BitMeaning {
  const known = [...Object.values(names), ...software]
  return {
    names,
    softwareHi: bitsHi(...software),
    softwareLo: bitsLo(...software),
    knownHi: bitsHi(...known),
    knownLo: bitsLo(...known),
  }
}

/** One word, taken apart. Owned by whoever classifies, and used again for the next word. */
export class Word {
  kind: WordKind = 'empty'
  /** log2 of the bytes of the whole page; of what the word covers where it is no leaf */
  lg2 = 0
  /** physical address of the page or of the next table */
  addressHi = 0
  addressLo = 0
  /** bits that carry the address or the page size */
  fieldHi = 0
  fieldLo = 0
  fault: WordFault | undefined

  /** Declares the word a page of 2^lg2 bytes; address bits below that would make hardware refuse it. */
  leaf(lg2: number): void {
    const low = (this.addressHi & belowHi(lg2)) | (this.addressLo & belowLo(lg2))
    if (low !== 0) this.fault ??= 'misaligned-page'
    this.run(lg2)
  }

  /** The same where address bits below that are the code of the size. */
  run(lg2: number): void {
    this.kind = 'leaf'
    this.lg2 = lg2
    this.addressHi = (this.addressHi & ~belowHi(lg2)) >>> 0
    this.addressLo = (this.addressLo & ~belowLo(lg2)) >>> 0
  }
}

/** The words of one format. Halves are unsigned; the encryption bit is taken out before they get here. */
export interface WordLayout {
  readonly name: TableFormatName
  /** log2 of the bytes that one word of level 0 covers */
  readonly granuleLg2: number
  readonly maxTopLevel: number
  /** bits that hardware may set in single words of a run */
  readonly hardwareSetLo: number
  /** Sorts a word of `level` into `word`; every field is set. */
  classify(level: number, hi: number, lo: number, word: Word): void
  /** The meaning of the bits of a word that is `kind` at `level`. */
  meaning(kind: 'leaf' | 'table', level: number): BitMeaning
  /** Fields of more than one bit as `Name=value`, none for those that say nothing. */
  fields(kind: 'leaf' | 'table', hi: number, lo: number): string[]
  canRead(hi: number, lo: number): boolean
  canWrite(hi: number, lo: number): boolean
  /** undefined where the format has no such permission */
  canExecute(hi: number, lo: number): boolean | undefined
  /** whether permissions of tables limit those of what is below */
  readonly tablesRestrict: boolean
}

/** log2 of the bytes that one word of `level` covers. */
export function wordLg2(layout: WordLayout, level: number): number {
  return layout.granuleLg2 + 9 * level
}
