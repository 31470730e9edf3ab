// SPDX-License-Identifier: Apache-2.0
/**
 * The nodes of a RangeTree: one growable buffer of equal blocks with a free list.
 *
 * A block is 100 doubles: a head of 4 and 32 entries in three lanes. Leaves and inner nodes share
 * the layout, so that shifting, splitting and merging are written once; a block keeps everything
 * about a node together, so that a descent touches one memory page per level. A node is named by
 * the index of its block in `pages`, an entry by the index of its start there; the rest of an entry
 * e is found from e alone:
 *
 *                       in a leaf                           in an inner node
 *   pages[e]            page of the range's first byte      page of the child's separator
 *   pages[lastAt(e)]    page of the range's last byte       bound of the holes under the child
 *   words[valueAt(e)]   the value given to insert           the child
 *   words[offsetsAt(e)] first offset | last offset << 12    offset of the separator
 *
 * A u64 address is a page number (exact as a double, below 2^52) and a byte offset below 4096. The
 * last two words move as one double; their high half is below 2^24, so it is never a NaN, whose
 * bits an engine may alter.
 *
 * Invariants: entries are in ascending order; unused ones have the start Infinity; a child's
 * separator is above every start to its left and not above any start in it; the first separator of
 * a node repeats the node's own (0 at the left edge); nodes of one level are doubly linked; the
 * bound of a node stands in the node and in its parent and is never below the largest hole in front
 * of an entry under it.
 *
 * The numbers of the layout appear only in the one-line accessors: a constant imported from a
 * module costs a load at each use, whereas a method this short is folded into its caller.
 */

/** Entries of a full node. */
export const SLOTS = 32

export class NodeStore {
  /** The buffer as doubles. Replaced when it grows: never keep it across an allocation. */
  pages: Float64Array = new Float64Array(100)
  /** The same buffer as words, the low half of a double first: little-endian machines only. */
  words: Int32Array = new Int32Array(this.pages.buffer)
  root = 0
  /** The rightmost leaf. */
  tail = 0
  /** The length a hole search looks for: rounded bytes, then pages and offset of length - 1. */
  readonly wanted: Float64Array = new Float64Array(3)
  private end = 0
  private freeList = -1

  constructor() {
    this.root = this.allocate(0)
    this.tail = this.root
  }

  /**
   * Index in `pages`: bytes of the largest hole that may lie in front of an entry under the node.
   */
  holeAt(node: number): number {
    return node
  }
  /** Index in `words`, as the next four. */
  countAt(node: number): number {
    return (node << 1) | 2
  }
  /** The parent, -1 for the root. */
  upAt(node: number): number {
    return (node << 1) | 3
  }
  /** The next node of the same level, -1 at the end. */
  nextAt(node: number): number {
    return (node << 1) | 4
  }
  previousAt(node: number): number {
    return (node << 1) | 5
  }
  /** 0 for a leaf. */
  levelAt(node: number): number {
    return (node << 1) | 6
  }
  /** The first entry of a node. */
  firstOf(node: number): number {
    return (node + 4) | 0
  }
  /** The node of an entry, or of the place behind the last entry of a full node. */
  nodeOf(entry: number): number {
    return entry - (entry % 100)
  }
  lastAt(entry: number): number {
    return (entry + 32) | 0
  }
  valueAt(entry: number): number {
    return (entry + 64) << 1
  }
  offsetsAt(entry: number): number {
    return ((entry + 64) << 1) | 1
  }

  /** Offset of the first byte in its page. */
  offset(entry: number): number {
    return this.words[((entry + 64) << 1) | 1] & 4095
  }
  /** Offset of the last byte in its page. */
  lastOffset(entry: number): number {
    return this.words[((entry + 64) << 1) | 1] >> 12
  }

  /** Bytes held, free nodes included. */
  get bytes(): number {
    return this.pages.byteLength
  }

  /** A node without entries, links or parent. */
  allocate(level: number): number {
    let node = this.freeList
    if (node >= 0) {
      this.freeList = this.words[this.nextAt(node)]
    } else {
      if (this.end === this.pages.length) this.grow()
      node = this.end
      this.end += 100
    }
    const words = this.words
    this.pages[this.holeAt(node)] = 0
    words[this.countAt(node)] = 0
    words[this.upAt(node)] = -1
    words[this.nextAt(node)] = -1
    words[this.previousAt(node)] = -1
    words[this.levelAt(node)] = level
    this.pages.fill(Number.POSITIVE_INFINITY, node + 4, node + 36)
    return node
  }

  release(node: number): void {
    this.words[this.nextAt(node)] = this.freeList
    this.freeList = node
  }

  /** Forgets everything. */
  reset(): void {
    this.end = 0
    this.freeList = -1
    this.root = this.allocate(0)
    this.tail = this.root
  }

  /** Gives the memory back if there is much of it. Only for a tree about to be reset. */
  giveBack(): void {
    if (this.pages.length <= 6400) return
    this.pages = new Float64Array(100)
    this.words = new Int32Array(this.pages.buffer)
  }

  // Doubling while small; by less when large, so that what is held stays near what is used.
  private grow(): void {
    const nodes = this.end / 100
    const more = nodes < 16 ? nodes : (nodes * 3) >> 4
    const pages = new Float64Array((nodes + more) * 100)
    pages.set(this.pages)
    this.pages = pages
    this.words = new Int32Array(pages.buffer)
  }

  /** The entry of the parent `up` that holds the child `node`. */
  entryOf(up: number, node: number): number {
    const words = this.words
    let entry = this.firstOf(up)
    while (words[this.valueAt(entry)] !== node) entry++
    return entry
  }

  /**
   * Shifts the entries from `entry` up by one and counts the new entry, which the caller writes.
   */
  open(node: number, entry: number): void {
    const pages = this.pages
    const count = this.words[this.countAt(node)]
    for (let i = this.firstOf(node) + count; i > entry; i--) {
      pages[i] = pages[i - 1]
      pages[i + 32] = pages[i + 31]
      pages[i + 64] = pages[i + 63]
    }
    this.words[this.countAt(node)] = count + 1
  }

  /** Drops an entry. */
  close(node: number, entry: number): void {
    const pages = this.pages
    const count = this.words[this.countAt(node)] - 1
    const end = this.firstOf(node) + count
    for (let i = entry; i < end; i++) {
      pages[i] = pages[i + 1]
      pages[i + 32] = pages[i + 33]
      pages[i + 64] = pages[i + 65]
    }
    pages[end] = Number.POSITIVE_INFINITY
    this.words[this.countAt(node)] = count
  }

  /** Moves the last `n` entries of `from` to the front of `to`, its right neighbour. */
  moveRight(from: number, to: number, n: number): void {
    const rest = this.firstOf(from) + this.words[this.countAt(from)] - n
    this.copy(this.firstOf(to), this.firstOf(to) + n, this.words[this.countAt(to)])
    this.copy(rest, this.firstOf(to), n)
    this.pages.fill(Number.POSITIVE_INFINITY, rest, rest + n)
    this.finishMove(from, to, this.firstOf(to), n)
  }

  /** Moves the first `n` entries of `from` to the end of `to`, its left neighbour. */
  moveLeft(from: number, to: number, n: number): void {
    const first = this.firstOf(from)
    const end = first + this.words[this.countAt(from)]
    const target = this.firstOf(to) + this.words[this.countAt(to)]
    this.copy(first, target, n)
    this.copy(first + n, first, end - first - n)
    this.pages.fill(Number.POSITIVE_INFINITY, end - n, end)
    this.finishMove(from, to, target, n)
  }

  private copy(entry: number, to: number, n: number): void {
    const pages = this.pages
    pages.copyWithin(to, entry, entry + n)
    pages.copyWithin(to + 32, entry + 32, entry + 32 + n)
    pages.copyWithin(to + 64, entry + 64, entry + 64 + n)
  }

  // Counts and parents of the `n` entries that now begin at `entry` of `to`; the holes in front of
  // them came along, so the bound of `to` must cover that of `from`.
  private finishMove(from: number, to: number, entry: number, n: number): void {
    const words = this.words
    words[this.countAt(from)] -= n
    words[this.countAt(to)] += n
    if (words[this.levelAt(to)] > 0) {
      for (let i = 0; i < n; i++) words[this.upAt(words[this.valueAt(entry + i)])] = to
    }
    const hole = this.pages[this.holeAt(from)]
    if (hole > this.pages[this.holeAt(to)]) this.setHole(to, hole)
  }

  /** Sets the bound of `node` in the node and in its parent. */
  setHole(node: number, hole: number): void {
    const up = this.words[this.upAt(node)]
    this.pages[this.holeAt(node)] = hole
    if (up >= 0) this.pages[this.lastAt(this.entryOf(up, node))] = hole
  }

  /** Makes the first start of `node`, which is not the first child, its separator in the parent. */
  separate(node: number): void {
    const entry = this.entryOf(this.words[this.upAt(node)], node)
    this.pages[entry] = this.pages[this.firstOf(node)]
    this.words[this.offsetsAt(entry)] = this.offset(this.firstOf(node))
  }

  /** Puts `right` behind `node` in the links of its level. */
  linkAfter(node: number, right: number): void {
    const words = this.words
    const next = words[this.nextAt(node)]
    words[this.nextAt(right)] = next
    words[this.previousAt(right)] = node
    words[this.nextAt(node)] = right
    if (next >= 0) words[this.previousAt(next)] = right
    else if (node === this.tail) this.tail = right
  }

  unlink(node: number): void {
    const words = this.words
    const previous = words[this.previousAt(node)]
    const next = words[this.nextAt(node)]
    if (previous >= 0) words[this.nextAt(previous)] = next
    if (next >= 0) words[this.previousAt(next)] = previous
    else if (node === this.tail) this.tail = previous
  }
}
