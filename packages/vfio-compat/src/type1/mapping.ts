// SPDX-License-Identifier: Apache-2.0
/**
 * One mapping of a type 1 container, and the set of them.
 *
 * Invariant: mappings never overlap and begin and end at pages. Unlike the areas of an iommufd they
 * are never split. `isMapped` says that all pages are pinned and in every page table; `pinned` holds
 * what emulated devices pin.
 */
import { pageHi, pageLo } from '@iommufd/core'
import type { Mm, Task } from '@iommufd/host'
import { RangeTree } from '@iommufd/pages'

/** A page that emulated devices have pinned. */
export interface DevicePin {
  readonly frame: number
  users: number
}

export class Mapping {
  /** Page of the IOVAs. */
  readonly first: number
  readonly pages: number
  /** AREA_READ and AREA_WRITE. */
  readonly prot: number
  /** Page of the process that mapped, which VFIO_DMA_MAP_FLAG_VADDR may replace. */
  userPage: number
  task: Task
  mm: Mm
  /** The mapper had CAP_IPC_LOCK: charged all the same, but never refused. */
  isUnlimited: boolean
  isMapped = false
  /** The address was given up, and none has come in its place. */
  isAddressGone = false
  /** By page within the mapping. */
  readonly pinned: Map<number, DevicePin> = new Map()
  /** Pages within the mapping that are a device's own, which nobody pins or charges. */
  readonly devicePages: Set<number> = new Set()
  /** Numbers of bits of pages that devices have pinned, while dirty pages are tracked. */
  dirty: Set<number> | undefined

  constructor(
    task: Task,
    first: number,
    pages: number,
    userPage: number,
    prot: number,
    isUnlimited: boolean,
  ) {
    this.task = task
    this.mm = task.mm
    this.first = first
    this.pages = pages
    this.userPage = userPage
    this.prot = prot
    this.isUnlimited = isUnlimited
  }

  get last(): number {
    return this.first + this.pages - 1
  }
}

/** Mappings by page of the IOVAs. */
export class Mappings {
  readonly #tree = new RangeTree()
  readonly #mappings: (Mapping | undefined)[] = []
  readonly #free: number[] = []

  get size(): number {
    return this.#tree.size
  }

  /** The mapping that shows the page. */
  at(page: number): Mapping | undefined {
    return this.#value(this.#tree.at(pageHi(page), pageLo(page)))
  }

  /** The lowest mapping that does not end before the page. */
  from(page: number): Mapping | undefined {
    return this.#value(this.#tree.from(pageHi(page), pageLo(page)))
  }

  /** Whether a mapping touches pages first to last. */
  touches(first: number, last: number): boolean {
    const mapping = this.from(first)
    return mapping !== undefined && mapping.first <= last
  }

  add(mapping: Mapping): void {
    const { first, last } = mapping
    const number = this.#free.pop() ?? this.#mappings.length
    this.#mappings[number] = mapping
    const lastLo = pageLo(last) | 0xfff
    this.#tree.insert(pageHi(first), pageLo(first), pageHi(last), lastLo, number)
  }

  remove({ first }: Mapping): void {
    const pos = this.#tree.at(pageHi(first), pageLo(first))
    const number = this.#tree.value(pos)
    this.#tree.remove(pos)
    this.#mappings[number] = undefined
    this.#free.push(number)
  }

  /** In ascending order; none may be added or removed meanwhile. */
  *[Symbol.iterator](): IterableIterator<Mapping> {
    for (let pos = this.#tree.first(); pos >= 0; pos = this.#tree.next(pos)) {
      yield this.#value(pos) as Mapping
    }
  }

  #value(pos: number): Mapping | undefined {
    return pos < 0 ? undefined : this.#mappings[this.#tree.value(pos)]
  }
}
