// SPDX-License-Identifier: Apache-2.0
/**
 * Records of `iopt_pages`: the memory behind areas (SPEC E4).
 *
 * Invariant: a record names memory (user addresses, a range of a file, or of a dma-buf), whether it is pinned for
 * writing, and who is charged in which way; it lives while an area or a copy refers to it. `index` 0
 * is the page that holds the first mapped byte. Pins are kept apart, in a `PinnedPages` that exists
 * only while something is pinned, so that a mapping nobody uses costs a few bytes and no object.
 */

import { type Iommufd, pageOf } from '@iommufd/core'
import type { DmaBuf, File, Task } from '@iommufd/host'
import { CAP_IPC_LOCK, PAGE_SIZE } from '@iommufd/uapi'
import { ACCOUNT_MM, ACCOUNT_NONE, ACCOUNT_USER } from './account.js'
import { grown, grownLength } from './area-table.js'
import { ImportedDmaBuf } from './imported-dma-buf.js'
import { type Owner, OwnerTable } from './owners.js'
import { BATCH_PAGES } from './pin.js'
import { PinnedPages } from './pinned-pages.js'

const WRITABLE = 1
const IS_FILE = 2
const IS_PINNED = 4
const MODE_SHIFT = 3
const MODE_MASK = 3
const IS_DMABUF = 32
const INITIAL = 16

export class PagesTable {
  readonly engine: Iommufd
  readonly owners: OwnerTable = new OwnerTable()
  #batchPages = BATCH_PAGES
  /** Areas (and calls in progress) that refer to the record. Links free records otherwise. */
  #users = new Int32Array(INITIAL)
  /** First byte of the first page: an address of the process, or an offset in the file. */
  #baseHi = new Int32Array(INITIAL)
  #baseLo = new Int32Array(INITIAL)
  #flags = new Uint8Array(INITIAL)
  #owner = new Int32Array(INITIAL)
  readonly #files = new Map<number, File>()
  readonly #dmaBufs = new Map<number, ImportedDmaBuf>()
  /** By record; an array, because a Map that is full of other keys takes long to delete one. */
  readonly #pinned: (PinnedPages | undefined)[] = []
  #pinnedCount = 0
  #free = -1
  #used = 0
  #live = 0

  constructor(engine: Iommufd) {
    this.engine = engine
  }

  /** Pages that are pinned at most in one call of the host. */
  get batchPages(): number {
    return this.#batchPages
  }

  /** Lowers that bound (it never exceeds BATCH_PAGES); at least 1. */
  setBatchPages(pages: number): void {
    this.#batchPages = Math.max(1, Math.min(pages, BATCH_PAGES))
  }

  /** Records that exist. */
  get count(): number {
    return this.#live
  }

  /** Records with pins. */
  get pinnedCount(): number {
    return this.#pinnedCount
  }

  /** Bytes of the frame numbers that are stored for in-kernel users. */
  get frameBytes(): number {
    let bytes = 0
    for (const pinned of this.#pinned) bytes += pinned?.frameBytes ?? 0
    return bytes
  }

  /** Bytes that the columns hold. */
  get bytes(): number {
    return this.#flags.length * 17
  }

  /** User memory of `task` from the page that holds (hi, lo) on. One user: the caller. */
  createUser(task: Task, accountsMm: boolean, hi: number, lo: number, writable: boolean): number {
    return this.#create(task, accountsMm, hi, lo, writable ? WRITABLE : 0)
  }

  /** A file from the page that holds byte (hi, lo) on, with a reference to it. One user: the caller. */
  createFile(
    task: Task,
    accountsMm: boolean,
    file: File,
    hi: number,
    lo: number,
    writable: boolean,
  ): number {
    const pages = this.#create(task, accountsMm, hi, lo, IS_FILE | (writable ? WRITABLE : 0))
    this.#files.set(pages, file.get())
    return pages
  }

  /**
   * A dma-buf from the page that holds byte (hi, lo) on, which is within it; `file` exports it. One
   * user: the caller. Or a negative errno: it cannot be imported.
   */
  createDmaBuf(
    task: Task,
    accountsMm: boolean,
    file: File,
    dmaBuf: DmaBuf,
    hi: number,
    lo: number,
    writable: boolean,
  ): number {
    const pages = this.#create(task, accountsMm, hi, lo, writable ? WRITABLE : 0)
    const imported = new ImportedDmaBuf(pages, file, dmaBuf)
    const rc = imported.attach(this, pageOf(hi, lo))
    if (rc < 0) {
      this.put(pages)
      return rc
    }
    this.#flags[pages] = (this.#flags[pages] as number) | IS_DMABUF
    this.#dmaBufs.set(pages, imported)
    return pages
  }

  get(pages: number): void {
    this.#users[pages] = (this.#users[pages] as number) + 1
  }

  put(pages: number): void {
    const users = (this.#users[pages] as number) - 1
    this.#users[pages] = users
    if (users === 0) this.#destroy(pages)
  }

  /** High word of the first byte of page 0. */
  baseHi(pages: number): number {
    return this.#baseHi[pages] as number
  }

  /** Low word of the first byte of page 0. */
  baseLo(pages: number): number {
    return this.#baseLo[pages] as number
  }

  isWritable(pages: number): boolean {
    return ((this.#flags[pages] as number) & WRITABLE) !== 0
  }

  /** The file behind the record, or undefined for user memory and dma-bufs. */
  file(pages: number): File | undefined {
    return ((this.#flags[pages] as number) & IS_FILE) !== 0 ? this.#files.get(pages) : undefined
  }

  /** The dma-buf behind the record, or undefined for memory of processes and files. */
  dmaBuf(pages: number): ImportedDmaBuf | undefined {
    const isDmaBuf = ((this.#flags[pages] as number) & IS_DMABUF) !== 0
    return isDmaBuf ? this.#dmaBufs.get(pages) : undefined
  }

  owner(pages: number): Owner {
    return this.owners.owner(this.#owner[pages] as number)
  }

  accountMode(pages: number): number {
    return ((this.#flags[pages] as number) >> MODE_SHIFT) & MODE_MASK
  }

  /** Makes the present triple of `task` the owner; charges are the caller's business. */
  setOwner(pages: number, task: Task): void {
    const before = this.#owner[pages] as number
    this.#owner[pages] = this.owners.get(task)
    this.owners.put(before)
  }

  /** The pins of the record, or undefined when nothing is pinned. */
  pinned(pages: number): PinnedPages | undefined {
    return ((this.#flags[pages] as number) & IS_PINNED) !== 0 ? this.#pinned[pages] : undefined
  }

  /** The pins of the record, made if need be. */
  pinnedOrNew(pages: number): PinnedPages {
    const existing = this.pinned(pages)
    if (existing !== undefined) return existing
    const pinned = new PinnedPages(this, pages)
    this.#flags[pages] = (this.#flags[pages] as number) | IS_PINNED
    this.#pinned[pages] = pinned
    this.#pinnedCount++
    return pinned
  }

  /** Forgets the pins of the record if nothing is pinned any more. */
  dropIfUnpinned(pages: number): void {
    if (this.pinned(pages)?.npinned !== 0) return
    this.#flags[pages] = (this.#flags[pages] as number) & ~IS_PINNED
    this.#pinned[pages] = undefined
    this.#pinnedCount--
  }

  /** Root maps without a limit (CAP_IPC_LOCK), for good. */
  #create(task: Task, accountsMm: boolean, hi: number, lo: number, flags: number): number {
    const pages = this.#take()
    const unlimited = task.capable(CAP_IPC_LOCK)
    const mode = unlimited ? ACCOUNT_NONE : accountsMm ? ACCOUNT_MM : ACCOUNT_USER
    this.#users[pages] = 1
    this.#baseHi[pages] = hi
    this.#baseLo[pages] = lo & -PAGE_SIZE
    this.#flags[pages] = flags | (mode << MODE_SHIFT)
    this.#owner[pages] = this.owners.get(task)
    this.#live++
    return pages
  }

  #destroy(pages: number): void {
    this.owners.put(this.#owner[pages] as number)
    this.#live--
    const file = this.file(pages)
    const dmaBuf = this.dmaBuf(pages)
    this.#users[pages] = this.#free
    this.#free = pages
    if (file !== undefined) {
      this.#files.delete(pages)
      file.put()
    } else if (dmaBuf !== undefined) {
      this.#dmaBufs.delete(pages)
      dmaBuf.detach()
    }
  }

  #take(): number {
    const pages = this.#free
    if (pages >= 0) {
      this.#free = this.#users[pages] as number
      return pages
    }
    if (this.#used === this.#flags.length) this.#grow()
    return this.#used++
  }

  #grow(): void {
    const length = grownLength(this.#flags.length)
    this.#users = grown(this.#users, new Int32Array(length))
    this.#baseHi = grown(this.#baseHi, new Int32Array(length))
    this.#baseLo = grown(this.#baseLo, new Int32Array(length))
    this.#flags = grown(this.#flags, new Uint8Array(length))
    this.#owner = grown(this.#owner, new Int32Array(length))
  }
}
