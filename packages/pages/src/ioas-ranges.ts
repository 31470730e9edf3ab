// SPDX-License-Identifier: Apache-2.0
/**
 * The commands about usable IOVAs: IOAS_IOVA_RANGES and IOAS_ALLOW_IOVAS (SPEC C3, C5).
 *
 * Invariant: ranges are inclusive at both ends. The allowed list is replaced whole or not at all.
 */
import { isAfter, nextHi, nextLo, sumHi, type Ucmd } from '@iommufd/core'
import {
  ENOENT,
  iommu_ioas_allow_iovas,
  iommu_ioas_iova_ranges,
  iommu_iova_range,
} from '@iommufd/uapi'
import type { IoPagetable } from './io-pagetable.js'
import { IOAS } from './ioas.js'
import { RangeTree } from './range-tree.js'
import {
  ALLOWED_RANGE_EMPTY,
  ALLOWED_RANGES_OVERLAP,
  RANGES_DO_NOT_FIT,
  RESERVED_NOT_ZERO,
} from './refusals.js'

const ENTRY_BYTES = iommu_iova_range.size
/** One entry of a list on its way: start low, start high, last low, last high. */
const entry = new Int32Array(ENTRY_BYTES / 4)
const entryBytes = new Uint8Array(entry.buffer)

export function ioasIovaRanges(ucmd: Ucmd): number {
  const { at } = iommu_ioas_iova_ranges
  const { ctx } = ucmd
  const { refusals } = ctx.engine
  const reserved = ucmd.word(at.__reserved)
  if (reserved !== 0) return refusals.refuse(RESERVED_NOT_ZERO, reserved)
  const ioas = ctx.find(ucmd.word(at.ioas_id), IOAS)
  if (ioas === undefined) return -ENOENT
  const room = ucmd.u32(at.num_iovas)
  const count = writeRanges(ucmd, ioas.iopt, room)
  if (count < 0) return count
  ucmd.setWord(at.num_iovas, count)
  ucmd.setU64(at.out_iova_alignment, 0, ioas.iopt.alignment)
  const rc = ucmd.respond(iommu_ioas_iova_ranges.size)
  if (rc < 0) return rc
  return count > room ? refusals.refuse(RANGES_DO_NOT_FIT, room | 0, count) : 0
}

/** Writes the gaps between reserved ranges, as many as there is room for: how many there are. */
function writeRanges(ucmd: Ucmd, iopt: IoPagetable, room: number): number {
  const tree = iopt.reserved.tree
  let count = 0
  let hi = 0
  let lo = 0
  while (tree.findHole(hi, lo, 0, 0)) {
    if (count < room) {
      setEntry(tree.holeStartHi, tree.holeStartLo, tree.holeLastHi, tree.holeLastLo)
      const rc = writeEntry(ucmd, count)
      if (rc < 0) return rc
    }
    count++
    if (tree.holeLastHi === -1 && tree.holeLastLo === -1) break
    hi = nextHi(tree.holeLastHi, tree.holeLastLo)
    lo = nextLo(tree.holeLastLo)
  }
  return count
}

function setEntry(startHi: number, startLo: number, lastHi: number, lastLo: number): void {
  entry[0] = startLo
  entry[1] = startHi
  entry[2] = lastLo
  entry[3] = lastHi
}

function writeEntry(ucmd: Ucmd, index: number): number {
  const { at } = iommu_ioas_iova_ranges
  const listLo = ucmd.lo(at.allowed_iovas)
  const offset = index * ENTRY_BYTES
  const hi = sumHi(ucmd.hi(at.allowed_iovas), listLo, 0, offset)
  const { engine } = ucmd.ctx
  return engine.copyToUser(ucmd.task, hi, (listLo + offset) | 0, entryBytes, 0, ENTRY_BYTES)
}

export function ioasAllowIovas(ucmd: Ucmd): number {
  const { at } = iommu_ioas_allow_iovas
  const { ctx } = ucmd
  const reserved = ucmd.word(at.__reserved)
  if (reserved !== 0) return ctx.engine.refusals.refuse(RESERVED_NOT_ZERO, reserved)
  const ioas = ctx.find(ucmd.word(at.ioas_id), IOAS)
  if (ioas === undefined) return -ENOENT
  const allowed = new RangeTree()
  const count = ucmd.u32(at.num_iovas)
  for (let index = 0; index < count; index++) {
    const rc = readEntry(ucmd, index) || addAllowed(ucmd, allowed, index)
    if (rc < 0) return rc
  }
  return ioas.iopt.setAllowed(allowed)
}

function readEntry(ucmd: Ucmd, index: number): number {
  const { at } = iommu_ioas_allow_iovas
  const listLo = ucmd.lo(at.allowed_iovas)
  const offset = index * ENTRY_BYTES
  const offsetHi = Math.floor(offset / 0x100000000)
  const hi = sumHi(ucmd.hi(at.allowed_iovas), listLo, offsetHi, offset | 0)
  const { engine } = ucmd.ctx
  return engine.copyFromUser(ucmd.task, hi, (listLo + offset) | 0, entryBytes, 0, ENTRY_BYTES)
}

function addAllowed(ucmd: Ucmd, allowed: RangeTree, index: number): number {
  const { engine } = ucmd.ctx
  const startLo = entry[0] as number
  const startHi = entry[1] as number
  const lastLo = entry[2] as number
  const lastHi = entry[3] as number
  const site = isAfter(lastHi, lastLo, startHi, startLo)
    ? ALLOWED_RANGES_OVERLAP
    : ALLOWED_RANGE_EMPTY
  if (site === ALLOWED_RANGE_EMPTY || allowed.insert(startHi, startLo, lastHi, lastLo, 0) !== 0) {
    return engine.refusals.refuse(site, startHi, startLo, lastHi, lastLo, index)
  }
  return engine.allocate()
}
