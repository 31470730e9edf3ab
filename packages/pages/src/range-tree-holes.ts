// SPDX-License-Identifier: Apache-2.0
/**
 * The search for free address space: each node of a RangeTree carries an upper bound of the holes
 * in front of the entries under it. The holes at the two ends of the address space do not count: a
 * search looks at the hole it begins in and at the one behind the last range by itself.
 *
 * A bound is a double holding bytes, rounded to nearest. Rounding keeps order, so `bound < wanted`
 * (rounded the same way) proves that nothing below fits; whether a hole really fits is decided on
 * exact pages and offsets. Inserting a range only makes holes smaller, except that a leaf's last
 * entry may take over a hole which belonged to the next leaf. Removing raises one path. A search
 * that was led astray lowers the bounds it met, so each raised bound misleads once: O(log n)
 * amortised.
 */
import type { NodeStore } from './range-tree-nodes.js'

/** Raises the bounds above an entry of `leaf` to the hole in front of it. */
export function raiseBounds(nodes: NodeStore, leaf: number, entry: number): void {
  const pages = nodes.pages
  const words = nodes.words
  const before = entryBefore(nodes, leaf, entry)
  if (before < 0) return
  const hole =
    (pages[entry] - pages[nodes.lastAt(before)]) * 4096 +
    (nodes.offset(entry) - nodes.lastOffset(before) - 1)
  let node = leaf
  while (hole > pages[nodes.holeAt(node)]) {
    const up = words[nodes.upAt(node)]
    pages[nodes.holeAt(node)] = hole
    if (up < 0) return
    pages[nodes.lastAt(nodes.entryOf(up, node))] = hole
    node = up
  }
}

/** The entry in front of a place in `leaf`, -1 if there is none. */
export function entryBefore(nodes: NodeStore, leaf: number, entry: number): number {
  if (entry > nodes.firstOf(leaf)) return entry - 1
  const left = nodes.words[nodes.previousAt(leaf)]
  return left < 0 ? -1 : nodes.firstOf(left) + nodes.words[nodes.countAt(left)] - 1
}

/** The entry at a place in `leaf`, which may be behind its last entry; -1 if there is none. */
export function entryBehind(nodes: NodeStore, leaf: number, entry: number): number {
  const words = nodes.words
  if (entry < nodes.firstOf(leaf) + words[nodes.countAt(leaf)]) return entry
  const right = words[nodes.nextAt(leaf)]
  return right < 0 ? -1 : nodes.firstOf(right)
}

/**
 * The lowest leaf to the right of `leaf` that may have a hole of the wanted size in front of an
 * entry, or -1. Bounds of inner nodes found too high on the way are lowered.
 */
export function nextLeafWithHole(nodes: NodeStore, leaf: number): number {
  const words = nodes.words
  let child = leaf
  for (;;) {
    let node = words[nodes.upAt(child)]
    if (node < 0) return -1
    let entry = childWithHole(nodes, node, nodes.entryOf(node, child) + 1)
    while (entry >= 0) {
      child = words[nodes.valueAt(entry)]
      if (words[nodes.levelAt(child)] === 0) return child
      node = child
      entry = childWithHole(nodes, node, nodes.firstOf(node))
    }
    if (nodes.pages[nodes.holeAt(node)] >= nodes.wanted[0]) lowerInnerBound(nodes, node)
    child = node
  }
}

// The first entry from `entry` on whose bound reaches what is wanted, or -1.
function childWithHole(nodes: NodeStore, node: number, entry: number): number {
  const pages = nodes.pages
  const wanted = nodes.wanted[0]
  const end = nodes.firstOf(node) + nodes.words[nodes.countAt(node)]
  for (let i = entry; i < end; i++) if (pages[nodes.lastAt(i)] >= wanted) return i
  return -1
}

function lowerInnerBound(nodes: NodeStore, node: number): void {
  const pages = nodes.pages
  const end = nodes.firstOf(node) + nodes.words[nodes.countAt(node)]
  let largest = 0
  for (let i = nodes.firstOf(node); i < end; i++) {
    const bound = pages[nodes.lastAt(i)]
    if (bound > largest) largest = bound
  }
  nodes.setHole(node, largest)
}

/**
 * The first entry of `leaf` from `entry` on with a hole of the wanted size in front of it, or -1.
 * Another entry must precede. A leaf searched in whole without success gets its bound lowered.
 */
export function entryBehindHole(nodes: NodeStore, leaf: number, entry: number): number {
  const pages = nodes.pages
  const words = nodes.words
  const wanted = nodes.wanted[0]
  if (pages[nodes.holeAt(leaf)] < wanted) return -1
  const end = nodes.firstOf(leaf) + nodes.words[nodes.countAt(leaf)]
  const before = entryBefore(nodes, leaf, entry)
  let last = pages[nodes.lastAt(before)]
  let lastOffset = nodes.lastOffset(before)
  let largest = 0
  for (let i = entry; i < end; i++) {
    const offsets = words[nodes.offsetsAt(i)]
    const between = pages[i] - last
    const offset = (offsets & 4095) - lastOffset - 1
    const hole = between * 4096 + offset
    if (hole >= wanted) {
      // Exactly: each difference of pages is exact, and the sign of the sum survives rounding.
      const spare = (between - nodes.wanted[1]) * 4096 + (offset - 1 - nodes.wanted[2])
      if (spare >= 0) return i
    }
    if (hole > largest) largest = hole
    last = pages[nodes.lastAt(i)]
    lastOffset = offsets >> 12
  }
  if (entry === nodes.firstOf(leaf)) nodes.setHole(leaf, largest)
  return -1
}
