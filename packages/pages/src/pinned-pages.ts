// SPDX-License-Identifier: Apache-2.0
/**
 * The pins of one `iopt_pages` (SPEC E4, E5).
 *
 * Invariant: a page is pinned once, while an in-kernel user covers it or a domain maps it. Its frame
 * is stored here only for in-kernel users; where only domains have it, it is read back from one.
 * Adding users either pins and charges all that was not pinned yet, or leaves everything as it was.
 * Removing never fails.
 */
import { pageHi, pageLo, pageOf, sumHi } from '@iommufd/core'
import { charge, uncharge } from './account.js'
import { Coverage } from './coverage.js'
import { type DomainUser, DomainUsers } from './domain-users.js'
import { FrameStore } from './frame-store.js'
import type { PagesTable } from './pages-table.js'
import { BATCH_PAGES, pinBatch } from './pin.js'

/** Frames on their way between a pin and a store; no two calls are under way at once. */
const batch = new Uint32Array(BATCH_PAGES)

export class PinnedPages {
  readonly #table: PagesTable
  readonly #pages: number
  /** What in-kernel users cover and its frames; made for the first of them, as most have none. */
  #accesses: Coverage | undefined
  #frames: FrameStore | undefined
  readonly #domains = new DomainUsers()
  /** Pages that are pinned now. */
  npinned = 0

  constructor(table: PagesTable, pages: number) {
    this.#table = table
    this.#pages = pages
  }

  /** Bytes that the stored frame numbers take. */
  get frameBytes(): number {
    return this.#frames?.bytes ?? 0
  }

  /** One more in-kernel user of [first, last]: 0, or a negative errno and nothing has changed. */
  addAccess(first: number, last: number): number {
    const before = this.npinned
    this.#accesses ??= new Coverage()
    const rc = this.#storeGaps(first, last + 1)
    if (rc < 0) return rc
    const charged = this.charge(this.npinned - before)
    if (charged < 0) {
      this.#dropGaps(first, last + 1)
      return charged
    }
    this.#accesses.add(pageHi(first), pageLo(first), pageHi(last), pageLo(last) | 0xfff)
    return 0
  }

  /** One in-kernel user less of [first, last]; it must have been added. */
  removeAccess(first: number, last: number): void {
    const before = this.npinned
    this.#accesses?.remove(pageHi(first), pageLo(first), pageHi(last), pageLo(last) | 0xfff)
    this.#dropGaps(first, last + 1)
    this.uncharge(before - this.npinned)
  }

  /** The user's domains hold the frames of its pages from now on. */
  addDomainUser(user: DomainUser): void {
    this.#domains.add(user)
  }

  /** The user's domains are about to be emptied. */
  removeDomainUser(user: DomainUser): void {
    this.#domains.remove(user)
  }

  /** Whether the page is pinned for a user that has been added. */
  isHeld(index: number): boolean {
    return this.#isStored(index) || this.#domains.at(index) !== undefined
  }

  /** How many pages from `index` on, at most `most`, have their frames in the same place. */
  runLength(index: number, most: number): number {
    const stored = this.#isStored(index) ? this.#gapFrom(index) : this.#storedFrom(index)
    return Math.min(most, stored - index, this.#domains.boundaryAfter(index) - index)
  }

  /** Frames of `n` held pages from `index` on into `frames[at…]`. */
  frames(index: number, n: number, frames: Uint32Array, at: number): void {
    for (let done = 0; done < n; ) {
      const run = this.runLength(index + done, n - done)
      if (this.#isStored(index + done)) this.#store.get(index + done, frames, at + done, run)
      else this.#readDomain(index + done, run, frames, at + done)
      done += run
    }
  }

  /**
   * Frames of up to `most` pages from `index` on, all held or all pinned by this call, into
   * `frames[at…]`: how many, or a negative errno. What it pins is charged later.
   */
  gather(index: number, most: number, frames: Uint32Array, at: number): number {
    const run = this.runLength(index, Math.min(most, frames.length - at))
    if (this.isHeld(index)) {
      this.frames(index, run, frames, at)
      return run
    }
    const pinned = pinBatch(this.#table, this.#pages, index, run, frames, at)
    if (pinned > 0) this.npinned += pinned
    return pinned
  }

  /** Unpins frames that nobody holds any more. */
  unpin(frames: Uint32Array, at: number, n: number): void {
    this.#table.engine.host.unpin(frames, at, n)
    this.npinned -= n
  }

  /** Charges pages that have been pinned: 0 or a negative errno. */
  charge(npages: number): number {
    if (npages === 0) return 0
    const table = this.#table
    return charge(table.engine, table.owner(this.#pages), table.accountMode(this.#pages), npages)
  }

  /** Gives the charge of pages that have been unpinned back. */
  uncharge(npages: number): void {
    if (npages === 0) return
    const table = this.#table
    uncharge(table.engine, table.owner(this.#pages), table.accountMode(this.#pages), npages)
  }

  /** Stores the frames of [first, end) that are not stored yet. */
  #storeGaps(first: number, end: number): number {
    for (let index = this.#gapFrom(first); index < end; index = this.#gapFrom(index)) {
      const gapEnd = Math.min(this.#storedFrom(index), end)
      while (index < gapEnd) {
        const n = this.gather(index, gapEnd - index, batch, 0)
        if (n < 0) {
          this.#dropGaps(first, index)
          return n
        }
        this.#store.put(index, batch, 0, n)
        index += n
      }
    }
    return 0
  }

  /** Forgets the frames of [first, end) that no in-kernel user covers; unpins what is not held. */
  #dropGaps(first: number, end: number): void {
    for (let index = this.#gapFrom(first); index < end; index = this.#gapFrom(index)) {
      const n = this.runLength(index, Math.min(end - index, BATCH_PAGES))
      if (!this.isHeld(index)) {
        this.#store.get(index, batch, 0, n)
        this.unpin(batch, 0, n)
      }
      this.#store.drop(index, n)
      index += n
    }
  }

  #readDomain(index: number, n: number, frames: Uint32Array, at: number): void {
    const user = this.#domains.at(index) as DomainUser
    const offset = index === user.first ? user.offset : 0
    const startLo = pageLo(index) | offset
    const iovaHi = sumHi(user.originHi, user.originLo, pageHi(index), startLo)
    const iovaLo = (user.originLo + startLo) | 0
    user.iopt.domains[0]?.framesAt(iovaHi, iovaLo, offset, frames, at, n)
  }

  get #store(): FrameStore {
    this.#frames ??= new FrameStore()
    return this.#frames
  }

  #isStored(index: number): boolean {
    const tree = this.#accesses?.tree
    return tree !== undefined && tree.at(pageHi(index), pageLo(index)) >= 0
  }

  /** The first index from `index` on that no in-kernel user covers. */
  #gapFrom(index: number): number {
    const tree = this.#accesses?.tree
    if (tree === undefined) return index
    let gap = index
    let pos = tree.at(pageHi(gap), pageLo(gap))
    while (pos >= 0) {
      gap = pageOf(tree.lastHi(pos), tree.lastLo(pos)) + 1
      pos = tree.at(pageHi(gap), pageLo(gap))
    }
    return gap
  }

  /** The first index from `index` on that an in-kernel user covers, or infinity. */
  #storedFrom(index: number): number {
    const tree = this.#accesses?.tree
    if (tree === undefined) return Number.POSITIVE_INFINITY
    const pos = tree.from(pageHi(index), pageLo(index))
    if (pos < 0) return Number.POSITIVE_INFINITY
    return Math.max(index, pageOf(tree.startHi(pos), tree.startLo(pos)))
  }
}
