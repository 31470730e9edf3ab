// SPDX-License-Identifier: Apache-2.0
/**
 * Mapping memory into an address space (SPEC C6, L8).
 *
 * Invariant: a request is placed whole before anything is inserted; a request that is refused leaves
 * no area and no reference behind. Nothing is pinned while no domain needs the frames, so memory
 * that is not there is accepted here and refused when something pins it. Only a dma-buf is attached to
 * at once, so one that is gone is refused here.
 */

import { isAfter, previousHi, previousLo, sumHi, sumWraps } from '@iommufd/core'
import type { File, Task } from '@iommufd/host'
import { PAGE_SIZE } from '@iommufd/uapi'
import { AREA_WRITE } from './area-table.js'
import { viewArea } from './area-view.js'
import { DMABUF_TOO_SHORT } from './dma-buf-refusals.js'
import { fillArea } from './domain-fill.js'
import type { IoPagetable } from './io-pagetable.js'
import { forgetArea } from './iopt-unmap.js'
import {
  IOVA_WRAPS,
  LENGTH_MISALIGNED,
  LENGTH_UNUSABLE,
  OFFSET_MISALIGNED,
  PAGES_READ_ONLY,
  USER_RANGE_WRAPS,
} from './refusals.js'

/** What is to be mapped, and where. One is reused for all calls, so that a call makes no object. */
export class MapRequest {
  /** Chosen by the caller, or (after the call) by the kernel. */
  iovaHi = 0
  iovaLo = 0
  /** Bytes. */
  lengthHi = 0
  lengthLo = 0
  isFixed = false
  /** AREA_READ and AREA_WRITE. */
  prot = 0
}

/** Maps user memory of `task` at (userHi, userLo): 0 or a negative errno. */
export function mapUser(
  iopt: IoPagetable,
  task: Task,
  accountsMm: boolean,
  userHi: number,
  userLo: number,
  request: MapRequest,
): number {
  const { lengthHi, lengthLo } = request
  if (sumWraps(userHi, userLo, lengthHi, lengthLo)) {
    const { refusals } = iopt.engine
    return refusals.refuse(USER_RANGE_WRAPS, userHi, userLo, lengthHi, lengthLo)
  }
  const rc = checkLength(iopt, lengthHi, lengthLo)
  if (rc < 0) return rc
  const { pages: table } = iopt.tables
  const isWritable = (request.prot & AREA_WRITE) !== 0
  const pages = table.createUser(task, accountsMm, userHi, userLo, isWritable)
  const mapped = mapNew(iopt, pages, userHi, userLo, request)
  table.put(pages)
  return mapped
}

/** Maps a file from the byte (startHi, startLo) on: 0 or a negative errno. */
export function mapFile(
  iopt: IoPagetable,
  task: Task,
  accountsMm: boolean,
  file: File,
  startHi: number,
  startLo: number,
  request: MapRequest,
): number {
  const { lengthHi, lengthLo } = request
  const rc =
    checkFileRange(iopt, file, startHi, startLo, request) || checkLength(iopt, lengthHi, lengthLo)
  if (rc < 0) return rc
  const { pages: table } = iopt.tables
  const { dmaBuf } = file.ops
  const writable = (request.prot & AREA_WRITE) !== 0
  const pages =
    dmaBuf === undefined
      ? table.createFile(task, accountsMm, file, startHi, startLo, writable)
      : table.createDmaBuf(task, accountsMm, file, dmaBuf, startHi, startLo, writable)
  if (pages < 0) return pages
  const mapped = mapNew(iopt, pages, startHi, startLo, request)
  table.put(pages)
  return mapped
}

/** The range must not wrap, and lie within a dma-buf; what other files have is seen when it is pinned. */
function checkFileRange(
  iopt: IoPagetable,
  file: File,
  startHi: number,
  startLo: number,
  request: MapRequest,
): number {
  const { refusals } = iopt.engine
  const { lengthHi, lengthLo } = request
  if (lengthHi === 0 && lengthLo === 0) return 0
  const lengthM1Hi = previousHi(lengthHi, lengthLo)
  const lengthM1Lo = previousLo(lengthLo)
  if (sumWraps(startHi, startLo, lengthM1Hi, lengthM1Lo)) {
    return refusals.refuse(USER_RANGE_WRAPS, startHi, startLo, lengthHi, lengthLo)
  }
  const size = file.ops.dmaBuf?.size
  if (size === undefined) return 0
  const lastHi = sumHi(startHi, startLo, lengthM1Hi, lengthM1Lo)
  const sizeHi = Math.floor(size / 2 ** 32) | 0
  const lastLo = (startLo + lengthM1Lo) | 0
  if (isAfter(sizeHi, size | 0, lastHi, lastLo)) return 0
  return refusals.refuse(DMABUF_TOO_SHORT, startHi, startLo, lengthHi, lengthLo, sizeHi, size | 0)
}

/** Length 0 and lengths within a page of 2^64 can't be mapped. */
function checkLength(iopt: IoPagetable, lengthHi: number, lengthLo: number): number {
  const isZero = lengthHi === 0 && lengthLo === 0
  if (isZero || isAfter(lengthHi, lengthLo, -1, -1 - PAGE_SIZE)) {
    return iopt.engine.refusals.refuse(LENGTH_UNUSABLE, lengthHi, lengthLo)
  }
  return iopt.engine.allocate()
}

/** Maps new pages, whose byte 0 begins the page that holds (startHi, startLo). */
function mapNew(
  iopt: IoPagetable,
  pages: number,
  startHi: number,
  startLo: number,
  request: MapRequest,
): number {
  const rc = place(iopt, startHi, startLo, request)
  if (rc < 0) return rc
  const offset = startLo & (PAGE_SIZE - 1)
  const { iovaHi, iovaLo, lengthHi, lengthLo, prot } = request
  return insertArea(iopt, pages, 0, offset, iovaHi, iovaLo, lengthHi, lengthLo, prot)
}

/** Finds or checks the request's IOVA and stores it there: 0 or a negative errno. */
export function place(
  iopt: IoPagetable,
  startHi: number,
  startLo: number,
  request: MapRequest,
): number {
  const { lengthHi, lengthLo } = request
  if ((lengthLo & (iopt.alignment - 1)) !== 0) {
    const { refusals } = iopt.engine
    return refusals.refuse(LENGTH_MISALIGNED, lengthHi, lengthLo, iopt.alignment)
  }
  const rc = request.isFixed
    ? iopt.placeFixed(request.iovaHi, request.iovaLo, lengthHi, lengthLo)
    : iopt.placeAuto(startHi, startLo, lengthHi, lengthLo)
  if (rc < 0) return rc
  request.iovaHi = iopt.iovaHi
  request.iovaLo = iopt.iovaLo
  return 0
}

/** Inserts one area at a placed IOVA; it takes a reference to the pages. */
export function insertArea(
  iopt: IoPagetable,
  pages: number,
  startHi: number,
  startLo: number,
  iovaHi: number,
  iovaLo: number,
  lengthHi: number,
  lengthLo: number,
  prot: number,
): number {
  const { engine, tables } = iopt
  if ((prot & AREA_WRITE) !== 0 && !tables.pages.isWritable(pages)) {
    return engine.refusals.refuse(PAGES_READ_ONLY)
  }
  const offset = startLo & (PAGE_SIZE - 1)
  if ((offset & (iopt.alignment - 1)) !== 0) {
    return engine.refusals.refuse(OFFSET_MISALIGNED, offset, iopt.alignment)
  }
  const lengthM1Hi = previousHi(lengthHi, lengthLo)
  const lengthM1Lo = previousLo(lengthLo)
  if (sumWraps(iovaHi, iovaLo, lengthM1Hi, lengthM1Lo)) {
    return engine.refusals.refuse(IOVA_WRAPS, iovaHi, iovaLo, lengthHi, lengthLo)
  }
  const rc = engine.allocate()
  if (rc < 0) return rc
  tables.pages.get(pages)
  const area = tables.areas.create(pages, startHi, startLo, prot)
  const lastHi = sumHi(iovaHi, iovaLo, lengthM1Hi, lengthM1Lo)
  iopt.areas.insert(iovaHi, iovaLo, lastHi, (iovaLo + lengthM1Lo) | 0, area)
  return iopt.domains.length === 0 ? 0 : fillNew(iopt, iovaHi, iovaLo)
}

/** Fills the domains with the area that has just been inserted, or takes it out again. */
function fillNew(iopt: IoPagetable, iovaHi: number, iovaLo: number): number {
  const pos = iopt.areas.at(iovaHi, iovaLo)
  const rc = fillArea(viewArea(iopt, pos))
  if (rc < 0) forgetArea(iopt, pos)
  return rc
}
