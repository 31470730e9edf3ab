// SPDX-License-Identifier: Apache-2.0
/**
 * Memory that hardware uses by itself, as a queue of a guest: pinned by IOVA, its areas locked (SPEC
 * C8, L14).
 *
 * Invariant: a lock is held together with a pin, and a locked area is not unmapped: nobody can be
 * asked to let it go, so IOAS_UNMAP is refused before it looks any further.
 */
import { differenceHi, pageOf } from '@iommufd/core'
import type { IoPagetable } from './io-pagetable.js'
import { pinRange, unpinRange } from './iopt-access.js'

/**
 * Pins [iova, last], which begins and ends where pages do, and locks its areas, which must be mapped
 * for reading: one frame number per page, or a negative errno as of `pinRange`.
 */
export function lockRange(
  iopt: IoPagetable,
  iovaHi: number,
  iovaLo: number,
  lastHi: number,
  lastLo: number,
): Uint32Array | number {
  const frames = new Uint32Array(mappedPages(iopt, iovaHi, iovaLo, lastHi, lastLo))
  const rc = pinRange(iopt, iovaHi, iovaLo, lastHi, lastLo, false, frames)
  if (rc < 0) return rc
  countLock(iopt, iovaHi, iovaLo, lastHi, lastLo, 1)
  return frames
}

/** Gives lock and pin of [iova, last] back; the same range must have been locked. Never fails. */
export function unlockRange(
  iopt: IoPagetable,
  iovaHi: number,
  iovaLo: number,
  lastHi: number,
  lastLo: number,
): void {
  countLock(iopt, iovaHi, iovaLo, lastHi, lastLo, -1)
  unpinRange(iopt, iovaHi, iovaLo, lastHi, lastLo)
}

function countLock(
  iopt: IoPagetable,
  iovaHi: number,
  iovaLo: number,
  lastHi: number,
  lastLo: number,
  by: number,
): void {
  const iter = iopt.contig
  const { areas } = iopt.tables
  for (let ok = iter.begin(iovaHi, iovaLo, lastHi, lastLo); ok; ok = iter.next()) {
    areas.countLock(iter.area, by)
  }
}

/** Pages up to the first hole: a range much longer than what is mapped needs no list as long. */
function mappedPages(
  iopt: IoPagetable,
  iovaHi: number,
  iovaLo: number,
  lastHi: number,
  lastLo: number,
): number {
  const iter = iopt.contig
  let pages = 0
  for (let ok = iter.begin(iovaHi, iovaLo, lastHi, lastLo); ok; ok = iter.next()) {
    const spanHi = differenceHi(iter.lastHi, iter.lastLo, iovaHi, iovaLo)
    pages = pageOf(spanHi, (iter.lastLo - iovaLo) | 0) + 1
  }
  return pages
}
