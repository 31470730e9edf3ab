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
import { bitsAt, bytesHi, bytesLo, differBelow } from './bits.js'
import { levelLg2, PT_MMIO, PT_READ, PT_WRITE, type Word } from './format.js'
import type { PageTable } from './page-table.js'
import { hasLeaf, unlinkTree } from './pt-tree.js'

const TABLE_ENTRIES = 512

/** Bits of the leaves of the call that runs, apart from address and size; and those of the size. */
export const leaf: Word = { hi: 0, lo: 0 }
const size: Word = { hi: 0, lo: 0 }

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
  const rc =
    prepareLeaves(t, paddrHi, paddrLo, prot) ||
    checkRange(t, iovaHi, iovaLo, paddrHi, paddrLo, lengthHi, lengthLo)
  return rc < 0 ? rc : mapPages(t, iovaHi, iovaLo, paddrHi, paddrLo, lengthHi, lengthLo)
}

/** Makes the bits that all leaves of a call have: 0, -EINVAL or -ERANGE. */
export function prepareLeaves(
  t: PageTable,
  paddrHi: number,
  paddrLo: number,
  prot: number,
): number {
  if ((prot & (PT_READ | PT_WRITE)) === 0) return -EINVAL
  if (t.maxOaszLg2 < 64 && bitsAt(paddrHi, paddrLo, t.maxOaszLg2) !== 0) return -ERANGE

  const rc = t.format.leaf(leaf, prot, t.featureSet)
  if (rc === 0 && (prot & PT_MMIO) === 0) leaf.hi |= t.encryptionHi
  return rc
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
  if (t.isGrowing) return growFor(t, iovaHi, iovaLo, lastHi, lastLo, levelOf(t, lg2))
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
  if (t.maxVaszLg2 < 64 && bitsAt(lastHi, lastLo, t.maxVaszLg2) !== 0) return -ERANGE
  while (t.topLevel < level || !t.isInRange(iovaHi, iovaLo, lastHi, lastLo)) {
    const above = t.allocateTable()
    if (above < 0) return above
    t.linkTable(above * TABLE_WORDS, t.topLevel + 1, t.top)
    t.setTop(above, t.topLevel + 1)
  }
  return 0
}

/** The level whose words are leaves for pages of this size. */
function levelOf(t: PageTable, lg2: number): number {
  return Math.floor((lg2 - t.format.granuleLg2) / 9)
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
): number {
  for (;;) {
    const lg2 = t.bestPageSize(iovaHi | paddrHi, iovaLo | paddrLo, lengthHi, lengthLo)
    if (lg2 < 0) return -ENXIO
    const level = levelOf(t, lg2)
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
    t.format.size(size, level, lg2)
    const written = writePages(t, table, level, lg2, index, wanted, paddrHi, paddrLo)
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
  const { presentLo } = t.format
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
  const inTable = (TABLE_ENTRIES - index) >> (lg2 - levelLg2(t.format, level))
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
  level: number,
  lg2: number,
  index: number,
  n: number,
  paddrHi: number,
  paddrLo: number,
): number {
  const { format } = t
  const { words } = t.arena
  const shift = format.fieldLg2 - format.granuleLg2
  const wordsOfPage = 2 << (lg2 - levelLg2(format, level))
  const attributesLo = leaf.lo | size.lo
  const attributesHi = leaf.hi | size.hi
  const stepHi = lg2 < 32 ? 0 : 1 << (lg2 - 32)
  const stepLo = lg2 < 32 ? 1 << lg2 : 0
  let at = table * TABLE_WORDS + index * 2
  for (let page = 0; page < n; page++) {
    const end = at + wordsOfPage
    if (!isFree(words, at, end, format.presentLo) && !clearTables(t, level, at, end)) return page
    const fieldHi = shift > 0 ? (paddrHi << shift) | (paddrLo >>> (32 - shift)) : paddrHi >>> -shift
    const fieldLo = shift < 0 ? (paddrLo >>> -shift) | (paddrHi << (32 + shift)) : paddrLo << shift
    const lo = fieldLo | attributesLo
    const hi = (fieldHi & format.fieldHi) | attributesHi
    for (; at < end; at += 2) {
      words[at] = lo
      words[at + 1] = hi
    }
    paddrHi = (paddrHi + stepHi + (paddrLo >>> 0 > 0xffffffff - (stepLo >>> 0) ? 1 : 0)) | 0
    paddrLo = (paddrLo + stepLo) | 0
  }
  return n
}

/** Whether none of the words [at, end) is in use. */
export function isFree(words: Uint32Array, at: number, end: number, presentLo: number): boolean {
  for (; at < end; at += 2) if (((words[at] as number) & presentLo) !== 0) return false
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
    if ((lo & t.format.presentLo) === 0) continue
    if (!t.isTable(level, lo)) return false
    const table = t.tableOf(words[at + 1] as number, lo)
    if (hasLeaf(t, table, level - 1)) return false
    words[at] = 0
    words[at + 1] = 0
    unlinkTree(t, table, level - 1)
  }
  return true
}
