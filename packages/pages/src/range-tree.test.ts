// SPDX-License-Identifier: Apache-2.0
/**
 * RangeTree against a sorted list of bigint ranges, over the whole u64 space, with the addresses
 * drawn near the places where words, pages and the space itself end; and its structure, checked
 * after each step.
 */
import { EEXIST } from '@iommufd/uapi'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RangeTree } from './range-tree.js'
import { SLOTS } from './range-tree-nodes.js'

const U64_MAX = 2n ** 64n - 1n
const hi = (x: bigint): number => Number(BigInt.asIntN(32, x >> 32n))
const lo = (x: bigint): number => Number(BigInt.asIntN(32, x))
const u64 = (h: number, l: number): bigint => (BigInt(h >>> 0) << 32n) | BigInt(l >>> 0)
const clamp = (x: bigint): bigint => (x < 0n ? 0n : x > U64_MAX ? U64_MAX : x)

interface Range {
  start: bigint
  last: bigint
  value: number
}

/** The naive model: a list sorted by start, everything by linear search. */
class RangeList {
  ranges: Range[] = []

  insert(start: bigint, last: bigint, value: number): number {
    if (this.ranges.some((r) => r.start <= last && r.last >= start)) return -EEXIST
    const at = this.ranges.findIndex((r) => r.start > start)
    this.ranges.splice(at < 0 ? this.ranges.length : at, 0, { start, last, value })
    return 0
  }
  at(address: bigint): Range | undefined {
    return this.ranges.find((r) => r.start <= address && address <= r.last)
  }
  from(address: bigint): Range | undefined {
    return this.ranges.find((r) => r.last >= address)
  }
  findHole(from: bigint, lengthM1: bigint): [bigint, bigint] | undefined {
    let start = from
    for (const r of this.ranges) {
      if (r.last < start) continue
      if (r.start > start && r.start - 1n - start >= lengthM1) return [start, r.start - 1n]
      if (r.last === U64_MAX) return undefined
      start = r.last + 1n
    }
    return U64_MAX - start >= lengthM1 ? [start, U64_MAX] : undefined
  }
}

function rangeAt(tree: RangeTree, position: number): Range | undefined {
  if (position < 0) return undefined
  return {
    start: u64(tree.startHi(position), tree.startLo(position)),
    last: u64(tree.lastHi(position), tree.lastLo(position)),
    value: tree.value(position),
  }
}

function holeOf(tree: RangeTree, from: bigint, lengthM1: bigint): [bigint, bigint] | undefined {
  if (!tree.findHole(hi(from), lo(from), hi(lengthM1), lo(lengthM1))) return undefined
  return [u64(tree.holeStartHi, tree.holeStartLo), u64(tree.holeLastHi, tree.holeLastLo)]
}

const insert = (tree: RangeTree, start: bigint, last: bigint, value: number): number =>
  tree.insert(hi(start), lo(start), hi(last), lo(last), value)

/** Checks that walking up meets the ranges of the list, and that each step leads back. */
function checkContents(tree: RangeTree, list: RangeList): void {
  let before = -1
  let position = tree.first()
  for (const range of list.ranges) {
    const found = rangeAt(tree, position)
    must(found !== undefined && found.start === range.start, 'start')
    must(found.last === range.last && found.value === range.value, 'last or value')
    must(tree.previous(position) === before, 'step back')
    before = position
    position = tree.next(position)
  }
  must(position === -1, 'end')
}

// expect() costs a microsecond; the structure is checked some million times.
function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`wrong: ${what}`)
}

/**
 * Every invariant named at the head of range-tree-nodes.ts. Returns the number of nodes on each
 * level.
 */
function checkStructure(tree: RangeTree): number[] {
  const levels: number[][] = []
  const seen: { last: bigint | undefined } = { last: undefined }
  checkNode(tree, levels, seen, tree.nodes.root, -1, 0n, U64_MAX + 1n)
  for (const level of levels) checkLinks(tree, level)
  const { nodes } = tree
  must(nodes.tail === levels[0]?.at(-1), 'tail')
  const entries = levels[0]?.reduce((n, leaf) => n + nodes.words[nodes.countAt(leaf)], 0)
  must(entries === tree.size, 'size')
  return levels.map((level) => level.length)
}

function checkLinks({ nodes }: RangeTree, level: number[]): void {
  level.forEach((node, i) => {
    must(nodes.words[nodes.previousAt(node)] === (level[i - 1] ?? -1), 'link to the previous')
    must(nodes.words[nodes.nextAt(node)] === (level[i + 1] ?? -1), 'link to the next')
  })
}

const keyOf = ({ nodes }: RangeTree, entry: number): bigint =>
  (BigInt(nodes.pages[entry]) << 12n) | BigInt(nodes.offset(entry))

/**
 * Checks the node, whose keys must lie in [low, high); returns the largest hole in front of an
 * entry below it.
 */
function checkNode(
  tree: RangeTree,
  levels: number[][],
  seen: { last: bigint | undefined },
  node: number,
  up: number,
  low: bigint,
  high: bigint,
): bigint {
  const { nodes } = tree
  const { pages, words } = nodes
  const level = words[nodes.levelAt(node)]
  const count = words[nodes.countAt(node)]
  levels[level] ??= []
  levels[level].push(node)
  must(words[nodes.upAt(node)] === up, 'parent')
  must(count <= SLOTS && count >= (up >= 0 ? 1 : level > 0 ? 2 : 0), 'count')
  const first = nodes.firstOf(node)
  for (let i = count; i < SLOTS; i++) must(pages[first + i] === Infinity, 'padding')
  let hole = 0n
  for (let entry = first; entry < first + count; entry++) {
    const start = keyOf(tree, entry)
    must(start >= low && start < high, 'separators')
    must(entry === first || start > keyOf(tree, entry - 1), 'order')
    let below = seen.last === undefined ? 0n : start - seen.last - 1n
    if (level === 0) {
      must(below >= 0n, 'disjoint')
      seen.last = (rangeAt(tree, entry) as Range).last
      must(seen.last >= start, 'last below start')
    } else {
      const child = words[nodes.valueAt(entry)]
      const end = entry + 1 < first + count ? keyOf(tree, entry + 1) : high
      must(entry > first || start === low, 'first separator')
      must(words[nodes.levelAt(child)] === level - 1, 'level')
      must(pages[nodes.lastAt(entry)] === pages[nodes.holeAt(child)], 'bound in the parent')
      must(pages[nodes.holeAt(node)] >= pages[nodes.holeAt(child)], 'bound below a child')
      below = checkNode(tree, levels, seen, child, node, start, end)
    }
    if (below > hole) hole = below
  }
  must(pages[nodes.holeAt(node)] >= Number(hole), 'bound of the holes')
  return hole
}

/** Addresses near 0, 2^64 - 1 and the ends of pages and words, and anywhere. */
const edges = [0n, 1n << 12n, 1n << 20n, 1n << 32n, 1n << 44n, 1n << 52n, 1n << 63n, U64_MAX]
const address: fc.Arbitrary<bigint> = fc
  .oneof(
    {
      weight: 5,
      arbitrary: fc.tuple(fc.constantFrom(...edges), fc.integer({ min: -40, max: 40 })),
    },
    {
      weight: 3,
      arbitrary: fc.tuple(
        fc.integer({ min: 0, max: 60 }).map((page) => BigInt(page) << 12n),
        fc.constantFrom(-1, 0, 0, 0, 1, 2047),
      ),
    },
    { weight: 1, arbitrary: fc.tuple(fc.bigInt(0n, U64_MAX), fc.constant(0)) },
  )
  .map(([base, delta]) => clamp(base + BigInt(delta)))
const lengthM1: fc.Arbitrary<bigint> = fc.oneof(
  { weight: 6, arbitrary: fc.bigInt(0n, 8n) },
  { weight: 4, arbitrary: fc.constantFrom(4094n, 4095n, 4096n, 8191n, 0xffffffffn, U64_MAX) },
  { weight: 1, arbitrary: fc.bigInt(0n, U64_MAX) },
)

/**
 * One step; `pick` chooses among the ranges present, so that steps hit neighbours of what is
 * stored.
 */
const step = fc.record({
  op: fc.constantFrom(
    'insert',
    'insert',
    'insert',
    'insertBehind',
    'remove',
    'hole',
    'fit',
    'find',
  ),
  address,
  lengthM1,
  pick: fc.nat(),
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

function runStep(tree: RangeTree, list: RangeList, s: Step, value: number): void {
  const near = list.ranges[s.pick % Math.max(1, list.ranges.length)]
  const from = s.op === 'insertBehind' && near ? clamp(near.last + 1n) : s.address
  if (s.op === 'insert' || s.op === 'insertBehind') {
    const last = clamp(from + s.lengthM1)
    expect(insert(tree, from, last, value)).toBe(list.insert(from, last, value))
  } else if (s.op === 'remove' && near) {
    const position = tree.at(hi(near.last), lo(near.last))
    expect(rangeAt(tree, position)).toEqual(near)
    tree.remove(position)
    list.ranges.splice(list.ranges.indexOf(near), 1)
  } else if (s.op === 'fit') {
    // A length within a byte of a hole that exists, where rounding would show.
    const gap = near ? clamp(near.start - (list.ranges[0]?.last ?? 0n)) : s.lengthM1
    const lengthM1 = clamp(gap - 3n + BigInt(s.pick % 4))
    expect(holeOf(tree, 0n, lengthM1)).toEqual(list.findHole(0n, lengthM1))
  } else if (s.op === 'hole') {
    expect(holeOf(tree, from, s.lengthM1)).toEqual(list.findHole(from, s.lengthM1))
  } else {
    expect(rangeAt(tree, tree.at(hi(from), lo(from)))).toEqual(list.at(from))
    expect(rangeAt(tree, tree.from(hi(from), lo(from)))).toEqual(list.from(from))
  }
  expect(tree.size).toBe(list.ranges.length)
}

describe('RangeTree against a sorted list', () => {
  it('agrees step by step, and keeps its structure, over the whole u64 space', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
        const tree = new RangeTree()
        const list = new RangeList()
        steps.forEach((s, i) => {
          runStep(tree, list, s, i - 30)
          checkStructure(tree)
        })
        checkContents(tree, list)
      }),
      { numRuns: 150 },
    )
  })

  it('survives thousands of ranges coming and going in every order', () => {
    const churn = new Churn(5000)
    for (let i = 0; i < 900; i++) churn.put(i)
    churn.check()
    for (let i = 4999; i > 3400; i--) churn.put(i)
    churn.check()
    while (churn.list.ranges.length < 4000) churn.put(churn.draw(5000))
    churn.check()
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 700; i++) churn.drop()
      churn.check()
      for (let i = 0; i < 700; i++) churn.put(churn.draw(5000))
      churn.check()
    }
    while (churn.list.ranges.length > 0) {
      churn.drop()
      if (churn.list.ranges.length % 1000 === 0 || churn.list.ranges.length < 40) churn.check()
    }
  })

  it('raises the bound behind a leaf that empties between full ones', () => {
    const churn = new Churn(400)
    for (let i = 0; i < 400; i++) churn.put(i)
    const { nodes } = churn.tree
    let leaf = nodes.tail
    while (leaf >= 0) {
      const before = nodes.words[nodes.previousAt(leaf)]
      const slot = churn.tree.value(nodes.firstOf(leaf))
      const count = nodes.words[nodes.countAt(leaf)]
      churn.dropRun(slot, slot + count)
      churn.check()
      for (let i = 0; i < count; i++) churn.put(slot + i)
      leaf = before
    }
  })

  it('survives runs of neighbours going at once, which empties leaves between full ones', () => {
    const churn = new Churn(3000)
    for (let i = 0; i < 3000; i++) churn.put(i)
    churn.dropRun(1000, 2000)
    churn.check()
    for (let round = 0; round < 12; round++) {
      const start = churn.draw(2700)
      for (let i = 0; i < 120; i++) churn.put(start + churn.draw(300))
      churn.check()
      churn.dropRun(start + churn.draw(50), start + 50 + churn.draw(200))
      churn.check()
    }
    churn.dropRun(600, 3000)
    churn.check()
    churn.put(2999)
    churn.dropRun(0, 590)
    churn.check()
  })
})

/**
 * Ranges around 2^63 coming and going: at most one in each slot of 5 pages, sometimes touching the
 * next slot's.
 */
class Churn {
  readonly tree: RangeTree = new RangeTree()
  readonly list: RangeList = new RangeList()
  private readonly slots: number
  private word = 1

  constructor(slots: number) {
    this.slots = slots
  }

  /** 0 to n - 1; the same in every run (xorshift32). */
  draw(n: number): number {
    this.word ^= this.word << 13
    this.word ^= this.word >>> 17
    this.word ^= this.word << 5
    return (this.word >>> 0) % n
  }

  private startOf(slot: number): bigint {
    return (1n << 63n) + BigInt((slot - this.slots / 2) * 5 * 4096)
  }

  put(slot: number): void {
    const start = this.startOf(slot) + BigInt(this.draw(3) * 4096 - this.draw(2))
    const last = start + BigInt(this.draw(3) * 4096 + 4096 - this.draw(2) - this.draw(2))
    expect(insert(this.tree, start, last, slot)).toBe(this.list.insert(start, last, slot))
  }

  drop(): void {
    const [range] = this.list.ranges.splice(this.draw(this.list.ranges.length), 1) as [Range]
    this.tree.remove(this.tree.at(hi(range.last), lo(range.last)))
  }

  /**
   * Drops the ranges that begin in the slots from `slot` to `end`, by walking up as an unmap of a
   * large range does.
   */
  dropRun(slot: number, end: number): void {
    const low = this.startOf(slot) - 1n
    const high = this.startOf(end) - 1n
    this.list.ranges = this.list.ranges.filter((r) => r.start < low || r.start >= high)
    for (;;) {
      let position = this.tree.from(hi(low), lo(low))
      if (position >= 0 && (rangeAt(this.tree, position) as Range).start < low)
        position = this.tree.next(position)
      if (position < 0 || (rangeAt(this.tree, position) as Range).start >= high) return
      this.tree.remove(position)
    }
  }

  check(): void {
    checkStructure(this.tree)
    checkContents(this.tree, this.list)
    for (let i = 0; i < 10; i++) {
      const from = this.startOf(this.draw(this.slots)) + BigInt(this.draw(9000))
      const length = BigInt(this.draw(9) * 4096 + this.draw(2) * this.draw(4096))
      expect(holeOf(this.tree, from, length)).toEqual(this.list.findHole(from, length))
      expect(rangeAt(this.tree, this.tree.from(hi(from), lo(from)))).toEqual(this.list.from(from))
    }
    checkStructure(this.tree)
  }
}

describe('RangeTree at the ends of the address space', () => {
  it('holds the whole space in one range', () => {
    const tree = new RangeTree()
    expect(insert(tree, 0n, U64_MAX, -5)).toBe(0)
    expect(rangeAt(tree, tree.at(-1, -1))).toEqual({ start: 0n, last: U64_MAX, value: -5 })
    expect(insert(tree, U64_MAX, U64_MAX, 1)).toBe(-EEXIST)
    expect(insert(tree, 0n, 0n, 1)).toBe(-EEXIST)
    expect(holeOf(tree, 0n, 0n)).toBeUndefined()
    tree.remove(tree.first())
    expect(holeOf(tree, 0n, U64_MAX)).toEqual([0n, U64_MAX])
  })

  it('finds a hole of one byte at either end, and tells 2^64 from 2^64 - 1', () => {
    const tree = new RangeTree()
    expect(insert(tree, 1n, U64_MAX - 1n, 0)).toBe(0)
    expect(holeOf(tree, 0n, 0n)).toEqual([0n, 0n])
    expect(holeOf(tree, 0n, 1n)).toBeUndefined()
    expect(holeOf(tree, 1n, 0n)).toEqual([U64_MAX, U64_MAX])
    expect(holeOf(new RangeTree(), 1n, U64_MAX)).toBeUndefined()
    expect(holeOf(new RangeTree(), 1n, U64_MAX - 1n)).toEqual([1n, U64_MAX])
  })

  it('keeps thousands of ranges inside one page apart', () => {
    for (const page of [0n, 1n << 51n, (1n << 52n) - 1n]) {
      const tree = new RangeTree()
      const list = new RangeList()
      for (let i = 0; i < 1500; i++) {
        const byte = (page << 12n) + BigInt((i * 1237) % 4096)
        expect(insert(tree, byte, byte, i)).toBe(list.insert(byte, byte, i))
        if (i % 50 === 0) checkStructure(tree)
      }
      checkContents(tree, list)
      for (let i = 0; i < 4096; i += 7) {
        const byte = (page << 12n) + BigInt(i)
        expect(rangeAt(tree, tree.at(hi(byte), lo(byte)))).toEqual(list.at(byte))
        expect(holeOf(tree, byte, 1n)).toEqual(list.findHole(byte, 1n))
      }
    }
  })

  it('carries and borrows between the words', () => {
    const tree = new RangeTree()
    insert(tree, 0n, 0xffff_ffffn, 0)
    insert(tree, 0x3_0000_0000n, U64_MAX, 0)
    expect(holeOf(tree, 5n, 0n)).toEqual([0x1_0000_0000n, 0x2_ffff_ffffn])
    expect(holeOf(tree, 0x2_0000_0001n, 0xffff_fffen)).toEqual([0x2_0000_0001n, 0x2_ffff_ffffn])
    expect(holeOf(tree, 0x2_0000_0001n, 0xffff_ffffn)).toBeUndefined()
  })

  it('judges holes beyond 2^53 bytes to the byte', () => {
    const size = (1n << 63n) + 12_345n
    const tree = new RangeTree()
    insert(tree, 0n, 9n, 0)
    insert(tree, 20n, 29n, 0)
    insert(tree, 30n + size, U64_MAX, 0)
    expect(holeOf(tree, 0n, size - 1n)).toEqual([30n, 29n + size])
    expect(holeOf(tree, 0n, size)).toBeUndefined()
  })

  it('keeps int32 values and lets them change', () => {
    const tree = new RangeTree()
    insert(tree, 7n, 8n, -(2 ** 31))
    tree.setValue(tree.at(0, 7), 2 ** 31 - 1)
    expect(tree.value(tree.from(0, 0))).toBe(2 ** 31 - 1)
    expect(tree.startPage(tree.first())).toBe(0)
    expect([tree.startOffset(tree.first()), tree.lastOffset(tree.first())]).toEqual([7, 8])
  })
})

describe('RangeTree memory', () => {
  const fill = (slots: number[]): RangeTree => {
    const tree = new RangeTree()
    for (const slot of slots) tree.insert(0, slot << 13, 0, slot << 13, 0)
    checkStructure(tree)
    return tree
  }
  const slots = Array.from({ length: 20_000 }, (_, i) => i)
  // 7919 is prime to the number of slots: each comes once, far from the one before.
  const scattered = slots.map((i) => (i * 7919) % slots.length)
  const leafFill = (tree: RangeTree): number =>
    tree.size / ((checkStructure(tree)[0] as number) * SLOTS)

  it('is small for one range', () => {
    expect(fill([0]).bytes).toBeLessThan(2048)
  })

  it('fills leaves to 90 % in ascending order, at 32 bytes per range', () => {
    const tree = fill(slots)
    expect(leafFill(tree)).toBeGreaterThan(0.9)
    expect(tree.bytes / tree.size).toBeLessThan(32)
  })

  it('fills leaves to 75 % in descending and random order, at 40 bytes per range', () => {
    for (const order of [[...slots].reverse(), scattered]) {
      const tree = fill(order)
      expect(leafFill(tree)).toBeGreaterThan(0.75)
      expect(tree.bytes / tree.size).toBeLessThan(40)
    }
  })

  it('joins leaves that empty, uses their memory again and gives it back in the end', () => {
    const tree = fill(slots)
    const { bytes } = tree
    for (const slot of scattered.slice(0, 18_000)) tree.remove(tree.at(0, slot << 13))
    expect(leafFill(tree)).toBeGreaterThan(0.25)
    for (const slot of scattered.slice(0, 12_000)) tree.insert(0, slot << 13, 0, slot << 13, 0)
    expect(tree.bytes).toBe(bytes)
    while (tree.size > 0) tree.remove(tree.first())
    expect(tree.bytes).toBeLessThan(2048)
  })

  it('lowers the bounds that misled a search, so that the next one is not misled', () => {
    const tree = fill(slots)
    for (const slot of scattered) {
      tree.remove(tree.at(0, slot << 13))
      tree.insert(0, slot << 13, 0, slot << 13, 0)
    }
    const { nodes } = tree
    const misleading = (): number => {
      let n = 0
      for (let leaf = nodes.nodeOf(tree.first()); leaf >= 0; leaf = nodes.words[nodes.nextAt(leaf)])
        if (nodes.pages[nodes.holeAt(leaf)] >= 8192) n++
      return n
    }
    expect(misleading()).toBeGreaterThan(600)
    expect(holeOf(tree, 0n, 8191n)).toEqual([(19_999n << 13n) + 1n, U64_MAX])
    expect(misleading()).toBeLessThanOrEqual(1)
    checkStructure(tree)
  })
})
