// SPDX-License-Identifier: Apache-2.0
/**
 * An area as domains see it (SPEC E3): which pages, where each of them lies, and mapping some of them.
 *
 * Invariant: pages are mapped and unmapped whole, but for the first and the last of the area, of which
 * the area may show a part. What a view says holds until the area goes or is split.
 */
import { differenceHi, pageHi, pageLo, pageOf, sumHi } from '@iommufd/core'
import { PAGE_SIZE } from '@iommufd/uapi'
import { AREA_READ, AREA_WRITE } from './area-table.js'
import type { IommuDomain } from './domain.js'
import type { DomainUser } from './domain-users.js'
import type { IoPagetable } from './io-pagetable.js'

/** An area with what the domains need of it. */
export interface AreaView extends DomainUser {
  readonly pages: number
  readonly prot: number
  /** Bytes of the area in its last page, 1 to PAGE_SIZE. */
  readonly tail: number
}

/** The area at `pos` of the address space. */
export function viewArea(iopt: IoPagetable, pos: number): AreaView {
  const { areas, tables } = iopt
  const area = areas.value(pos)
  const startHi = tables.areas.startHi[area] as number
  const startLo = tables.areas.startLo[area] as number
  const iovaHi = areas.startHi(pos)
  const iovaLo = areas.startLo(pos)
  const spanHi = differenceHi(areas.lastHi(pos), areas.lastLo(pos), iovaHi, iovaLo)
  const spanLo = (areas.lastLo(pos) - iovaLo) | 0
  const lastHi = sumHi(startHi, startLo, spanHi, spanLo)
  const lastLo = (startLo + spanLo) | 0
  return {
    iopt,
    originHi: differenceHi(iovaHi, iovaLo, startHi, startLo),
    originLo: (iovaLo - startLo) | 0,
    first: pageOf(startHi, startLo),
    last: pageOf(lastHi, lastLo),
    offset: startLo & (PAGE_SIZE - 1),
    pages: tables.areas.pages[area] as number,
    prot: (tables.areas.flags[area] as number) & (AREA_READ | AREA_WRITE),
    tail: (lastLo & (PAGE_SIZE - 1)) + 1,
  }
}

/** Maps `n` pages from `index` on, whose frames are in `frames`, into one domain: 0 or a negative errno. */
export function mapPages(
  view: AreaView,
  domain: IommuDomain,
  frames: Uint32Array,
  index: number,
  n: number,
): number {
  const { engine } = view.iopt
  const rc = engine.allocate()
  if (rc < 0) return rc
  const offset = index === view.first ? view.offset : 0
  const hi = iovaHi(view, index, offset)
  const lo = iovaLo(view, index, offset)
  const bytes = bytesOf(view, index, index + n)
  return domain.map(hi, lo, frames, 0, offset, bytes, view.prot, !view.iopt.largePagesDisabled)
}

/** Unmaps the pages [index, end) of the area from one domain. */
export function unmapPages(view: AreaView, domain: IommuDomain, index: number, end: number): void {
  if (index >= end) return
  const offset = index === view.first ? view.offset : 0
  const hi = iovaHi(view, index, offset)
  domain.unmap(hi, iovaLo(view, index, offset), bytesOf(view, index, end))
}

/** Bytes of the area in its pages [index, end). */
function bytesOf(view: AreaView, index: number, end: number): number {
  const offset = index === view.first ? view.offset : 0
  const tail = end - 1 === view.last ? view.tail : PAGE_SIZE
  return (end - index - 1) * PAGE_SIZE + tail - offset
}

/** High word of the IOVA of byte `offset` of a page. */
export function iovaHi(view: AreaView, index: number, offset: number): number {
  const lo = (pageLo(index) + offset) | 0
  return sumHi(view.originHi, view.originLo, pageHi(index), lo)
}

/** Low word of it. */
export function iovaLo(view: AreaView, index: number, offset: number): number {
  return (view.originLo + pageLo(index) + offset) | 0
}
