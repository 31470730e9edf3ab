// SPDX-License-Identifier: Apache-2.0
/**
 * Disjoint ranges of bytes over the whole u64 address space, each with an int32 value: the areas of
 * an io_pagetable, and its allowed and reserved ranges.
 *
 * Invariants: ranges never overlap; `last` is inclusive, and `last + 1` is formed only where
 * another byte is known to follow, so a range may end at 2^64 - 1 or be the whole space. Addresses
 * and lengths come as two int32 words and positions are int32: no call carries a double, so no
 * operation allocates (a tree that grows gets a new buffer).
 *
 * The shape is a B+tree of 32 entries per node (range-tree-nodes.ts, -balance.ts);
 * range-tree-holes.ts finds free space.
 */
import { EEXIST } from '@iommufd/uapi'
import { makeRoom, SPARSE, shrink } from './range-tree-balance.js'
import {
  entryBefore,
  entryBehind,
  entryBehindHole,
  nextLeafWithHole,
  raiseBounds,
} from './range-tree-holes.js'
import { NodeStore, SLOTS } from './range-tree-nodes.js'

/**
 * An ordered set of disjoint ranges [start, last] of u64 addresses.
 *
 * Positions are int32 handles of ranges, valid until the next insert, remove or clear; -1 means
 * none. `hi` and `lo` are the halves of a u64; negative numbers stand for their bit patterns.
 *
 * @example
 * ```ts
 * const tree = new RangeTree()
 * tree.insert(0, 0x1000, 0, 0x1fff, 7) // 0
 * tree.value(tree.at(0, 0x1234)) // 7
 * tree.findHole(0, 0, 0, 0x1fff) // true
 * tree.holeStartLo // 0x2000
 * ```
 */
export class RangeTree {
  /** @internal */
  readonly nodes: NodeStore = new NodeStore()
  private ranges = 0

  /** The hole found by the last findHole that returned true, both ends inclusive. */
  holeStartHi = 0
  holeStartLo = 0
  holeLastHi = 0
  holeLastLo = 0

  /** How many ranges are stored. */
  get size(): number {
    return this.ranges
  }

  /** Bytes of memory held. */
  get bytes(): number {
    return this.nodes.bytes
  }

  /** Removes every range, keeping the memory for those to come. */
  clear(): void {
    this.nodes.reset()
    this.ranges = 0
  }

  /** The range that holds the address. */
  at(hi: number, lo: number): number {
    const position = this.previous(this.locate(hi, lo))
    return position >= 0 && this.reaches(position, hi, lo) ? position : -1
  }

  /** The lowest range whose last byte is not below the address. */
  from(hi: number, lo: number): number {
    const place = this.locate(hi, lo)
    const position = this.previous(place)
    return position >= 0 && this.reaches(position, hi, lo)
      ? position
      : entryBehind(this.nodes, this.nodes.nodeOf(place), place)
  }

  /** The lowest range. */
  first(): number {
    return this.from(0, 0)
  }

  next(position: number): number {
    return entryBehind(this.nodes, this.nodes.nodeOf(position), position + 1)
  }

  previous(position: number): number {
    return entryBefore(this.nodes, this.nodes.nodeOf(position), position)
  }

  /** Number of the 4 KiB page that holds the first byte. */
  startPage(position: number): number {
    return this.nodes.pages[position]
  }

  /** Number of the 4 KiB page that holds the last byte. */
  lastPage(position: number): number {
    return this.nodes.pages[this.nodes.lastAt(position)]
  }

  /** Offset of the first byte in its page. */
  startOffset(position: number): number {
    return this.nodes.offset(position)
  }

  /** Offset of the last byte in its page. */
  lastOffset(position: number): number {
    return this.nodes.lastOffset(position)
  }

  startHi(position: number): number {
    return (this.nodes.pages[position] / 0x100000) | 0
  }

  startLo(position: number): number {
    return (this.nodes.pages[position] << 12) | this.nodes.offset(position)
  }

  lastHi(position: number): number {
    return (this.nodes.pages[this.nodes.lastAt(position)] / 0x100000) | 0
  }

  lastLo(position: number): number {
    return (this.nodes.pages[this.nodes.lastAt(position)] << 12) | this.nodes.lastOffset(position)
  }

  value(position: number): number {
    return this.nodes.words[this.nodes.valueAt(position)]
  }

  setValue(position: number, value: number): void {
    this.nodes.words[this.nodes.valueAt(position)] = value
  }

  /**
   * Stores [start, last]; last must not be below start.
   * Returns 0, or -EEXIST (and changes nothing) if a stored range overlaps.
   */
  insert(startHi: number, startLo: number, lastHi: number, lastLo: number, value: number): number {
    const nodes = this.nodes
    const startPage = (startHi >>> 0) * 0x100000 + (startLo >>> 12)
    const lastPage = (lastHi >>> 0) * 0x100000 + (lastLo >>> 12)
    let entry = this.locate(startHi, startLo)
    let leaf = nodes.nodeOf(entry)
    const before = entryBefore(nodes, leaf, entry)
    if (before >= 0) {
      const page = nodes.pages[nodes.lastAt(before)]
      if (page > startPage) return -EEXIST
      if (page === startPage && nodes.lastOffset(before) >= (startLo & 4095)) return -EEXIST
    }
    const behind = entryBehind(nodes, leaf, entry)
    if (behind >= 0) {
      const page = nodes.pages[behind]
      if (page < lastPage) return -EEXIST
      if (page === lastPage && nodes.offset(behind) <= (lastLo & 4095)) return -EEXIST
    }
    if (nodes.words[nodes.countAt(leaf)] === SLOTS) {
      entry = makeRoom(nodes, leaf, entry)
      leaf = nodes.nodeOf(entry)
    }
    nodes.open(leaf, entry)
    nodes.pages[entry] = startPage
    nodes.pages[nodes.lastAt(entry)] = lastPage
    nodes.words[nodes.offsetsAt(entry)] = (startLo & 4095) | ((lastLo & 4095) << 12)
    nodes.words[nodes.valueAt(entry)] = value
    // The hole in front of a leaf's last range may have belonged to the next leaf until now, and
    // the hole behind the first range of all was in front of none.
    const last = nodes.firstOf(leaf) + nodes.words[nodes.countAt(leaf)] - 1
    if (entry === last) raiseBounds(nodes, leaf, entry)
    else if (before < 0) raiseBounds(nodes, leaf, entry + 1)
    this.ranges++
    return 0
  }

  /** Removes the range at `position`; all positions become invalid. */
  remove(position: number): void {
    const nodes = this.nodes
    const leaf = nodes.nodeOf(position)
    nodes.close(leaf, position)
    this.ranges--
    if (this.ranges === 0) {
      nodes.giveBack()
      nodes.reset()
      return
    }
    const count = nodes.words[nodes.countAt(leaf)]
    if (count === 0) {
      // The leaf goes first: the hole in front of the next range is measured from the leaf before.
      const next = nodes.words[nodes.nextAt(leaf)]
      shrink(nodes, leaf)
      if (next >= 0) raiseBounds(nodes, next, nodes.firstOf(next))
      return
    }
    const behind = entryBehind(nodes, leaf, position)
    if (behind >= 0) raiseBounds(nodes, nodes.nodeOf(behind), behind)
    if (count < SPARSE) shrink(nodes, leaf)
  }

  /**
   * Finds the lowest hole (a maximal run of bytes in no range, clipped at the bottom to `from`) of
   * at least lengthM1 + 1 bytes. true: it is in holeStartHi/Lo, holeLastHi/Lo.
   */
  findHole(fromHi: number, fromLo: number, lengthM1Hi: number, lengthM1Lo: number): boolean {
    const place = this.locate(fromHi, fromLo)
    const before = this.previous(place)
    this.holeStartHi = fromHi | 0
    this.holeStartLo = fromLo | 0
    if (before >= 0 && this.reaches(before, fromHi, fromLo) && !this.startHole(before)) return false
    const behind = entryBehind(this.nodes, this.nodes.nodeOf(place), place)
    this.endHole(behind)
    if (this.holeFits(lengthM1Hi, lengthM1Lo)) return true
    if (behind < 0) return false
    return this.findInnerHole(behind, lengthM1Hi, lengthM1Lo)
  }

  // The lowest hole above the range at `position`.
  private findInnerHole(position: number, lengthM1Hi: number, lengthM1Lo: number): boolean {
    const nodes = this.nodes
    const wanted = nodes.wanted
    wanted[1] = (lengthM1Hi >>> 0) * 0x100000 + (lengthM1Lo >>> 12)
    wanted[2] = lengthM1Lo & 4095
    wanted[0] = wanted[1] * 4096 + (wanted[2] + 1)
    let leaf = nodes.nodeOf(position)
    let entry = entryBehindHole(nodes, leaf, position + 1)
    while (entry < 0) {
      leaf = nextLeafWithHole(nodes, leaf)
      if (leaf < 0) return this.findLastHole(lengthM1Hi, lengthM1Lo)
      entry = entryBehindHole(nodes, leaf, nodes.firstOf(leaf))
    }
    this.startHole(entryBefore(nodes, leaf, entry))
    this.endHole(entry)
    return true
  }

  // The hole behind the last range.
  private findLastHole(lengthM1Hi: number, lengthM1Lo: number): boolean {
    const nodes = this.nodes
    const end = nodes.firstOf(nodes.tail) + nodes.words[nodes.countAt(nodes.tail)]
    if (!this.startHole(end - 1)) return false
    this.endHole(-1)
    return this.holeFits(lengthM1Hi, lengthM1Lo)
  }

  // Begins the hole behind the range; false if no byte follows.
  private startHole(position: number): boolean {
    const hi = this.lastHi(position)
    const lo = this.lastLo(position)
    if ((hi & lo) === -1) return false
    this.holeStartLo = (lo + 1) | 0
    this.holeStartHi = lo === -1 ? (hi + 1) | 0 : hi
    return true
  }

  // Ends the hole in front of the range, or at the end of the address space if there is none.
  private endHole(position: number): void {
    if (position < 0) {
      this.holeLastHi = -1
      this.holeLastLo = -1
      return
    }
    const hi = this.startHi(position)
    const lo = this.startLo(position)
    this.holeLastLo = (lo - 1) | 0
    this.holeLastHi = lo === 0 ? (hi - 1) | 0 : hi
  }

  // Whether the hole has lengthM1 + 1 bytes. A hole is empty if its end is the byte before its
  // start; only the range that follows at once makes it so, and then a range in front or address 0
  // precedes.
  private holeFits(lengthM1Hi: number, lengthM1Lo: number): boolean {
    const lo = (this.holeLastLo >>> 0) - (this.holeStartLo >>> 0)
    const hi = (this.holeLastHi >>> 0) - (this.holeStartHi >>> 0) - (lo < 0 ? 1 : 0)
    const wantedHi = lengthM1Hi >>> 0
    return hi > wantedHi || (hi === wantedHi && lo >>> 0 >= lengthM1Lo >>> 0)
  }

  // Whether the range ends at or above the address.
  private reaches(position: number, hi: number, lo: number): boolean {
    const last = this.nodes.pages[this.nodes.lastAt(position)]
    const page = (hi >>> 0) * 0x100000 + (lo >>> 12)
    return last > page || (last === page && this.lastOffset(position) >= (lo & 4095))
  }

  // The one descent: the place in a leaf behind all entries that start at or below the address.
  //
  // In each node the entries with `start <= page` are counted, first every fourth and then the
  // three between, and Number(boolean) compiles to an instruction without a branch: halving the
  // interval costs a mispredicted branch per two steps, and its loads wait for each other. Unused
  // entries (Infinity) do not count.
  private locate(hi: number, lo: number): number {
    const nodes = this.nodes
    const pages = nodes.pages
    const words = nodes.words
    const page = (hi >>> 0) * 0x100000 + (lo >>> 12)
    const offset = lo & 4095
    // Maps in ascending order, and whatever else lies at the end, need no descent.
    let node = nodes.tail
    const end = nodes.firstOf(node) + words[nodes.countAt(node)]
    if (pages[end - 1] < page) return end
    if (pages[nodes.firstOf(node)] >= page) node = nodes.root
    for (;;) {
      const first = nodes.firstOf(node)
      let entry =
        first +
        ((Number(pages[first + 4] <= page) +
          Number(pages[first + 8] <= page) +
          Number(pages[first + 12] <= page) +
          Number(pages[first + 16] <= page) +
          Number(pages[first + 20] <= page) +
          Number(pages[first + 24] <= page) +
          Number(pages[first + 28] <= page)) <<
          2)
      entry +=
        Number(pages[entry + 1] <= page) +
        Number(pages[entry + 2] <= page) +
        Number(pages[entry + 3] <= page)
      // This is the last entry that starts in the page or below, or the first of all; step back
      // inside the page.
      while (entry >= first && pages[entry] === page && nodes.offset(entry) > offset) entry--
      if (words[nodes.levelAt(node)] === 0) return pages[first] > page ? first : entry + 1
      node = words[nodes.valueAt(entry)]
    }
  }
}
