// SPDX-License-Identifier: Apache-2.0
// Words of the AMD IOMMU's host page tables (AMD I/O Virtualization Technology specification, "I/O Page Tables for Host
// Translations").
//
// Bits 11:9 are the next level: 0 is a page of the size that a word of this level covers, 7 a page whose size stands in the
// low bits of its address (n ones and a zero: 2^(n+1) smallest pages), anything else the number of the table below, level 0 being
// table 1. Hardware may skip levels; tables that do are reported as malformed here.
//
// The mock has the same words with pages of 2 KiB: the address field counts in units of 2 KiB instead of 4 KiB.

import { bitsHi, bitsLo, isBitSet, range } from './bits.js'
import { bitMeaning, type TableFormatName, type Word, type WordLayout, wordLg2 } from './word.js'

const PR = 0
const DIRTY = 6
const IR = 61
const IW = 62
const PAGE_OF_LEVEL = 0
const PAGE_OF_CODED_SIZE = 7
const WORDS_LG2 = 9

const leafMeaning = bitMeaning(
  { PR, A: 5, D: DIRTY, U: 59, FC: 60, IR, IW },
  [1, 2, 3, 4, 7, 8, 63],
)
const tableMeaning = bitMeaning({ PR, A: 5, IR, IW }, [1, 2, 3, 4, 6, 7, 8, 63])
const FIELD_HI = bitsHi(...range(32, 51))
const FIELD_LO = bitsLo(...range(9, 31))

export const amdv1: WordLayout = layoutOf('amdv1', 12)
export const amdv1Mock: WordLayout = layoutOf('amdv1_mock', 11)

function layoutOf(name: TableFormatName, granuleLg2: number): WordLayout {
  const layout: WordLayout = {
    name,
    granuleLg2,
    maxTopLevel: 5,
    hardwareSetLo: bitsLo(5, DIRTY),
    tablesRestrict: true,
    classify(level, hi, lo, word) {
      word.fault = undefined
      word.fieldHi = FIELD_HI
      word.fieldLo = FIELD_LO
      setAddress(granuleLg2, hi & 0xfffff, (lo & 0xfffff000) >>> 0, word)
      const own = wordLg2(layout, level)
      const next = nextLevel(lo)
      if (!isBitSet(hi, lo, PR)) {
        word.kind = 'empty'
        word.lg2 = own
      } else if (next === PAGE_OF_LEVEL) word.leaf(own)
      else if (next === PAGE_OF_CODED_SIZE) classifyRun(own, granuleLg2, word)
      else {
        word.kind = 'table'
        word.lg2 = own
        if (next !== level) word.fault = 'bad-level'
      }
    },
    meaning: (kind) => (kind === 'leaf' ? leafMeaning : tableMeaning),
    fields: (_kind, _hi, lo) => [`NextLevel=${nextLevel(lo)}`],
    canRead: (hi, lo) => isBitSet(hi, lo, IR),
    canWrite: (hi, lo) => isBitSet(hi, lo, IW),
    canExecute: () => undefined,
  }
  return layout
}

function nextLevel(lo: number): number {
  return (lo >>> 9) & 7
}

/** Bit 12 of the word is the bit of the smallest page: one place further down in the mock. */
function setAddress(granuleLg2: number, hi: number, lo: number, word: Word): void {
  const down = 12 - granuleLg2
  word.addressHi = hi >>> down
  word.addressLo = (down === 0 ? lo : (lo >>> down) | (hi << (32 - down))) >>> 0
}

/** A page that several words share: 2 to 256 of them, never all of a table. */
function classifyRun(own: number, granuleLg2: number, word: Word): void {
  let ones = 0
  while (isBitSet(word.addressHi, word.addressLo, granuleLg2 + ones)) ones++
  const lg2 = granuleLg2 + ones + 1
  const isRun = lg2 > own && lg2 < own + WORDS_LG2
  if (!isRun) word.fault = 'bad-size'
  word.run(isRun ? lg2 : own)
}
