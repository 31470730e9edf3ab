// SPDX-License-Identifier: Apache-2.0
//
// SPEC C7 word for word and without any cleverness: what the tests hold IovaSearch against.
//
// Allowed ranges that touch act as one; each is cut to [PAGE, 2^64 - 1 - PAGE]. In each the search begins at its start,
// aligned up and with the offset in the page OR-ed in, and looks at every gap between what is in use from there on, lowest
// first: cut to that place and to the allowed range, its start treated the same way.

import { greater, lesser, merge, type Range, U64_MAX } from './u64.js'

const PAGE = 4096n

export interface Wanted {
  /** Bytes, at least 1. */
  readonly length: bigint
  /** A power of two. */
  readonly alignment: bigint
  /** The memory's offset in its page. */
  readonly pageOffset: bigint
}

/** The IOVA, or undefined when nothing fits. `used` is areas and reserved ranges in any order. */
export function linearSearch(
  allowed: readonly Range[],
  used: readonly Range[],
  wanted: Wanted,
): bigint | undefined {
  const everywhere = { start: PAGE, last: U64_MAX - PAGE }
  const inUse = merge(used)
  for (const range of allowed.length === 0 ? [everywhere] : merge(allowed)) {
    const start = greater(range.start, everywhere.start)
    const last = lesser(range.last, everywhere.last)
    if (start > last) continue
    const from = fit({ start, last }, wanted)
    if (from === undefined) continue
    for (const gap of gapsWithin(inUse, { start: from, last })) {
      const iova = fit(gap, wanted)
      if (iova !== undefined) return iova
    }
  }
  return undefined
}

/** Where the length begins in [start, last], if it fits. */
function fit({ start, last }: Range, wanted: Wanted): bigint | undefined {
  const { length, alignment, pageOffset } = wanted
  const aligned = ((start + alignment - 1n) / alignment) * alignment
  const iova = aligned | pageOffset
  // The last byte of a gap is never a start in Linux.
  if (iova >= last || last - iova + 1n < length) return undefined
  return iova
}

function gapsWithin(used: readonly Range[], window: Range): Range[] {
  const gaps: Range[] = []
  let { start } = window
  for (const range of used) {
    if (range.last < start) continue
    if (range.start > window.last) break
    if (range.start > start) gaps.push({ start, last: range.start - 1n })
    start = range.last + 1n
  }
  if (start <= window.last) gaps.push({ start, last: window.last })
  return gaps
}
