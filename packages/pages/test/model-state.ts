// SPDX-License-Identifier: Apache-2.0
//
// What the naive model knows of an address space: sorted lists of bigint ranges, and memory as maps from page to users.

import { greater, lesser, type Range } from './u64.js'

const PAGE = 4096n

/** Memory: what can be said about the pages of a process and of a file. */
export interface ModelMemory {
  /** Whether the page at this address can be read, or written. */
  mayAccess(address: bigint, write: boolean): boolean
  /** Bytes. */
  readonly fileSize: bigint
}

/** The memory behind areas; copies share it. */
export class ModelPages {
  readonly isFile: boolean
  /** Address, or offset in the file, of page 0. */
  readonly base: bigint
  readonly isWritable: boolean
  /** Users of each index that has any. */
  readonly covered = new Map<bigint, number>()

  constructor(isFile: boolean, base: bigint, isWritable: boolean) {
    this.isFile = isFile
    this.base = base
    this.isWritable = isWritable
  }
}

export interface ModelArea extends Range {
  readonly pages: ModelPages
  /** First byte within the pages. */
  readonly byte: bigint
  readonly prot: number
}

export interface Part extends Range {
  readonly area: ModelArea
  readonly byte: bigint
}

export interface ModelPin extends Range {
  readonly parts: readonly Part[]
}

/** An in-kernel user that is attached. */
export interface ModelUser {
  readonly alignment: bigint
  pins: ModelPin[]
}

/** A hardware page table of an address space. */
export interface ModelDomain {
  readonly granule: bigint
  readonly aperture: Range
  /** An IOVA that cannot be mapped. */
  readonly broken: bigint | undefined
}

export class ModelIoas {
  readonly domains: ModelDomain[] = []
  areas: ModelArea[] = []
  allowed: readonly Range[] = []
  reserved: Range[] = []
  user: ModelUser | undefined
  hasSmallPages = false

  get alignment(): bigint {
    let needed = this.hasSmallPages ? PAGE : 1n
    for (const { granule } of this.domains) needed = greater(needed, granule)
    return greater(needed, this.user?.alignment ?? 1n)
  }
}

/** All of an area. */
export function wholeOf(area: ModelArea): Part {
  const { start, last, byte } = area
  return { area, start, last, byte }
}

/** Whether the domain refuses to map the range. */
export function isBroken({ broken }: ModelDomain, { start, last }: Range): boolean {
  return broken !== undefined && start <= broken && broken <= last
}

/** The areas of a range in order, cut to it; `hole` is the first address that is not mapped. */
export function partsOf(
  ioas: ModelIoas,
  range: Range,
): { parts: Part[]; hole: bigint | undefined } {
  const parts: Part[] = []
  let { start } = range
  for (;;) {
    const area = ioas.areas.find((candidate) => candidate.start <= start && start <= candidate.last)
    if (area === undefined) return { parts, hole: start }
    const last = lesser(area.last, range.last)
    parts.push({ area, start, last, byte: area.byte + (start - area.start) })
    if (last === range.last) return { parts, hole: undefined }
    start = last + 1n
  }
}

/** Indexes of the pages that a part shows. */
export function indexesOf({ byte, start, last }: Part): bigint[] {
  const indexes: bigint[] = []
  for (let index = byte / PAGE; index <= (byte + (last - start)) / PAGE; index++)
    indexes.push(index)
  return indexes
}
