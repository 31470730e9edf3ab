// SPDX-License-Identifier: Apache-2.0
/** Contexts, objects, dispatch, refusals and fault points: what every layer of the engine shares. */
export { type Command, CommandTable, type Execute } from './commands.js'
export { type AccountMode, IommufdCtx } from './context.js'
export { FaultPoints } from './fault-points.js'
export { IdAllocator } from './id-allocator.js'
export { type ForeignIoctl, Iommufd, type IommufdOptions } from './iommufd.js'
export { MmapRegion, MmapRegions } from './mmap-regions.js'
export { IommufdObject, type ObjectType } from './object.js'
export { ObjectTable } from './object-table.js'
export { type OptionHandler, optionOp, refuseOp } from './option.js'
export { type OperandKind, type Refusal, type RefusalSite, Refusals } from './refusal.js'
export * as coreRefusals from './refusals.js'
export {
  differenceHi,
  hiOf,
  isAfter,
  loOf,
  nextHi,
  nextLo,
  pageHi,
  pageLo,
  pageOf,
  previousHi,
  previousLo,
  sumHi,
  sumWraps,
  toBigInt,
} from './u64.js'
export { Ucmd } from './ucmd.js'
