// SPDX-License-Identifier: Apache-2.0
//
// The mappings of one address space: disjoint runs of pages in ascending order, each with its rights and what backs it.
// Page numbers are doubles; `start` is the first page, `end` the one after the last.
//
// A mapping of a file holds a reference on it (so does each part after a split), and a mapping of a device counts as
// one for the device. Knows nothing of page tables: whoever removes or changes a mapping sees to them.

import type { DeviceMapping, File } from './host.js'
import type { Shmem } from './shmem.js'

/** What a mapping is made of. */
export interface Backing {
  readonly shared: boolean
  /** PROT_WRITE may be given: false only for a file opened for reading and mapped shared. */
  readonly mayWrite: boolean
  /** Page number that file page 0 would have; a split does not change it. */
  readonly origin: number
  /** The file that is mapped and kept open, undefined for private anonymous memory. */
  readonly file?: File | undefined
  /** The pages of the file when it is memory. */
  readonly shmem?: Shmem | undefined
  /** The pages of the file when it is a device. */
  readonly device?: DeviceMapping | undefined
}

export interface Mapping {
  start: number
  end: number
  /** PROT_READ | PROT_WRITE | PROT_EXEC */
  prot: number
  readonly backing: Backing
}

/** A mapping of these pages now exists. Takes references of its own. */
export function openMapping(start: number, end: number, prot: number, backing: Backing): Mapping {
  backing.file?.get()
  backing.device?.open()
  return { start, end, prot, backing }
}

/** The mapping is gone. */
export function closeMapping(mapping: Mapping): void {
  mapping.backing.device?.close()
  mapping.backing.file?.put()
}

export class Mappings {
  #list: Mapping[] = []
  #last: Mapping | undefined

  /** All mappings, ascending. */
  get all(): readonly Mapping[] {
    return this.#list
  }

  /** The mapping that holds page (chunk, slot). Takes them apart so that no double crosses the call. */
  at(chunk: number, slot: number): Mapping | undefined {
    const page = chunk * 512 + slot
    const last = this.#last
    if (last !== undefined && page >= last.start && page < last.end) return last
    const found = this.#list[this.#from(page)]
    if (found === undefined || found.start > page) return undefined
    this.#last = found
    return found
  }

  /** The mappings that reach into [start, end), ascending. */
  within(start: number, end: number): Mapping[] {
    const found: Mapping[] = []
    for (let i = this.#from(start); i < this.#list.length; i++) {
      const mapping = this.#list[i] as Mapping
      if (mapping.start >= end) break
      found.push(mapping)
    }
    return found
  }

  /** Adds a mapping where there is none. */
  insert(mapping: Mapping): void {
    this.#list.splice(this.#from(mapping.start), 0, mapping)
  }

  /** Cuts mappings at the ends of [start, end), so that each lies wholly inside or outside. */
  isolate(start: number, end: number): Mapping[] {
    this.#cut(start)
    this.#cut(end)
    return this.within(start, end)
  }

  /** Takes the mappings of [start, end) out, cutting at its ends. Closing them is the caller's. */
  take(start: number, end: number): Mapping[] {
    const taken = this.isolate(start, end)
    this.#list.splice(this.#from(start), taken.length)
    this.#last = undefined
    return taken
  }

  /** First page of the highest gap of `pages` pages in [floor, ceiling), -1 when there is none. */
  highestGap(pages: number, floor: number, ceiling: number): number {
    let end = ceiling
    for (let i = this.#list.length - 1; i >= 0 && end - pages >= floor; i--) {
      const mapping = this.#list[i] as Mapping
      if (mapping.end <= end - pages) break
      end = Math.min(end, mapping.start)
    }
    return end - pages >= floor ? end - pages : -1
  }

  /** Splits the mapping that lies across the border before `page`, if any. */
  #cut(page: number): void {
    const i = this.#from(page)
    const mapping = this.#list[i]
    if (mapping === undefined || mapping.start >= page) return
    const upper = openMapping(page, mapping.end, mapping.prot, mapping.backing)
    mapping.end = page
    this.#list.splice(i + 1, 0, upper)
  }

  /** Position of the first mapping that ends after `page`. */
  #from(page: number): number {
    let low = 0
    let high = this.#list.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#list[middle] as Mapping).end <= page) low = middle + 1
      else high = middle
    }
    return low
  }
}
