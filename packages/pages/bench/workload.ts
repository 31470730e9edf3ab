// SPDX-License-Identifier: Apache-2.0
/**
 * The rows of the area tree's benchmark on RangeTree: the same calls in the same order as
 * anchor/workload.c makes on the native structures, proven by a checksum. Addresses stay two words
 * from the slot number on, as in an ioctl.
 */
/// <reference types="node" />
import { RangeTree } from '../src/range-tree.js'

const OUTSTANDING = 64
/** The first slot begins at 2^44; each has 8 KiB, of which an area takes the first 4. */
const BASE_HI = 4096

export interface Sample {
  ns: number
  check: number
}

export class TreeWorkload {
  readonly tree: RangeTree = new RangeTree()
  private n = 0
  private prepared = 0
  private word = 1
  private check = 0
  private mapped = new Int32Array(0)
  private unmapped = new Int32Array(0)
  private first = new Int32Array(0)
  private second = new Int32Array(0)
  private readonly held = new Int32Array(2 * OUTSTANDING)

  /** Runs one row with `n` areas and `ops` operations. */
  run(row: string, n: number, ops: number, seed: number): Sample {
    this.n = n
    this.word = seed
    this.check = 0
    if (this.first.length < ops) {
      this.first = new Int32Array(ops)
      this.second = new Int32Array(ops)
    }
    const ns = this.dispatch(row, ops)
    return { ns, check: this.check >>> 0 }
  }

  private dispatch(row: string, ops: number): number {
    if (row === 'insert') return this.insert()
    if (row === 'ascending') return this.ascending()
    if (row === 'find') return this.find(ops)
    if (row === 'churn') return this.churn(ops)
    if (row === 'remap') return this.remap(ops)
    if (row === 'automatic') return this.automatic(ops)
    if (row === 'search') return this.search()
    throw new Error(`no row named ${row}`)
  }

  private draw(limit: number): number {
    let word = this.word
    word ^= word << 13
    word ^= word >>> 17
    word ^= word << 5
    this.word = word
    return (word >>> 1) % limit
  }

  private shuffle(slots: Int32Array): void {
    for (let i = slots.length - 1; i > 0; i--) {
      const j = this.draw(i + 1)
      const slot = slots[i]
      slots[i] = slots[j]
      slots[j] = slot
    }
  }

  private mapSlot(slot: number): number {
    const hi = BASE_HI + (slot >>> 19)
    const lo = slot << 13
    return this.tree.insert(hi, lo, hi, lo + 4095, slot) === 0 ? 1 : 0
  }

  private unmapSlot(slot: number): number {
    const position = this.tree.at(BASE_HI + (slot >>> 19), slot << 13)
    if (position < 0) return 0
    this.tree.remove(position)
    return 1
  }

  // Each timed loop is a method of its own: a loop compiled in the midst of a longer method is
  // thrown away when it ends.

  private insert(): number {
    const slots = Int32Array.from({ length: 2 * this.n }, (_, i) => i)
    this.shuffle(slots)
    this.mapped = slots.subarray(0, this.n)
    this.unmapped = slots.subarray(this.n)
    const ns = this.insertAll(this.mapped)
    this.prepared = this.n
    return ns
  }

  // What the rows that need a random tree begin with, unless the row before left one: the same one
  // for every seed.
  private prepare(): void {
    if (this.prepared === this.n) return
    const seed = this.word
    this.word = 1
    this.insert()
    this.word = seed
    this.check = 0
  }

  private ascending(): number {
    return this.insertAll(Int32Array.from({ length: this.n }, (_, i) => i))
  }

  private insertAll(slots: Int32Array): number {
    this.tree.clear()
    this.prepared = 0
    const t = performance.now()
    this.mapAll(slots)
    return ((performance.now() - t) * 1e6) / slots.length
  }

  private mapAll(slots: Int32Array): void {
    let check = 0
    for (let i = 0; i < slots.length; i++) check += this.mapSlot(slots[i])
    this.check += check
  }

  private find(ops: number): number {
    this.prepare()
    const { first, mapped } = this
    for (let i = 0; i < ops; i++) first[i] = mapped[this.draw(this.n)]
    const t = performance.now()
    this.findAll(ops)
    return ((performance.now() - t) * 1e6) / ops
  }

  private findAll(ops: number): void {
    const first = this.first
    const tree = this.tree
    let check = 0
    for (let i = 0; i < ops; i++) {
      const slot = first[i]
      check = (check + tree.value(tree.at(BASE_HI + (slot >>> 19), (slot << 13) + 2048))) | 0
    }
    this.check += check
  }

  private churn(ops: number): number {
    this.prepare()
    const { first, second, mapped, unmapped } = this
    for (let i = 0; i < ops; i++) {
      const a = this.draw(this.n)
      const b = this.draw(this.n)
      first[i] = mapped[a]
      second[i] = unmapped[b]
      mapped[a] = second[i]
      unmapped[b] = first[i]
    }
    return this.unmapAndMap(first, second, ops)
  }

  private remap(ops: number): number {
    this.prepare()
    const { first, mapped } = this
    for (let i = 0; i < ops; i++) first[i] = mapped[this.draw(this.n)]
    return this.unmapAndMap(first, first, ops)
  }

  private unmapAndMap(first: Int32Array, second: Int32Array, ops: number): number {
    const t = performance.now()
    this.unmapAndMapAll(first, second, ops)
    return ((performance.now() - t) * 1e6) / ops
  }

  private unmapAndMapAll(first: Int32Array, second: Int32Array, ops: number): void {
    let check = 0
    for (let i = 0; i < ops; i++) {
      check += this.unmapSlot(first[i])
      check += this.mapSlot(second[i])
    }
    this.check += check
  }

  private automatic(ops: number): number {
    this.ascending()
    for (let j = 0; j < OUTSTANDING; j++) this.mapAnywhere(j)
    const t = performance.now()
    this.replaceOutstanding(ops)
    return ((performance.now() - t) * 1e6) / ops
  }

  private replaceOutstanding(ops: number): void {
    const tree = this.tree
    const held = this.held
    for (let i = 0; i < ops; i++) {
      const j = this.draw(OUTSTANDING)
      tree.remove(tree.at(held[2 * j], held[2 * j + 1]))
      this.check++
      this.mapAnywhere(j)
    }
  }

  private mapAnywhere(j: number): void {
    const tree = this.tree
    const held = this.held
    const found = tree.findHole(BASE_HI, 0, 0, 8191) ? 1 : 0
    const hi = tree.holeStartHi
    const lo = tree.holeStartLo
    const mapped = tree.insert(hi, lo, hi, lo + 8191, 0) === 0 ? 1 : 0
    this.check = (this.check + found + mapped + ((hi << 20) | (lo >>> 12))) | 0
    held[2 * j] = hi
    held[2 * j + 1] = lo
  }

  private search(): number {
    const tree = this.tree
    const slots = Int32Array.from({ length: this.n }, (_, i) => i)
    this.ascending()
    this.shuffle(slots)
    this.unmapAndMapAll(slots, slots, slots.length)
    const t = performance.now()
    this.check += tree.findHole(BASE_HI, 0, 0, 8191) ? 1 : 0
    const ns = (performance.now() - t) * 1e6
    this.check += (tree.holeStartHi << 20) | (tree.holeStartLo >>> 12)
    return ns / this.n
  }
}
