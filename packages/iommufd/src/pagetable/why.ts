// SPDX-License-Identifier: Apache-2.0
// Why a page has the size that it has. Pages are the largest that fit, so the question is why the next larger size does not.

import { formatSize } from '@iommufd/hw-iommu/table-reader'
import type { MappedRange } from './build.js'

/**
 * One sentence about a page of 2^lg2 bytes at `va`.
 *
 * @param pageSizes bit n for pages of 2^n bytes: what the table may use
 * @param ranges what was mapped; undefined is returned where none of them has the page
 */
export function whyThisSize(
  va: bigint,
  lg2: number,
  pageSizes: bigint,
  ranges: readonly MappedRange[],
): string | undefined {
  const range = ranges.find(({ iova, mapped }) => va >= iova && va < iova + mapped)
  if (range === undefined) return undefined
  const next = nextLarger(pageSizes, lg2)
  if (next === undefined) return 'the largest page size of the table'
  const bytes = 1n << BigInt(next)
  const reasons: string[] = []
  if (va % bytes !== 0n) reasons.push('the IOVA is no multiple of it')
  const paddr = range.paddr + (va - range.iova)
  if (paddr % bytes !== 0n) reasons.push('the physical address is no multiple of it')
  const rest = range.iova + range.length - va
  if (rest < bytes) reasons.push(`only ${formatBytes(rest)} of the range are left`)
  return `not ${formatSize(next)}: ${reasons.join(', ')}`
}

function nextLarger(pageSizes: bigint, lg2: number): number | undefined {
  for (let next = lg2 + 1; next < 64; next++)
    if (((pageSizes >> BigInt(next)) & 1n) === 1n) return next
  return undefined
}

/** `24 KiB`: in the largest unit that leaves a whole number. */
export function formatBytes(bytes: bigint): string {
  let [unit, value] = [0, bytes]
  while (unit < 6 && value !== 0n && value % 1024n === 0n) {
    value /= 1024n
    unit++
  }
  return `${value} ${['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'][unit]}`
}
