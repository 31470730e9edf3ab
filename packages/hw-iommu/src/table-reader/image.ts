// SPDX-License-Identifier: Apache-2.0
// The memory that holds tables, and the arithmetic of where things are in it.
//
// Tables are 4 KiB at multiples of 4 KiB, so a table is known by its frame number (a double, exact: addresses have at most 57
// bits). No frame outside of the memory ever becomes an offset.

import { belowHi, belowLo, hiOf, loOf } from './bits.js'
import type { FindingCode } from './finding.js'
import { layouts } from './layouts.js'
import { type TableFormatName, type WordLayout, wordLg2 } from './word.js'

/** A table as somebody hands it over. */
export interface TableMemory {
  readonly format: TableFormatName
  /** 0 is the level that leads to the smallest pages */
  readonly topLevel: number
  /** physical address of the top table */
  readonly topAddress: bigint
  /** bits of an I/O virtual address; more than the top table translates count as those that it does */
  readonly vaBits: number
  /** whether the upper half of the table translates the upper end of the 64-bit space; default false */
  readonly signExtended?: boolean
  /** the bit that marks encrypted memory and is no part of an address; default none */
  readonly encryptionMask?: bigint
  /** physical address of bytes[0], a multiple of 4 KiB */
  readonly base: bigint
  /** the tables, little-endian */
  readonly bytes: Uint8Array
}

export const TABLE_BYTES = 4096
export const TABLE_WORDS = 512
/** No position in the memory. */
export const NOWHERE = -1

export class TableImage {
  readonly layout: WordLayout
  readonly topLevel: number
  readonly vaBits: number
  readonly signExtended: boolean
  /** number of whole tables that the memory has room for */
  readonly tables: number
  /** the top table, by its position in the memory */
  readonly top: number
  /** words of the top table that translate anything */
  readonly topWords: number
  /** why nothing can be read at all */
  readonly problem: FindingCode | undefined
  readonly #view: DataView
  readonly #baseFrame: number
  readonly #encryptionHi: number
  readonly #encryptionLo: number

  constructor(memory: TableMemory) {
    const { format, topLevel, topAddress, base, bytes, encryptionMask = 0n } = memory
    this.layout = layouts[format]
    this.topLevel = topLevel
    this.vaBits = Math.min(memory.vaBits, wordLg2(this.layout, topLevel + 1), 64)
    this.signExtended = memory.signExtended ?? false
    this.tables = Math.floor(bytes.length / TABLE_BYTES)
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#baseFrame = Number(base >> 12n)
    this.#encryptionHi = hiOf(encryptionMask)
    this.#encryptionLo = loOf(encryptionMask)
    this.top = this.tableAt(hiOf(topAddress), loOf(topAddress))
    const topBits = this.vaBits - wordLg2(this.layout, topLevel)
    this.topWords = 2 ** Math.max(0, topBits)
    this.problem = this.#problemOf(memory, topBits)
  }

  #problemOf(memory: TableMemory, topBits: number): FindingCode | undefined {
    const { topLevel, topAddress, base } = memory
    const isLevel = Number.isInteger(topLevel) && topLevel >= 0
    if (!isLevel || topLevel > this.layout.maxTopLevel) return 'top-level'
    if (!Number.isInteger(this.vaBits) || topBits < 0) return 'top-level'
    if (base % BigInt(TABLE_BYTES) !== 0n) return 'memory-misaligned'
    if (topAddress % BigInt(TABLE_BYTES) !== 0n) return 'pointer-misaligned'
    return this.top === NOWHERE ? 'pointer-outside' : undefined
  }

  /** Position in the memory of the table at a physical address; -1: it is not, or not whole, in it. */
  tableAt(hi: number, lo: number): number {
    const position = hi * 2 ** 20 + (lo >>> 12) - this.#baseFrame
    return position >= 0 && position < this.tables ? position : NOWHERE
  }

  wordHi(table: number, index: number): number {
    return this.#view.getUint32(table * TABLE_BYTES + index * 8 + 4, true)
  }

  wordLo(table: number, index: number): number {
    return this.#view.getUint32(table * TABLE_BYTES + index * 8, true)
  }

  /** A half of a word without the bit that marks encrypted memory. */
  plainHi(hi: number): number {
    return (hi & ~this.#encryptionHi) >>> 0
  }

  plainLo(lo: number): number {
    return (lo & ~this.#encryptionLo) >>> 0
  }

  /** Physical address of a word. */
  addressOf(table: number, index: number): bigint {
    return BigInt(this.#baseFrame + table) * BigInt(TABLE_BYTES) + BigInt(index * 8)
  }

  /** The upper half of an address inside the table, as the hardware's users write it: with its sign, if there is one. */
  extendHi(hi: number, lo: number): number {
    return this.#isNegative(hi, lo) ? (hi | ~belowHi(this.vaBits)) >>> 0 : hi
  }

  extendLo(hi: number, lo: number): number {
    return this.#isNegative(hi, lo) ? (lo | ~belowLo(this.vaBits)) >>> 0 : lo
  }

  /** Whether the table translates the address: its bits above `vaBits` are zero, or copies of the sign. */
  contains(hi: number, lo: number): boolean {
    const insideHi = (hi & belowHi(this.vaBits)) >>> 0
    const insideLo = (lo & belowLo(this.vaBits)) >>> 0
    return this.extendHi(insideHi, insideLo) === hi && this.extendLo(insideHi, insideLo) === lo
  }

  #isNegative(hi: number, lo: number): boolean {
    if (!this.signExtended) return false
    const sign = this.vaBits - 1
    return ((sign >= 32 ? hi >>> (sign - 32) : lo >>> sign) & 1) === 1
  }
}
