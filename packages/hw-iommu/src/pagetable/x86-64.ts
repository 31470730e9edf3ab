// SPDX-License-Identifier: Apache-2.0
/**
 * The page tables of x86_64 processors: the first stage of Intel's IOMMU and AMD's version 2 (SPEC
 * section 9, x86_64).
 *
 * Invariant: leaves are always user pages, accessed and executable, and dirty when they are
 * writable, so that the hardware never needs to write them; every leaf can be read.
 */
import { fixedTopLevel, SIZES_4K_2M_1G } from './fixed-levels.js'
import { levelLg2, type PageTableFormat, PT_WRITE } from './format.js'

const PRESENT_LO = 1 << 0
const WRITE_LO = 1 << 1
const USER_LO = 1 << 2
const ACCESSED_LO = 1 << 5
const DIRTY_LO = 1 << 6
const LEAF_LO = 1 << 7
/** For software: a table that non-coherent hardware has been told of. */
const INCOHERENT_LO = 1 << 9

export const x86_64: PageTableFormat = {
  name: 'x86_64',
  granuleLg2: 12,
  fieldLg2: 12,
  fieldHi: 0xfffff,
  maxVaszLg2: 57,
  maxOaszLg2: 52,
  pageSizes: () => SIZES_4K_2M_1G,
  supported: [
    'DMA_INCOHERENT',
    'FLUSH_RANGE',
    'FLUSH_RANGE_NO_GAPS',
    'SIGN_EXTEND',
    'X86_64_AMD_ENCRYPT_TABLES',
  ],
  required: [],
  presentLo: PRESENT_LO,
  tableMaskLo: LEAF_LO,
  tableLo: () => 0,
  readable: { hi: 0, lo: PRESENT_LO },
  writable: { hi: 0, lo: WRITE_LO },
  dirtyLo: 0,
  cutsVasz: false,
  topLevelOf: (config) => fixedTopLevel(config, 3),
  leaf(out, prot) {
    out.hi = 0
    out.lo = PRESENT_LO | USER_LO | ACCESSED_LO
    if ((prot & PT_WRITE) !== 0) out.lo |= WRITE_LO | DIRTY_LO
    return 0
  },
  table(out, _level, features) {
    out.hi = 0
    out.lo = PRESENT_LO | WRITE_LO | USER_LO | ACCESSED_LO
    if (features.has('DMA_INCOHERENT')) out.lo |= INCOHERENT_LO
  },
  size(out, level) {
    out.hi = 0
    out.lo = level === 0 ? 0 : LEAF_LO
  },
  run: { hi: 0, lo: 0 },
  sizeOf: (level) => levelLg2(x86_64, level),
  driverTop: (level) => ({ levels: level + 1 }),
}
