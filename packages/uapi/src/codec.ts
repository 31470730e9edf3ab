// SPDX-License-Identifier: Apache-2.0
//
// Structs as objects: reads and writes any struct of this package at any byte of a buffer, aligned or
// not. 64-bit fields are bigint; writing takes number or bigint and checks the range.
//
// Invariant: what readStruct gives, writeStruct writes back to the same bytes. Members of a union are
// all read; they are written in the order of the layout, so give only one of them.

import type { ElementType, FieldType, ScalarType, StructLayout } from './layout.js'
import { parseType } from './layout.js'
import type { NestedStructs } from './nested.js'
import { elementSize, nestedStruct } from './nested.js'

type Wide = 'u64' | 'le64' | 'u64 *'

type ElementValue<E> = E extends Wide
  ? bigint
  : E extends ScalarType
    ? number
    : E extends `struct ${infer S extends keyof NestedStructs}`
      ? StructValue<NestedStructs[S]>
      : never

type ElementInput<E> = E extends ScalarType
  ? number | bigint
  : E extends `struct ${infer S extends keyof NestedStructs}`
    ? StructInput<NestedStructs[S]>
    : never

/** What a field of C type `T` reads as: arrays of u8 are Uint8Array, other arrays are arrays. */
export type FieldValue<T> = T extends `u8[${string}]`
  ? Uint8Array
  : T extends `${infer E}[${string}]`
    ? ElementValue<E>[]
    : ElementValue<T>

/** What can be written to a field of C type `T`. */
export type FieldInput<T> = T extends `${infer E}[${string}]`
  ? ArrayLike<ElementInput<E>>
  : ElementInput<T>

/** An object with every field of a struct. */
export type StructValue<L extends StructLayout> = {
  -readonly [K in keyof L['type']]: FieldValue<L['type'][K]>
}

/** An object with some fields of a struct. */
export type StructInput<L extends StructLayout> = {
  readonly [K in keyof L['type']]?: FieldInput<L['type'][K]> | undefined
}

type AnyInput = Readonly<Record<string, unknown>>

/**
 * Reads the struct at byte `at`. A flexible array is read as far as its count field, `argsz` and the
 * buffer allow. RangeError when the buffer is shorter than the struct.
 *
 * @example
 * readStruct(iommu_ioas_alloc, bytes).out_ioas_id
 */
export function readStruct<const L extends StructLayout>(
  layout: L,
  bytes: Uint8Array,
  at = 0,
): StructValue<L> {
  needBytes(layout, bytes, at, layout.size)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return readAny(layout, view, at) as StructValue<L>
}

/**
 * Writes the struct at byte `at` of `bytes`, or to a new buffer, and returns the buffer. As in a C
 * initializer, fields not given are 0; but `size` or `argsz` at the beginning is the struct's size, and
 * the count field of a flexible array its length, unless given.
 *
 * RangeError when a value does not fit its field or the struct its buffer; TypeError for a field that
 * the struct does not have.
 *
 * @example
 * writeStruct(iommu_ioas_map, { flags: IOMMU_IOAS_MAP_READABLE, ioas_id, user_va, length: 4096 })
 */
export function writeStruct<const L extends StructLayout>(
  layout: L,
  values: StructInput<L>,
  bytes?: Uint8Array,
  at = 0,
): Uint8Array {
  const input = withDefaults(layout, values as AnyInput)
  const size = sizeOf(layout, input)
  const target = bytes ?? new Uint8Array(at + size)
  needBytes(layout, target, at, size)
  target.fill(0, at, at + size)
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength)
  writeAny(layout, view, at, input, layout.name)
  return target
}

function needBytes(layout: StructLayout, bytes: Uint8Array, at: number, size: number): void {
  if (Number.isInteger(at) && at >= 0 && bytes.length - at >= size) return
  throw new RangeError(
    `${layout.name}: ${size} bytes at ${at} are not inside ${bytes.length} bytes`,
  )
}

// Reading

function readAny(layout: StructLayout, view: DataView, at: number): Record<string, unknown> {
  const values: Record<string, unknown> = {}
  for (const [name, offset] of Object.entries(layout.at)) {
    values[name] = readField(layout, name, view, at, offset)
  }
  return values
}

function readField(
  layout: StructLayout,
  name: string,
  view: DataView,
  at: number,
  offset: number,
): unknown {
  const type = parseType(layout.type[name] as FieldType)
  if (!type.isArray) return readElement(type.element, view, at + offset)
  const count = type.count === -1 ? flexibleCount(layout, name, view, at) : type.count
  if (type.element === 'u8') {
    return new Uint8Array(view.buffer, view.byteOffset + at + offset, count).slice()
  }
  const size = elementSize(type.element)
  return Array.from({ length: count }, (_, i) =>
    readElement(type.element, view, at + offset + i * size),
  )
}

/**
 * Elements of a flexible array: as many as its count field says, or as `argsz` has room for, but not
 * more than the buffer holds.
 */
export function flexibleCount(
  layout: StructLayout,
  name: string,
  view: DataView,
  at: number,
): number {
  const start = at + (layout.at[name] as number)
  const size = elementSize(parseType(layout.type[name] as FieldType).element)
  const room = Math.floor((view.byteLength - start) / size)
  const countField = layout.count?.[name]
  if (countField !== undefined) {
    return Math.min(room, view.getUint32(at + (layout.at[countField] as number), true))
  }
  if (layout.at.argsz !== 0) return room
  const stated = Math.floor((view.getUint32(at, true) - (start - at)) / size)
  return Math.max(0, Math.min(room, stated))
}

function readElement(element: ElementType, view: DataView, at: number): unknown {
  const layout = nestedStruct(element)
  return layout ? readAny(layout, view, at) : readScalar(element as ScalarType, view, at)
}

/** The number at byte `at`: bigint for the 8-byte types. */
export function readScalar(type: ScalarType, view: DataView, at: number): number | bigint {
  switch (type) {
    case 'u8':
      return view.getUint8(at)
    case 'u16':
      return view.getUint16(at, true)
    case 'u32':
      return view.getUint32(at, true)
    case 's32':
      return view.getInt32(at, true)
    default:
      return view.getBigUint64(at, true)
  }
}

// Writing

/** The values with the struct's size and the lengths of its flexible arrays filled in. */
function withDefaults(layout: StructLayout, values: AnyInput): AnyInput {
  const input: Record<string, unknown> = { ...values }
  for (const [array, count] of Object.entries(layout.count ?? {})) {
    const elements = input[array] as ArrayLike<unknown> | undefined
    if (elements !== undefined) input[count] ??= elements.length
  }
  const first = layout.at.size === 0 ? 'size' : 'argsz'
  if (layout.at[first] === 0) input[first] ??= sizeOf(layout, input)
  return input
}

function sizeOf(layout: StructLayout, values: AnyInput): number {
  let size = layout.size
  for (const [name, type] of Object.entries(layout.type)) {
    const { element, count } = parseType(type)
    const elements = values[name] as ArrayLike<unknown> | undefined
    if (count !== -1 || elements === undefined) continue
    size = Math.max(size, (layout.at[name] as number) + elements.length * elementSize(element))
  }
  return size
}

function writeAny(
  layout: StructLayout,
  view: DataView,
  at: number,
  values: AnyInput,
  path: string,
): void {
  for (const name of Object.keys(values)) {
    if (layout.at[name] === undefined) throw new TypeError(`${path} has no field ${name}`)
  }
  for (const [name, offset] of Object.entries(layout.at)) {
    const value = values[name]
    if (value === undefined) continue
    writeField(layout.type[name] as FieldType, view, at + offset, value, `${path}.${name}`)
  }
}

function writeField(
  type: FieldType,
  view: DataView,
  at: number,
  value: unknown,
  path: string,
): void {
  const { element, isArray, count } = parseType(type)
  if (!isArray) {
    writeElement(element, view, at, value, path)
    return
  }
  const elements = value as ArrayLike<unknown>
  if (count !== -1 && elements.length > count) {
    throw new RangeError(`${path}: ${elements.length} elements, ${count} at most`)
  }
  const size = elementSize(element)
  for (let i = 0; i < elements.length; i++) {
    writeElement(element, view, at + i * size, elements[i], `${path}[${i}]`)
  }
}

function writeElement(
  element: ElementType,
  view: DataView,
  at: number,
  value: unknown,
  path: string,
): void {
  const layout = nestedStruct(element)
  if (layout) writeAny(layout, view, at, value as AnyInput, path)
  else writeScalar(element as ScalarType, view, at, value, path)
}

function writeScalar(
  type: ScalarType,
  view: DataView,
  at: number,
  value: unknown,
  path: string,
): void {
  const exact = checkedInteger(type, value, path)
  switch (type) {
    case 'u8':
      view.setUint8(at, Number(exact))
      break
    case 'u16':
      view.setUint16(at, Number(exact), true)
      break
    case 'u32':
    case 's32':
      view.setUint32(at, Number(exact), true)
      break
    default:
      view.setBigUint64(at, exact, true)
  }
}

const ranges: Readonly<Record<ScalarType, readonly [bigint, bigint, string]>> = {
  u8: [0n, 0xffn, '0..2^8-1'],
  u16: [0n, 0xffffn, '0..2^16-1'],
  u32: [0n, 0xffff_ffffn, '0..2^32-1'],
  s32: [-0x8000_0000n, 0x7fff_ffffn, '-2^31..2^31-1'],
  u64: [0n, 0xffff_ffff_ffff_ffffn, '0..2^64-1'],
  le64: [0n, 0xffff_ffff_ffff_ffffn, '0..2^64-1'],
  'u64 *': [0n, 0xffff_ffff_ffff_ffffn, '0..2^64-1'],
}

function checkedInteger(type: ScalarType, value: unknown, path: string): bigint {
  if (typeof value !== 'number' && typeof value !== 'bigint') {
    throw new TypeError(`${path}: ${String(value)} is not a number`)
  }
  const [least, most, text] = ranges[type]
  if (typeof value === 'bigint' || Number.isInteger(value)) {
    const exact = BigInt(value)
    if (exact >= least && exact <= most) return exact
  }
  throw new RangeError(`${path}: ${value} is not in ${text}`)
}
