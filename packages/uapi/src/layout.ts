// SPDX-License-Identifier: Apache-2.0
//
// How the shape of a C struct is written down: a literal with the struct's size, the byte offset of
// every field (`at`, what an engine reads words by) and the C type of every field (`type`, what the
// codec and the decoder go by).
//
// Invariant: offsets are x86-64's, bytes are little-endian. Members of a union share an offset.
// Flexible arrays (`u8[]`) are not counted in `size`.

/** A number in memory. le64 and a pointer (`u64 *`) are 8 bytes like u64. */
export type ScalarType = 'u8' | 'u16' | 'u32' | 'u64' | 's32' | 'le64' | 'u64 *'

/** One element: a number, or another struct in place. */
export type ElementType = ScalarType | `struct ${string}`

/** The C type of a field: an element, a fixed array (`u64[4]`) or a flexible one (`u8[]`). */
export type FieldType = ElementType | `${ElementType}[${number}]` | `${ElementType}[]`

/** A struct: `name` and fields as in C, sizes and offsets in bytes. */
export interface StructLayout {
  readonly name: string
  readonly size: number
  /** Offset of each field from the beginning of the struct. */
  readonly at: Readonly<Record<string, number>>
  readonly type: Readonly<Record<string, FieldType>>
  /** For a flexible array: the field that says how many elements it has. */
  readonly count?: Readonly<Record<string, string>>
}

/** A field's type taken apart. `count`: 1 for no array, -1 for a flexible one. */
export interface ParsedType {
  readonly element: ElementType
  readonly isArray: boolean
  readonly count: number
}

const parsed = new Map<FieldType, ParsedType>()

/** Takes a field's type apart; asks once per type. */
export function parseType(type: FieldType): ParsedType {
  let answer = parsed.get(type)
  if (answer === undefined) {
    const [, element, length] = /^(.*?)(?:\[(\d*)\])?$/.exec(type) as unknown as [
      string,
      ElementType,
      string | undefined,
    ]
    const count = length === undefined ? 1 : length === '' ? -1 : Number(length)
    answer = { element, isArray: length !== undefined, count }
    parsed.set(type, answer)
  }
  return answer
}

/** Bytes of each scalar. */
export const scalarSize: Readonly<Record<ScalarType, number>> = {
  u8: 1,
  u16: 2,
  u32: 4,
  u64: 8,
  s32: 4,
  le64: 8,
  'u64 *': 8,
}
