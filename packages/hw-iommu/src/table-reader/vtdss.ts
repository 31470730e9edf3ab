// SPDX-License-Identifier: Apache-2.0
// Words of VT-d second-stage tables (Intel Virtualization Technology for Directed I/O specification, "Second-Stage Paging
// Entries"). There is no present bit: a word that permits nothing is not there. Pages are at levels 0, 1 and 2 only.

import { belowLo, bitsLo, isBitSet, range } from './bits.js'
import { bitMeaning, type WordLayout, wordLg2 } from './word.js'

const R = 0
const W = 1
const X = 2
const PRESENT_LO = bitsLo(R, W, X)
const EMT_LO = bitsLo(3, 4, 5)
const PS = 7
const MAX_PAGE_LEVEL = 2
const ADDRESS_LO = ~belowLo(12) >>> 0

const pageNames = { R, W, X, IPAT: 6, A: 8, D: 9, SNP: 11, TM: 62 }
const pageSoftware = [10, ...range(52, 61), 63]
const smallMeaning = bitMeaning(pageNames, [7, ...pageSoftware])
const largeMeaning = bitMeaning({ ...pageNames, PS }, pageSoftware)
const tableMeaning = bitMeaning({ R, W, X, A: 8 }, [...range(3, 6), 9, 10, 11, ...range(52, 63)])

export const vtdss: WordLayout = {
  name: 'vtdss',
  granuleLg2: 12,
  maxTopLevel: 4,
  hardwareSetLo: bitsLo(8, 9),
  tablesRestrict: true,
  classify(level, hi, lo, word) {
    word.fault = undefined
    word.fieldHi = hi & 0xfffff
    word.addressHi = word.fieldHi
    word.addressLo = (lo & ADDRESS_LO) >>> 0
    word.fieldLo = ADDRESS_LO
    word.lg2 = wordLg2(vtdss, level)
    if ((lo & PRESENT_LO) === 0) word.kind = 'empty'
    else if (level > 0 && !isBitSet(hi, lo, PS)) word.kind = 'table'
    else {
      word.fieldLo = (word.fieldLo | EMT_LO) >>> 0
      if (level > MAX_PAGE_LEVEL) word.fault = 'bad-level'
      word.leaf(word.lg2)
    }
  },
  meaning(kind, level) {
    if (kind === 'table') return tableMeaning
    return level === 0 ? smallMeaning : largeMeaning
  },
  fields(kind, _hi, lo) {
    const memoryType = (lo >>> 3) & 7
    return kind === 'leaf' && memoryType !== 0 ? [`EMT=${memoryType}`] : []
  },
  canRead: (hi, lo) => isBitSet(hi, lo, R),
  canWrite: (hi, lo) => isBitSet(hi, lo, W),
  canExecute: () => undefined,
}
