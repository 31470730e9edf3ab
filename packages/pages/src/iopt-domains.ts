// SPDX-License-Identifier: Apache-2.0
/**
 * Domains of an address space: adding and removing hardware page tables (SPEC E2, E3).
 *
 * Invariant: each domain holds every area, and IOVAs outside of its aperture are reserved while it
 * is there. Adding is all or nothing; removing never fails. With the last domain the areas' frames
 * are unpinned, unless an in-kernel user or another address space has them.
 */
import { isAfter, nextHi, nextLo, previousHi, previousLo } from '@iommufd/core'
import { PAGE_SIZE } from '@iommufd/uapi'
import { type AreaView, viewArea } from './area-view.js'
import type { IommuDomain } from './domain.js'
import { fillArea, fillDomain, unfillArea, unfillDomain } from './domain-fill.js'
import type { IoPagetable } from './io-pagetable.js'
import { DOMAIN_PAGE_TOO_LARGE } from './refusals.js'

/** Adds a domain and fills it: 0, -EINVAL, -EADDRINUSE, or what pinning and mapping refuse. */
export function addDomain(iopt: IoPagetable, domain: IommuDomain): number {
  if (domain.minPageSize > PAGE_SIZE) {
    return iopt.engine.refusals.refuse(DOMAIN_PAGE_TOO_LARGE, domain.minPageSize)
  }
  iopt.domains.push(domain)
  let rc = iopt.updateAlignment()
  if (rc === 0) rc = reserveOutside(iopt, domain)
  if (rc === 0) {
    rc = fillAll(iopt, domain)
    if (rc < 0) unreserveOutside(iopt, domain)
  }
  if (rc < 0) forget(iopt, domain)
  return rc
}

/** Empties a domain and removes it; it must have been added. */
export function removeDomain(iopt: IoPagetable, domain: IommuDomain): void {
  const isLast = iopt.domains.length === 1
  for (let pos = iopt.areas.first(); pos >= 0; pos = iopt.areas.next(pos)) {
    const view = viewArea(iopt, pos)
    if (isLast) unfillArea(view)
    else unfillDomain(view, domain)
  }
  unreserveOutside(iopt, domain)
  forget(iopt, domain)
}

function forget(iopt: IoPagetable, domain: IommuDomain): void {
  iopt.domains.splice(iopt.domains.indexOf(domain), 1)
  iopt.updateAlignment()
}

function fillAll(iopt: IoPagetable, domain: IommuDomain): number {
  const filled: AreaView[] = []
  const isFirst = iopt.domains.length === 1
  for (let pos = iopt.areas.first(); pos >= 0; pos = iopt.areas.next(pos)) {
    const view = viewArea(iopt, pos)
    const rc = isFirst ? fillArea(view) : fillDomain(view, domain)
    if (rc < 0) {
      for (const done of filled.reverse()) {
        if (isFirst) unfillArea(done)
        else unfillDomain(done, domain)
      }
      return rc
    }
    filled.push(view)
  }
  return 0
}

function reserveOutside(iopt: IoPagetable, domain: IommuDomain): number {
  const below = reservesBelow(domain) ? reserveBelow(iopt, domain) : 0
  if (below < 0 || !reservesAbove(domain)) return below
  const { apertureLastHi, apertureLastLo } = domain
  const hi = nextHi(apertureLastHi, apertureLastLo)
  const above = iopt.reserve(hi, nextLo(apertureLastLo), -1, -1)
  if (above < 0 && reservesBelow(domain)) unreserveBelow(iopt, domain)
  return above
}

function unreserveOutside(iopt: IoPagetable, domain: IommuDomain): void {
  const { apertureLastHi, apertureLastLo } = domain
  if (reservesBelow(domain)) unreserveBelow(iopt, domain)
  if (!reservesAbove(domain)) return
  iopt.unreserve(nextHi(apertureLastHi, apertureLastLo), nextLo(apertureLastLo), -1, -1)
}

function reservesBelow(domain: IommuDomain): boolean {
  return isAfter(domain.apertureStartHi, domain.apertureStartLo, 0, 0)
}

function reservesAbove(domain: IommuDomain): boolean {
  return isAfter(-1, -1, domain.apertureLastHi, domain.apertureLastLo)
}

function reserveBelow(iopt: IoPagetable, domain: IommuDomain): number {
  const { apertureStartHi: hi, apertureStartLo: lo } = domain
  return iopt.reserve(0, 0, previousHi(hi, lo), previousLo(lo))
}

function unreserveBelow(iopt: IoPagetable, domain: IommuDomain): void {
  const { apertureStartHi: hi, apertureStartLo: lo } = domain
  iopt.unreserve(0, 0, previousHi(hi, lo), previousLo(lo))
}
