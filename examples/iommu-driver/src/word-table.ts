// SPDX-License-Identifier: Apache-2.0
/**
 * The page table of the "Meadow" IOMMU, an invented one: two levels of 2048 words of 32 bits.
 *
 * A word of the root covers 8 MiB, a word of a leaf table 4 KiB, so addresses have 34 bits. A word is
 *
 *     31                                   4   3      2      1      0
 *     number of a frame or of a leaf table     BLOCK  TABLE  WRITE  READ
 *
 * and 0 when nothing is mapped. BLOCK, in the root alone, maps 8 MiB at once.
 */
export const READ = 1
export const WRITE = 2
const TABLE = 4
const BLOCK = 8
const NUMBER_SHIFT = 4

export const WORDS = 2048
export const PAGE_LG2 = 12
export const BLOCK_LG2 = 23
export const ADDRESS_LG2 = 34

export class WordTable {
  readonly root = new Uint32Array(WORDS)
  /** Leaf tables by number; a number is used again when its table has gone. */
  readonly #leaves: (Uint32Array | undefined)[] = []
  /** Words in use, by number of the leaf table. */
  readonly #used: number[] = []

  /** The word that maps the page, of a block or of a leaf table; 0: nothing does. */
  find(page: number): number {
    const entry = this.root[page >>> 11] as number
    if ((entry & TABLE) === 0) return entry
    return this.#leaves[entry >>> NUMBER_SHIFT]?.[page & (WORDS - 1)] ?? 0
  }

  isBlock(word: number): boolean {
    return (word & BLOCK) !== 0
  }

  frameOf(word: number): number {
    return word >>> NUMBER_SHIFT
  }

  /** Whether a block can be mapped there: nothing is, in all of its 8 MiB. */
  isFreeBlock(page: number): boolean {
    return this.root[page >>> 11] === 0
  }

  setBlock(page: number, frame: number, prot: number): void {
    this.root[page >>> 11] = (frame << NUMBER_SHIFT) | BLOCK | prot
  }

  /** Whether mapping the page needs another leaf table. */
  needsTable(page: number): boolean {
    return this.root[page >>> 11] === 0
  }

  /** Maps a page that is not mapped. */
  setPage(page: number, frame: number, prot: number): void {
    const table = this.#tableFor(page)
    const leaf = this.#leaves[table] as Uint32Array
    leaf[page & (WORDS - 1)] = (frame << NUMBER_SHIFT) | prot
    this.#used[table] = (this.#used[table] as number) + 1
  }

  /** Unmaps what begins at the page: how many pages, 0 when nothing does. */
  clear(page: number): number {
    const entry = this.root[page >>> 11] as number
    if ((entry & BLOCK) !== 0) {
      if ((page & (WORDS - 1)) !== 0) return 0
      this.root[page >>> 11] = 0
      return WORDS
    }
    if (this.find(page) === 0) return 0
    const table = entry >>> NUMBER_SHIFT
    ;(this.#leaves[table] as Uint32Array)[page & (WORDS - 1)] = 0
    const left = (this.#used[table] as number) - 1
    this.#used[table] = left
    if (left === 0) {
      this.root[page >>> 11] = 0
      this.#leaves[table] = undefined
    }
    return 1
  }

  #tableFor(page: number): number {
    const entry = this.root[page >>> 11] as number
    if (entry !== 0) return entry >>> NUMBER_SHIFT
    const free = this.#leaves.indexOf(undefined)
    const table = free < 0 ? this.#leaves.length : free
    this.#leaves[table] = new Uint32Array(WORDS)
    this.#used[table] = 0
    this.root[page >>> 11] = (table << NUMBER_SHIFT) | TABLE
    return table
  }
}
