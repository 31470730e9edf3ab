// SPDX-License-Identifier: Apache-2.0
/**
 * How often each address is covered, for ranges that may overlap (SPEC E1, E4).
 *
 * Invariant: the tree holds disjoint ranges whose value is the number of added ranges that cover
 * them, at least 1; neighbours that touch have different counts. So the union of everything added
 * is the tree, its gaps are what nobody covers, and removing what was added restores the former
 * state whatever came between. Used for reserved ranges (bytes) and for pinned pages (an index i
 * stands for the bytes of page i).
 */
import { isAfter, nextHi, nextLo, previousHi, previousLo } from '@iommufd/core'
import { RangeTree } from './range-tree.js'

export class Coverage {
  readonly tree: RangeTree = new RangeTree()

  get isEmpty(): boolean {
    return this.tree.size === 0
  }

  /** Whether any address of [start, last] is covered. */
  intersects(startHi: number, startLo: number, lastHi: number, lastLo: number): boolean {
    return intersects(this.tree, startHi, startLo, lastHi, lastLo)
  }

  /** Covers [start, last] once more. */
  add(startHi: number, startLo: number, lastHi: number, lastLo: number): void {
    this.#splitAt(startHi, startLo)
    this.#splitAfter(lastHi, lastLo)
    this.#raise(startHi, startLo, lastHi, lastLo)
    this.#joinEnds(startHi, startLo, lastHi, lastLo)
  }

  /** Takes one covering of [start, last] back; it must have been added. */
  remove(startHi: number, startLo: number, lastHi: number, lastLo: number): void {
    this.#splitAt(startHi, startLo)
    this.#splitAfter(lastHi, lastLo)
    this.#lower(startHi, startLo, lastHi, lastLo)
    this.#joinEnds(startHi, startLo, lastHi, lastLo)
  }

  #raise(startHi: number, startLo: number, lastHi: number, lastLo: number): void {
    const tree = this.tree
    let hi = startHi
    let lo = startLo
    for (;;) {
      const pos = tree.from(hi, lo)
      if (pos < 0 || isAfter(tree.startHi(pos), tree.startLo(pos), lastHi, lastLo)) {
        tree.insert(hi, lo, lastHi, lastLo, 1)
        return
      }
      const segmentHi = tree.startHi(pos)
      const segmentLo = tree.startLo(pos)
      const endHi = tree.lastHi(pos)
      const endLo = tree.lastLo(pos)
      tree.setValue(pos, tree.value(pos) + 1)
      if (segmentHi !== hi || segmentLo !== lo) {
        tree.insert(hi, lo, previousHi(segmentHi, segmentLo), previousLo(segmentLo), 1)
      }
      if (endHi === lastHi && endLo === lastLo) return
      hi = nextHi(endHi, endLo)
      lo = nextLo(endLo)
    }
  }

  #lower(startHi: number, startLo: number, lastHi: number, lastLo: number): void {
    const tree = this.tree
    let hi = startHi
    let lo = startLo
    for (;;) {
      const pos = tree.from(hi, lo)
      if (pos < 0 || isAfter(tree.startHi(pos), tree.startLo(pos), lastHi, lastLo)) return
      const reachedHi = tree.lastHi(pos)
      const reachedLo = tree.lastLo(pos)
      const count = tree.value(pos) - 1
      if (count === 0) tree.remove(pos)
      else tree.setValue(pos, count)
      if (reachedHi === lastHi && reachedLo === lastLo) return
      hi = nextHi(reachedHi, reachedLo)
      lo = nextLo(reachedLo)
    }
  }

  /** Makes `address` the start of a range if it lies inside one. */
  #splitAt(hi: number, lo: number): void {
    const tree = this.tree
    const pos = tree.at(hi, lo)
    if (pos < 0) return
    const startHi = tree.startHi(pos)
    const startLo = tree.startLo(pos)
    if (startHi === hi && startLo === lo) return
    const lastHi = tree.lastHi(pos)
    const lastLo = tree.lastLo(pos)
    const count = tree.value(pos)
    tree.remove(pos)
    tree.insert(startHi, startLo, previousHi(hi, lo), previousLo(lo), count)
    tree.insert(hi, lo, lastHi, lastLo, count)
  }

  /** Makes `address` the last of a range if it lies inside one. */
  #splitAfter(hi: number, lo: number): void {
    if (hi === -1 && lo === -1) return
    this.#splitAt(nextHi(hi, lo), nextLo(lo))
  }

  #joinEnds(startHi: number, startLo: number, lastHi: number, lastLo: number): void {
    this.#join(startHi, startLo)
    if (lastHi === -1 && lastLo === -1) return
    this.#join(nextHi(lastHi, lastLo), nextLo(lastLo))
  }

  /** Joins the range that starts at `address` with a touching one before it of the same count. */
  #join(hi: number, lo: number): void {
    const tree = this.tree
    const right = tree.at(hi, lo)
    if (right < 0 || tree.startHi(right) !== hi || tree.startLo(right) !== lo) return
    const left = tree.previous(right)
    if (left < 0 || tree.value(left) !== tree.value(right)) return
    const leftHi = tree.lastHi(left)
    const leftLo = tree.lastLo(left)
    if (nextHi(leftHi, leftLo) !== hi || nextLo(leftLo) !== lo) return
    const startHi = tree.startHi(left)
    const startLo = tree.startLo(left)
    const lastHi = tree.lastHi(right)
    const lastLo = tree.lastLo(right)
    const count = tree.value(left)
    tree.remove(right)
    tree.remove(tree.at(startHi, startLo))
    tree.insert(startHi, startLo, lastHi, lastLo, count)
  }
}

/** Whether a range of the tree holds an address of [start, last]. */
export function intersects(
  tree: RangeTree,
  startHi: number,
  startLo: number,
  lastHi: number,
  lastLo: number,
): boolean {
  const pos = tree.from(startHi, startLo)
  return pos >= 0 && !isAfter(tree.startHi(pos), tree.startLo(pos), lastHi, lastLo)
}
