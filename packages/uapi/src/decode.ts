// SPDX-License-Identifier: Apache-2.0
//
// Any ioctl as text, for tracing: its name, the named fields of its argument, and what the kernel
// changed in them.
//
// Invariant: never fails, whatever the number and however short the bytes. Fields behind the size that
// the caller stated, or behind the end of the bytes, are absent.

import type { CommandInfo, FileKind, VfioCommandInfo } from './commands.js'
import { commands, vfioCommands } from './commands.js'
import type { DecodedField, DecodedStruct } from './decode-struct.js'
import { bytesField, decodeStruct, hexDigits } from './decode-struct.js'
import { formatIoctlNumber } from './ioctl-number.js'
import type { StructLayout } from './layout.js'
import { hex, textOf } from './meaning.js'
import { vfioArgument } from './meaning-vfio.js'

/** A decoded ioctl. */
export interface DecodedIoctl {
  /** The number, 0 to 2^32-1. */
  readonly cmd: number
  /** The C name, or `_IO(0x3b, 0x9f)` for an unknown number. */
  readonly name: string
  readonly struct: StructLayout | undefined
  /** The fields that are there; one, for an argument that is not a struct. */
  readonly fields: readonly DecodedField[]
  /** Names of fields behind the stated size or the end of the bytes. */
  readonly absent: readonly string[]
  /** Whether bytes behind the known struct are not zero, which is E2BIG for an iommufd's commands. */
  readonly tail: boolean
  /** Bytes of an unknown command in hex, or the argument when there are no bytes to decode. */
  readonly raw: string | undefined
}

/** A field that the kernel changed. */
export interface ChangedField {
  readonly name: string
  /** undefined when the field was not there before: what follows in a longer answer. */
  readonly before: DecodedField | undefined
  readonly after: DecodedField
  /** `out_ioas_id=0->1` */
  readonly text: string
}

/**
 * Decodes an ioctl.
 *
 * @param bytes - the memory that the argument points to, from there on as far as it is known; undefined
 *   when it cannot be read or the argument is a number.
 * @param arg - the third argument of ioctl(): needed when it is a number, else printed without bytes.
 * @param file - what kind of file it was made on. Numbers unknown there are looked up for the other
 *   kinds too, as a program may have the wrong descriptor.
 */
export function decodeIoctl(
  cmd: number,
  bytes: Uint8Array | undefined,
  arg?: number | bigint,
  file: FileKind = 'iommu',
): DecodedIoctl {
  return decode(cmd >>> 0, bytes, arg, file, bytes === undefined ? 0 : statedSize(bytes))
}

/**
 * Lists the fields that differ between the argument's memory before and after the call, in the order of
 * the struct. Bytes that changed in no field come last, under the name `bytes[FIRST..LAST]`.
 */
export function changedFields(
  cmd: number,
  before: Uint8Array,
  after: Uint8Array,
  file: FileKind = 'iommu',
): readonly ChangedField[] {
  const size = statedSize(before)
  const old = new Map(decode(cmd >>> 0, before, 0, file, size).fields.map((f) => [f.name, f]))
  const changed: ChangedField[] = []
  const rest = differences(before, after)
  for (const field of decode(cmd >>> 0, after, 0, file, size).fields) {
    rest.fill(false, field.at, field.at + field.size)
    const was = old.get(field.name)
    if (was === undefined || was.value !== field.value) changed.push(change(was, field))
  }
  const first = rest.indexOf(true)
  if (first !== -1) {
    const end = rest.lastIndexOf(true) + 1
    const name = `bytes[${first}..${end - 1}]`
    const was = bytesField(name, before.subarray(first, end), first)
    changed.push(change(was, bytesField(name, after.subarray(first, end), first)))
  }
  return changed
}

/** For each byte that both have, whether it differs. */
function differences(before: Uint8Array, after: Uint8Array): boolean[] {
  const length = Math.min(before.length, after.length)
  return Array.from({ length }, (_, i) => before[i] !== after[i])
}

function change(before: DecodedField | undefined, after: DecodedField): ChangedField {
  const text = `${after.name}=${before === undefined ? '' : `${before.text}->`}${after.text}`
  return { name: after.name, before, after, text }
}

/**
 * One line: `IOMMU_IOAS_MAP {size=40, flags=FIXED_IOVA|READABLE, ioas_id=1, …}`. With `changes`, those
 * fields show both values. Reserved fields are shown when not 0, absent ones as `name=?`; `more` stands
 * for bytes behind the struct that are not 0.
 */
export function formatIoctl(decoded: DecodedIoctl, changes: readonly ChangedField[] = []): string {
  const changed = new Map(changes.map(({ name, text }) => [name, text]))
  const parts: string[] = []
  for (const field of decoded.fields) {
    const text = changed.get(field.name)
    changed.delete(field.name)
    if (text !== undefined) parts.push(text)
    else if (!field.reserved || !isZero(field)) parts.push(`${field.name}=${field.text}`)
  }
  parts.push(...decoded.absent.map((name) => `${name}=?`), ...changed.values())
  if (decoded.tail) parts.push('more')
  if (decoded.raw !== undefined) return `${decoded.name} ${decoded.raw}`
  return parts.length === 0 ? decoded.name : `${decoded.name} {${parts.join(', ')}}`
}

function isZero(field: DecodedField): boolean {
  return typeof field.value === 'string' ? /^0*$/.test(field.value) : BigInt(field.value) === 0n
}

function findCommand(cmd: number, file: FileKind): CommandInfo | VfioCommandInfo | undefined {
  return (
    (file === 'iommu' ? commands.find((info) => info.cmd === cmd) : undefined) ??
    vfioCommands.find((info) => info.cmd === cmd && info.file === file) ??
    commands.find((info) => info.cmd === cmd) ??
    vfioCommands.find((info) => info.cmd === cmd)
  )
}

/** The first word: `size` or `argsz` of every struct. 4 at least, so that it is itself decoded. */
function statedSize(bytes: Uint8Array): number {
  if (bytes.length < 4) return bytes.length
  return Math.max(4, new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true))
}

function decode(
  cmd: number,
  bytes: Uint8Array | undefined,
  arg: number | bigint | undefined,
  file: FileKind,
  size: number,
): DecodedIoctl {
  const info = findCommand(cmd, file)
  const name = info?.name ?? formatIoctlNumber(cmd)
  const struct = info?.struct
  const kind = info === undefined ? undefined : 'argument' in info ? info.argument : 'struct'
  const base = { cmd, name, struct, fields: [], absent: [], tail: false, raw: undefined }
  if (kind === 'none') return base
  if (kind === 'number' && arg !== undefined) {
    return { ...base, fields: [plainField((info as VfioCommandInfo).argumentName, arg)] }
  }
  if (bytes === undefined || kind === undefined || kind === 'number') {
    return { ...base, raw: bytes === undefined ? argText(arg) : hexDigits(bytes) }
  }
  if (struct === undefined) return { ...base, ...decodePointee(info as VfioCommandInfo, bytes) }
  const tail = struct.at.size === 0 && hasTail(struct, bytes, size)
  return { ...base, ...decodeStruct(struct, bytes, size), tail }
}

function plainField(name: string, value: number | bigint): DecodedField {
  return { name, value, text: textOf(value, vfioArgument), at: 0, size: 0, reserved: false }
}

function argText(arg: number | bigint | undefined): string {
  if (arg === undefined) return '?'
  return arg === 0 || arg === 0n ? 'NULL' : hex(arg)
}

/** What `s32 *`, `u32 *` and `char *` point to. */
function decodePointee(info: VfioCommandInfo, bytes: Uint8Array): DecodedStruct {
  const name = info.argumentName
  const base = { name, at: 0, reserved: false }
  if (info.argument === 'char *') {
    const end = bytes.indexOf(0)
    const size = end === -1 ? bytes.length : end
    const value = String.fromCharCode(...bytes.subarray(0, size))
    return { fields: [{ ...base, value, text: JSON.stringify(value), size }], absent: [] }
  }
  if (bytes.length < 4) return { fields: [], absent: [name] }
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const value = info.argument === 's32 *' ? view.getInt32(0, true) : view.getUint32(0, true)
  return { fields: [{ ...base, value, text: `${value}`, size: 4 }], absent: [] }
}

function hasTail(struct: StructLayout, bytes: Uint8Array, size: number): boolean {
  return bytes.subarray(struct.size, size).some((byte) => byte !== 0)
}
