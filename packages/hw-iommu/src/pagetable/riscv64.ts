// SPDX-License-Identifier: Apache-2.0
/**
 * The page tables of RISC-V, Sv39, Sv48 and Sv57 (SPEC section 9, riscv64).
 *
 * Invariant: a word with none of R, W and X leads to a table. 64 KiB is a run of 16 identical leaves
 * with N set and 8 in the low four bits of the page number. Leaves are accessed, and dirty when they
 * are writable, so that the hardware never needs to write them.
 */
import { EINVAL } from '@iommufd/uapi'
import {
  levelLg2,
  type PageTableConfig,
  type PageTableFormat,
  PT_CACHE,
  PT_MMIO,
  PT_NOEXEC,
  PT_READ,
  PT_WRITE,
} from './format.js'

const VALID_LO = 1 << 0
const READ_LO = 1 << 1
const WRITE_LO = 1 << 2
const EXECUTE_LO = 1 << 3
const USER_LO = 1 << 4
const ACCESSED_LO = 1 << 6
const DIRTY_LO = 1 << 7
const RUN_OF_16_LO = 8 << 10
const RUN_HI = 1 << 31
const NON_CACHEABLE_HI = 1 << 29
const IO_HI = 1 << 30
const RUN_LG2 = 16

const SIZES = [12n, 21n, 30n, 39n, 48n].reduce((sizes, lg2) => sizes | (1n << lg2), 0n)
/** Address bits of Sv39, Sv48 and Sv57, by the level of the top table. */
const addressBits = [0, 0, 39, 48, 57]

export const riscv64: PageTableFormat = {
  name: 'riscv64',
  granuleLg2: 12,
  fieldLg2: 10,
  fieldHi: 0x3fffff,
  maxVaszLg2: 57,
  maxOaszLg2: 56,
  pageSizes: (features) => SIZES | (features.has('RISCV_SVNAPOT_64K') ? 1n << 16n : 0n),
  supported: ['DETAILED_GATHER', 'FLUSH_RANGE', 'RISCV_SVNAPOT_64K', 'SIGN_EXTEND'],
  required: ['DETAILED_GATHER'],
  presentLo: VALID_LO,
  tableMaskLo: READ_LO | WRITE_LO | EXECUTE_LO,
  tableLo: () => 0,
  readable: { hi: 0, lo: READ_LO },
  writable: { hi: 0, lo: WRITE_LO },
  dirtyLo: 0,
  cutsVasz: false,
  topLevelOf({ maxVaszLg2 }: PageTableConfig) {
    const level = addressBits.indexOf(maxVaszLg2)
    return level < 2 ? -EINVAL : level
  },
  leaf(out, prot, features) {
    out.lo = VALID_LO | USER_LO | ACCESSED_LO
    if ((prot & PT_WRITE) !== 0) out.lo |= READ_LO | WRITE_LO | DIRTY_LO
    if ((prot & PT_READ) !== 0) out.lo |= READ_LO
    if ((prot & PT_NOEXEC) === 0) out.lo |= EXECUTE_LO
    out.hi = features.has('RISCV_SVPBMT') ? memoryType(prot) : 0
    return 0
  },
  table(out) {
    out.hi = 0
    out.lo = VALID_LO
  },
  size(out, level, lg2) {
    const isRun = level === 0 && lg2 === RUN_LG2
    out.hi = isRun ? RUN_HI : 0
    out.lo = isRun ? RUN_OF_16_LO : 0
  },
  run: { hi: RUN_HI, lo: 0 },
  sizeOf: (level, hi) => (hi < 0 ? RUN_LG2 : levelLg2(riscv64, level)),
  driverTop: (level) => ({ fsc_iosatp_mode: level + 6 }),
}

function memoryType(prot: number): number {
  if ((prot & PT_MMIO) !== 0) return IO_HI
  return (prot & PT_CACHE) === 0 ? NON_CACHEABLE_HI : 0
}
