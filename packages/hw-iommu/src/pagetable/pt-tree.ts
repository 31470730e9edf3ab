// SPDX-License-Identifier: Apache-2.0
/**
 * Whole subtrees: whether they map anything, and taking them out.
 *
 * Invariant: a table that is unlinked goes with all tables below it; none is ended before the
 * hardware has been told (PageTable.releaseTables).
 */
import { TABLE_WORDS } from './arena.js'
import type { PageTable } from './page-table.js'

/** Whether any page is mapped by the table or below it. */
export function hasLeaf(t: PageTable, table: number, level: number): boolean {
  const { words } = t.arena
  const end = (table + 1) * TABLE_WORDS
  for (let at = table * TABLE_WORDS; at < end; at += 2) {
    const lo = words[at] as number
    if ((lo & t.format.presentLo) === 0) continue
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
    if ((lo & t.format.presentLo) === 0 || !t.isTable(level, lo)) continue
    unlinkTree(t, t.tableOf(words[at + 1] as number, lo), level - 1)
  }
}
