// SPDX-License-Identifier: Apache-2.0
// From a call whose outcomes differ to the rows of the table that say so (SPEC section 6).
//
// Invariant: a row is named for what the two sides said, by the sites of their refusals and the members of the
// struct that differ. Where both sides did what they should for states that differ already, no row is named
// here: the caller knows where that began.

import {
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
} from '@iommufd/uapi'
import type { Outcome } from './outcome.js'

export interface Facts {
  readonly cmd: number
  /** The second word of the struct, 0 without one. */
  readonly flags: number
  readonly type1: Outcome
  readonly iommufd: Outcome
  /** Members of the struct that differ. */
  readonly fields: readonly string[]
  /** The type 1 container has the first version (VFIO_TYPE1_IOMMU). */
  readonly isFirstVersion: boolean
  /** The type 1 container has no device behind an IOMMU. */
  readonly isOnlyEmulated: boolean
}

/** What explains a difference. */
export interface Finding {
  readonly rows: readonly string[]
  /** The call alone decides; else it may follow from what was mapped differently before. */
  readonly isCertain: boolean
}

const NO_PERMISSIONS = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE
const NO_BITMAP = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_VADDR

export function findRows(facts: Facts): Finding {
  const type1 = facts.type1.refusal?.id
  if (type1 === 'TYPE1_NOT_SET') return certain(rowWithoutIommu(facts))
  switch (facts.cmd) {
    case VFIO_IOMMU_MAP_DMA:
      return findMap(facts)
    case VFIO_IOMMU_UNMAP_DMA:
      return findUnmap(facts)
    case VFIO_IOMMU_GET_INFO:
      return certain(...infoRows(facts))
    case VFIO_CHECK_EXTENSION:
      return certain('V6')
    case VFIO_SET_IOMMU:
      return certain(setIommuRow(facts))
    case VFIO_IOMMU_DIRTY_PAGES:
      return certain('V26')
    case VFIO_GROUP_SET_CONTAINER:
    case VFIO_GROUP_GET_DEVICE_FD:
      return certain(groupRow(facts))
    case VFIO_GROUP_UNSET_CONTAINER:
      return certain('V32')
    default:
      return certain()
  }
}

function certain(...rows: string[]): Finding {
  return { rows, isCertain: rows.length > 0 }
}

function rowWithoutIommu({ cmd, iommufd }: Facts): string {
  if (cmd === VFIO_IOMMU_DIRTY_PAGES) return 'V26'
  return iommufd.refusal?.id === 'COMPAT_IOAS_MISSING' ? 'V1' : 'V2'
}

function setIommuRow({ type1 }: Facts): string {
  if (type1.refusal?.id === 'TYPE1_SET_IOMMU_WITHOUT_GROUP') return 'V3'
  return type1.refusal?.id === 'TYPE1_IOMMU_UNKNOWN' ? 'V5' : 'V4'
}

function groupRow({ type1, iommufd }: Facts): string {
  const sites = [type1.refusal?.id, iommufd.refusal?.id]
  const says = (...ids: string[]) => sites.some((id) => id !== undefined && ids.includes(id))
  if (says('TYPE1_MAPPINGS_OUTSIDE', 'SPACE_IN_USE')) return 'V30'
  if (says('ALIGNMENT_BREAKS_AREA')) return 'V10'
  if (says('USER_PAGES_BAD', 'TYPE1_PAGES_BAD')) return 'V14'
  if (says('TYPE1_LIMIT_EXCEEDED', 'USER_LIMIT_EXCEEDED', 'PROCESS_LIMIT_EXCEEDED')) return 'V16'
  if (says('GROUP_WITHOUT_CONTAINER')) return 'V2'
  return 'V31'
}

/** By refusal of either side: what the call alone decides. */
const certainMapRows: Readonly<Record<string, string>> = {
  LENGTH_MISALIGNED: 'V10',
  IOVA_MISALIGNED: 'V10',
  OFFSET_MISALIGNED: 'V10',
  TYPE1_MISALIGNED: 'V10',
  TYPE1_TOO_MANY: 'V13',
  TYPE1_RANGE_WRAPS: 'V8',
  TYPE1_SIZE_ZERO: 'V9',
}

/** What depends on the address space too. */
const mapRows: Readonly<Record<string, string>> = {
  TYPE1_IOVA_UNUSABLE: 'V12',
  IOVA_RESERVED: 'V12',
  TYPE1_PAGES_BAD: 'V14',
  USER_PAGES_BAD: 'V17',
  TYPE1_LIMIT_EXCEEDED: 'V16',
  USER_LIMIT_EXCEEDED: 'V16',
  PROCESS_LIMIT_EXCEEDED: 'V16',
}

function findMap({ flags, type1, iommufd }: Facts): Finding {
  const isPlain = (flags & NO_PERMISSIONS) !== 0
  if ((flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0 || !isPlain) return certain('V7')
  const sites = [iommufd.refusal?.id ?? '', type1.refusal?.id ?? '']
  const rowOf = (rows: Readonly<Record<string, string>>) =>
    sites.map((site) => rows[site]).find((row) => row !== undefined)
  const row = rowOf(certainMapRows)
  return row === undefined ? { rows: [rowOf(mapRows) ?? 'V11'], isCertain: false } : certain(row)
}

function findUnmap(facts: Facts): Finding {
  const { flags, type1, iommufd } = facts
  if ((flags & NO_BITMAP) !== 0) return certain('V25')
  if (type1.refusal?.id === 'TYPE1_MISALIGNED') return certain('V22')
  if (iommufd.refusal?.id === 'ACCESS_HOLDS_AREA') return certain('V33')
  if (iommufd.refusal?.id.startsWith('SPLIT_') === true) return certain('V21')
  if (type1.refusal?.id === 'TYPE1_BISECTS') return certain('V18')
  if ((flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0) return { rows: ['V24'], isCertain: false }
  if (type1.ret < 0) return certain('V18')
  if (!facts.isFirstVersion) return { rows: ['V18'], isCertain: false }
  const more = sizeOf(type1) > sizeOf(iommufd)
  return { rows: [more ? 'V20' : 'V19'], isCertain: false }
}

/** `size` of VFIO_IOMMU_UNMAP_DMA. */
function sizeOf({ out }: Outcome): bigint {
  if (!(out instanceof Uint8Array) || out.length < 24) return 0n
  return new DataView(out.buffer, out.byteOffset).getBigUint64(16, true)
}

function infoRows({ fields, isOnlyEmulated, type1, iommufd }: Facts): string[] {
  const rows: string[] = []
  const others = fields.filter((field) => field !== 'iova_pgsizes')
  if (others.length > 0 || type1.ret !== iommufd.ret) rows.push('V27')
  if (fields.includes('iova_pgsizes')) rows.push('V28')
  if (isOnlyEmulated) rows.push('V29')
  return rows
}
