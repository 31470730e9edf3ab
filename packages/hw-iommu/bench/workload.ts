// SPDX-License-Identifier: Apache-2.0
//
// What the rows of the page-table benchmark do, here and in anchor/radix.c: the same table, the same words, the same order.

/// <reference types="node" />
import { Iotlb, Translation } from '../src/index.js'
import {
  createPageTable,
  type PageTable,
  PT_READ,
  PT_WRITE,
  pageTableFormats,
} from '../src/pagetable/index.js'

const BASE_HI = 1
const RW = PT_READ | PT_WRITE
/** Frames per call of mapFrames, as the page layer's batches. */
const BATCH = 8192

export interface Sample {
  /** Nanoseconds per operation. */
  readonly ns: number
  /** What was found, summed up: the native side must say the same. */
  readonly check: number
}

export function makeTable(format: keyof typeof pageTableFormats = 'x86_64'): PageTable {
  const features =
    format === 'amdv1'
      ? (['DYNAMIC_TOP', 'AMDV1_ENCRYPT_TABLES', 'AMDV1_FORCE_COHERENCE'] as const)
      : []
  const made = createPageTable(pageTableFormats[format], {
    features,
    maxVaszLg2: 48,
    maxOaszLg2: 51,
    topLevel: 3,
  })
  if (typeof made === 'number') throw new Error(`${format}: ${made}`)
  return made
}

let state = 1
function nextRandom(): number {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return state >>> 0
}

function scattered(n: number): Uint32Array {
  return Uint32Array.from({ length: n }, (_, i) => (i * 7919 + 13) % 16777213)
}

/** Runs a row on `n` pages, `ops` times where it repeats. */
export function run(row: string, n: number, ops: number, seed: number): Sample {
  state = Math.imul(seed, 2654435761) | 1
  const workload = rows[row]
  if (workload === undefined) throw new Error(`no row ${row}`)
  return workload(n, ops)
}

/** Nanoseconds since a start. */
function since(start: bigint): number {
  return Number(process.hrtime.bigint() - start)
}

function fill(table: PageTable, frames: Uint32Array): number {
  let rc = 0
  for (let at = 0; at < frames.length; at += BATCH) {
    const bytes = Math.min(BATCH, frames.length - at) * 4096
    rc |= table.mapFrames(
      BASE_HI + Math.floor((at * 4096) / 2 ** 32),
      (at * 4096) | 0,
      frames,
      at,
      0,
      bytes,
      RW,
    )
  }
  return rc
}

/** A table that is empty and has had `n` pages: its memory is there, as that of the C side is. */
function warmTable(n: number): PageTable {
  const table = makeTable()
  fill(table, scattered(n))
  table.unmap(BASE_HI, 0, n >>> 20, n << 12)
  table.releaseTables()
  return table
}

const hiOf = (page: number): number => BASE_HI + (page >>> 20)

const rows: Record<string, (n: number, ops: number) => Sample> = {
  pages(n) {
    const table = warmTable(n)
    const frames = scattered(n)
    const start = process.hrtime.bigint()
    let check = 0
    for (let i = 0; i < n; i++) {
      const frame = frames[i] as number
      check += table.map(hiOf(i), i << 12, frame >>> 20, frame << 12, 0, 4096, RW)
    }
    return { ns: since(start) / n, check }
  },
  frames(n) {
    const table = warmTable(n)
    const frames = scattered(n)
    const start = process.hrtime.bigint()
    const check = fill(table, frames)
    return { ns: since(start) / n, check }
  },
  run(n) {
    const table = warmTable(n)
    table.narrowPageSizes(4096n)
    const start = process.hrtime.bigint()
    const check = table.map(BASE_HI, 0, 0, 4096, n >>> 20, n << 12, RW)
    return { ns: since(start) / n, check }
  },
  unmap(n) {
    const table = makeTable()
    fill(table, scattered(n))
    const start = process.hrtime.bigint()
    table.unmap(BASE_HI, 0, n >>> 20, n << 12)
    table.releaseTables()
    return { ns: since(start) / n, check: 0 }
  },
  pair(n, ops) {
    const table = makeTable()
    fill(table, scattered(n))
    const start = process.hrtime.bigint()
    let check = 0
    for (let i = 0; i < ops; i++) {
      const page = nextRandom() % n
      table.unmap(hiOf(page), page << 12, 0, 4096)
      check += table.map(hiOf(page), page << 12, 0, 5 << 12, 0, 4096, RW)
    }
    return { ns: since(start) / ops, check }
  },
  large2m: (n, ops) => large(n, ops, 21),
  large1g: (n, ops) => large(n, ops, 30),
  walk: (n, ops) => walks(n, ops, true),
  sequential: (n, ops) => walks(n, ops, false),
  iotlb(n, ops) {
    const table = makeTable()
    fill(table, scattered(n))
    const iotlb = new Iotlb(4096)
    const found = new Translation()
    const start = process.hrtime.bigint()
    let check = 0
    for (let i = 0; i < ops; i++) {
      const page = (i & 255) % n
      if (!iotlb.lookup(hiOf(page), page << 12, found)) {
        table.walk(hiOf(page), page << 12)
        found.frame = table.physLo >>> 12
        found.prot = 3
        iotlb.insert(hiOf(page), page << 12, found)
      }
      check = (check + found.frame) >>> 0
    }
    return { ns: since(start) / ops, check }
  },
}

function large(n: number, ops: number, lg2: number): Sample {
  const table = makeTable()
  table.narrowPageSizes(4096n | (1n << BigInt(lg2)))
  const hi = lg2 === 21 ? n >>> 11 : n >>> 2
  const lo = n << lg2
  const start = process.hrtime.bigint()
  let check = 0
  for (let i = 0; i < ops; i += n) {
    check += table.map(128, 0, 0, 0, hi, lo, RW)
    table.unmap(128, 0, hi, lo)
    table.releaseTables()
  }
  return { ns: since(start) / ops, check }
}

function walks(n: number, ops: number, isRandom: boolean): Sample {
  const table = makeTable()
  fill(table, scattered(n))
  const start = process.hrtime.bigint()
  let check = 0
  for (let i = 0; i < ops; i++) {
    const page = (isRandom ? nextRandom() : i) % n
    if (table.walk(hiOf(page), page << 12))
      check = (check + ((table.physHi << 20) | (table.physLo >>> 12))) >>> 0
  }
  return { ns: since(start) / ops, check }
}

/** Bytes of tables per page of 4 KiB, for n scattered pages. */
export function tableBytesPerPage(n: number): number {
  const table = makeTable()
  fill(table, scattered(n))
  return (table.arena.tables * 4096) / n
}
