// SPDX-License-Identifier: Apache-2.0
// Calls on page tables, and their answers, as text. One call is one line.

import type { PageTableConfig } from '@iommufd/hw-iommu/pagetable'
import {
  decodeWord,
  formatPermissions,
  formatSize,
  formatWord,
  type TableFormatName,
} from '@iommufd/hw-iommu/table-reader'
import { PROT } from './calls.js'
import type { PageTableCall } from './recording.js'

/** `map(iova 0x1000, paddr 0x5000, length 0x2000, read|write)` */
export function formatPageTableCall(call: PageTableCall): string {
  switch (call.call) {
    case 'map': {
      const range = `iova ${hex(call.iova)}, paddr ${hex(call.paddr)}, length ${hex(call.length)}`
      return `map(${range}, ${formatProt(call.prot)})`
    }
    case 'unmap':
      return `unmap(iova ${hex(call.iova)}, length ${hex(call.length)})`
    case 'iova_to_phys':
    case 'set_dirty':
      return `${call.call}(iova ${hex(call.iova)})`
    case 'read_and_clear_dirty': {
      const flag = call.noClear ? ', no clear' : ''
      return `read_and_clear_dirty(iova ${hex(call.iova)}, length ${hex(call.length)}${flag})`
    }
    case 'dump':
      return 'dump()'
  }
}

/** `init(DYNAMIC_TOP|FLUSH_RANGE, 48 bits to 52 bits, level 2)` */
export function formatInit(config: PageTableConfig): string {
  const { features, maxVaszLg2, maxOaszLg2, topLevel } = config
  const level = topLevel === undefined ? '' : `, level ${topLevel}`
  const flags = features.join('|') || 'no features'
  return `init(${flags}, ${maxVaszLg2} bits to ${maxOaszLg2} bits${level})`
}

function formatProt(prot: number): string {
  const names = Object.keys(PROT).filter((name) => (prot & (PROT[name] as number)) !== 0)
  return names.join('|') || 'none'
}

/** Runs of bytes, `0x1000+0x1000 0x200000+0x200000`, or `none`. */
export function formatRuns(runs: readonly (readonly [bigint, bigint])[]): string {
  return runs.map(([iova, length]) => `${hex(iova)}+${hex(length)}`).join(' ') || 'none'
}

/** Where a word is and what it says; of one that leads to a table not where that is. `lg2` is 0 for such a word. */
export function formatEntry(
  format: TableFormatName,
  level: number,
  va: bigint,
  word: bigint,
  lg2: number,
  { encryptionMask }: Pick<PageTableConfig, 'encryptionMask'>,
): string {
  const decoded = decodeWord(format, level, word, encryptionMask)
  const { kind, attributes } = decoded
  const text =
    kind === 'table'
      ? `table ${formatPermissions(decoded)} (${attributes.join(' ')})`
      : formatWord(decoded)
  const isAsSaid = (kind === 'leaf' ? decoded.lg2 : 0) === lg2
  const said = isAsSaid ? '' : `, recorded as ${lg2 === 0 ? 'a table' : formatSize(lg2)}`
  return `level ${level}, va ${hex(va)}: ${hex(word)} = ${text}${said}`
}

export function hex(value: bigint): string {
  return `0x${value.toString(16)}`
}
