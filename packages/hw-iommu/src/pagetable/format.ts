// SPDX-License-Identifier: Apache-2.0
/**
 * What makes a page-table format (SPEC section 9): where its words have which bits.
 *
 * Invariant: a format is data and pure functions of words. All formats are trees of 4 KiB tables of
 * 512 little-endian 64-bit words, level 0 nearest to the pages; a word is empty, a leaf or leads to
 * a table one level below, and its low half tells which.
 */

/** Features of a table, by the kernel's names without PT_FEAT_. */
export type PtFeature =
  | 'AMDV1_ENCRYPT_TABLES'
  | 'AMDV1_FORCE_COHERENCE'
  | 'DETAILED_GATHER'
  | 'DMA_INCOHERENT'
  | 'DYNAMIC_TOP'
  | 'FLUSH_RANGE'
  | 'FLUSH_RANGE_NO_GAPS'
  | 'FULL_VA'
  | 'RISCV_SVNAPOT_64K'
  | 'RISCV_SVPBMT'
  | 'SIGN_EXTEND'
  | 'VTDSS_FORCE_COHERENCE'
  | 'VTDSS_FORCE_WRITEABLE'
  | 'X86_64_AMD_ENCRYPT_TABLES'

/** What a mapping permits and asks for: any of these; at least one of the first two. */
export const PT_READ = 1
export const PT_WRITE = 2
export const PT_CACHE = 4
export const PT_NOEXEC = 8
export const PT_MMIO = 16

export interface PageTableConfig {
  readonly features: readonly PtFeature[]
  /** Bits of input addresses. */
  readonly maxVaszLg2: number
  /** Bits of output addresses. */
  readonly maxOaszLg2: number
  /** The level of the top table: where a growing table starts. riscv64 has it from `maxVaszLg2`. */
  readonly topLevel?: number
  /** The bit of a physical address that asks for memory encryption; 0n for none. */
  readonly encryptionMask?: bigint
  /** Accepts features that the format does not list, as a kernel built for debugging does. */
  readonly debugBuild?: boolean
}

/** Bits of a word: a high and a low half, each an int32. */
export interface Word {
  hi: number
  lo: number
}

export interface PageTableFormat {
  readonly name: string
  /** lg2 of the bytes of the smallest page. */
  readonly granuleLg2: number
  /** Bit of a word at which the number of the granule begins. */
  readonly fieldLg2: number
  /** Bits of a word's high half that belong to the address. */
  readonly fieldHi: number
  readonly maxVaszLg2: number
  readonly maxOaszLg2: number
  /** Sizes of pages that words can express with these features: bit n for 2^n bytes. */
  readonly pageSizes: (features: ReadonlySet<PtFeature>) => bigint
  readonly supported: readonly PtFeature[]
  readonly required: readonly PtFeature[]
  /** A word with one of these bits in its low half is not empty. */
  readonly presentLo: number
  /** A word that is not empty leads to a table when these bits of its low half are `tableLo`. */
  readonly tableMaskLo: number
  readonly tableLo: (level: number) => number
  /** Where a leaf says that it may be read and written. */
  readonly readable: Readonly<Word>
  readonly writable: Readonly<Word>
  /** Set by the hardware when the page is written; 0 when the format has no dirty tracking. */
  readonly dirtyLo: number
  /** Whether input addresses wider than the top table covers are cut off; else they are refused. */
  readonly cutsVasz: boolean
  /** Level of the top table, or -EINVAL, -EOPNOTSUPP: the table cannot be made. */
  readonly topLevelOf: (config: PageTableConfig) => number
  /** Bits of a leaf apart from address and size: 0, or -EINVAL: the format cannot say this. */
  readonly leaf: (out: Word, prot: number, features: ReadonlySet<PtFeature>) => number
  /** Bits of a word of `level` that leads to a table, apart from the address. */
  readonly table: (out: Word, level: number, features: ReadonlySet<PtFeature>) => void
  /** Bits of a leaf of `level` that tell its size, those within the address field included. */
  readonly size: (out: Word, level: number, lg2: number) => void
  /** A leaf with one of these bits is one of several identical words, a run. */
  readonly run: Readonly<Word>
  /** lg2 of the bytes of the page that a leaf of `level` stands for. */
  readonly sizeOf: (level: number, hi: number, lo: number) => number
  /** What a driver programs beside the address of the top table. */
  readonly driverTop: (level: number) => Readonly<Record<string, number>>
}

/** lg2 of the bytes that one word of `level` covers. */
export function levelLg2(format: PageTableFormat, level: number): number {
  return format.granuleLg2 + 9 * level
}
