// SPDX-License-Identifier: Apache-2.0
/**
 * Keeping the nodes of a RangeTree well filled: what happens when an entry does not fit, and when a
 * node has become nearly empty. Leaves and inner nodes are treated alike.
 *
 * A full node first gives entries to a neighbour under the same parent, and splits only when both
 * are nearly full: trees built in random order stay above 80 % full (halving alone gives 69 %). A
 * node that overflows at its end, as in ascending insertion, is left nearly full. A node below
 * three eighths joins a neighbour if both fit into one with room to spare, so that the next
 * insertions do not split it again at once.
 */
import { type NodeStore, SLOTS } from './range-tree-nodes.js'

/** Fullest neighbour that is still given entries, and fullest result of joining two nodes. */
const ROOMY = 26
/** Nodes with fewer entries look for a neighbour to join. */
export const SPARSE = 12

/**
 * Makes room for a new entry at `entry` of the full node `node`.
 * Returns where the new entry belongs now; that place is not yet open.
 */
export function makeRoom(nodes: NodeStore, node: number, entry: number): number {
  const words = nodes.words
  const slot = entry - nodes.firstOf(node)
  const right = neighbour(nodes, node, words[nodes.nextAt(node)])
  if (right >= 0) {
    const count = words[nodes.countAt(right)]
    if (count <= (slot === SLOTS ? SLOTS - 2 : ROOMY)) {
      const n = (SLOTS + 1 - count) >> 1
      nodes.moveRight(node, right, n)
      nodes.separate(right)
      return placeOf(nodes, node, SLOTS - n, right, slot)
    }
  }
  const left = neighbour(nodes, node, words[nodes.previousAt(node)])
  if (left >= 0) {
    const count = words[nodes.countAt(left)]
    if (count <= ROOMY) {
      const n = (SLOTS + 1 - count) >> 1
      nodes.moveLeft(node, left, n)
      nodes.separate(node)
      return placeOf(nodes, left, count + n, node, count + slot)
    }
  }
  return split(nodes, node, slot)
}

// A node beside `node`, if it is one (not -1) and under the same parent; else -1.
function neighbour(nodes: NodeStore, node: number, other: number): number {
  const words = nodes.words
  return other >= 0 && words[nodes.upAt(other)] === words[nodes.upAt(node)] ? other : -1
}

// The place of slot `slot` counted through a node of `count` entries and the one to its right.
// Between the two the new entry sorts below the separator, so it goes to the end of the left one.
function placeOf(
  nodes: NodeStore,
  left: number,
  count: number,
  right: number,
  slot: number,
): number {
  return slot <= count ? nodes.firstOf(left) + slot : nodes.firstOf(right) + slot - count
}

function split(nodes: NodeStore, node: number, slot: number): number {
  const right = nodes.allocate(nodes.words[nodes.levelAt(node)])
  const n = slot === SLOTS ? 1 : SLOTS >> 1
  nodes.linkAfter(node, right)
  nodes.moveRight(node, right, n)
  if (nodes.words[nodes.upAt(node)] < 0) growRoot(nodes, node)
  addChild(nodes, nodes.words[nodes.upAt(node)], node, right)
  return placeOf(nodes, node, SLOTS - n, right, slot)
}

// The left edge keeps the separator 0, which is not above any address.
function growRoot(nodes: NodeStore, node: number): void {
  const root = nodes.allocate(nodes.words[nodes.levelAt(node)] + 1)
  const entry = nodes.firstOf(root)
  writeChild(nodes, root, entry, node)
  nodes.pages[entry] = 0
  nodes.words[nodes.offsetsAt(entry)] = 0
  nodes.pages[nodes.holeAt(root)] = nodes.pages[nodes.holeAt(node)]
  nodes.root = root
}

/** Enters `right` behind `node` under `up`. */
function addChild(nodes: NodeStore, up: number, node: number, right: number): void {
  const entry = nodes.entryOf(up, node) + 1
  if (nodes.words[nodes.countAt(up)] < SLOTS) {
    writeChild(nodes, up, entry, right)
  } else {
    const place = makeRoom(nodes, up, entry)
    writeChild(nodes, nodes.nodeOf(place), place, right)
  }
}

function writeChild(nodes: NodeStore, up: number, entry: number, child: number): void {
  nodes.open(up, entry)
  nodes.pages[entry] = nodes.pages[nodes.firstOf(child)]
  nodes.pages[nodes.lastAt(entry)] = nodes.pages[nodes.holeAt(child)]
  nodes.words[nodes.offsetsAt(entry)] = nodes.offset(nodes.firstOf(child))
  nodes.words[nodes.valueAt(entry)] = child
  nodes.words[nodes.upAt(child)] = up
}

/**
 * Restores the shape after an entry of `node` was dropped. The tree as a whole must not be empty.
 */
export function shrink(nodes: NodeStore, node: number): void {
  const words = nodes.words
  let up = words[nodes.upAt(node)]
  while (up >= 0 && words[nodes.countAt(node)] < SPARSE) {
    if (words[nodes.countAt(node)] === 0) removeChild(nodes, up, node)
    else if (!join(nodes, up, node)) return
    node = up
    up = words[nodes.upAt(node)]
  }
  if (up < 0) lowerRoot(nodes)
}

function join(nodes: NodeStore, up: number, node: number): boolean {
  const words = nodes.words
  const count = words[nodes.countAt(node)]
  const right = neighbour(nodes, node, words[nodes.nextAt(node)])
  if (right >= 0 && count + words[nodes.countAt(right)] <= ROOMY) {
    nodes.moveLeft(right, node, words[nodes.countAt(right)])
    removeChild(nodes, up, right)
    return true
  }
  const left = neighbour(nodes, node, words[nodes.previousAt(node)])
  if (left >= 0 && count + words[nodes.countAt(left)] <= ROOMY) {
    nodes.moveLeft(node, left, count)
    removeChild(nodes, up, node)
    return true
  }
  return false
}

// The addresses of a removed child fall to its left neighbour; those of a first child to the right
// one, which takes over the separator.
function removeChild(nodes: NodeStore, up: number, child: number): void {
  const entry = nodes.entryOf(up, child)
  const first = nodes.firstOf(up)
  if (entry === first && nodes.words[nodes.countAt(up)] > 1) {
    nodes.pages[first + 1] = nodes.pages[first]
    nodes.words[nodes.offsetsAt(first + 1)] = nodes.words[nodes.offsetsAt(first)]
  }
  nodes.close(up, entry)
  nodes.unlink(child)
  nodes.release(child)
}

function lowerRoot(nodes: NodeStore): void {
  const words = nodes.words
  let root = nodes.root
  while (words[nodes.levelAt(root)] > 0 && words[nodes.countAt(root)] === 1) {
    const child = words[nodes.valueAt(nodes.firstOf(root))]
    nodes.release(root)
    words[nodes.upAt(child)] = -1
    root = child
  }
  nodes.root = root
}
