// SPDX-License-Identifier: Apache-2.0
/**
 * Walking a range of IOVAs area by area, as long as there is no hole (SPEC E1).
 *
 * Invariant: while `begin` and `next` return true, [iova, last] is the part of the wanted range that
 * the present area shows, and (startHi, startLo) the byte of its pages where that part begins. The
 * walk is complete only if `isDone`; otherwise the IOVA where it stopped is not mapped.
 */
import { differenceHi, isAfter, nextHi, nextLo, sumHi } from '@iommufd/core'
import type { AreaTable } from './area-table.js'
import type { RangeTree } from './range-tree.js'

export class ContigIter {
  readonly #tree: RangeTree
  readonly #areas: AreaTable
  /** Number of the present area. */
  area = -1
  iovaHi = 0
  iovaLo = 0
  lastHi = 0
  lastLo = 0
  startHi = 0
  startLo = 0
  isDone = false
  #endHi = 0
  #endLo = 0

  constructor(tree: RangeTree, areas: AreaTable) {
    this.#tree = tree
    this.#areas = areas
  }

  /** Begins at `iova`; the wanted range ends with (endHi, endLo). */
  begin(iovaHi: number, iovaLo: number, endHi: number, endLo: number): boolean {
    this.#endHi = endHi
    this.#endLo = endLo
    this.isDone = false
    return this.#enter(iovaHi, iovaLo)
  }

  next(): boolean {
    if (this.endsRange) {
      this.isDone = true
      return false
    }
    return this.#enter(nextHi(this.lastHi, this.lastLo), nextLo(this.lastLo))
  }

  /** Whether the present part is the last of the wanted range. */
  get endsRange(): boolean {
    return this.lastHi === this.#endHi && this.lastLo === this.#endLo
  }

  #enter(iovaHi: number, iovaLo: number): boolean {
    const tree = this.#tree
    this.iovaHi = iovaHi
    this.iovaLo = iovaLo
    const pos = tree.at(iovaHi, iovaLo)
    if (pos < 0) return false
    const isLast = !isAfter(this.#endHi, this.#endLo, tree.lastHi(pos), tree.lastLo(pos))
    this.lastHi = isLast ? this.#endHi : tree.lastHi(pos)
    this.lastLo = isLast ? this.#endLo : tree.lastLo(pos)
    this.area = tree.value(pos)
    this.#locate(tree.startHi(pos), tree.startLo(pos))
    return true
  }

  #locate(areaHi: number, areaLo: number): void {
    const { startHi, startLo } = this.#areas
    const intoHi = differenceHi(this.iovaHi, this.iovaLo, areaHi, areaLo)
    const intoLo = (this.iovaLo - areaLo) | 0
    const first = startLo[this.area] as number
    this.startHi = sumHi(startHi[this.area] as number, first, intoHi, intoLo)
    this.startLo = (first + intoLo) | 0
  }
}
