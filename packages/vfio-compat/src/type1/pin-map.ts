// SPDX-License-Identifier: Apache-2.0
/**
 * Pinning the pages of a mapping and putting them into page tables (SPEC V14 to V17).
 *
 * Invariant: a mapping is in every page table of the container or, after a refusal, in none, and
 * then nothing of it is pinned or charged. Frames are stored nowhere but in the page tables. A page
 * that an emulated device holds is charged once. Undoing never fails.
 */
import { pageHi, pageLo } from '@iommufd/core'
import { AREA_WRITE } from '@iommufd/pages'
import { chargeType1, unchargeType1 } from './account.js'
import type { Type1Iommu } from './iommu.js'
import type { Mapping } from './mapping.js'
import { TYPE1_DRIVER_REFUSED, TYPE1_PAGES_BAD } from './refusals.js'
import type { Type1Table } from './table.js'

const BATCH = 512
const frames = new Uint32Array(BATCH)

/** Pins the mapping and fills `tables` with it: 0, or a negative errno and nothing is done. */
export function pinAndMap(
  iommu: Type1Iommu,
  mapping: Mapping,
  tables: readonly Type1Table[],
): number {
  for (let at = 0; at < mapping.pages; ) {
    const n = pinSome(iommu, mapping, at, Math.min(BATCH, mapping.pages - at))
    const rc = n < 0 ? n : chargeAndMap(iommu, mapping, tables, at, n)
    if (rc < 0) {
      unmapAndUnpin(iommu, mapping, tables, at, true)
      return rc
    }
    at += n
  }
  mapping.isMapped = true
  return 0
}

/** Fills one more page table with a mapping that others have: 0, or a negative errno. */
export function mapInto(
  iommu: Type1Iommu,
  mapping: Mapping,
  from: Type1Table,
  table: Type1Table,
): number {
  for (let at = 0; at < mapping.pages; ) {
    const n = Math.min(BATCH, mapping.pages - at)
    from.readFrames(mapping.first + at, frames, n)
    const rc = mapBatch(iommu, mapping, [table], at, n)
    if (rc < 0) {
      unmapFrom(mapping, table, at)
      return rc
    }
    at += n
  }
  return 0
}

/** Takes the first `pages` pages of a mapping out of one page table. */
export function unmapFrom(mapping: Mapping, table: Type1Table, pages: number): void {
  if (pages > 0) table.unmap(mapping.first, pages)
}

/**
 * Takes the first `pages` pages out of all page tables and unpins them; `accounts`: and gives back
 * what was charged for them. They are unmapped at once, as page tables need not be cut where they
 * were mapped in one piece.
 */
export function unmapAndUnpin(
  iommu: Type1Iommu,
  mapping: Mapping,
  tables: readonly Type1Table[],
  pages: number,
  accounts: boolean,
): void {
  const [storage] = tables
  mapping.isMapped = false
  if (storage === undefined || pages === 0) return
  const held = new Uint32Array(pages)
  storage.readFrames(mapping.first, held, pages)
  for (const table of tables) unmapFrom(mapping, table, pages)
  if (accounts) unchargeType1(iommu, mapping.mm, chargedPages(mapping, 0, pages))
  unpinBatch(iommu, mapping, held, 0, pages)
}

/** Pins up to `most` pages of the process into `frames`: how many, or a negative errno. */
function pinSome(iommu: Type1Iommu, mapping: Mapping, at: number, most: number): number {
  const { engine } = iommu
  if (engine.faults.hit()) return engine.injectFault()
  const page = mapping.userPage + at
  const write = (mapping.prot & AREA_WRITE) !== 0
  const pinned = mapping.mm.pin(pageHi(page), pageLo(page), most, write, frames, 0)
  return pinned > 0 ? pinned : deviceFrame(iommu, mapping, at)
}

/** A page that cannot be pinned may be a device's: that is how type 1 lets devices reach each other. */
function deviceFrame(iommu: Type1Iommu, mapping: Mapping, at: number): number {
  const page = mapping.userPage + at
  const frame = iommu.options.deviceFrame?.(mapping.task, pageHi(page), pageLo(page)) ?? -1
  if (frame < 0) {
    return iommu.engine.refusals.refuse(TYPE1_PAGES_BAD, page / 2 ** 32, page | 0)
  }
  mapping.devicePages.add(at)
  frames[0] = frame
  return 1
}

function chargeAndMap(
  iommu: Type1Iommu,
  mapping: Mapping,
  tables: readonly Type1Table[],
  at: number,
  n: number,
): number {
  const pages = chargedPages(mapping, at, n)
  const rc = pages === 0 ? 0 : chargeType1(iommu, mapping, pages)
  if (rc < 0) {
    unpinBatch(iommu, mapping, frames, at, n)
    return rc
  }
  const mapped = mapBatch(iommu, mapping, tables, at, n)
  if (mapped < 0) {
    unpinBatch(iommu, mapping, frames, at, n)
    unchargeType1(iommu, mapping.mm, pages)
  }
  return mapped
}

/** Maps `frames` into each page table, or into none. */
function mapBatch(
  iommu: Type1Iommu,
  mapping: Mapping,
  tables: readonly Type1Table[],
  at: number,
  n: number,
): number {
  const page = mapping.first + at
  for (const [done, table] of tables.entries()) {
    const rc = iommu.engine.allocate() || table.map(page, frames, n, mapping.prot)
    if (rc === 0) continue
    for (const mapped of tables.slice(0, done)) unmapBatch(mapping, mapped, at, n)
    return refuseForTable(iommu, rc)
  }
  return 0
}

function unmapBatch(mapping: Mapping, table: Type1Table, at: number, n: number): void {
  table.unmap(mapping.first + at, n)
}

/** Unpins frames of the mapping's pages from `at` on, but for those that are a device's own. */
function unpinBatch(
  iommu: Type1Iommu,
  mapping: Mapping,
  held: Uint32Array,
  at: number,
  n: number,
): void {
  for (let i = 0; i < n; i++) {
    if (!mapping.devicePages.delete(at + i)) iommu.engine.host.unpin(held, i, 1)
  }
}

/** Pages that are charged for being mapped: not a device's own, nor those an emulated device holds. */
function chargedPages(mapping: Mapping, at: number, n: number): number {
  let pages = n
  for (let i = at; i < at + n; i++) {
    if (mapping.devicePages.has(i) || mapping.pinned.has(i)) pages--
  }
  return pages
}

/** A page table's own errno, with a refusal recorded unless it has recorded one. */
export function refuseForTable({ engine }: Type1Iommu, rc: number): number {
  const { refusals } = engine
  if (refusals.site?.errno === -rc) return rc
  return refusals.refuse({ ...TYPE1_DRIVER_REFUSED, errno: -rc })
}
