// SPDX-License-Identifier: Apache-2.0
// A table made from a list of ranges.

import {
  createPageTable,
  type PageTable,
  type PageTableConfig,
  pageTableFormats,
} from '@iommufd/hw-iommu/pagetable'
import type { TableFormatName } from '@iommufd/hw-iommu/table-reader'
import { ENOMEM } from '@iommufd/uapi'
import { ArgumentProblem } from './argument-problem.js'
import { formatRange, type MapRange } from './range.js'
import { formatBytes } from './why.js'

/** One range and what became of it. */
export interface MappedRange extends MapRange {
  /** 0 or a negative errno */
  readonly ret: number
  /** bytes from the IOVA on that are mapped, also where `ret` is negative */
  readonly mapped: bigint
}

export interface BuiltTable {
  readonly table: PageTable
  readonly ranges: readonly MappedRange[]
}

export interface BuildOptions {
  /** bit n for pages of 2^n bytes: the only sizes to use; default all that the table has */
  readonly pageSizes?: bigint
  /** tables of 4 KiB after which a map fails with -ENOMEM */
  readonly maxTables: number
}

/**
 * Makes a table and maps the ranges in order. A negative errno when there can be no such table.
 *
 * @throws ArgumentProblem for a range that ends within a page
 */
export function buildTable(
  format: TableFormatName,
  config: PageTableConfig,
  ranges: readonly MapRange[],
  options: BuildOptions,
): BuiltTable | number {
  const { pageSizes, maxTables } = options
  let tables = 0
  const mayAllocate = () => (++tables < maxTables ? 0 : -ENOMEM)
  const table = createPageTable(pageTableFormats[format], config, mayAllocate)
  if (typeof table === 'number') return table
  if (pageSizes !== undefined) table.narrowPageSizes(table.pageSizes & pageSizes)
  return { table, ranges: ranges.map((range) => mapRange(table, range)) }
}

/** The kernel leaves this to its callers: the rest of a page at the end of a range has no meaning for a table. */
function checkLength(range: MapRange, pageSizes: bigint): void {
  const smallest = pageSizes & -pageSizes
  if (smallest === 0n || range.length % smallest === 0n) return
  const problem = `the length is no multiple of the smallest page, ${formatBytes(smallest)}`
  throw new ArgumentProblem(`range ${formatRange(range)}: ${problem}`)
}

function mapRange(table: PageTable, range: MapRange): MappedRange {
  const { iova, paddr, length, prot } = range
  checkLength(range, table.pageSizes)
  const [iovaHi, iovaLo, paddrHi, paddrLo] = [hi(iova), lo(iova), hi(paddr), lo(paddr)]
  const ret = table.map(iovaHi, iovaLo, paddrHi, paddrLo, hi(length), lo(length), prot)
  const mapped = (BigInt(table.doneHi >>> 0) << 32n) | BigInt(table.doneLo >>> 0)
  table.releaseTables()
  return { ...range, ret, mapped }
}

function hi(value: bigint): number {
  return Number(BigInt.asIntN(32, value >> 32n))
}

function lo(value: bigint): number {
  return Number(BigInt.asIntN(32, value))
}
