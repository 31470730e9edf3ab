// SPDX-License-Identifier: Apache-2.0
/**
 * Choosing an IOVA (SPEC C7): the lowest that fits, exactly as Linux chooses it.
 *
 * Invariant: the result is that of walking every gap between areas and reserved ranges in every
 * allowed range from PAGE_SIZE to 2^64-1-PAGE_SIZE. It is found by leaping: a gap of both is inside
 * a gap of each, and each tree finds its next large enough gap in O(log n). Alignment is applied to
 * the gap's start and the memory's offset in its page is OR-ed in, so a candidate may fail; then the
 * search goes on behind the gap.
 */
import { differenceHi, isAfter, nextHi, nextLo } from '@iommufd/core'
import { PAGE_SIZE } from '@iommufd/uapi'
import type { RangeTree } from './range-tree.js'

const TOP_LO = -1 - PAGE_SIZE

export class IovaSearch {
  readonly #areas: RangeTree
  readonly #reserved: RangeTree
  /** The IOVA found. */
  iovaHi = 0
  iovaLo = 0
  #lengthM1Hi = 0
  #lengthM1Lo = 0
  #alignment = 1
  #pageOffset = 0

  constructor(areas: RangeTree, reserved: RangeTree) {
    this.#areas = areas
    this.#reserved = reserved
  }

  /**
   * Looks for length - 1 = (lengthM1Hi, lengthM1Lo) bytes; `alignment` is a power of two up to 1 GiB.
   * An empty `allowed` allows everything. True: the IOVA is in iovaHi and iovaLo.
   */
  find(
    allowed: RangeTree,
    lengthM1Hi: number,
    lengthM1Lo: number,
    alignment: number,
    pageOffset: number,
  ): boolean {
    this.#lengthM1Hi = lengthM1Hi
    this.#lengthM1Lo = lengthM1Lo
    this.#alignment = alignment
    this.#pageOffset = pageOffset
    if (allowed.size === 0) return this.#findFitting(0, PAGE_SIZE, -1, TOP_LO)
    let pos = allowed.from(0, PAGE_SIZE)
    while (pos >= 0) {
      const end = lastTouching(allowed, pos)
      if (this.#findInAllowed(allowed, pos, end)) return true
      pos = allowed.next(end)
    }
    return false
  }

  /** Within what the ranges from `first` to `end`, which touch each other, allow together. */
  #findInAllowed(allowed: RangeTree, first: number, end: number): boolean {
    let startHi = allowed.startHi(first)
    let startLo = allowed.startLo(first)
    let lastHi = allowed.lastHi(end)
    let lastLo = allowed.lastLo(end)
    if (isAfter(0, PAGE_SIZE, startHi, startLo)) {
      startHi = 0
      startLo = PAGE_SIZE
    }
    if (isAfter(lastHi, lastLo, -1, TOP_LO)) {
      lastHi = -1
      lastLo = TOP_LO
    }
    if (isAfter(startHi, startLo, lastHi, lastLo)) return false
    return this.#findFitting(startHi, startLo, lastHi, lastLo)
  }

  /**
   * In the allowed [start, last], from its first aligned address on. As in Linux gaps are clipped
   * there, which shows where a gap begins below that address: it counts as beginning at it.
   */
  #findFitting(startHi: number, startLo: number, lastHi: number, lastLo: number): boolean {
    return (
      this.#fits(startHi, startLo, lastHi, lastLo) &&
      this.#findWithin(this.iovaHi, this.iovaLo, lastHi, lastLo)
    )
  }

  /** The lowest candidate in a gap of both trees inside [start, last]. */
  #findWithin(startHi: number, startLo: number, lastHi: number, lastLo: number): boolean {
    const areas = this.#areas
    const reserved = this.#reserved
    let hi = startHi
    let lo = startLo
    for (;;) {
      if (!areas.findHole(hi, lo, this.#lengthM1Hi, this.#lengthM1Lo)) return false
      hi = areas.holeStartHi
      lo = areas.holeStartLo
      if (!reserved.findHole(hi, lo, this.#lengthM1Hi, this.#lengthM1Lo)) return false
      hi = reserved.holeStartHi
      lo = reserved.holeStartLo
      // As in Linux: the last byte of a gap is never a start, not even for a single byte.
      if (!isAfter(lastHi, lastLo, hi, lo)) return false
      if (isAfter(hi, lo, areas.holeLastHi, areas.holeLastLo)) continue
      const endsInAreas = isAfter(
        reserved.holeLastHi,
        reserved.holeLastLo,
        areas.holeLastHi,
        areas.holeLastLo,
      )
      const gap = endsInAreas ? areas : reserved
      const gapHi = gap.holeLastHi
      const gapLo = gap.holeLastLo
      if (!isAfter(lastHi, lastLo, gapHi, gapLo)) return this.#fits(hi, lo, lastHi, lastLo)
      if (this.#fits(hi, lo, gapHi, gapLo)) return true
      hi = nextHi(gapHi, gapLo)
      lo = nextLo(gapLo)
    }
  }

  /** Whether the gap [start, last] holds the length once its start is aligned; keeps the IOVA. */
  #fits(startHi: number, startLo: number, lastHi: number, lastLo: number): boolean {
    if (!this.#isLongEnough(startHi, startLo, lastHi, lastLo)) return false
    const aligned = (startLo + this.#alignment - 1) & -this.#alignment
    const carries = aligned >>> 0 < startLo >>> 0
    if (carries && startHi === -1) return false
    const hi = carries ? (startHi + 1) | 0 : startHi
    const lo = aligned | this.#pageOffset
    // As in Linux: the last byte of a gap is never a start, not even for a single byte.
    if (!isAfter(lastHi, lastLo, hi, lo)) return false
    if (!this.#isLongEnough(hi, lo, lastHi, lastLo)) return false
    this.iovaHi = hi
    this.iovaLo = lo
    return true
  }

  #isLongEnough(startHi: number, startLo: number, lastHi: number, lastLo: number): boolean {
    const spanHi = differenceHi(lastHi, lastLo, startHi, startLo)
    return !isAfter(this.#lengthM1Hi, this.#lengthM1Lo, spanHi, (lastLo - startLo) | 0)
  }
}

/** The last of the ranges that follow `pos` without a gap. */
function lastTouching(allowed: RangeTree, pos: number): number {
  let last = pos
  for (let next = allowed.next(last); next >= 0; next = allowed.next(last)) {
    const hi = allowed.lastHi(last)
    const lo = allowed.lastLo(last)
    if (allowed.startHi(next) !== nextHi(hi, lo) || allowed.startLo(next) !== nextLo(lo)) break
    last = next
  }
  return last
}
