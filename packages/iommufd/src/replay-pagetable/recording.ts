// SPDX-License-Identifier: Apache-2.0
// What a recording of a page table holds: a table of one format and configuration, calls on it, what the kernel answered, and now
// and then every word of its memory.

import type { PageTableConfig } from '@iommufd/hw-iommu/pagetable'
import type { TableFormatName } from '@iommufd/hw-iommu/table-reader'

/** What making a table gave. */
export interface MadeTable {
  readonly pageSizes: bigint
  readonly apertureStart: bigint
  /** inclusive */
  readonly apertureLast: bigint
  readonly maxVaszLg2: number
  readonly maxOaszLg2: number
  readonly topLevel: number
  /** undefined where the recording does not say */
  readonly features: readonly string[] | undefined
}

interface CallBase {
  /** line of the file, from 2 */
  readonly line: number
}

export interface MapCall extends CallBase {
  readonly call: 'map'
  readonly iova: bigint
  readonly paddr: bigint
  /** bytes */
  readonly length: bigint
  /** PT_* */
  readonly prot: number
  readonly ret: number
  /** bytes from `iova` on, also where the call failed */
  readonly mapped: bigint
}

export interface UnmapCall extends CallBase {
  readonly call: 'unmap'
  readonly iova: bigint
  readonly length: bigint
  /** bytes */
  readonly unmapped: bigint
}

export interface IovaToPhysCall extends CallBase {
  readonly call: 'iova_to_phys'
  readonly iova: bigint
  /** 0n: nothing is mapped there */
  readonly ret: bigint
}

export interface SetDirtyCall extends CallBase {
  readonly call: 'set_dirty'
  readonly iova: bigint
  readonly ret: number
}

export interface DirtyCall extends CallBase {
  readonly call: 'read_and_clear_dirty'
  readonly iova: bigint
  readonly length: bigint
  readonly noClear: boolean
  readonly ret: number
  /** what was reported, in order: address and bytes */
  readonly dirty: readonly (readonly [bigint, bigint])[]
}

/** Every word that is not zero. */
export interface DumpCall extends CallBase {
  readonly call: 'dump'
  readonly topLevel: number
  /** what a driver would program: mode, levels, aw, fsc_iosatp_mode */
  readonly driverTop: Readonly<Record<string, number>>
  readonly words: RecordedWords
}

export type PageTableCall =
  | DirtyCall
  | DumpCall
  | IovaToPhysCall
  | MapCall
  | SetDirtyCall
  | UnmapCall

/** The words of a dump, depth first. A table's own word has zeros where the address of the table below is. */
export interface RecordedWords {
  readonly count: number
  readonly levels: Uint8Array
  readonly vaHi: Uint32Array
  readonly vaLo: Uint32Array
  readonly hi: Uint32Array
  readonly lo: Uint32Array
  /** log2 of the bytes of the page of a leaf; 0: a table */
  readonly lg2: Uint8Array
}

export interface PageTableRecording {
  readonly kind: 'pagetable'
  readonly file: string
  /** table and configuration: 'amdv1-va48' */
  readonly profile: string
  readonly format: TableFormatName
  readonly kernel: string
  readonly seed: number
  readonly config: PageTableConfig
  /** page sizes that were taken away after the table was made: what is left; undefined: none */
  readonly narrowedTo: bigint | undefined
  /** what the kernel made of `config`, and the page sizes before any were taken away */
  readonly made: MadeTable
  /** page sizes during the calls */
  readonly pageSizes: bigint
  /** the bits that are zero in recorded words that lead to tables */
  readonly tableAddressMask: bigint
  readonly calls: readonly PageTableCall[]
}

/** One attempt to make a table. */
export interface InitCall {
  readonly line: number
  readonly config: PageTableConfig
  readonly ret: number
  /** undefined where `ret` is negative */
  readonly made: MadeTable | undefined
}

export interface PageTableInitRecording {
  readonly kind: 'pagetable-init'
  readonly file: string
  /** 'init-amdv1' */
  readonly profile: string
  readonly format: TableFormatName
  readonly kernel: string
  readonly calls: readonly InitCall[]
}
