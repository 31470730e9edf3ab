// SPDX-License-Identifier: Apache-2.0
/**
 * Unmapping (SPEC C8): whole areas only, lowest first.
 *
 * Invariant: an area goes away when no in-kernel user holds a pin in it; users are asked to let go
 * and may not take new pins meanwhile. One that hardware uses is locked: nobody is asked. Areas that went before a refusal stay gone, and the bytes
 * that they had are counted in `iopt.unmapped`.
 */
import { differenceHi, isAfter, nextHi, nextLo, sumHi } from '@iommufd/core'
import { AREA_PREVENT_ACCESS } from './area-table.js'
import { viewArea } from './area-view.js'
import { unfillArea } from './domain-fill.js'
import type { IoPagetable } from './io-pagetable.js'
import { ACCESS_HOLDS_AREA, AREA_LOCKED, AREA_PARTLY_COVERED } from './refusals.js'

/** How often users are asked to let one area go: once, and a hundred times again. */
const MAX_TRIES = 101

/** Unmaps the areas in [start, last]: 0, also when there are none, or a negative errno. */
export function unmapRange(
  iopt: IoPagetable,
  startHi: number,
  startLo: number,
  lastHi: number,
  lastLo: number,
): number {
  const { areas } = iopt
  iopt.unmappedHi = 0
  iopt.unmappedLo = 0
  for (;;) {
    const pos = areas.from(startHi, startLo)
    if (pos < 0 || isAfter(areas.startHi(pos), areas.startLo(pos), lastHi, lastLo)) return 0
    const area = areas.value(pos)
    const isPinned = (iopt.tables.areas.accesses[area] as number) > 0
    if (isPinned && iopt.tables.areas.isLocked(area)) return refuseLocked(iopt, pos)
    if (
      isAfter(startHi, startLo, areas.startHi(pos), areas.startLo(pos)) ||
      isAfter(areas.lastHi(pos), areas.lastLo(pos), lastHi, lastLo)
    ) {
      return refusePartly(iopt, pos, startHi, startLo, lastHi, lastLo)
    }
    if (isPinned) {
      const rc = releaseAccesses(iopt, areas.startHi(pos), areas.startLo(pos))
      if (rc < 0) return rc
      continue
    }
    const isLast = areas.lastHi(pos) === lastHi && areas.lastLo(pos) === lastLo
    countUnmapped(iopt, pos)
    removeArea(iopt, pos)
    if (isLast) return 0
  }
}

/** Unmaps everything: 0 or a negative errno. */
export function unmapAll(iopt: IoPagetable): number {
  return unmapRange(iopt, 0, 0, -1, -1)
}

/** Takes the area at `pos` out; nothing may be pinned through it. */
export function removeArea(iopt: IoPagetable, pos: number): void {
  if (iopt.domains.length > 0) unfillArea(viewArea(iopt, pos))
  forgetArea(iopt, pos)
}

/** Takes the area at `pos`, which is in no domain, out of the address space. */
export function forgetArea(iopt: IoPagetable, pos: number): void {
  const area = iopt.areas.value(pos)
  const pages = iopt.tables.areas.pages[area] as number
  iopt.areas.remove(pos)
  iopt.tables.areas.remove(area)
  iopt.tables.pages.put(pages)
}

/** Asks in-kernel users to unpin the area at (startHi, startLo) until none holds a pin in it. */
function releaseAccesses(iopt: IoPagetable, startHi: number, startLo: number): number {
  const { areas, tables } = iopt
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const pos = areas.at(startHi, startLo)
    if (pos < 0) return 0
    const area = areas.value(pos)
    if (tables.areas.accesses[area] === 0) return 0
    tables.areas.flags[area] = (tables.areas.flags[area] as number) | AREA_PREVENT_ACCESS
    iopt.notifyUnmap(startHi, startLo, areas.lastHi(pos), areas.lastLo(pos))
  }
  return refuseHeld(iopt, startHi, startLo)
}

function countUnmapped(iopt: IoPagetable, pos: number): void {
  const { areas } = iopt
  const startLo = areas.startLo(pos)
  const lastLo = areas.lastLo(pos)
  const spanHi = differenceHi(areas.lastHi(pos), lastLo, areas.startHi(pos), startLo)
  const spanLo = (lastLo - startLo) | 0
  const lengthLo = nextLo(spanLo)
  iopt.unmappedHi = sumHi(iopt.unmappedHi, iopt.unmappedLo, nextHi(spanHi, spanLo), lengthLo)
  iopt.unmappedLo = (iopt.unmappedLo + lengthLo) | 0
}

function refuseLocked({ areas, engine }: IoPagetable, pos: number): number {
  const [startHi, startLo] = [areas.startHi(pos), areas.startLo(pos)]
  return engine.refusals.refuse(AREA_LOCKED, startHi, startLo, areas.lastHi(pos), areas.lastLo(pos))
}

function refusePartly(
  iopt: IoPagetable,
  pos: number,
  startHi: number,
  startLo: number,
  lastHi: number,
  lastLo: number,
): number {
  const { areas } = iopt
  return iopt.engine.refusals.refuse(
    AREA_PARTLY_COVERED,
    startHi,
    startLo,
    lastHi,
    lastLo,
    areas.startHi(pos),
    areas.startLo(pos),
    areas.lastHi(pos),
    areas.lastLo(pos),
  )
}

function refuseHeld(iopt: IoPagetable, startHi: number, startLo: number): number {
  const { areas, engine, tables } = iopt
  const pos = areas.at(startHi, startLo)
  const accesses = tables.areas.accesses[areas.value(pos)] as number
  engine.warn('an access does not unpin what is unmapped under it')
  return engine.refusals.refuse(
    ACCESS_HOLDS_AREA,
    startHi,
    startLo,
    areas.lastHi(pos),
    areas.lastLo(pos),
    accesses,
  )
}
