// SPDX-License-Identifier: Apache-2.0
/**
 * The IOVAs that every group of a type 1 container can use (SPEC V12, V27, V29, V30).
 *
 * Invariant: disjoint ranges of pages, ascending, both ends inclusive; a value, replaced whole when a
 * group comes or goes. An empty list is that of a container without an IOMMU behind it: no limits.
 */
import type { IommuResvRegion, PagingDomain } from '@iommufd/hw-iommu'
import { IOMMU_RESV_DIRECT_RELAXABLE } from '@iommufd/hw-iommu'
import { PAGE_SIZE } from '@iommufd/uapi'

export interface PageRange {
  readonly first: number
  readonly last: number
}

/** Pages of the IOVAs that a page table can translate. */
export function apertureOf(domain: PagingDomain): PageRange {
  const { apertureStartHi, apertureStartLo, apertureLastHi, apertureLastLo } = domain
  return {
    first: Math.ceil(bytesOf(apertureStartHi, apertureStartLo) / PAGE_SIZE),
    last: (apertureLastHi >>> 0) * 2 ** 20 + (apertureLastLo >>> 12),
  }
}

/** Pages that reserved regions touch; relaxable ones do not count. */
export function reservedPages(regions: readonly IommuResvRegion[]): PageRange[] {
  return regions
    .filter(({ type }) => type !== IOMMU_RESV_DIRECT_RELAXABLE)
    .map(({ start, length }) => ({
      first: Number(start / BigInt(PAGE_SIZE)),
      last: Number((start + length - 1n) / BigInt(PAGE_SIZE)),
    }))
}

/** The ranges that lie inside the aperture too; no ranges at all stand for no limits. */
export function within(ranges: readonly PageRange[], aperture: PageRange): PageRange[] {
  if (ranges.length === 0) return [aperture]
  return ranges
    .map(({ first, last }) => ({
      first: Math.max(first, aperture.first),
      last: Math.min(last, aperture.last),
    }))
    .filter(({ first, last }) => first <= last)
}

/** The ranges without what is reserved. */
export function without(ranges: readonly PageRange[], reserved: readonly PageRange[]): PageRange[] {
  let left = [...ranges]
  for (const gap of reserved) {
    left = left.flatMap(({ first, last }) => [
      ...(first < gap.first ? [{ first, last: Math.min(last, gap.first - 1) }] : []),
      ...(last > gap.last ? [{ first: Math.max(first, gap.last + 1), last }] : []),
    ])
  }
  return left
}

/** Whether pages first to last lie in one of the ranges, or nothing limits them. */
export function allows(ranges: readonly PageRange[], first: number, last: number): boolean {
  return ranges.length === 0 || ranges.some((range) => range.first <= first && last <= range.last)
}

/** Exact for the addresses that begin an aperture: multiples of a page below 2^64. */
function bytesOf(hi: number, lo: number): number {
  return (hi >>> 0) * 2 ** 32 + (lo >>> 0)
}
