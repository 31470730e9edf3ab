// SPDX-License-Identifier: Apache-2.0
//
// Copying a few bytes between two arrays. Every ioctl copies a struct of 8 to 64 bytes in and out; the fixed price of
// `set(subarray)`, and the view it leaves to the garbage collector, would be the largest part of such a copy. So it is
// made byte by byte, eight to a turn. Longer ones go by way of the stage (stage.ts).

/** From this many bytes on, moving memory is the faster way. */
export const LONG = 96

/** @throws when either range leaves its array: assignments outside would be lost without a word */
export function copyBytes(
  from: Uint8Array,
  fromAt: number,
  to: Uint8Array,
  toAt: number,
  length: number,
): void {
  if (fromAt + length > from.length || toAt + length > to.length)
    throw new RangeError(`copy of ${length} bytes leaves its buffer`)
  let i = 0
  for (; i + 8 <= length; i += 8) {
    const source = fromAt + i
    const target = toAt + i
    to[target] = from[source] as number
    to[target + 1] = from[source + 1] as number
    to[target + 2] = from[source + 2] as number
    to[target + 3] = from[source + 3] as number
    to[target + 4] = from[source + 4] as number
    to[target + 5] = from[source + 5] as number
    to[target + 6] = from[source + 6] as number
    to[target + 7] = from[source + 7] as number
  }
  for (; i < length; i++) to[toAt + i] = from[fromAt + i] as number
}
