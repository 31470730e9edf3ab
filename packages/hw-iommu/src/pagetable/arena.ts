// SPDX-License-Identifier: Apache-2.0
/**
 * The memory that the tables of one page table lie in.
 *
 * Invariant: table n is the 4 KiB from byte 4096 n on, at that distance from `base`; a table that is
 * not in use is all zeros. The buffer grows by doubling, so `words` must be read again after every
 * allocation; what was never used costs address space only.
 */

/** Words of 32 bits in a table. */
export const TABLE_WORDS = 1024
const TABLE_BYTES = 4096
/** Frame of the first table: 4 GiB. */
const BASE_FRAME = 1 << 20
const FIRST_TABLES = 4

export class TableArena {
  /** Number of the 4 KiB frame that table 0 lies in. */
  readonly baseFrame: number = BASE_FRAME
  /** All tables: low half of a word before its high half. */
  words: Uint32Array = new Uint32Array(FIRST_TABLES * TABLE_WORDS)
  /** Tables in use. */
  tables = 0
  #end = 0
  readonly #free: number[] = []

  /** Physical address, in bytes, of table 0. */
  get base(): bigint {
    return BigInt(this.baseFrame) * BigInt(TABLE_BYTES)
  }

  /** A table of zeros: its number. */
  allocate(): number {
    this.tables++
    const freed = this.#free.pop()
    if (freed !== undefined) return freed
    const table = this.#end++
    if (this.#end * TABLE_WORDS > this.words.length) this.#grow()
    return table
  }

  /** Takes a table back. */
  free(table: number): void {
    this.words.fill(0, table * TABLE_WORDS, (table + 1) * TABLE_WORDS)
    this.#free.push(table)
    this.tables--
  }

  /** The memory from table 0 to the last that was ever in use: a live view until the next growth. */
  bytes(): Uint8Array {
    return new Uint8Array(this.words.buffer, 0, this.#end * TABLE_BYTES)
  }

  #grow(): void {
    const grown = new Uint32Array(this.words.length * 2)
    grown.set(this.words)
    this.words = grown
  }
}
