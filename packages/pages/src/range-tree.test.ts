// SPDX-License-Identifier: Apache-2.0
//
// RangeTree against a sorted list of bigint ranges, over the whole u64 space, with the addresses drawn near the
// places where words, pages and the space itself end; and its structure, checked after each step.

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

/** The ranges in order, walking up and then checking that walking down gives the same. */
function contents(tree: RangeTree): Range[] {
  const up: Range[] = []
  let last = -1
  for (let p = tree.first(); p >= 0; p = tree.next(p)) {
    expect(tree.previous(p)).toBe(last)
    up.push(rangeAt(tree, p) as Range)
    last = p
  }
  return up
}

// expect() costs a microsecond; the structure is checked some million times.
function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(`structure: ${what}`)
}

/** Every invariant named at the head of range-tree-nodes.ts. Returns the number of nodes on each level. */
function checkStructure(tree: RangeTree): number[] {
  const levels: number[][] = []
  const seen: { last: bigint | undefined } = { last: undefined }
  checkNode(tree, levels, seen, tree.nodes.root, -1, 0n, U64_MAX + 1n)
  for (const level of levels) checkLinks(tree, level)
  const { nodes } = tree
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

/** Checks the node, whose keys must lie in [low, high); returns the largest hole in front of an entry below it. */
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

/** One step; `pick` chooses among the ranges present, so that steps hit neighbours of what is stored. */
const step = fc.record({
  op: fc.constantFrom('insert', 'insert', 'insert', 'insertBehind', 'remove', 'hole', 'find'),
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
  } else if (s.op === 'hole') {
    expect(holeOf(tree, from, s.lengthM1)).toEqual(list.findHole(from, s.lengthM1))
  } else {
    expect(rangeAt(tree, tree.at(hi(from), lo(from)))).toEqual(list.at(from))
    expect(rangeAt(tree, tree.from(hi(from), lo(from)))).toEqual(list.from(from))
  }
  expect(tree.size).toBe(list.ranges.length)
}

/** xorshift32: the same words in every run. */
function randomWords(seed: number): () => number {
  let word = seed
  return () => {
    word ^= word << 13
    word ^= word >>> 17
    word ^= word << 5
    return word
  }
}

describe('RangeTree against a sorted list', () => {
  it('agrees step by step, and keeps its structure, over the whole u64 space', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const tree = new RangeTree()
        const list = new RangeList()
        steps.forEach((s, i) => {
          runStep(tree, list, s, i - 30)
          checkStructure(tree)
        })
        expect(contents(tree)).toEqual(list.ranges)
      }),
      { numRuns: 150 },
    )
  })

  it('survives thousands of ranges coming and going in every order', () => {
    const tree = new RangeTree()
    const list = new RangeList()
    const random = randomWords(1)
    const draw = (n: number): number => (random() >>> 0) % n
    // 8192 slots of 5 pages around 2^63: at most one range in each, sometimes touching the next slot's.
    const slotStart = (slot: number): bigint => (1n << 63n) + BigInt((slot - 4096) * 5 * 4096)
    const put = (slot: number): void => {
      const start = slotStart(slot) + BigInt(draw(3) * 4096 - draw(2))
      const last = start + BigInt(draw(3) * 4096 + 4096 - draw(2) - draw(2))
      expect(insert(tree, start, last, slot)).toBe(list.insert(start, last, slot))
    }
    const drop = (): void => {
      const [range] = list.ranges.splice(draw(list.ranges.length), 1) as [Range]
      tree.remove(tree.at(hi(range.start), lo(range.start)))
    }
    const search = (): void => {
      const from = slotStart(draw(8192)) + BigInt(draw(9000))
      const length = BigInt(draw(9) * 4096 + draw(2) * draw(4096))
      expect(holeOf(tree, from, length)).toEqual(list.findHole(from, length))
      expect(rangeAt(tree, tree.from(hi(from), lo(from)))).toEqual(list.from(from))
    }
    const check = (): void => {
      checkStructure(tree)
      for (let i = 0; i < 20; i++) search()
      checkStructure(tree)
      expect(contents(tree)).toEqual(list.ranges)
    }
    for (let i = 0; i < 1500; i++) put(i)
    check()
    for (let i = 8191; i > 5000; i--) put(i)
    check()
    for (let i = 0; i < 3000; i++) put(draw(8192))
    check()
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 1000; i++) drop()
      check()
      for (let i = 0; i < 1000; i++) put(draw(8192))
      check()
    }
    while (list.ranges.length > 0) {
      drop()
      if (list.ranges.length % 500 === 0) check()
    }
    expect(tree.size).toBe(0)
  })
})
