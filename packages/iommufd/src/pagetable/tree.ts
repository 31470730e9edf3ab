// SPDX-License-Identifier: Apache-2.0
// A table as indented lines, one for each word: a table's own word, then what is below it. Pages that follow each other in every
// respect are folded.

import { formatSize, formatWord } from '@iommufd/hw-iommu/table-reader'
import type { Entry } from './entries.js'

export interface TreeOptions {
  readonly topLevel: number
  /** show every page, fold none */
  readonly all: boolean
}

/** Shown of a series: the first and the last. */
const SERIES_SHOWN = 2

/** The lines of the tree, without the top table itself. */
export function treeLines(entries: readonly Entry[], options: TreeOptions): string[] {
  const lines: string[] = []
  for (let at = 0; at < entries.length; ) {
    const count = options.all ? 1 : seriesLength(entries, at)
    const first = entries[at] as Entry
    lines.push(entryLine(first, options))
    if (count > SERIES_SHOWN) {
      const pages = `${count - SERIES_SHOWN} more pages of ${formatSize(first.decoded.lg2)}`
      lines.push(`${indentOf(first, options)}… ${pages}, each next to the one before`)
    }
    if (count > 1) lines.push(entryLine(entries[at + count - 1] as Entry, options))
    at += count
  }
  return lines
}

function entryLine(entry: Entry, options: TreeOptions): string {
  const { level, index, va, word, decoded, why } = entry
  const place = `level ${level} [${index}] va 0x${va.toString(16)}`
  const covers = decoded.kind === 'table' ? ` of ${formatSize(decoded.lg2)}` : ''
  const text = formatWord(decoded).replace(/^table/, `table${covers}`)
  const reason = why === undefined ? '' : `; ${why}`
  return `${indentOf(entry, options)}${place}: 0x${word.toString(16)} ${text}${reason}`
}

function indentOf({ level }: Entry, { topLevel }: TreeOptions): string {
  return '  '.repeat(topLevel - level + 1)
}

/** Pages from `at` on that differ only in their addresses, which follow each other. */
function seriesLength(entries: readonly Entry[], at: number): number {
  let count = 1
  while (follows(entries[at + count - 1] as Entry, entries[at + count])) count++
  return count
}

function follows(a: Entry, b: Entry | undefined): boolean {
  if (b === undefined || a.level !== b.level || a.decoded.kind !== 'leaf') return false
  const [x, y] = [a.decoded, b.decoded]
  const bytes = 1n << BigInt(x.lg2)
  return (
    y.kind === 'leaf' &&
    x.lg2 === y.lg2 &&
    b.va === a.va + bytes &&
    y.address === x.address + bytes &&
    x.fault === y.fault &&
    x.unknownBits === y.unknownBits &&
    x.attributes.join() === y.attributes.join()
  )
}
