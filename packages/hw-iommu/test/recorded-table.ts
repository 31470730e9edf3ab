// SPDX-License-Identifier: Apache-2.0
// Memory made from the words of a recorded dump: the tables are laid out one after the other, and the words that lead to tables get
// the addresses that recordings leave out.

import type { TableFormatName, TableMemory } from '../src/table-reader/index.js'
import dumps from './recorded-dumps.json?raw'

/** A line of a dump. */
interface RecordedWord {
  readonly level: number
  readonly va: string
  readonly word: string
  readonly kind: 'leaf' | 'table'
  readonly lg2?: number
}

/** What of a recording's header and dump says how to read the words, and what Linux answered while they stood. */
export interface RecordedTable {
  /** table and configuration */
  readonly name: string
  readonly format: TableFormatName
  readonly topLevel: number
  readonly vaBits: number
  readonly signExtended: boolean
  readonly encryptionMask: string
  /** the bits that are zero in the words of kind `table` */
  readonly tableAddressMask: string
  /** addresses and what iova_to_phys gave for them; 0x0: nothing */
  readonly translations: readonly (readonly [string, string])[]
  readonly words: readonly RecordedWord[]
}

/** One dump of each configuration. */
export const recordedTables: readonly RecordedTable[] = JSON.parse(dumps)

export const BASE = 0x12_3450_0000n
const TABLE_BYTES = 4096

/** The bits of a word that lead to the table at `address`. */
export function pointerTo(format: TableFormatName, address: bigint): bigint {
  if (format === 'amdv1_mock') return address << 1n
  return format === 'riscv64' ? address >> 2n : address
}

export function memoryOf(table: RecordedTable): TableMemory {
  const tables = 1 + table.words.filter(({ kind }) => kind === 'table').length
  const bytes = new Uint8Array(tables * TABLE_BYTES)
  const view = new DataView(bytes.buffer)
  const granule = table.format === 'amdv1_mock' ? 11 : 12
  // the table that is being filled, by level
  const filled = [] as number[]
  filled[table.topLevel] = 0
  let next = 1
  for (const { level, va, word, kind } of table.words) {
    const index = Number((BigInt(va) >> BigInt(granule + 9 * level)) & 511n)
    let value = BigInt(word)
    if (kind === 'table') {
      value |= pointerTo(table.format, BASE + BigInt(next * TABLE_BYTES))
      filled[level - 1] = next++
    }
    view.setBigUint64((filled[level] as number) * TABLE_BYTES + index * 8, value, true)
  }
  const { format, topLevel, vaBits, signExtended } = table
  const encryptionMask = BigInt(table.encryptionMask)
  const addresses = { topAddress: BASE, base: BASE, encryptionMask }
  return { format, topLevel, vaBits, signExtended, ...addresses, bytes }
}

/** A table of the format with these words: 'TABLE/INDEX' to word. The top is table 0; all are next to each other from BASE on. */
export function memoryWith(
  format: TableFormatName,
  topLevel: number,
  words: Readonly<Record<string, bigint>>,
  tables: number,
): TableMemory {
  const bytes = new Uint8Array(tables * TABLE_BYTES)
  const view = new DataView(bytes.buffer)
  for (const [place, word] of Object.entries(words)) {
    const [table = 0, index = 0] = place.split('/').map(Number)
    view.setBigUint64(table * TABLE_BYTES + index * 8, word, true)
  }
  return { format, topLevel, topAddress: BASE, vaBits: 64, base: BASE, bytes }
}

/** Where table number `table` of {@link memoryWith} is. */
export function addressOf(table: number): bigint {
  return BASE + BigInt(table * TABLE_BYTES)
}
