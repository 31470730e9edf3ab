// SPDX-License-Identifier: Apache-2.0
/** The I/O page table: areas, allowed and reserved ranges, and the pages behind them. */
export { AREA_READ, AREA_WRITE } from './area-table.js'
export { resolveNthArea } from './area-notation.js'
export { Coverage } from './coverage.js'
export { IoPagetable, type IoptAccess } from './io-pagetable.js'
export { IOAS, IommufdIoas } from './ioas.js'
export { registerIoas } from './ioas-commands.js'
export { IopTables } from './iop-tables.js'
export { pinRange, rwRange, unpinRange } from './iopt-access.js'
export { unmapAll, unmapRange } from './iopt-unmap.js'
export { RW_KTHREAD, RW_SLOW_PATH, RW_WRITE } from './pages-rw.js'
export { RangeTree } from './range-tree.js'
export * as pagesRefusals from './refusals.js'
