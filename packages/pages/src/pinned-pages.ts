// SPDX-License-Identifier: Apache-2.0
/**
 * The pins of one `iopt_pages` (SPEC E4, E5).
 *
 * Invariant: a page is pinned once, while at least one in-kernel user covers its index, and its frame
 * is stored just as long. Adding pages either pins and charges all that nobody covered yet, or
 * leaves everything as it was. Removing never fails and allocates nothing.
 */
import { pageHi, pageLo, pageOf } from '@iommufd/core'
import { charge, uncharge } from './account.js'
import { Coverage } from './coverage.js'
import { FrameStore } from './frame-store.js'
import type { PagesTable } from './pages-table.js'
import { BATCH_PAGES, pinBatch } from './pin.js'

/** Frames on their way; no two calls are ever under way at once. */
const batch = new Uint32Array(BATCH_PAGES)

export class PinnedPages {
  readonly #table: PagesTable
  readonly #pages: number
  readonly #users = new Coverage()
  readonly #frames = new FrameStore()
  /** Pages that are pinned now. */
  npinned = 0

  constructor(table: PagesTable, pages: number) {
    this.#table = table
    this.#pages = pages
  }

  /** Bytes that the stored frame numbers take. */
  get frameBytes(): number {
    return this.#frames.bytes
  }

  /** One more user of the pages [first, last]: 0, or a negative errno and nothing has changed. */
  add(first: number, last: number): number {
    const before = this.npinned
    const rc = this.#pinGaps(first, last)
    if (rc < 0) return rc
    const charged = this.#charge(this.npinned - before)
    if (charged < 0) {
      this.#unpinGaps(first, last + 1)
      return charged
    }
    this.#users.add(pageHi(first), pageLo(first), pageHi(last), pageLo(last) | 0xfff)
    return 0
  }

  /** One user less of the pages [first, last]; it must have been added. */
  remove(first: number, last: number): void {
    const before = this.npinned
    this.#users.remove(pageHi(first), pageLo(first), pageHi(last), pageLo(last) | 0xfff)
    this.#unpinGaps(first, last + 1)
    const unpinned = before - this.npinned
    if (unpinned === 0) return
    const table = this.#table
    uncharge(table.engine, table.owner(this.#pages), table.accountMode(this.#pages), unpinned)
  }

  /** How many pages from `index` on (at most `most`) are alike, all pinned or none of them. */
  runLength(index: number, most: number): number {
    const next = this.isPinned(index) ? this.#gapFrom(index) : this.#pinnedFrom(index)
    return Math.min(most, next - index)
  }

  isPinned(index: number): boolean {
    return this.#users.tree.at(pageHi(index), pageLo(index)) >= 0
  }

  /** Frames of `n` pinned pages from `index` on. */
  frames(index: number, n: number, frames: Uint32Array, at: number): void {
    this.#frames.get(index, frames, at, n)
  }

  #charge(npages: number): number {
    if (npages === 0) return 0
    const table = this.#table
    return charge(table.engine, table.owner(this.#pages), table.accountMode(this.#pages), npages)
  }

  #pinGaps(first: number, last: number): number {
    const end = last + 1
    for (let index = this.#gapFrom(first); index < end; index = this.#gapFrom(index)) {
      const gapEnd = Math.min(this.#pinnedFrom(index), end)
      while (index < gapEnd) {
        const pinned = pinBatch(this.#table, this.#pages, index, gapEnd - index, batch, 0)
        if (pinned < 0) {
          this.#unpinGaps(first, index)
          return pinned
        }
        this.#frames.put(index, batch, 0, pinned)
        this.npinned += pinned
        index += pinned
      }
    }
    return 0
  }

  /** Unpins what nobody covers of the pages [first, end), all of which are pinned. */
  #unpinGaps(first: number, end: number): void {
    for (let index = this.#gapFrom(first); index < end; index = this.#gapFrom(index)) {
      const n = Math.min(this.#pinnedFrom(index), end, index + BATCH_PAGES) - index
      this.#frames.get(index, batch, 0, n)
      this.#frames.drop(index, n)
      this.#table.engine.host.unpin(batch, 0, n)
      this.npinned -= n
      index += n
    }
  }

  /** The first index from `index` on that nobody covers. */
  #gapFrom(index: number): number {
    const tree = this.#users.tree
    let gap = index
    let pos = tree.at(pageHi(gap), pageLo(gap))
    while (pos >= 0) {
      gap = pageOf(tree.lastHi(pos), tree.lastLo(pos)) + 1
      pos = tree.at(pageHi(gap), pageLo(gap))
    }
    return gap
  }

  /** The first index from `index` on that somebody covers, or infinity. */
  #pinnedFrom(index: number): number {
    const tree = this.#users.tree
    const pos = tree.from(pageHi(index), pageLo(index))
    if (pos < 0) return Number.POSITIVE_INFINITY
    return Math.max(index, pageOf(tree.startHi(pos), tree.startLo(pos)))
  }
}
