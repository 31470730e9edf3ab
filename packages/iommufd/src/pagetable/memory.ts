// SPDX-License-Identifier: Apache-2.0
// The memory of a table of ours, as the independent reader takes it: raw bytes and where the top table is.

import type { PageTable } from '@iommufd/hw-iommu/pagetable'
import type { TableFormatName, TableMemory } from '@iommufd/hw-iommu/table-reader'

/** A live view: the bytes change with the table. */
export function memoryOf(table: PageTable, format: TableFormatName): TableMemory {
  return {
    format,
    topLevel: table.topLevel,
    topAddress: table.topAddress,
    vaBits: table.maxVaszLg2,
    signExtended: table.features.includes('SIGN_EXTEND'),
    encryptionMask: table.config.encryptionMask ?? 0n,
    base: table.arena.base,
    bytes: table.arena.bytes(),
  }
}
