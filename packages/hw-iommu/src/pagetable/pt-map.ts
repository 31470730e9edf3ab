// SPDX-License-Identifier: Apache-2.0
/**
 * Mapping: choosing page sizes and writing leaves (SPEC section 9).
 *
 * Invariant: a page is written when all of its words are free, in one go, so a refused call leaves
 * whole pages. Sizes are chosen from the start on, the largest that both addresses and what is left
 * allow. Tables without a leaf that a larger page takes the place of are unlinked.
 */
import { sumHi, sumWraps } from '@iommufd/core'
import { EADDRINUSE, EINVAL, ENXIO, EOVERFLOW, ERANGE } from '@iommufd/uapi'
import { TABLE_WORDS } from './arena.js'
import { bitsAt, bytesHi, bytesLo, differBelow, hasBitsFrom } from './bits.js'
import { PT_READ, PT_WRITE } from './format.js'
import type { PageTable } from './page-table.js'
import { findTable, hasLeaf, unlinkTree } from './pt-tree.js'

const TABLE_ENTRIES = 512

export function mapRange(
  t: PageTable,
  iovaHi: number,
  iovaLo: number,
  paddrHi: number,
  paddrLo: number,
  lengthHi: number,
  lengthLo: number,
  prot: number,
): number {
  t.doneHi = 0
  t.doneLo = 0
  const leaves = checkLeaves(t, paddrHi, paddrLo, prot)
  if (leaves < 0) return leaves
  if (isSmallPage(t, iovaLo | paddrLo, lengthHi, lengthLo)) {
    const rc = mapSmallPage(t, iovaHi, iovaLo, paddrHi, paddrLo, lengthLo, prot)
    if (rc <= 0) return rc
  }
  const rc = checkRange(t, iovaHi, iovaLo, paddrHi, paddrLo, lengthHi, lengthLo)
  return rc < 0 ? rc : mapPages(t, iovaHi, iovaLo, paddrHi, paddrLo, lengthHi, lengthLo, prot)
}

/** Whether the bytes are one page of level 0: what most calls map. */
function isSmallPage(t: PageTable, bitsLo: number, lengthHi: number, lengthLo: number): boolean {
  return (
    lengthHi === 0 &&
    lengthLo !== 0 &&
    (lengthLo & t.smallSizes) === lengthLo &&
    ((lengthLo - 1) & (lengthLo | bitsLo)) === 0
  )
}

/** Maps one page into a table of level 0: 0, -ERANGE, -EADDRINUSE; 1 where there is none yet. */
function mapSmallPage(
  t: PageTable,
  iovaHi: number,
  iovaLo: number,
  paddrHi: number,
  paddrLo: number,
  length: number,
  prot: number,
): number {
  if (!t.isInRange(iovaHi, iovaLo, iovaHi, iovaLo)) return 1
  const table = findTable(t, 0, iovaHi, iovaLo)
  if (table < 0) return 1
  const { layout } = t
  const { words } = t.arena
  const { shift } = layout
  const lg2 = 31 - Math.clz32(length)
  const lo =
    toFieldLo(paddrHi, paddrLo, shift) |
    (layout.leafLo[prot] as number) |
    (layout.sizeLo[lg2] as number)
  const hi =
    (toFieldHi(paddrHi, paddrLo, shift) & layout.fieldHi) |
    (layout.leafHi[prot] as number) |
    (layout.sizeHi[lg2] as number)
  const at = (table << 10) | (t.indexIn(0, iovaHi, iovaLo) << 1)
  const end = at + (2 << (lg2 - layout.granuleLg2))
  if (!isFree(words, at, end, layout.presentLo)) return -EADDRINUSE
  for (let i = at; i < end; i += 2) {
    words[i] = lo
    words[i + 1] = hi
  }
  t.doneLo = length
  return 0
}

/** Checks what leaves shall say: 0, -EINVAL or -ERANGE. */
export function checkLeaves(t: PageTable, paddrHi: number, paddrLo: number, prot: number): number {
  if ((prot & (PT_READ | PT_WRITE)) === 0) return -EINVAL
  if (hasBitsFrom(paddrHi, paddrLo, t.maxOaszLg2)) return -ERANGE
  return t.layout.leafRc[prot & 31] as number
}

/** Checks a range and makes the table large enough for it: 0 or a negative errno. */
export function checkRange(
  t: PageTable,
  iovaHi: number,
  iovaLo: number,
  paddrHi: number,
  paddrLo: number,
  lengthHi: number,
  lengthLo: number,
): number {
  if ((lengthHi | lengthLo) === 0) return -EINVAL
  const lessHi = lengthLo === 0 ? (lengthHi - 1) | 0 : lengthHi
  const lessLo = (lengthLo - 1) | 0
  if (sumWraps(iovaHi, iovaLo, lessHi, lessLo)) return -EOVERFLOW
  const lg2 = t.bestPageSize(iovaHi | paddrHi, iovaLo | paddrLo, lengthHi, lengthLo)
  if (lg2 < 0) return -ENXIO
  const lastHi = sumHi(iovaHi, iovaLo, lessHi, lessLo)
  const lastLo = (iovaLo + lessLo) | 0
  if (t.isGrowing) {
    return growFor(t, iovaHi, iovaLo, lastHi, lastLo, t.layout.levelOf[lg2] as number)
  }
  return t.isInRange(iovaHi, iovaLo, lastHi, lastLo) ? 0 : -ERANGE
}

/** Adds levels above the top until it covers [iova, last] and has pages of `level`. */
function growFor(
  t: PageTable,
  iovaHi: number,
  iovaLo: number,
  lastHi: number,
  lastLo: number,
  level: number,
): number {
  if (hasBitsFrom(lastHi, lastLo, t.maxVaszLg2)) return -ERANGE
  while (t.topLevel < level || !t.isInRange(iovaHi, iovaLo, lastHi, lastLo)) {
    const above = t.allocateTable()
    if (above < 0) return above
    t.linkTable(above * TABLE_WORDS, t.topLevel + 1, t.top)
    t.setTop(above, t.topLevel + 1)
  }
  return 0
}

/** Maps what has been checked: 0, -ENXIO, -EADDRINUSE, -ENOMEM; adds to the bytes done. */
export function mapPages(
  t: PageTable,
  iovaHi: number,
  iovaLo: number,
  paddrHi: number,
  paddrLo: number,
  lengthHi: number,
  lengthLo: number,
  prot: number,
): number {
  for (;;) {
    const lg2 = t.bestPageSize(iovaHi | paddrHi, iovaLo | paddrLo, lengthHi, lengthLo)
    if (lg2 < 0) return -ENXIO
    const level = t.layout.levelOf[lg2] as number
    const table = descend(t, level, iovaHi, iovaLo)
    if (table < 0) return table
    const index = t.indexIn(level, iovaHi, iovaLo)
    const wanted = stretch(
      t,
      level,
      index,
      lg2,
      iovaHi,
      iovaLo,
      paddrHi,
      paddrLo,
      lengthHi,
      lengthLo,
    )
    const written = writePages(t, table, lg2, index, wanted, paddrHi, paddrLo, prot)
    const writtenHi = bytesHi(written, lg2)
    const writtenLo = bytesLo(written, lg2)
    t.doneHi = sumHi(t.doneHi, t.doneLo, writtenHi, writtenLo)
    t.doneLo = (t.doneLo + writtenLo) | 0
    if (written < wanted) return -EADDRINUSE
    lengthHi = (lengthHi - writtenHi - (lengthLo >>> 0 < writtenLo >>> 0 ? 1 : 0)) | 0
    lengthLo = (lengthLo - writtenLo) | 0
    if ((lengthHi | lengthLo) === 0) return 0
    iovaHi = sumHi(iovaHi, iovaLo, writtenHi, writtenLo)
    iovaLo = (iovaLo + writtenLo) | 0
    paddrHi = sumHi(paddrHi, paddrLo, writtenHi, writtenLo)
    paddrLo = (paddrLo + writtenLo) | 0
  }
}

/** The table of `level` that translates the IOVA, made when it is missing; -EADDRINUSE, -ENOMEM. */
export function descend(t: PageTable, level: number, iovaHi: number, iovaLo: number): number {
  const found = findTable(t, level, iovaHi, iovaLo)
  if (found >= 0) return found
  const { presentLo } = t.layout
  let table = t.top
  for (let l = t.topLevel; l > level; l--) {
    const at = table * TABLE_WORDS + t.indexIn(l, iovaHi, iovaLo) * 2
    const lo = t.arena.words[at] as number
    if ((lo & presentLo) === 0) table = t.addTable(at, l)
    else if (t.isTable(l, lo)) table = t.tableOf(t.arena.words[at + 1] as number, lo)
    else return -EADDRINUSE
    if (table < 0) return table
  }
  return table
}

/**
 * How many pages of this size can follow one another from the IOVA on: to the end of the table, of
 * the length, or to where a larger size begins to fit.
 */
function stretch(
  t: PageTable,
  level: number,
  index: number,
  lg2: number,
  iovaHi: number,
  iovaLo: number,
  paddrHi: number,
  paddrLo: number,
  lengthHi: number,
  lengthLo: number,
): number {
  const inTable = (TABLE_ENTRIES - index) >> (lg2 - t.layout.lg2Of(level))
  const left = wholePages(lengthHi, lengthLo, lg2)
  const most = Math.min(left, inTable)
  const larger = nextPageSize(t, lg2)
  if (larger < 0 || larger - lg2 >= 9) return most
  if (differBelow(iovaHi, iovaLo, paddrHi, paddrLo, larger)) return most
  const toLarger = -bitsAt(iovaHi, iovaLo, lg2) & ((1 << (larger - lg2)) - 1)
  return toLarger === 0 || toLarger > most ? most : toLarger
}

/** Whole pages in a length, at most as many as a table has words. */
function wholePages(hi: number, lo: number, lg2: number): number {
  const above = lg2 + 9
  const isMany = above >= 32 ? hi >>> (above - 32) !== 0 : hi !== 0 || lo >>> above !== 0
  return isMany ? TABLE_ENTRIES : bitsAt(hi, lo, lg2)
}

/** lg2 of the next larger page size, or -1. */
function nextPageSize(t: PageTable, lg2: number): number {
  const inLow = lg2 < 31 ? t.pageSizesLo & (-2 << lg2) : 0
  if (inLow !== 0) return 31 - Math.clz32(inLow & -inLow)
  const inHigh = lg2 < 32 ? t.pageSizesHi : t.pageSizesHi & (-2 << (lg2 - 32))
  return inHigh === 0 ? -1 : 63 - Math.clz32(inHigh & -inHigh)
}

/** Writes up to `n` pages from the index on: how many, fewer when a word is in use. */
function writePages(
  t: PageTable,
  table: number,
  lg2: number,
  index: number,
  n: number,
  paddrHi: number,
  paddrLo: number,
  prot: number,
): number {
  const { layout } = t
  const { words } = t.arena
  const { fieldHi, presentLo, shift } = layout
  const level = layout.levelOf[lg2] as number
  const attributesLo = (layout.leafLo[prot] as number) | (layout.sizeLo[lg2] as number)
  const attributesHi = (layout.leafHi[prot] as number) | (layout.sizeHi[lg2] as number)
  const wordsOfPage = 2 << (lg2 - layout.lg2Of(level))
  const stepHi = toFieldHi(bytesHi(1, lg2), bytesLo(1, lg2), shift)
  const stepLo = toFieldLo(bytesHi(1, lg2), bytesLo(1, lg2), shift)
  // A page begins at a multiple of its size, so that its low half is 0 just when it goes over.
  const stepOverHi = stepLo === 0 ? stepHi : 1
  let pageHi = toFieldHi(paddrHi, paddrLo, shift)
  let pageLo = toFieldLo(paddrHi, paddrLo, shift)
  let at = table * TABLE_WORDS + index * 2
  for (let page = 0; page < n; page++) {
    const end = at + wordsOfPage
    if (!isFree(words, at, end, presentLo) && !clearTables(t, level, at, end)) return page
    const lo = pageLo | attributesLo
    const hi = (pageHi & fieldHi) | attributesHi
    do {
      words[at] = lo
      words[at + 1] = hi
      at += 2
    } while (at < end)
    pageLo = (pageLo + stepLo) | 0
    pageHi = (pageHi + (pageLo === 0 ? stepOverHi : stepHi)) | 0
  }
  return n
}

/** The bits of an address where the field of a word has them, `shift` places higher. */
function toFieldHi(hi: number, lo: number, shift: number): number {
  if (shift === 0) return hi
  return shift > 0 ? (hi << shift) | (lo >>> (32 - shift)) : hi >>> -shift
}

function toFieldLo(hi: number, lo: number, shift: number): number {
  if (shift === 0) return lo
  return shift > 0 ? lo << shift : (lo >>> -shift) | (hi << (32 + shift))
}

/** Whether none of the words [at, end) is in use. */
export function isFree(words: Uint32Array, at: number, end: number, presentLo: number): boolean {
  do {
    if (((words[at] as number) & presentLo) !== 0) return false
    at += 2
  } while (at < end)
  return true
}

/**
 * Unlinks the tables that the words [at, end) lead to, until one holds a leaf or a word is one:
 * whether all words are free now.
 */
function clearTables(t: PageTable, level: number, at: number, end: number): boolean {
  const { words } = t.arena
  for (; at < end; at += 2) {
    const lo = words[at] as number
    if ((lo & t.layout.presentLo) === 0) continue
    if (!t.isTable(level, lo)) return false
    const table = t.tableOf(words[at + 1] as number, lo)
    if (hasLeaf(t, table, level - 1)) return false
    words[at] = 0
    words[at + 1] = 0
    unlinkTree(t, table, level - 1)
  }
  return true
}
