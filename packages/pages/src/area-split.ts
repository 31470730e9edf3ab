// SPDX-License-Identifier: Apache-2.0
/**
 * Splitting an area in two (SPEC E6), so that a part of a mapping can be unmapped.
 *
 * Invariant: a split changes what areas there are and nothing else: every IOVA shows the same byte
 * with the same permissions, the same pages are pinned, and no domain is touched. Both parts share
 * the pages of the whole. Only an area that domains map page by page can be split, and none in which
 * somebody holds a pin, because pins are counted per area.
 */
import { differenceHi, nextHi, nextLo, sumHi } from '@iommufd/core'
import {
  SPLIT_AREA_GOING,
  SPLIT_AREA_PINNED,
  SPLIT_DMABUF,
  SPLIT_HUGE_PAGES,
  SPLIT_MISALIGNED,
} from './area-split-refusals.js'
import { AREA_PREVENT_ACCESS } from './area-table.js'
import { type AreaView, viewArea } from './area-view.js'
import type { IoPagetable } from './io-pagetable.js'

/**
 * Makes the IOVA the last one of an area, if it lies inside one: 0, also when there is nothing to
 * split, or -EBUSY, -EINVAL, -ENOMEM. As in Linux the first IOVA of an area counts as its border.
 */
export function splitAfter(iopt: IoPagetable, hi: number, lo: number): number {
  const { areas } = iopt
  const pos = areas.at(hi, lo)
  if (pos < 0) return 0
  if (areas.startHi(pos) === hi && areas.startLo(pos) === lo) return 0
  if (areas.lastHi(pos) === hi && areas.lastLo(pos) === lo) return 0
  const rc = checkSplit(iopt, pos, hi, lo) || iopt.engine.allocate()
  if (rc < 0) return rc
  splitArea(iopt, pos, hi, lo)
  return 0
}

function checkSplit(iopt: IoPagetable, pos: number, hi: number, lo: number): number {
  const { areas, engine, tables } = iopt
  const { refusals } = engine
  const area = areas.value(pos)
  const startHi = areas.startHi(pos)
  const startLo = areas.startLo(pos)
  const lastHi = areas.lastHi(pos)
  const lastLo = areas.lastLo(pos)
  if (((tables.areas.flags[area] as number) & AREA_PREVENT_ACCESS) !== 0) {
    return refusals.refuse(SPLIT_AREA_GOING, hi, lo, startHi, startLo, lastHi, lastLo)
  }
  if (tables.pages.dmaBuf(tables.areas.pages[area] as number) !== undefined) {
    return refusals.refuse(SPLIT_DMABUF, hi, lo, startHi, startLo, lastHi, lastLo)
  }
  if (((lo + 1) & (iopt.alignment - 1)) !== 0) {
    const { alignment } = iopt
    return refusals.refuse(SPLIT_MISALIGNED, hi, lo, startHi, startLo, lastHi, lastLo, alignment)
  }
  const accesses = tables.areas.accesses[area] as number
  if (accesses > 0) {
    return refusals.refuse(SPLIT_AREA_PINNED, hi, lo, startHi, startLo, lastHi, lastLo, accesses)
  }
  if (iopt.domains.length > 0 && !iopt.largePagesDisabled) {
    return refusals.refuse(SPLIT_HUGE_PAGES, hi, lo, startHi, startLo, lastHi, lastLo)
  }
  return 0
}

/** The lower part keeps the area's number; the upper part is a new area of the same pages. */
function splitArea(iopt: IoPagetable, pos: number, hi: number, lo: number): void {
  const { areas, tables } = iopt
  const whole = iopt.domains.length > 0 ? viewArea(iopt, pos) : undefined
  const lower = areas.value(pos)
  const startHi = areas.startHi(pos)
  const startLo = areas.startLo(pos)
  const lastHi = areas.lastHi(pos)
  const lastLo = areas.lastLo(pos)
  const upperHi = nextHi(hi, lo)
  const upperLo = nextLo(lo)
  const upper = createUpper(iopt, lower, startHi, startLo, upperHi, upperLo)
  tables.pages.get(tables.areas.pages[lower] as number)
  areas.remove(pos)
  areas.insert(startHi, startLo, hi, lo, lower)
  areas.insert(upperHi, upperLo, lastHi, lastLo, upper)
  if (whole !== undefined) splitDomainUser(whole, upperHi, upperLo)
}

/** The record of the part that begins at `upper`. */
function createUpper(
  iopt: IoPagetable,
  lower: number,
  startHi: number,
  startLo: number,
  upperHi: number,
  upperLo: number,
): number {
  const table = iopt.tables.areas
  const byteLo = table.startLo[lower] as number
  const intoHi = differenceHi(upperHi, upperLo, startHi, startLo)
  const intoLo = (upperLo - startLo) | 0
  const byteHi = sumHi(table.startHi[lower] as number, byteLo, intoHi, intoLo)
  const pages = table.pages[lower] as number
  return table.create(pages, byteHi, (byteLo + intoLo) | 0, table.flags[lower] as number)
}

/** The domains hold the frames of both parts in place of the whole. */
function splitDomainUser(whole: AreaView, upperHi: number, upperLo: number): void {
  const { iopt } = whole
  const pinned = iopt.tables.pages.pinnedOrNew(whole.pages)
  const upper = iopt.areas.at(upperHi, upperLo)
  pinned.removeDomainUser(whole)
  pinned.addDomainUser(viewArea(iopt, iopt.areas.previous(upper)))
  pinned.addDomainUser(viewArea(iopt, upper))
}
