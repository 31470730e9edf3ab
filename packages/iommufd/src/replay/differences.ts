// SPDX-License-Identifier: Apache-2.0
// Where two answers to the same call differ, named as finely as the call allows: a struct member where the
// bytes are an ioctl's struct, a range of bytes elsewhere. Values are kept as text: they are for people.

import { changedFields } from '@iommufd/uapi'
import { encodeHex, type U64 } from '../trace/hex.js'
import { formatReturn } from './format.js'

/** One part of an answer that is not as recorded. */
export interface Difference {
  /** 'ret', 'revents', 'fnv1a', 'VmPin', a struct member, or a byte range such as 'bytes[8..11]' */
  readonly field: string
  /** what the recorded kernel answered */
  readonly linux: string
  /** what this engine answered */
  readonly ours: string
}

const EXCERPT_BYTES = 16

export function compareReturn(linux: U64, ours: U64): Difference | undefined {
  // a recorded address may be a bigint where ours is a number: compare values, not types
  if (linux === ours || BigInt(linux) === BigInt(ours)) return undefined
  return { field: 'ret', linux: formatReturn(linux), ours: formatReturn(ours) }
}

export function compareNumber(
  field: string,
  linux: number,
  ours: number,
  show: (value: number) => string,
  into: Difference[],
): void {
  if (linux !== ours) into.push({ field, linux: show(linux), ours: show(ours) })
}

/** Compares memory. `ours` is a negative errno where our memory cannot be read at all. */
export function compareBytes(
  field: string,
  linux: Uint8Array,
  ours: Uint8Array | number,
  into: Difference[],
): void {
  if (typeof ours === 'number') {
    into.push({ field, linux: excerpt(linux, 0, linux.length), ours: formatReturn(ours) })
    return
  }
  const first = firstDifference(linux, ours)
  if (first === -1) return
  const end = lastDifference(linux, ours) + 1
  into.push({
    field: `${field}[${first === end - 1 ? first : `${first}..${end - 1}`}]`,
    linux: excerpt(linux, first, end),
    ours: excerpt(ours, first, end),
  })
}

/** Compares the struct of an ioctl after the call, member by member where the command is known. */
export function compareStruct(
  cmd: number,
  linux: Uint8Array,
  ours: Uint8Array | number,
  into: Difference[],
): void {
  if (typeof ours === 'number') {
    into.push({ field: 'out', linux: excerpt(linux, 0, linux.length), ours: formatReturn(ours) })
    return
  }
  if (firstDifference(linux, ours) === -1) return
  const before = into.length
  for (const change of changedFields(cmd, linux, ours)) {
    into.push({
      field: change.name,
      linux: change.before?.text ?? 'absent',
      ours: change.after.text,
    })
  }
  // bytes that no member covers, or a command without a struct
  if (into.length === before) compareBytes('out', linux, ours, into)
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return at
  return -1
}

function lastDifference(a: Uint8Array, b: Uint8Array): number {
  for (let at = a.length - 1; at >= 0; at--) if (a[at] !== b[at]) return at
  return -1
}

function excerpt(bytes: Uint8Array, start: number, end: number): string {
  const shown = encodeHex(bytes.subarray(start, Math.min(end, start + EXCERPT_BYTES)))
  return end - start > EXCERPT_BYTES ? `${shown}…` : shown
}
