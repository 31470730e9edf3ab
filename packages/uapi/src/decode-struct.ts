// SPDX-License-Identifier: Apache-2.0
//
// A struct in memory as a list of named, printed fields. Nested structs and arrays are listed element
// by element under paths (`header.next`, `ranges[1].length`), payloads and capabilities after them.
//
// Invariant: only bytes before the limit are looked at (the buffer's end, or the size that the caller of
// the ioctl stated); a field that does not wholly lie before it is listed as absent.

import { flexibleCount, readScalar } from './codec.js'
import type { FieldType, ParsedType, ScalarType, StructLayout } from './layout.js'
import { parseType } from './layout.js'
import type { GetField, StructMeaning } from './meaning.js'
import { textOf } from './meaning.js'
import { iommufdMeanings } from './meaning-iommufd.js'
import { vfioMeanings } from './meaning-vfio.js'
import { vfioDeviceMeanings } from './meaning-vfio-device.js'
import { elementSize, nestedStruct } from './nested.js'

/** A field that is there. */
export interface DecodedField {
  /** As in C; a path for elements of arrays and of nested structs. */
  readonly name: string
  /** bigint for 8-byte fields; a string of hex digits for arrays of bytes. */
  readonly value: number | bigint | string
  readonly text: string
  /** Byte offset from the beginning of the struct. */
  readonly at: number
  /** Bytes. */
  readonly size: number
  /** Padding and fields that must be zero: left out by formatters when they are. */
  readonly reserved: boolean
}

/** A decoded struct. */
export interface DecodedStruct {
  readonly fields: readonly DecodedField[]
  /** Names of fields that are not there because the bytes end before. */
  readonly absent: readonly string[]
}

interface Walk {
  readonly view: DataView
  readonly limit: number
  readonly fields: DecodedField[]
  readonly absent: string[]
}

/**
 * Decodes a struct at the beginning of `bytes`, for printing.
 *
 * @param limit - how many of the bytes count: the size that the caller stated. All by default.
 */
export function decodeStruct(
  layout: StructLayout,
  bytes: Uint8Array,
  limit: number = bytes.length,
): DecodedStruct {
  const end = Math.min(limit, bytes.length)
  const view = new DataView(bytes.buffer, bytes.byteOffset, end)
  const walk: Walk = { view, limit: end, fields: [], absent: [] }
  walkStruct(walk, layout, 0, '')
  walkCapabilities(walk, layout)
  return { fields: walk.fields, absent: walk.absent }
}

function meaningOf(layout: StructLayout): StructMeaning | undefined {
  return (
    iommufdMeanings[layout.name] ?? vfioMeanings[layout.name] ?? vfioDeviceMeanings[layout.name]
  )
}

function walkStruct(walk: Walk, layout: StructLayout, base: number, path: string): void {
  const meaning = meaningOf(layout)
  const get: GetField = (name) => u32Or0(walk, base + (layout.at[name] as number))
  const unused = meaning?.unused?.(get) ?? []
  for (const [field, offset] of Object.entries(layout.at)) {
    if (unused.includes(field)) continue
    const name = path + (meaning?.shownAs?.(field, get) ?? field)
    const type = parseType(layout.type[field] as FieldType)
    if (type.count === -1) walkFlexible(walk, layout, field, base, name, meaning?.payload?.(get))
    else walkField(walk, layout, field, type, base + offset, name)
  }
}

function u32Or0(walk: Walk, at: number): number {
  return at + 4 <= walk.limit ? walk.view.getUint32(at, true) : 0
}

function walkField(
  walk: Walk,
  layout: StructLayout,
  field: string,
  type: ParsedType,
  at: number,
  name: string,
): void {
  if (type.element === 'u8' && type.isArray) {
    walkBytes(walk, field, at, type.count, name)
    return
  }
  const size = elementSize(type.element)
  for (let i = 0; i < type.count; i++) {
    const shown = type.isArray ? `${name}[${i}]` : name
    const nested = nestedStruct(type.element)
    if (nested) walkStruct(walk, nested, at + i * size, `${shown}.`)
    else walkScalar(walk, layout, field, type.element as ScalarType, at + i * size, shown)
  }
}

function walkScalar(
  walk: Walk,
  layout: StructLayout,
  field: string,
  type: ScalarType,
  at: number,
  name: string,
): void {
  const size = elementSize(type)
  if (at + size > walk.limit) {
    walk.absent.push(name)
    return
  }
  const value = readScalar(type, walk.view, at)
  const text = textOf(value, meaningOf(layout)?.fields?.[field])
  walk.fields.push({ name, value, text, at, size, reserved: isReserved(field) })
}

/** An array of bytes, as one field. */
function walkBytes(walk: Walk, field: string, at: number, size: number, name: string): void {
  if (at + size > walk.limit) {
    walk.absent.push(name)
    return
  }
  const bytes = new Uint8Array(walk.view.buffer, walk.view.byteOffset + at, size)
  walk.fields.push({ ...bytesField(name, bytes, at), reserved: isReserved(field) })
}

/** Bytes as one field, in hex. */
export function bytesField(name: string, bytes: Uint8Array, at: number): DecodedField {
  const value = hexDigits(bytes)
  return { name, value, text: `0x${value}`, at, size: bytes.length, reserved: false }
}

/** A flexible array: its elements by its count field, or what the struct's other fields say is there. */
function walkFlexible(
  walk: Walk,
  layout: StructLayout,
  field: string,
  base: number,
  name: string,
  payload: StructLayout | FieldType | undefined,
): void {
  const at = base + (layout.at[field] as number)
  if (at > walk.limit) return
  if (typeof payload === 'object') {
    walkStruct(walk, payload, at, `${name}.`)
  } else if (payload !== undefined) {
    const type = parseType(payload)
    const room = Math.floor((walk.limit - at) / elementSize(type.element))
    walkField(walk, layout, field, { ...type, count: Math.min(type.count, room) }, at, name)
  } else if (layout.count?.[field] !== undefined) {
    const type = parseType(layout.type[field] as FieldType)
    const count = flexibleCount(layout, field, walk.view, base)
    walkField(walk, layout, field, { ...type, count }, at, name)
  }
}

/** Follows the chain at `cap_offset`; a chain that runs in circles is left at its second round. */
function walkCapabilities(walk: Walk, layout: StructLayout): void {
  const known = meaningOf(layout)?.capabilities
  if (known === undefined) return
  const seen = new Set<number>()
  let at = u32Or0(walk, layout.at.cap_offset as number)
  while (at >= layout.size && at + 8 <= walk.limit && !seen.has(at)) {
    seen.add(at)
    const id = walk.view.getUint16(at, true)
    const capability = known.find((info) => info.id === id)
    const struct =
      capability?.struct ?? (nestedStruct('struct vfio_info_cap_header') as StructLayout)
    walkStruct(walk, struct, at, `${capability?.name ?? `cap ${id}`}.`)
    at = walk.view.getUint32(at + 4, true)
  }
}

function isReserved(field: string): boolean {
  return /^(_*reserved\d*|_*pad|__resv\d)$/.test(field)
}

/** Bytes as hex digits, two per byte. */
export function hexDigits(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
