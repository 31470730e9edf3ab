// SPDX-License-Identifier: Apache-2.0
/**
 * Whole subtrees: whether they map anything, and taking them out.
 *
 * Invariant: a table that is unlinked goes with all tables below it; none is ended before the
 * hardware has been told (PageTable.releaseTables).
 */
import { TABLE_WORDS } from './arena.js'
import type { PageTable } from './page-table.js'

/**
 * The table of `level` that translates the IOVA; -1 where a table is missing or a leaf in the way.
 * All in one function, because everything else waits for it.
 */
export function findTable(t: PageTable, level: number, iovaHi: number, iovaLo: number): number {
  const { presentLo, tableMaskLo, granuleLg2, tableLo, fieldLg2 } = t.layout
  const { words, baseFrame } = t.arena
  let table = t.top
  let mask = t.topMask
  for (let l = t.topLevel; l > level; l--) {
    const lg2 = granuleLg2 + 9 * l
    const bits = lg2 < 32 ? (iovaLo >>> lg2) | (iovaHi << (32 - lg2)) : iovaHi >>> (lg2 - 32)
    const at = (table << 10) | ((bits & mask) << 1)
    const lo = (words[at] as number) | 0
    if ((lo & presentLo) === 0 || ((lo ^ (tableLo[l] as number)) & tableMaskLo) !== 0) return -1
    const granule = (lo >>> fieldLg2) | ((words[at + 1] as number) << (32 - fieldLg2))
    table = ((granule >>> (12 - granuleLg2)) - baseFrame) | 0
    mask = 511
  }
  return table
}

/** Whether any page is mapped by the table or below it. */
export function hasLeaf(t: PageTable, table: number, level: number): boolean {
  const { words } = t.arena
  const end = (table + 1) * TABLE_WORDS
  for (let at = table * TABLE_WORDS; at < end; at += 2) {
    const lo = words[at] as number
    if ((lo & t.layout.presentLo) === 0) continue
    if (!t.isTable(level, lo)) return true
    if (hasLeaf(t, t.tableOf(words[at + 1] as number, lo), level - 1)) return true
  }
  return false
}

/** Gives up the table, which its word no longer leads to, and the tables below it. */
export function unlinkTree(t: PageTable, table: number, level: number): void {
  const { words } = t.arena
  const end = (table + 1) * TABLE_WORDS
  t.unlinked.push(table)
  if (level === 0) return
  for (let at = table * TABLE_WORDS; at < end; at += 2) {
    const lo = words[at] as number
    if ((lo & t.layout.presentLo) === 0 || !t.isTable(level, lo)) continue
    unlinkTree(t, t.tableOf(words[at + 1] as number, lo), level - 1)
  }
}
