// SPDX-License-Identifier: Apache-2.0
/**
 * Mapping what is mapped already, here or in another address space (SPEC C4).
 *
 * Invariant: a copy shares pages with its source, so memory is pinned and charged once. A source
 * range may be any part of an area or run over several; a copy has an area for each. The copy is
 * whole or refused: what was inserted before a refusal is taken out again.
 */
import {
  differenceHi,
  nextHi,
  nextLo,
  previousHi,
  previousLo,
  sumHi,
  sumWraps,
} from '@iommufd/core'
import type { ContigIter } from './contig-iter.js'
import type { IoPagetable } from './io-pagetable.js'
import { insertArea, type MapRequest, place } from './iopt-map.js'
import { removeArea } from './iopt-unmap.js'
import { IOVA_WRAPS, LENGTH_ZERO, SOURCE_NOT_MAPPED } from './refusals.js'

/** A part of memory that is mapped without a hole. */
export interface Piece {
  readonly pages: number
  readonly startHi: number
  readonly startLo: number
  readonly lengthHi: number
  readonly lengthLo: number
}

/**
 * What `source` shows of the request's length from (iovaHi, iovaLo) on, which must have no hole: the
 * pieces, each with a reference to its pages, or a negative errno.
 */
export function collectPieces(
  source: IoPagetable,
  iovaHi: number,
  iovaLo: number,
  request: MapRequest,
): Piece[] | number {
  const { refusals } = source.engine
  const { lengthHi, lengthLo } = request
  if (lengthHi === 0 && lengthLo === 0) return refusals.refuse(LENGTH_ZERO, iovaHi, iovaLo)
  const lengthM1Hi = previousHi(lengthHi, lengthLo)
  const lengthM1Lo = previousLo(lengthLo)
  if (sumWraps(iovaHi, iovaLo, lengthM1Hi, lengthM1Lo)) {
    return refusals.refuse(IOVA_WRAPS, iovaHi, iovaLo, lengthHi, lengthLo)
  }
  const endHi = sumHi(iovaHi, iovaLo, lengthM1Hi, lengthM1Lo)
  const iter = source.contig
  let ok = iter.begin(iovaHi, iovaLo, endHi, (iovaLo + lengthM1Lo) | 0)
  const pieces: Piece[] = []
  for (; ok; ok = iter.next()) pieces.push(pieceOf(source, iter))
  if (iter.isDone) {
    for (const piece of pieces) source.tables.pages.get(piece.pages)
    return pieces
  }
  const { iovaHi: hi, iovaLo: lo } = iter
  return refusals.refuse(SOURCE_NOT_MAPPED, iovaHi, iovaLo, lengthHi, lengthLo, hi, lo)
}

/** The memory that the walk's present part shows. */
function pieceOf(source: IoPagetable, iter: ContigIter): Piece {
  const spanHi = differenceHi(iter.lastHi, iter.lastLo, iter.iovaHi, iter.iovaLo)
  const spanLo = (iter.lastLo - iter.iovaLo) | 0
  return {
    pages: source.tables.areas.pages[iter.area] as number,
    startHi: iter.startHi,
    startLo: iter.startLo,
    lengthHi: nextHi(spanHi, spanLo),
    lengthLo: nextLo(spanLo),
  }
}

/** Gives back the references that collectPieces took. */
export function releasePieces(source: IoPagetable, pieces: readonly Piece[]): void {
  for (const piece of pieces) source.tables.pages.put(piece.pages)
}

/** Maps the pieces one behind the other: 0, or a negative errno and nothing is mapped. */
export function mapPieces(
  iopt: IoPagetable,
  pieces: readonly Piece[],
  request: MapRequest,
): number {
  const first = pieces[0] as Piece
  // Only bits below the largest alignment matter, so the low word of the address will do.
  const startLo = (iopt.tables.pages.baseLo(first.pages) + first.startLo) | 0
  const rc = place(iopt, 0, startLo, request)
  if (rc < 0) return rc
  let iovaHi = request.iovaHi
  let iovaLo = request.iovaLo
  for (const [done, piece] of pieces.entries()) {
    const { pages, startHi, startLo, lengthHi, lengthLo } = piece
    const { prot } = request
    const inserted = insertArea(
      iopt,
      pages,
      startHi,
      startLo,
      iovaHi,
      iovaLo,
      lengthHi,
      lengthLo,
      prot,
    )
    if (inserted < 0) {
      removeFirst(iopt, request, done)
      return inserted
    }
    iovaHi = sumHi(iovaHi, iovaLo, lengthHi, lengthLo)
    iovaLo = (iovaLo + lengthLo) | 0
  }
  return 0
}

/** Undoes the first `count` insertions of a request. */
function removeFirst(iopt: IoPagetable, request: MapRequest, count: number): void {
  let { iovaHi, iovaLo } = request
  for (let i = 0; i < count; i++) {
    const pos = iopt.areas.at(iovaHi, iovaLo)
    const lastHi = iopt.areas.lastHi(pos)
    const lastLo = iopt.areas.lastLo(pos)
    removeArea(iopt, pos)
    iovaHi = nextHi(lastHi, lastLo)
    iovaLo = nextLo(lastLo)
  }
}
