// SPDX-License-Identifier: Apache-2.0
// Words of x86-64 paging as IOMMUs read them: VT-d first stage, AMD guest tables (Intel SDM volume 3, "4-level paging and 5-level
// paging"; VT-d specification, "First-Stage Paging Entries"). Pages are at levels 0, 1 and 2 only.

import { belowLo, bitsLo, isBitSet, range } from './bits.js'
import { bitMeaning, type WordLayout, wordLg2 } from './word.js'

const P = 0
const RW = 1
const PS = 7
const PAT_LARGE = 12
const XD = 63
const MAX_PAGE_LEVEL = 2
const ADDRESS_LO = ~belowLo(12) >>> 0
const LARGE_ADDRESS_LO = (ADDRESS_LO & ~bitsLo(PAT_LARGE)) >>> 0

const tree = { P, RW, US: 2, PWT: 3, PCD: 4, A: 5 }
const software = [9, 10, 11, ...range(52, 62)]
const smallMeaning = bitMeaning({ ...tree, D: 6, PAT: 7, G: 8, XD }, software)
const largeMeaning = bitMeaning({ ...tree, D: 6, PS, G: 8, PAT: PAT_LARGE, XD }, software)
const tableMeaning = bitMeaning({ ...tree, XD }, [6, 8, ...software])

export const x8664: WordLayout = {
  name: 'x86_64',
  granuleLg2: 12,
  maxTopLevel: 4,
  hardwareSetLo: bitsLo(5, 6),
  tablesRestrict: true,
  classify(level, hi, lo, word) {
    word.fault = undefined
    word.fieldHi = hi & 0xfffff
    word.addressHi = word.fieldHi
    word.fieldLo = ADDRESS_LO
    word.addressLo = (lo & ADDRESS_LO) >>> 0
    word.lg2 = wordLg2(x8664, level)
    if (!isBitSet(hi, lo, P)) word.kind = 'empty'
    else if (level > 0 && !isBitSet(hi, lo, PS)) word.kind = 'table'
    else {
      if (level > 0) word.addressLo = (lo & LARGE_ADDRESS_LO) >>> 0
      if (level > MAX_PAGE_LEVEL) word.fault = 'bad-level'
      word.leaf(word.lg2)
    }
  },
  meaning(kind, level) {
    if (kind === 'table') return tableMeaning
    return level === 0 ? smallMeaning : largeMeaning
  },
  fields: () => [],
  canRead: (hi, lo) => isBitSet(hi, lo, P),
  canWrite: (hi, lo) => isBitSet(hi, lo, RW),
  canExecute: (hi, lo) => !isBitSet(hi, lo, XD),
}
