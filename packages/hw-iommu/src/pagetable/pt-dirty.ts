// SPDX-License-Identifier: Apache-2.0
/**
 * Dirty tracking: which pages the hardware has written (SPEC section 9, L3, L4).
 *
 * Invariant: the hardware marks the one word that it has translated with; a page is dirty when any
 * of its words is, and is reported and cleared as a whole, even when the range only touches it.
 */
import { sumHi, sumWraps } from '@iommufd/core'
import { EINVAL, ENOENT, EOPNOTSUPP, EOVERFLOW, ERANGE } from '@iommufd/uapi'
import { TABLE_WORDS } from './arena.js'
import { alignHi, alignLo, bytesHi, bytesLo, isSameAbove } from './bits.js'
import type { PageTable, ReportDirty } from './page-table.js'

/** The call that runs: its last IOVA, and what it does with what it finds. */
let lastHi = 0
let lastLo = 0
let keeps = false
let onDirty: ReportDirty = () => {}

export function setDirty(t: PageTable, iovaHi: number, iovaLo: number): number {
  if (!t.isInRange(iovaHi, iovaLo, iovaHi, iovaLo)) return -ERANGE
  const { words } = t.arena
  let table = t.top
  for (let level = t.topLevel; ; level--) {
    const at = (table * 512 + t.indexIn(level, iovaHi, iovaLo)) * 2
    const lo = words[at] as number
    if ((lo & t.layout.presentLo) === 0) return -ENOENT
    if (!t.isTable(level, lo)) {
      words[at] = lo | t.format.dirtyLo
      return 0
    }
    table = t.tableOf(words[at + 1] as number, lo)
  }
}

export function readAndClearDirty(
  t: PageTable,
  iovaHi: number,
  iovaLo: number,
  lengthHi: number,
  lengthLo: number,
  noClear: boolean,
  report: ReportDirty,
): number {
  if (t.format.dirtyLo === 0) return -EOPNOTSUPP
  const lessHi = lengthLo === 0 ? (lengthHi - 1) | 0 : lengthHi
  const lessLo = (lengthLo - 1) | 0
  if ((lengthHi | lengthLo) === 0) return -EINVAL
  if (sumWraps(iovaHi, iovaLo, lessHi, lessLo)) return -EOVERFLOW
  lastHi = sumHi(iovaHi, iovaLo, lessHi, lessLo)
  lastLo = (iovaLo + lessLo) | 0
  if (!t.isInRange(iovaHi, iovaLo, lastHi, lastLo)) return -ERANGE
  keeps = noClear
  onDirty = report
  readIn(t, t.top, t.topLevel, iovaHi, iovaLo)
  return 0
}

/** Deals with the pages of the table from the IOVA, which it translates, to the last. */
function readIn(t: PageTable, table: number, level: number, iovaHi: number, iovaLo: number): void {
  const { format, layout } = t
  const { words } = t.arena
  const lg2 = layout.lg2Of(level)
  const isLastHere = level === t.topLevel || isSameAbove(iovaHi, iovaLo, lastHi, lastLo, lg2 + 9)
  const end = isLastHere ? t.indexIn(level, lastHi, lastLo) + 1 : 512
  const first = t.indexIn(level, iovaHi, iovaLo)
  for (let index = first; index < end; ) {
    const at = table * TABLE_WORDS + index * 2
    const lo = words[at] as number
    const hi = words[at + 1] as number
    // Of the first word only what lies behind the IOVA; later ones from their beginning on.
    const isFirst = index === first
    const startHi = isFirst ? iovaHi : wordHi(iovaHi, iovaLo, lg2, index - first)
    const startLo = isFirst ? iovaLo : wordLo(iovaLo, lg2, index - first)
    if ((lo & layout.presentLo) === 0) index++
    else if (t.isTable(level, lo)) {
      readIn(t, t.tableOf(hi, lo), level - 1, startHi, startLo)
      index++
    } else {
      const size = format.sizeOf(level, hi | 0, lo | 0)
      const count = 1 << (size - lg2)
      const from = index & -count
      if (takeDirty(t, table * TABLE_WORDS + from * 2, count)) {
        onDirty(alignHi(startHi, size), alignLo(startLo, size), size)
      }
      index = from + count
    }
  }
}

/** Whether one of the words is dirty; clears all of them unless the call keeps the bits. */
function takeDirty(t: PageTable, at: number, count: number): boolean {
  const { words } = t.arena
  const { dirtyLo } = t.format
  let found = 0
  for (let i = 0; i < count; i++) found |= (words[at + i * 2] as number) & dirtyLo
  if (found === 0) return false
  if (!keeps) {
    for (let i = 0; i < count; i++) {
      words[at + i * 2] = (words[at + i * 2] as number) & ~dirtyLo
    }
  }
  return true
}

/** First IOVA of the word `count` words of 2^lg2 bytes behind that of the IOVA. */
function wordHi(hi: number, lo: number, lg2: number, count: number): number {
  return sumHi(alignHi(hi, lg2), alignLo(lo, lg2), bytesHi(count, lg2), bytesLo(count, lg2))
}

function wordLo(lo: number, lg2: number, count: number): number {
  return (alignLo(lo, lg2) + bytesLo(count, lg2)) | 0
}
