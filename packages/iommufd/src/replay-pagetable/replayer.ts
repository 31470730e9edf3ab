// SPDX-License-Identifier: Apache-2.0
// One recorded table, made again, and the calls on it. After a difference our table stays as it is.

import { createPageTable, type PageTable, pageTableFormats } from '@iommufd/hw-iommu/pagetable'
import { compareReturn, type Difference } from '../replay/differences.js'
import { formatReturn } from '../replay/format.js'
import { compareDump } from './dump.js'
import type {
  DirtyCall,
  DumpCall,
  InitCall,
  IovaToPhysCall,
  MadeTable,
  MapCall,
  PageTableCall,
  PageTableRecording,
  SetDirtyCall,
  UnmapCall,
} from './recording.js'
import { formatRuns, hex } from './text.js'

/** The recorded answer to a call, ours, and where they differ. */
export interface Answer {
  readonly linux: string
  readonly ours: string
  readonly differences: readonly Difference[]
}

export class PageTableReplayer {
  readonly #recording: PageTableRecording
  #table: PageTable | undefined

  constructor(recording: PageTableRecording) {
    this.#recording = recording
  }

  /** Makes the table. To be called first. */
  init(): Answer {
    const { format, config, narrowedTo, made, pageSizes } = this.#recording
    const table = createPageTable(pageTableFormats[format], config)
    const answer = compareInit({ ret: 0, made }, table)
    if (typeof table === 'number') return answer
    this.#table = table
    if (narrowedTo === undefined) return answer
    table.narrowPageSizes(narrowedTo)
    const differences = [...answer.differences]
    compareHex('pageSizes', pageSizes, table.pageSizes, differences)
    return { ...answer, differences }
  }

  /** Makes the next call. */
  step(call: PageTableCall): Answer {
    const table = this.#table
    if (table === undefined) {
      const missing = { field: 'answer', linux: 'given', ours: 'there is no table' }
      return { linux: 'an answer', ours: 'none', differences: [missing] }
    }
    switch (call.call) {
      case 'map':
        return map(table, call)
      case 'unmap':
        return unmap(table, call)
      case 'iova_to_phys':
        return iovaToPhys(table, call)
      case 'set_dirty':
        return setDirty(table, call)
      case 'read_and_clear_dirty':
        return readAndClearDirty(table, call)
      case 'dump':
        return dump(table, call, this.#recording)
    }
  }
}

/** Compares what making a table gave. */
export function compareInit(
  call: Pick<InitCall, 'made' | 'ret'>,
  table: PageTable | number,
): Answer {
  const differences: Difference[] = []
  const ret = typeof table === 'number' ? table : 0
  const difference = compareReturn(call.ret, ret)
  if (difference !== undefined) differences.push(difference)
  if (call.made !== undefined && typeof table !== 'number') {
    compareMade(call.made, table, differences)
  }
  return { linux: formatReturn(call.ret), ours: formatReturn(ret), differences }
}

function compareMade(made: MadeTable, table: PageTable, into: Difference[]): void {
  compareHex('pageSizes', made.pageSizes, table.pageSizes, into)
  compareHex('apertureStart', made.apertureStart, table.apertureStart, into)
  compareHex('apertureLast', made.apertureLast, table.apertureLast, into)
  compareText('maxVaszLg2', `${made.maxVaszLg2}`, `${table.maxVaszLg2}`, into)
  compareText('maxOaszLg2', `${made.maxOaszLg2}`, `${table.maxOaszLg2}`, into)
  compareText('topLevel', `${made.topLevel}`, `${table.topLevel}`, into)
  if (made.features === undefined) return
  const [linux, ours] = [made.features, table.features].map((names) => [...names].sort().join('|'))
  compareText('features', linux as string, ours as string, into)
}

function map(table: PageTable, call: MapCall): Answer {
  const { iova, paddr, length } = call
  const [iovaHi, iovaLo, paddrHi, paddrLo] = [hi(iova), lo(iova), hi(paddr), lo(paddr)]
  const ret = table.map(iovaHi, iovaLo, paddrHi, paddrLo, hi(length), lo(length), call.prot)
  const mapped = done(table)
  // nothing caches words here
  table.releaseTables()
  const differences: Difference[] = []
  const difference = compareReturn(call.ret, ret)
  if (difference !== undefined) differences.push(difference)
  compareHex('mapped', call.mapped, mapped, differences)
  const text = (value: number, bytes: bigint) => `${formatReturn(value)} {mapped ${hex(bytes)}}`
  return { linux: text(call.ret, call.mapped), ours: text(ret, mapped), differences }
}

function unmap(table: PageTable, call: UnmapCall): Answer {
  table.unmap(hi(call.iova), lo(call.iova), hi(call.length), lo(call.length))
  const unmapped = done(table)
  table.releaseTables()
  return compare64(call.unmapped, unmapped)
}

function iovaToPhys(table: PageTable, call: IovaToPhysCall): Answer {
  const found = table.walk(hi(call.iova), lo(call.iova))
  return compare64(call.ret, found ? toBigint(table.physHi, table.physLo) : 0n)
}

function setDirty(table: PageTable, call: SetDirtyCall): Answer {
  const ret = table.setDirty(hi(call.iova), lo(call.iova))
  const difference = compareReturn(call.ret, ret)
  const differences = difference === undefined ? [] : [difference]
  return { linux: formatReturn(call.ret), ours: formatReturn(ret), differences }
}

function readAndClearDirty(table: PageTable, call: DirtyCall): Answer {
  const { iova, length, noClear } = call
  const runs: [bigint, bigint][] = []
  const report = (iovaHi: number, iovaLo: number, lg2: number) =>
    runs.push([toBigint(iovaHi, iovaLo), 1n << BigInt(lg2)])
  const words = [hi(iova), lo(iova), hi(length), lo(length)] as const
  const ret = table.readAndClearDirty(...words, noClear, report)
  const differences: Difference[] = []
  const difference = compareReturn(call.ret, ret)
  if (difference !== undefined) differences.push(difference)
  compareText('dirty', formatRuns(call.dirty), formatRuns(runs), differences)
  return { linux: formatReturn(call.ret), ours: formatReturn(ret), differences }
}

function dump(table: PageTable, call: DumpCall, recording: PageTableRecording): Answer {
  const differences = compareDump(table, call, recording)
  const ours = differences.length === 0 ? 'as recorded' : 'another table'
  return { linux: `a table of ${call.words.count} words`, ours, differences }
}

function compare64(linux: bigint, ours: bigint): Answer {
  const differences: Difference[] = []
  compareHex('ret', linux, ours, differences)
  return { linux: hex(linux), ours: hex(ours), differences }
}

function compareHex(field: string, linux: bigint, ours: bigint, into: Difference[]): void {
  if (linux !== ours) into.push({ field, linux: hex(linux), ours: hex(ours) })
}

function compareText(field: string, linux: string, ours: string, into: Difference[]): void {
  if (linux !== ours) into.push({ field, linux, ours })
}

function done(table: PageTable): bigint {
  return toBigint(table.doneHi, table.doneLo)
}

function toBigint(high: number, low: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
}

/** The upper half of a u64 as an int32, as the table's functions take it. */
function hi(value: bigint): number {
  return Number(BigInt.asIntN(32, value >> 32n))
}

function lo(value: bigint): number {
  return Number(BigInt.asIntN(32, value))
}
