// SPDX-License-Identifier: Apache-2.0
/**
 * Filling the domains of an address space with the frames of an area, and emptying them (SPEC E3).
 *
 * Invariant: an area is in every domain of its address space or, after a refusal, in none, and then
 * nothing is pinned or charged for it. Emptying never fails: frames that only the domains had are
 * read back from the first one before it is emptied, and unpinned. Memory of another driver is filled
 * in and taken out by who imports it.
 */
import { type AreaView, iovaHi, iovaLo, mapPages, unmapPages } from './area-view.js'
import type { IommuDomain } from './domain.js'
import { BATCH_PAGES } from './pin.js'
import type { PinnedPages } from './pinned-pages.js'

const frames = new Uint32Array(BATCH_PAGES)

/** Maps the area into all domains of its address space: 0, or a negative errno and nothing is. */
export function fillArea(view: AreaView): number {
  const table = view.iopt.tables.pages
  const dmaBuf = table.dmaBuf(view.pages)
  if (dmaBuf !== undefined) return dmaBuf.fillArea(view)
  const pinned = table.pinnedOrNew(view.pages)
  const before = pinned.npinned
  let rc = fillPages(pinned, view)
  if (rc === 0) {
    rc = pinned.charge(pinned.npinned - before)
    if (rc < 0) emptyPages(pinned, view, view.last + 1)
  }
  if (rc === 0) pinned.addDomainUser(view)
  else table.dropIfUnpinned(view.pages)
  return rc
}

/** Takes the area out of all domains of its address space. */
export function unfillArea(view: AreaView): void {
  const table = view.iopt.tables.pages
  const dmaBuf = table.dmaBuf(view.pages)
  if (dmaBuf !== undefined) {
    dmaBuf.unfillArea(view)
    return
  }
  const pinned = table.pinnedOrNew(view.pages)
  const before = pinned.npinned
  pinned.removeDomainUser(view)
  emptyPages(pinned, view, view.last + 1)
  pinned.uncharge(before - pinned.npinned)
  table.dropIfUnpinned(view.pages)
}

/** Maps an area that is pinned already into one more domain: 0, or a negative errno. */
export function fillDomain(view: AreaView, domain: IommuDomain): number {
  const table = view.iopt.tables.pages
  const dmaBuf = table.dmaBuf(view.pages)
  if (dmaBuf !== undefined) return dmaBuf.fillDomain(view, domain)
  const pinned = table.pinnedOrNew(view.pages)
  for (let index = view.first; index <= view.last; ) {
    const n = Math.min(view.last + 1 - index, BATCH_PAGES)
    pinned.frames(index, n, frames, 0)
    const rc = mapPages(view, domain, frames, index, n)
    if (rc < 0) {
      unmapPages(view, domain, view.first, index)
      return rc
    }
    index += n
  }
  return 0
}

/** Takes an area out of one domain of several. */
export function unfillDomain(view: AreaView, domain: IommuDomain): void {
  if (view.iopt.tables.pages.dmaBuf(view.pages)?.isRevoked) return
  unmapPages(view, domain, view.first, view.last + 1)
}

function fillPages(pinned: PinnedPages, view: AreaView): number {
  for (let index = view.first; index <= view.last; ) {
    const n = gatherBatch(pinned, index, view.last + 1)
    const rc = n < 0 ? n : mapBatchEverywhere(view, index, n)
    if (rc < 0) {
      if (n > 0) releaseBatch(pinned, index, n)
      emptyPages(pinned, view, index)
      return rc
    }
    index += n
  }
  return 0
}

/**
 * Frames of [index, end), as many as a batch holds: how many, or a negative errno and none is. The
 * batch is full before any of it is mapped, so memory that is not there is found out first.
 */
function gatherBatch(pinned: PinnedPages, index: number, end: number): number {
  const most = Math.min(end - index, BATCH_PAGES)
  let done = 0
  while (done < most) {
    const n = pinned.gather(index + done, most - done, frames, done)
    if (n < 0) {
      releaseBatch(pinned, index, done)
      return n
    }
    done += n
  }
  return done
}

/** Unpins what gathering the batch has pinned. */
function releaseBatch(pinned: PinnedPages, index: number, n: number): void {
  for (let done = 0; done < n; ) {
    const run = pinned.runLength(index + done, n - done)
    if (!pinned.isHeld(index + done)) pinned.unpin(frames, done, run)
    done += run
  }
}

/** Maps the batch into each domain, or into none. */
function mapBatchEverywhere(view: AreaView, index: number, n: number): number {
  const { domains } = view.iopt
  for (const [done, domain] of domains.entries()) {
    const rc = mapPages(view, domain, frames, index, n)
    if (rc === 0) continue
    for (const mapped of domains.slice(0, done)) unmapPages(view, mapped, index, index + n)
    return rc
  }
  return 0
}

/**
 * Empties [view.first, end) in all domains and unpins what nobody else holds: in the batches that
 * filled it, because a large page of the domain may lie across what others hold, but not across them.
 */
function emptyPages(pinned: PinnedPages, view: AreaView, end: number): void {
  for (let index = view.first; index < end; index += BATCH_PAGES) {
    const batchEnd = Math.min(index + BATCH_PAGES, end)
    readUnheld(pinned, view, index, batchEnd)
    for (const domain of view.iopt.domains) unmapPages(view, domain, index, batchEnd)
    unpinUnheld(pinned, index, batchEnd)
  }
}

/** Reads the frames of [first, end) that only the domains have, to the places of their pages. */
function readUnheld(pinned: PinnedPages, view: AreaView, first: number, end: number): void {
  const [storage] = view.iopt.domains
  for (let index = first; index < end; ) {
    const n = pinned.runLength(index, end - index)
    const offset = index === view.first ? view.offset : 0
    if (!pinned.isHeld(index)) {
      const hi = iovaHi(view, index, offset)
      storage?.framesAt(hi, iovaLo(view, index, offset), offset, frames, index - first, n)
    }
    index += n
  }
}

function unpinUnheld(pinned: PinnedPages, first: number, end: number): void {
  for (let index = first; index < end; ) {
    const n = pinned.runLength(index, end - index)
    if (!pinned.isHeld(index)) pinned.unpin(frames, index - first, n)
    index += n
  }
}
