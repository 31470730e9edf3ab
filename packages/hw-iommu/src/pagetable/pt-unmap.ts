// SPDX-License-Identifier: Apache-2.0
/**
 * Unmapping (SPEC section 9).
 *
 * Invariant: whole pages go, from the first address of the range on and without a gap. A table goes
 * when the range covers all that it translates and nothing of that was missing; else it stays,
 * even empty.
 */
import { differenceHi, isAfter, sumHi, sumWraps } from '@iommufd/core'
import { TABLE_WORDS } from './arena.js'
import { bytesHi, bytesLo, isSameAbove } from './bits.js'
import type { PageTable } from './page-table.js'
import { findTable } from './pt-tree.js'

/** Last IOVA of the call that runs, and how far it has come: the next IOVA to be unmapped. */
let lastHi = 0
let lastLo = 0
let nextHi = 0
let nextLo = 0

export function unmapRange(
  t: PageTable,
  iovaHi: number,
  iovaLo: number,
  lengthHi: number,
  lengthLo: number,
): void {
  t.doneHi = 0
  t.doneLo = 0
  const lessHi = lengthLo === 0 ? (lengthHi - 1) | 0 : lengthHi
  const lessLo = (lengthLo - 1) | 0
  if ((lengthHi | lengthLo) === 0 || sumWraps(iovaHi, iovaLo, lessHi, lessLo)) return
  nextHi = iovaHi
  nextLo = iovaLo
  lastHi = sumHi(iovaHi, iovaLo, lessHi, lessLo)
  lastLo = (iovaLo + lessLo) | 0
  if (!t.isInRange(iovaHi, iovaLo, lastHi, lastLo)) return
  if (!unmapInLeafTable(t)) unmapIn(t, t.top, t.topLevel)
  t.doneHi = differenceHi(nextHi, nextLo, iovaHi, iovaLo)
  t.doneLo = (nextLo - iovaLo) | 0
}

/** Unmaps a range that lies in one table of level 0 and does not fill it: whether it is one. */
function unmapInLeafTable(t: PageTable): boolean {
  const lg2 = t.layout.granuleLg2
  if (!isSameAbove(nextHi, nextLo, lastHi, lastLo, lg2 + 9)) return false
  const first = t.indexIn(0, nextHi, nextLo)
  const last = t.indexIn(0, lastHi, lastLo)
  if (first === 0 && last === 511) return false
  const table = findTable(t, 0, nextHi, nextLo)
  if (table < 0) return false
  advance(lg2, clearLeaves(t, table, 0, first, last + 1))
  return true
}

/** Unmaps what of the range the table translates: whether it came to the end of that. */
function unmapIn(t: PageTable, table: number, level: number): boolean {
  const lg2 = t.layout.lg2Of(level)
  const isLastHere = level === t.topLevel || isSameAbove(nextHi, nextLo, lastHi, lastLo, lg2 + 9)
  const end = isLastHere ? t.indexIn(level, lastHi, lastLo) + 1 : 512
  let index = t.indexIn(level, nextHi, nextLo)
  while (index < end) {
    const leaves = clearLeaves(t, table, level, index, end)
    if (leaves > 0) advance(lg2, leaves)
    else if (!unmapBelow(t, (table * 512 + index) * 2, level, lg2)) return false
    index += leaves > 0 ? leaves : 1
  }
  return true
}

/** Unmaps what is below the word at `at`, which may be empty: as unmapIn. */
function unmapBelow(t: PageTable, at: number, level: number, lg2: number): boolean {
  const { words } = t.arena
  const lo = words[at] as number
  if ((lo & t.layout.presentLo) === 0 || !t.isTable(level, lo)) return false
  const isCovered = isAligned(lg2) && coversWord(lg2)
  const table = t.tableOf(words[at + 1] as number, lo)
  if (!unmapIn(t, table, level - 1)) return false
  if (isCovered) {
    words[at] = 0
    words[at + 1] = 0
    t.unlinked.push(table)
  }
  return true
}

/**
 * Clears the pages that begin at the index and go on without a gap until the end, the last of them
 * whole: how many words. 0 when no page begins at the next IOVA.
 */
function clearLeaves(
  t: PageTable,
  table: number,
  level: number,
  index: number,
  end: number,
): number {
  const { layout } = t
  const { words } = t.arena
  const { presentLo, runHi, runLo, tableMaskLo } = layout
  const tableLo = (layout.tableLo[level] as number) & tableMaskLo
  const lg2 = layout.lg2Of(level)
  const first = table * TABLE_WORDS
  let i = index
  while (i < end) {
    const lo = (words[first + i * 2] as number) | 0
    if ((lo & presentLo) === 0 || (level > 0 && (lo & tableMaskLo) === tableLo)) break
    const hi = (words[first + i * 2 + 1] as number) | 0
    const isRun = ((lo & runLo) | (hi & runHi)) !== 0
    const size = isRun ? t.format.sizeOf(level, hi, lo) : lg2
    if (i === index && !isAligned(size)) return 0
    i += 1 << (size - lg2)
  }
  clearWords(words, first + index * 2, first + i * 2)
  return i - index
}

/** A loop for few words: a call of `fill` costs as much as some dozens. */
function clearWords(words: Uint32Array, at: number, end: number): void {
  if (end - at > 32) words.fill(0, at, end)
  else for (let i = at; i < end; i++) words[i] = 0
}

/** Goes on behind `count` words of a table that were unmapped . */
function advance(lg2: number, count: number): void {
  nextHi = sumHi(nextHi, nextLo, bytesHi(count, lg2), bytesLo(count, lg2))
  nextLo = (nextLo + bytesLo(count, lg2)) | 0
}

/** Whether the next IOVA is a multiple of 2^lg2. */
function isAligned(lg2: number): boolean {
  if (lg2 < 32) return (nextLo & ((1 << lg2) - 1)) === 0
  return nextLo === 0 && (nextHi & ((1 << (lg2 - 32)) - 1)) === 0
}

/** Whether the range goes on to the end of the 2^lg2 bytes that begin at the next IOVA. */
function coversWord(lg2: number): boolean {
  const restHi = lg2 > 32 ? (1 << (lg2 - 32)) - 1 : 0
  const restLo = lg2 >= 32 ? -1 : (1 << lg2) - 1
  return !isAfter(nextHi | restHi, nextLo | restLo, lastHi, lastLo)
}
