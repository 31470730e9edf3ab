// SPDX-License-Identifier: Apache-2.0
/**
 * The page tables of AMD's IOMMU, version 1, and those of the mock IOMMU (SPEC section 9, amdv1).
 *
 * Invariant: a page of any power of two of granules is a run of identical leaves of the level below
 * which its size falls; the run's size is told by the ones at the bottom of its address field, with
 * 7 as its next level. A page as large as what one word covers is a single word with next level 0.
 */
import { EINVAL } from '@iommufd/uapi'
import {
  levelLg2,
  type PageTableConfig,
  type PageTableFormat,
  PT_READ,
  PT_WRITE,
  type PtFeature,
  type Word,
} from './format.js'

const PRESENT_LO = 1
const DIRTY_LO = 1 << 6
const NEXT_LEVEL_LG2 = 9
const NEXT_LEVEL_LO = 7 << NEXT_LEVEL_LG2
const COHERENT_HI = 1 << 28
const READ_HI = 1 << 29
const WRITE_HI = 1 << 30
const FIELD_HI = 0xfffff
const FIELD_LG2 = 12

const bits = (first: number, last: number): bigint => (2n << BigInt(last)) - (1n << BigInt(first))
/** No table is made with pages of 512 GiB. */
const SIZE_NEVER_USED = 1n << 39n

const amdv1Features: readonly PtFeature[] = [
  'DYNAMIC_TOP',
  'AMDV1_ENCRYPT_TABLES',
  'AMDV1_FORCE_COHERENCE',
]

interface Variant {
  readonly name: string
  readonly granuleLg2: number
  readonly maxVaszLg2: number
  readonly maxOaszLg2: number
  readonly largestLg2: number
  readonly maxTopLevel: number
  readonly supported: readonly PtFeature[]
  readonly required: readonly PtFeature[]
}

function makeFormat(variant: Variant): PageTableFormat {
  const { granuleLg2, maxTopLevel } = variant
  const format: PageTableFormat = {
    name: variant.name,
    granuleLg2,
    fieldLg2: FIELD_LG2,
    fieldHi: FIELD_HI,
    maxVaszLg2: variant.maxVaszLg2,
    maxOaszLg2: variant.maxOaszLg2,
    pageSizes: () => bits(granuleLg2, variant.largestLg2) & ~SIZE_NEVER_USED,
    supported: variant.supported,
    required: variant.required,
    presentLo: PRESENT_LO,
    tableMaskLo: NEXT_LEVEL_LO,
    tableLo: (level) => level << NEXT_LEVEL_LG2,
    readable: { hi: READ_HI, lo: 0 },
    writable: { hi: WRITE_HI, lo: 0 },
    dirtyLo: DIRTY_LO,
    cutsVasz: true,
    topLevelOf: ({ topLevel }: PageTableConfig) =>
      topLevel === undefined || topLevel < 1 || topLevel > maxTopLevel ? -EINVAL : topLevel,
    leaf,
    table(out, level) {
      out.hi = READ_HI | WRITE_HI
      out.lo = PRESENT_LO | (level << NEXT_LEVEL_LG2)
    },
    size(out, level, lg2) {
      out.hi = 0
      out.lo = 0
      if (lg2 === levelLg2(format, level)) return
      setOnes(out, lg2 - granuleLg2 - 1)
      out.lo |= NEXT_LEVEL_LO
    },
    run: { hi: 0, lo: NEXT_LEVEL_LO },
    sizeOf(level, hi, lo) {
      return (lo & NEXT_LEVEL_LO) === 0
        ? levelLg2(format, level)
        : granuleLg2 + 1 + onesAtBottom(hi, lo)
    },
    driverTop: (level) => ({ mode: level + 1 }),
  }
  return format
}

function leaf(out: Word, prot: number, features: ReadonlySet<PtFeature>): number {
  out.lo = PRESENT_LO
  out.hi =
    ((prot & PT_READ) !== 0 ? READ_HI : 0) |
    ((prot & PT_WRITE) !== 0 ? WRITE_HI : 0) |
    (features.has('AMDV1_FORCE_COHERENCE') ? COHERENT_HI : 0)
  return 0
}

/** Sets `count` bits at the bottom of the address field. */
function setOnes(out: Word, count: number): void {
  const inLow = Math.min(count, 32 - FIELD_LG2)
  out.lo = (2 ** inLow - 1) << FIELD_LG2
  out.hi = 2 ** (count - inLow) - 1
}

function onesAtBottom(hi: number, lo: number): number {
  const zeros = ~(lo >> FIELD_LG2)
  if (zeros !== 0) return 31 - Math.clz32(zeros & -zeros)
  return 32 - FIELD_LG2 + 31 - Math.clz32(~hi & (hi + 1))
}

export const amdv1: PageTableFormat = makeFormat({
  name: 'amdv1',
  granuleLg2: 12,
  maxVaszLg2: 64,
  maxOaszLg2: 52,
  largestLg2: 51,
  maxTopLevel: 5,
  supported: [...amdv1Features, 'FLUSH_RANGE', 'FLUSH_RANGE_NO_GAPS', 'FULL_VA'],
  required: amdv1Features,
})

/** Half a page of memory as granule; the layout is amdv1's, so address bits stand one place higher. */
export const amdv1Mock: PageTableFormat = makeFormat({
  name: 'amdv1_mock',
  granuleLg2: 11,
  maxVaszLg2: 56,
  maxOaszLg2: 51,
  largestLg2: 46,
  maxTopLevel: 4,
  supported: [],
  required: [],
})
