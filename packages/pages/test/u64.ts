// SPDX-License-Identifier: Apache-2.0
//
// A u64 as tests write it, a bigint, and as the engine takes it, two int32 words.

export const U64_MAX: bigint = 2n ** 64n - 1n

export function hi(value: bigint): number {
  return Number(BigInt.asIntN(32, value >> 32n))
}

export function lo(value: bigint): number {
  return Number(BigInt.asIntN(32, value))
}

export function u64(high: number, low: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
}

/** The nearest u64. */
export function clamp(value: bigint): bigint {
  return value < 0n ? 0n : value > U64_MAX ? U64_MAX : value
}

export function lesser(a: bigint, b: bigint): bigint {
  if (a < b) return a
  return b
}

export function greater(a: bigint, b: bigint): bigint {
  if (a > b) return a
  return b
}

/** Inclusive at both ends. */
export interface Range {
  readonly start: bigint
  readonly last: bigint
}

export function overlap(a: Range, b: Range): boolean {
  return a.start <= b.last && b.start <= a.last
}

/** Overlapping and touching ranges become one; sorted by start. */
export function merge(ranges: Iterable<Range>): Range[] {
  const merged: { start: bigint; last: bigint }[] = []
  for (const { start, last } of [...ranges].sort(byStart)) {
    const before = merged.at(-1)
    if (before === undefined || start > before.last + 1n) merged.push({ start, last })
    else if (last > before.last) before.last = last
  }
  return merged
}

/** What is in no range, within [0, U64_MAX]. */
export function gaps(ranges: Iterable<Range>): Range[] {
  const found: Range[] = []
  let start = 0n
  for (const range of merge(ranges)) {
    if (range.start > start) found.push({ start, last: range.start - 1n })
    start = range.last + 1n
  }
  if (start <= U64_MAX) found.push({ start, last: U64_MAX })
  return found
}

function byStart(a: Range, b: Range): number {
  return a.start < b.start ? -1 : a.start > b.start ? 1 : 0
}
