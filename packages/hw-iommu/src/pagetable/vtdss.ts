// SPDX-License-Identifier: Apache-2.0
/**
 * The page tables of the second stage of Intel's IOMMU (SPEC section 9, vtdss).
 *
 * Invariant: no bit says that a word is there; one that can be read or written is. A table that must
 * be writeable, because the hardware ignores the lack of it, refuses to map without.
 */
import { EINVAL } from '@iommufd/uapi'
import { fixedTopLevel, SIZES_4K_2M_1G } from './fixed-levels.js'
import { levelLg2, type PageTableFormat, PT_READ, PT_WRITE } from './format.js'

const READ_LO = 1 << 0
const WRITE_LO = 1 << 1
const LEAF_LO = 1 << 7
const DIRTY_LO = 1 << 9
/** For software: a table that non-coherent hardware has been told of. */
const INCOHERENT_LO = 1 << 10
const SNOOP_LO = 1 << 11

export const vtdss: PageTableFormat = {
  name: 'vtdss',
  granuleLg2: 12,
  fieldLg2: 12,
  fieldHi: 0xfffff,
  maxVaszLg2: 57,
  maxOaszLg2: 52,
  pageSizes: () => SIZES_4K_2M_1G,
  supported: ['DMA_INCOHERENT', 'FLUSH_RANGE', 'VTDSS_FORCE_COHERENCE', 'VTDSS_FORCE_WRITEABLE'],
  required: [],
  presentLo: READ_LO | WRITE_LO,
  tableMaskLo: LEAF_LO,
  tableLo: () => 0,
  readable: { hi: 0, lo: READ_LO },
  writable: { hi: 0, lo: WRITE_LO },
  dirtyLo: DIRTY_LO,
  cutsVasz: false,
  topLevelOf: (config) => fixedTopLevel(config, 2),
  leaf(out, prot, features) {
    const isWritable = (prot & PT_WRITE) !== 0
    if (!isWritable && features.has('VTDSS_FORCE_WRITEABLE')) return -EINVAL
    out.hi = 0
    out.lo =
      ((prot & PT_READ) !== 0 ? READ_LO : 0) |
      (isWritable ? WRITE_LO : 0) |
      (features.has('VTDSS_FORCE_COHERENCE') ? SNOOP_LO : 0)
    return 0
  },
  table(out, _level, features) {
    out.hi = 0
    out.lo = READ_LO | WRITE_LO | (features.has('DMA_INCOHERENT') ? INCOHERENT_LO : 0)
  },
  size(out, level) {
    out.hi = 0
    out.lo = level === 0 ? 0 : LEAF_LO
  },
  run: { hi: 0, lo: 0 },
  sizeOf: (level) => levelLg2(vtdss, level),
  driverTop: (level) => ({ aw: level - 1 }),
}
