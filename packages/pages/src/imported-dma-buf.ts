// SPDX-License-Identifier: Apache-2.0
/**
 * The memory of another driver behind an `iopt_pages` (SPEC L8): a dma-buf.
 *
 * Invariant: its frames follow from where the exporter has it, so nothing is pinned, stored or
 * charged. Until it is revoked, every domain of an address space with areas of it holds them; from
 * then on none does, for good: the areas stay, mapping them again maps nothing. The exporter's file
 * lives as long as the import.
 */
import type { DmaBuf, DmaBufImporter, File } from '@iommufd/host'
import { type AreaView, mapPages, unmapPages, viewArea } from './area-view.js'
import { DMABUF_GONE, DMABUF_SCATTERED } from './dma-buf-refusals.js'
import type { IommuDomain } from './domain.js'
import type { IoPagetable } from './io-pagetable.js'
import type { PagesTable } from './pages-table.js'
import { BATCH_PAGES } from './pin.js'

const REVOKED = -1
/** Frames on their way to a domain; no two calls are under way at once. */
const frames = new Uint32Array(BATCH_PAGES)

export class ImportedDmaBuf implements DmaBufImporter {
  readonly #pages: number
  readonly #file: File
  readonly #dmaBuf: DmaBuf
  /** Frame of page index 0. */
  #frame = REVOKED
  /** Address spaces with domains, and how many areas of each show the pages. */
  readonly #spaces = new Map<IoPagetable, number>()

  /** `file` exports `dmaBuf`. */
  constructor(pages: number, file: File, dmaBuf: DmaBuf) {
    this.#pages = pages
    this.#file = file
    this.#dmaBuf = dmaBuf
  }

  /** Attaches to the exporter; index 0 is its page `firstPage`. 0, -ENODEV, -EOPNOTSUPP or -ENOMEM. */
  attach(table: PagesTable, firstPage: number): number {
    const { refusals } = table.engine
    const rc = table.engine.allocate()
    if (rc < 0) return rc
    if (!this.#dmaBuf.attach(this)) return refusals.refuse(DMABUF_GONE)
    const { ranges } = this.#dmaBuf
    const [range] = ranges
    if (range === undefined || ranges.length > 1) {
      this.#dmaBuf.detach(this)
      return refusals.refuse(DMABUF_SCATTERED, ranges.length)
    }
    this.#file.get()
    this.#frame = range.frame + firstPage
    return 0
  }

  /** Gives the memory back; no area shows it any more. */
  detach(): void {
    this.#dmaBuf.detach(this)
    this.#file.put()
  }

  get isRevoked(): boolean {
    return this.#frame === REVOKED
  }

  /** The exporter takes its memory away. */
  invalidate(): void {
    if (this.isRevoked) return
    for (const iopt of this.#spaces.keys()) this.#unfillSpace(iopt)
    this.#spaces.clear()
    this.#frame = REVOKED
  }

  /** Maps an area into all domains of its address space: 0, or a negative errno and nothing is. */
  fillArea(view: AreaView): number {
    if (this.isRevoked) return 0
    const { iopt } = view
    for (const [done, domain] of iopt.domains.entries()) {
      const rc = this.fillDomain(view, domain)
      if (rc === 0) continue
      for (const filled of iopt.domains.slice(0, done)) unmapAll(view, filled)
      return rc
    }
    this.#spaces.set(iopt, (this.#spaces.get(iopt) ?? 0) + 1)
    return 0
  }

  /** Takes an area out of all domains of its address space. */
  unfillArea(view: AreaView): void {
    if (this.isRevoked) return
    const { iopt } = view
    for (const domain of iopt.domains) unmapAll(view, domain)
    const left = (this.#spaces.get(iopt) as number) - 1
    if (left > 0) this.#spaces.set(iopt, left)
    else this.#spaces.delete(iopt)
  }

  /** Maps an area into one domain: 0, or a negative errno and nothing is. */
  fillDomain(view: AreaView, domain: IommuDomain): number {
    if (this.isRevoked) return 0
    for (let index = view.first; index <= view.last; ) {
      const n = Math.min(view.last + 1 - index, BATCH_PAGES)
      for (let i = 0; i < n; i++) frames[i] = this.#frame + index + i
      const rc = mapPages(view, domain, frames, index, n)
      if (rc < 0) {
        unmapPages(view, domain, view.first, index)
        return rc
      }
      index += n
    }
    return 0
  }

  #unfillSpace(iopt: IoPagetable): void {
    const { areas, tables, domains } = iopt
    for (let pos = areas.first(); pos >= 0; pos = areas.next(pos)) {
      if (tables.areas.pages[areas.value(pos)] !== this.#pages) continue
      const view = viewArea(iopt, pos)
      for (const domain of domains) unmapAll(view, domain)
    }
  }
}

function unmapAll(view: AreaView, domain: IommuDomain): void {
  unmapPages(view, domain, view.first, view.last + 1)
}
