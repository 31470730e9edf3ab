// SPDX-License-Identifier: Apache-2.0
//
// What the number in a field means, as data: flags, enumerators, hexadecimal or decimal; and how such a
// number is printed. The tables per struct are in meaning-iommufd.ts,
// meaning-vfio.ts and meaning-vfio-device.ts.
//
// Invariant: no bit and no value gets lost: what has no name is printed as a number.

import type { FieldType, StructLayout } from './layout.js'

/** Constants by their C names. */
export type Names = Readonly<Record<string, number>>

/** How to print a field. `prefix`: what to leave out of the C names. */
export type Meaning =
  | 'hex'
  | 'decimal'
  | { readonly flags: Names; readonly prefix: RegExp }
  | { readonly values: Names; readonly prefix: RegExp }
  /** A value in the bits of `mask`, flags in the others. */
  | {
      readonly values: Names
      readonly mask: number
      readonly flags: Names
      readonly prefix: RegExp
    }

/** Reads a u32 field of the struct in hand; 0 when it is absent. */
export type GetField = (name: string) => number

/** What the decoder knows about a struct beside its layout. */
export interface StructMeaning {
  /** Fields that are not printed as their type would be: 8 bytes in hex, others decimal. */
  readonly fields?: Readonly<Record<string, Meaning>>
  /** Members of a union that are not the ones in use. */
  readonly unused?: (get: GetField) => readonly string[]
  /** The name to print for a field. */
  readonly shownAs?: (field: string, get: GetField) => string
  /** What a flexible array of bytes holds: a struct, or an array with its length. */
  readonly payload?: (get: GetField) => StructLayout | FieldType | undefined
  /** The structs that can be in the chain at `cap_offset`, by id. */
  readonly capabilities?: readonly CapabilityInfo[]
}

/** A capability after an info struct. */
interface CapabilityInfo {
  readonly name: string
  readonly id: number
  readonly struct: StructLayout
}

/** A number as text. */
export function textOf(value: number | bigint, meaning: Meaning | undefined): string {
  if (meaning === undefined) return typeof value === 'bigint' ? hex(value) : `${value}`
  if (meaning === 'hex') return hex(value)
  if (meaning === 'decimal') return `${value}`
  if ('mask' in meaning) {
    const low = Number(value) & meaning.mask
    const flags = flagsText(BigInt(value) - BigInt(low), meaning.flags, meaning.prefix)
    const name = valueText(low, meaning.values, meaning.prefix)
    return flags === '0' ? name : `${name}|${flags}`
  }
  if ('flags' in meaning) return flagsText(BigInt(value), meaning.flags, meaning.prefix)
  return valueText(value, meaning.values, meaning.prefix)
}

/** Names of flags joined by `|`, bits without a name in hex at the end; no bits: 0. */
function flagsText(value: bigint, flags: Names, prefix: RegExp): string {
  const parts: string[] = []
  let rest = value
  for (const [name, bits] of Object.entries(flags)) {
    if (bits === 0 || (rest & BigInt(bits)) !== BigInt(bits)) continue
    parts.push(name.replace(prefix, ''))
    rest &= ~BigInt(bits)
  }
  if (rest !== 0n) parts.push(hex(rest))
  return parts.length === 0 ? '0' : parts.join('|')
}

/** The name of a value; a value without a name is decimal, or hex from 2^16 on. */
function valueText(value: number | bigint, values: Names, prefix: RegExp): string {
  for (const [name, known] of Object.entries(values)) {
    if (BigInt(known) === BigInt(value)) return name.replace(prefix, '')
  }
  return value < 0x10000 ? `${value}` : hex(value)
}

/** `0x` and lower case digits. Negative numbers keep their sign. */
export function hex(value: number | bigint): string {
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`
}
