// SPDX-License-Identifier: Apache-2.0
// One line of a recording of a page table as a typed call.

import { PT_CACHE, PT_MMIO, PT_NOEXEC, PT_READ, PT_WRITE } from '@iommufd/hw-iommu/pagetable'
import { showValue } from '../trace/error.js'
import type { Fields } from '../trace/fields.js'
import { parseU64 } from '../trace/hex.js'
import { PairReader } from './pair.js'
import type { DumpCall, MapCall, PageTableCall, RecordedWords } from './recording.js'

/** Names of protection flags in recordings. */
export const PROT: Readonly<Record<string, number>> = {
  read: PT_READ,
  write: PT_WRITE,
  cache: PT_CACHE,
  noexec: PT_NOEXEC,
  mmio: PT_MMIO,
}
const MAX_LEVEL = 6
const CALLS: ReadonlySet<string> = new Set([
  'map',
  'unmap',
  'iova_to_phys',
  'set_dirty',
  'read_and_clear_dirty',
  'dump',
])

export function readPageTableCall(fields: Fields): PageTableCall {
  const call = fields.text('call')
  if (!CALLS.has(call)) fields.fail(`call ${showValue(call)} is unknown`)
  if (call === 'dump') return readDump(fields)
  const { line } = fields
  const iova = fields.bigint('iova')
  switch (call) {
    case 'map':
      return readMap(fields, iova)
    case 'unmap': {
      const unmapped = fields.bigint('unmapped')
      return { line, call, iova, length: fields.bigint('length'), unmapped }
    }
    case 'iova_to_phys':
      return { line, call, iova, ret: fields.bigint('ret') }
    case 'set_dirty':
      return { line, call, iova, ret: fields.s32('ret') }
    default: {
      const [length, noClear] = [fields.bigint('length'), fields.flag('noClear')]
      const answer = { ret: fields.s32('ret'), dirty: readDirty(fields) }
      return { line, call: 'read_and_clear_dirty', iova, length, noClear, ...answer }
    }
  }
}

function readMap(fields: Fields, iova: bigint): MapCall {
  return {
    line: fields.line,
    call: 'map',
    iova,
    paddr: fields.bigint('paddr'),
    length: fields.bigint('length'),
    prot: readProt(fields),
    ret: fields.s32('ret'),
    mapped: fields.bigint('mapped'),
  }
}

function readProt(fields: Fields): number {
  let prot = 0
  for (const name of fields.array('prot')) {
    const flag = typeof name === 'string' && Object.hasOwn(PROT, name) ? PROT[name] : undefined
    if (flag === undefined) fields.fail(`protection flag ${showValue(name)} is unknown`)
    prot |= flag
  }
  return prot
}

function readDirty(fields: Fields): [bigint, bigint][] {
  return fields.array('dirty').map((run, at): [bigint, bigint] => {
    const [iova, length] = Array.isArray(run) && run.length === 2 ? run.map(u64) : []
    if (iova !== undefined && length !== undefined) return [iova, length]
    return fields.fail(`element ${at} of "dirty" must be two strings '0x…', not ${showValue(run)}`)
  })
}

function u64(value: unknown): bigint | undefined {
  const number = typeof value === 'string' ? parseU64(value) : undefined
  return number === undefined ? undefined : BigInt(number)
}

function readDump(fields: Fields): DumpCall {
  const { level, ...rest } = fields.object('top')
  for (const [name, value] of Object.entries({ level, ...rest })) {
    if (Number.isSafeInteger(value) && (name !== 'level' || isLevel(value))) continue
    fields.fail(`member ${showValue(name)} of "top" must be an integer, not ${showValue(value)}`)
  }
  return {
    line: fields.line,
    call: 'dump',
    topLevel: level as number,
    driverTop: rest as Record<string, number>,
    words: readWords(fields),
  }
}

function isLevel(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value <= MAX_LEVEL
}

/** Structures of arrays: dumps are nearly all of a recording. */
function readWords(fields: Fields): RecordedWords {
  const entries = fields.array('entries')
  const count = entries.length
  const words = {
    count,
    levels: new Uint8Array(count),
    vaHi: new Uint32Array(count),
    vaLo: new Uint32Array(count),
    hi: new Uint32Array(count),
    lo: new Uint32Array(count),
    lg2: new Uint8Array(count),
  }
  const pair = new PairReader()
  for (let at = 0; at < count; at++) {
    if (!readWord(entries[at], words, at, pair)) {
      fields.fail(`entry ${at} of "entries" is not as the format says: ${showValue(entries[at])}`)
    }
  }
  return words
}

/** Puts one entry into the arrays; false when it is malformed. */
function readWord(entry: unknown, into: RecordedWords, at: number, pair: PairReader): boolean {
  if (typeof entry !== 'object' || entry === null) return false
  const { level, va, word, kind, lg2 } = entry as Record<string, unknown>
  if (!Number.isInteger(level) || !isLevel(level)) return false
  into.levels[at] = level as number
  if (!pair.read(va)) return false
  into.vaHi[at] = pair.hi
  into.vaLo[at] = pair.lo
  if (!pair.read(word)) return false
  into.hi[at] = pair.hi
  into.lo[at] = pair.lo
  if (kind === 'table') return lg2 === undefined
  if (kind !== 'leaf' || !Number.isInteger(lg2) || (lg2 as number) < 1) return false
  into.lg2[at] = lg2 as number
  return (lg2 as number) <= 64
}
