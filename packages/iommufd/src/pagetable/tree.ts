// SPDX-License-Identifier: Apache-2.0
// A table as indented lines, one for each word: a table's own word, then what is below it. Of a series of pages the first and the
// last are shown.

import { formatSize, formatWord } from '@iommufd/hw-iommu/table-reader'
import type { Entry, Series } from './entries.js'

const SERIES_SHOWN = 2

/** The lines of the tree, without the top table itself. */
export function treeLines(series: readonly Series[], topLevel: number): string[] {
  return series.flatMap(({ first, last, count }) => {
    if (count === 1) return [entryLine(first, topLevel)]
    const lines = [entryLine(first, topLevel), entryLine(last, topLevel)]
    if (count === SERIES_SHOWN) return lines
    const pages = count === SERIES_SHOWN + 1 ? 'page' : 'pages'
    const rest = `${count - SERIES_SHOWN} more ${pages} of ${formatSize(first.decoded.lg2)}`
    lines.splice(1, 0, `${indentOf(first, topLevel)}… ${rest}, each next to the one before`)
    return lines
  })
}

function entryLine(entry: Entry, topLevel: number): string {
  const { level, index, va, word, decoded, why } = entry
  const place = `level ${level} [${index}] va 0x${va.toString(16)}`
  const covers = decoded.kind === 'table' ? ` of ${formatSize(decoded.lg2)}` : ''
  const text = formatWord(decoded).replace(/^table/, `table${covers}`)
  const reason = why === undefined ? '' : `; ${why}`
  return `${indentOf(entry, topLevel)}${place}: 0x${word.toString(16)} ${text}${reason}`
}

function indentOf({ level }: Entry, topLevel: number): string {
  return '  '.repeat(topLevel - level + 1)
}
