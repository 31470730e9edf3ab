// SPDX-License-Identifier: Apache-2.0
// What an ioctl that succeeded has changed, in words: the parts that all tables of effects share.

import { readStruct, type StructLayout, type StructValue } from '@iommufd/uapi'

/** Tells what changed, given the struct before and after the call; undefined: nothing worth a line. */
export type Effect = (before: Uint8Array, after: Uint8Array) => string | undefined

/** An effect that is told from the members of the command's struct. */
export function effectOf<const L extends StructLayout>(
  layout: L,
  tell: (after: StructValue<L>, before: StructValue<L>) => string | undefined,
): Effect {
  return (before, after) => tell(read(layout, after), read(layout, before))
}

/** A struct that was given shorter than this kernel knows it counts as zero behind its end. */
function read<const L extends StructLayout>(layout: L, bytes: Uint8Array): StructValue<L> {
  if (bytes.length >= layout.size) return readStruct(layout, bytes)
  const whole = new Uint8Array(layout.size)
  whole.set(bytes)
  return readStruct(layout, whole)
}

/** `[0x1000, 0x1fff]`, last inclusive; `length` in bytes. */
export function range(start: bigint, length: bigint): string {
  if (length === 0n) return `nothing at ${hex(start)}`
  return `[${hex(start)}, ${hex(BigInt.asUintN(64, start + length - 1n))}]`
}

export function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`
}

/** `1 byte`, `2 bytes`. */
export function count(number: bigint | number, noun: string): string {
  return `${number} ${noun}${BigInt(number) === 1n ? '' : 's'}`
}
