// SPDX-License-Identifier: Apache-2.0
/**
 * In-kernel use of an address space: pinning, unpinning, reading and writing by IOVA (SPEC E7).
 *
 * Invariant: a range is used in order, area by area, and must have no hole. Pinning is all or
 * nothing; what was read or written before an error stays so. Each pin is counted in its area, which
 * cannot be unmapped until it is given back. Ranges have been checked: not empty, no wrap.
 */
import { differenceHi, pageOf, previousHi, previousLo, sumHi } from '@iommufd/core'
import { PAGE_SIZE } from '@iommufd/uapi'
import { AREA_PREVENT_ACCESS, AREA_READ, AREA_WRITE } from './area-table.js'
import type { ContigIter } from './contig-iter.js'
import { DMABUF_NOT_FOR_CPU } from './dma-buf-refusals.js'
import type { IoPagetable } from './io-pagetable.js'
import { RW_WRITE, rwPages } from './pages-rw.js'
import { ACCESS_FORBIDDEN, ACCESS_NOT_MAPPED, AREA_GOING_AWAY, PIN_MISALIGNED } from './refusals.js'

const OFFSET_MASK = PAGE_SIZE - 1

/** Copies `length` bytes (below 2^31) between `data[at…]` and the IOVA: 0 or a negative errno. */
export function rwRange(
  iopt: IoPagetable,
  iovaHi: number,
  iovaLo: number,
  data: Uint8Array,
  at: number,
  length: number,
  flags: number,
): number {
  const iter = iopt.contig
  const lastHi = sumHi(iovaHi, iovaLo, 0, length - 1)
  const lastLo = (iovaLo + length - 1) | 0
  const needed = (flags & RW_WRITE) !== 0 ? AREA_WRITE : AREA_READ
  let done = 0
  for (let ok = iter.begin(iovaHi, iovaLo, lastHi, lastLo); ok; ok = iter.next()) {
    const rc = refuseGoing(iopt, iter) || checkProt(iopt, iter, needed) || refuseDmaBuf(iopt, iter)
    if (rc < 0) return rc
    const bytes = (iter.lastLo - iter.iovaLo + 1) | 0
    const pages = iopt.tables.areas.pages[iter.area] as number
    const { startHi, startLo } = iter
    const table = iopt.tables.pages
    const copied = rwPages(table, pages, startHi, startLo, data, at + done, bytes, flags)
    if (copied < 0) return copied
    done += bytes
  }
  return iter.isDone ? 0 : refuseHole(iopt, iter, iovaHi, iovaLo, lastHi, lastLo)
}

/**
 * Pins the pages of [iova, last] and writes their frame numbers to `frames`: 0 or a negative errno.
 * `write` needs areas that are mapped for writing, else they must be mapped for reading.
 */
export function pinRange(
  iopt: IoPagetable,
  iovaHi: number,
  iovaLo: number,
  lastHi: number,
  lastLo: number,
  write: boolean,
  frames: Uint32Array,
): number {
  const iter = iopt.contig
  let at = 0
  let rc = 0
  let ok = iter.begin(iovaHi, iovaLo, lastHi, lastLo)
  for (; ok; ok = iter.next()) {
    rc = pinPart(iopt, iter, write ? AREA_WRITE : AREA_READ, frames, at)
    if (rc < 0) break
    at += lastIndex(iter) - pageOf(iter.startHi, iter.startLo) + 1
  }
  if (rc === 0 && iter.isDone) return 0
  if (rc === 0) rc = refuseHole(iopt, iter, iovaHi, iovaLo, lastHi, lastLo)
  if (iter.iovaHi !== iovaHi || iter.iovaLo !== iovaLo) {
    const beforeHi = previousHi(iter.iovaHi, iter.iovaLo)
    unpinRange(iopt, iovaHi, iovaLo, beforeHi, previousLo(iter.iovaLo))
  }
  return rc
}

/** Gives one pin of [iova, last] back; the same range must have been pinned. Never fails. */
export function unpinRange(
  iopt: IoPagetable,
  iovaHi: number,
  iovaLo: number,
  lastHi: number,
  lastLo: number,
): void {
  const iter = iopt.contig
  const { areas, pages: table } = iopt.tables
  for (let ok = iter.begin(iovaHi, iovaLo, lastHi, lastLo); ok; ok = iter.next()) {
    const pages = areas.pages[iter.area] as number
    areas.accesses[iter.area] = (areas.accesses[iter.area] as number) - 1
    table.pinned(pages)?.removeAccess(pageOf(iter.startHi, iter.startLo), lastIndex(iter))
    table.dropIfUnpinned(pages)
  }
  if (!iter.isDone) iopt.engine.warn('a pinned range is not mapped any more')
}

function pinPart(
  iopt: IoPagetable,
  iter: ContigIter,
  needed: number,
  frames: Uint32Array,
  at: number,
): number {
  const { engine, tables } = iopt
  const { area, startHi, startLo } = iter
  const going = refuseGoing(iopt, iter)
  if (going < 0) return going
  if (!isPageAligned(iter)) {
    const { iovaHi, iovaLo, lastHi, lastLo } = iter
    return engine.refusals.refuse(PIN_MISALIGNED, iovaHi, iovaLo, lastHi, lastLo)
  }
  const rc = checkProt(iopt, iter, needed) || refuseDmaBuf(iopt, iter) || engine.allocate()
  if (rc < 0) return rc
  const pages = tables.areas.pages[area] as number
  const first = pageOf(startHi, startLo)
  const pinned = tables.pages.pinnedOrNew(pages)
  const added = pinned.addAccess(first, lastIndex(iter))
  if (added < 0) {
    tables.pages.dropIfUnpinned(pages)
    return added
  }
  pinned.frames(first, lastIndex(iter) - first + 1, frames, at)
  tables.areas.accesses[area] = (tables.areas.accesses[area] as number) + 1
  return 0
}

/** Frames line up with the range only if each part begins, and each but the last ends, a page. */
function isPageAligned(iter: ContigIter): boolean {
  if ((iter.startLo & OFFSET_MASK) !== 0) return false
  return iter.endsRange || ((iter.lastLo - iter.iovaLo + 1) & OFFSET_MASK) === 0
}

/** Index of the page that holds the last byte of the present part. */
function lastIndex(iter: ContigIter): number {
  const spanHi = differenceHi(iter.lastHi, iter.lastLo, iter.iovaHi, iter.iovaLo)
  const spanLo = (iter.lastLo - iter.iovaLo) | 0
  const hi = sumHi(iter.startHi, iter.startLo, spanHi, spanLo)
  return pageOf(hi, (iter.startLo + spanLo) | 0)
}

/** Memory of another driver is for devices: there may be no page behind it. */
function refuseDmaBuf(iopt: IoPagetable, iter: ContigIter): number {
  const { engine, tables } = iopt
  if (tables.pages.dmaBuf(tables.areas.pages[iter.area] as number) === undefined) return 0
  const { iovaHi, iovaLo, lastHi, lastLo } = iter
  return engine.refusals.refuse(DMABUF_NOT_FOR_CPU, iovaHi, iovaLo, lastHi, lastLo)
}

function refuseGoing(iopt: IoPagetable, iter: ContigIter): number {
  const flags = iopt.tables.areas.flags[iter.area] as number
  if ((flags & AREA_PREVENT_ACCESS) === 0) return 0
  return iopt.engine.refusals.refuse(AREA_GOING_AWAY, iter.iovaHi, iter.iovaLo)
}

/** Whether the area permits what is needed, AREA_READ or AREA_WRITE. */
function checkProt(iopt: IoPagetable, iter: ContigIter, needed: number): number {
  const flags = iopt.tables.areas.flags[iter.area] as number
  if ((flags & needed) !== 0) return 0
  const write = needed === AREA_WRITE ? 1 : 0
  return iopt.engine.refusals.refuse(ACCESS_FORBIDDEN, iter.iovaHi, iter.iovaLo, write)
}

function refuseHole(
  iopt: IoPagetable,
  iter: ContigIter,
  iovaHi: number,
  iovaLo: number,
  lastHi: number,
  lastLo: number,
): number {
  const { refusals } = iopt.engine
  const { iovaHi: hi, iovaLo: lo } = iter
  return refusals.refuse(ACCESS_NOT_MAPPED, iovaHi, iovaLo, lastHi, lastLo, hi, lo)
}
