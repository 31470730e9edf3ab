// SPDX-License-Identifier: Apache-2.0
// Words of Sv39, Sv48 and Sv57 (RISC-V privileged architecture, "Page-Based 56-bit Virtual-Memory System" and its neighbours), with
// Svnapot (N: sixteen words share one page of 64 KiB) and Svpbmt (PBMT: memory type). A word with none of R, W, X leads to a table;
// pages are at every level.

import { bitsHi, bitsLo, isBitSet, range } from './bits.js'
import { bitMeaning, type Word, type WordLayout, wordLg2 } from './word.js'

const V = 0
const R = 1
const W = 2
const X = 3
const G = 5
const N = 63
const PBMT = ['PMA', 'NC', 'IO', 'reserved']
const PPN_HI = bitsHi(...range(32, 53))
const PPN_LO = bitsLo(...range(10, 31))
const PBMT_HI = bitsHi(61, 62)
const PERMISSIONS_LO = bitsLo(R, W, X)
const NAPOT_64K = 8
const NAPOT_LG2 = 16

const leafMeaning = bitMeaning({ V, R, W, X, U: 4, G, A: 6, D: 7, N }, [8, 9])
const tableMeaning = bitMeaning({ V, G }, [8, 9])

export const riscv64: WordLayout = {
  name: 'riscv64',
  granuleLg2: 12,
  maxTopLevel: 4,
  hardwareSetLo: bitsLo(6, 7),
  tablesRestrict: false,
  classify(level, hi, lo, word) {
    word.fault = undefined
    word.fieldHi = PPN_HI
    word.fieldLo = PPN_LO
    word.lg2 = wordLg2(riscv64, level)
    setAddress(hi & PPN_HI, (lo & PPN_LO) >>> 0, word)
    if (!isBitSet(hi, lo, V)) word.kind = 'empty'
    else if ((lo & PERMISSIONS_LO) === 0) {
      word.kind = 'table'
      if (level === 0) word.fault = 'bad-level'
    } else classifyPage(level, hi, lo, word)
  },
  meaning: (kind) => (kind === 'leaf' ? leafMeaning : tableMeaning),
  fields(kind, hi) {
    const type = (hi >>> 29) & 3
    return kind === 'leaf' && type !== 0 ? [`PBMT=${PBMT[type]}`] : []
  },
  canRead: (hi, lo) => isBitSet(hi, lo, R),
  canWrite: (hi, lo) => isBitSet(hi, lo, W),
  canExecute: (hi, lo) => isBitSet(hi, lo, X),
}

/** PPN, in units of 4 KiB, begins at bit 10. */
function setAddress(hi: number, lo: number, word: Word): void {
  word.addressHi = ((hi << 2) | (lo >>> 30)) >>> 0
  word.addressLo = (lo << 2) >>> 0
}

function classifyPage(level: number, hi: number, lo: number, word: Word): void {
  word.fieldHi = (PPN_HI | PBMT_HI) >>> 0
  if (isBitSet(hi, lo, W) && !isBitSet(hi, lo, R)) word.fault = 'bad-permissions'
  if (!isBitSet(hi, lo, N)) {
    word.leaf(word.lg2)
    return
  }
  const isRun = level === 0 && ((word.addressLo >>> 12) & 15) === NAPOT_64K
  if (!isRun) word.fault = 'bad-size'
  word.run(isRun ? NAPOT_LG2 : word.lg2)
}
