// SPDX-License-Identifier: Apache-2.0
/**
 * Which address spaces map which pages of one `iopt_pages` into their domains (SPEC E3, E4).
 *
 * Invariant: a page is here as often as areas of address spaces with domains show it; for each, the
 * IOVA of a page follows from its index, so its frame can be read back from the domain. Most memory
 * is shown by one area, which is kept inline; only more of them make a tree.
 */
import { pageHi, pageLo, pageOf } from '@iommufd/core'
import type { IoPagetable } from './io-pagetable.js'
import { RangeTree } from './range-tree.js'

/** One area in an address space with domains. Pages `first` to `last`, both inclusive. */
export interface DomainUser {
  readonly iopt: IoPagetable
  /** IOVA of page index 0, modulo 2^64: the area's IOVA less its first byte within the pages. */
  readonly originHi: number
  readonly originLo: number
  readonly first: number
  readonly last: number
  /** Byte of page `first` at which the area begins. */
  readonly offset: number
}

export class DomainUsers {
  #only: DomainUser | undefined
  /** Disjoint ranges of pages; the value is a place in `#lists`. */
  #tree: RangeTree | undefined
  #lists: DomainUser[][] = []
  /** Places in `#lists` that are free again. */
  #places: number[] = []

  get isEmpty(): boolean {
    return this.#only === undefined && this.#tree === undefined
  }

  add(user: DomainUser): void {
    if (this.isEmpty) {
      this.#only = user
      return
    }
    if (this.#tree === undefined) this.#makeTree()
    this.#eachPart(user, (list) => list.push(user))
  }

  /** Removes a user that was added. */
  remove(user: DomainUser): void {
    if (this.#tree === undefined) {
      this.#only = undefined
      return
    }
    this.#eachPart(user, (list) =>
      list.splice(
        list.findIndex((other) => isSame(other, user)),
        1,
      ),
    )
    this.#dropEmptyParts(user)
    if (this.#tree.size === 0) this.#tree = undefined
  }

  /** A user that shows the page, or undefined. */
  at(index: number): DomainUser | undefined {
    const tree = this.#tree
    if (tree === undefined) return covers(this.#only, index) ? this.#only : undefined
    const pos = tree.at(pageHi(index), pageLo(index))
    return pos < 0 ? undefined : this.#lists[tree.value(pos)]?.[0]
  }

  /** The first index behind `index` at which another answer of `at` may begin, or infinity. */
  boundaryAfter(index: number): number {
    const tree = this.#tree
    if (tree === undefined) return boundaryOf(this.#only, index)
    const pos = tree.from(pageHi(index), pageLo(index))
    if (pos < 0) return Number.POSITIVE_INFINITY
    const start = pageOf(tree.startHi(pos), tree.startLo(pos))
    return start > index ? start : pageOf(tree.lastHi(pos), tree.lastLo(pos)) + 1
  }

  #makeTree(): void {
    const only = this.#only
    this.#only = undefined
    this.#tree = new RangeTree()
    this.#lists = []
    this.#places = []
    if (only !== undefined) this.#eachPart(only, (list) => list.push(only))
  }

  /** Visits the list of every part of the user's pages, splitting and making parts as needed. */
  #eachPart(user: DomainUser, visit: (list: DomainUser[]) => void): void {
    this.#splitAt(user.first)
    this.#splitAt(user.last + 1)
    const tree = this.#tree as RangeTree
    let index = user.first
    while (index <= user.last) {
      let pos = tree.from(pageHi(index), pageLo(index))
      const start = pos < 0 ? user.last + 1 : pageOf(tree.startHi(pos), tree.startLo(pos))
      if (start > index) {
        this.#insert(index, Math.min(start - 1, user.last), [])
        pos = tree.at(pageHi(index), pageLo(index))
      }
      visit(this.#lists[tree.value(pos)] as DomainUser[])
      index = pageOf(tree.lastHi(pos), tree.lastLo(pos)) + 1
    }
  }

  #dropEmptyParts(user: DomainUser): void {
    const tree = this.#tree as RangeTree
    let index = user.first
    while (index <= user.last) {
      const pos = tree.at(pageHi(index), pageLo(index))
      const next = pageOf(tree.lastHi(pos), tree.lastLo(pos)) + 1
      if (this.#lists[tree.value(pos)]?.length === 0) {
        this.#places.push(tree.value(pos))
        tree.remove(pos)
      }
      index = next
    }
  }

  #splitAt(index: number): void {
    const tree = this.#tree as RangeTree
    const pos = tree.at(pageHi(index), pageLo(index))
    if (pos < 0) return
    const first = pageOf(tree.startHi(pos), tree.startLo(pos))
    if (first === index) return
    const last = pageOf(tree.lastHi(pos), tree.lastLo(pos))
    const list = this.#lists[tree.value(pos)] as DomainUser[]
    this.#places.push(tree.value(pos))
    tree.remove(pos)
    this.#insert(first, index - 1, list)
    this.#insert(index, last, [...list])
  }

  #insert(first: number, last: number, list: DomainUser[]): void {
    const place = this.#places.pop() ?? this.#lists.length
    this.#lists[place] = list
    const lastLo = pageLo(last) | 0xfff
    this.#tree?.insert(pageHi(first), pageLo(first), pageHi(last), lastLo, place)
  }
}

function covers(user: DomainUser | undefined, index: number): boolean {
  return user !== undefined && user.first <= index && index <= user.last
}

function boundaryOf(user: DomainUser | undefined, index: number): number {
  if (user === undefined || index > user.last) return Number.POSITIVE_INFINITY
  return index < user.first ? user.first : user.last + 1
}

function isSame(a: DomainUser, b: DomainUser): boolean {
  return (
    a.iopt === b.iopt &&
    a.originHi === b.originHi &&
    a.originLo === b.originLo &&
    a.first === b.first &&
    a.last === b.last
  )
}
