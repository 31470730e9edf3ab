// SPDX-License-Identifier: Apache-2.0
//
// The address space of a process: its mappings, its page table, and the faults that bring the two together. What the
// engine asks of an Mm (copies, pins, lookup) is in memory.ts.
//
// Invariants:
// - the page table never permits more than the mapping does; it may permit less, a fault then settles it;
// - a page is WRITABLE only if it is SHARED, or PRIVATE and in no other page table;
// - a pinned private page is in one page table only: pinning unshares it first, and fork copies it for the child. So
//   the mapping that was pinned, the pin, and nobody else see the same bytes.

import { EACCES, EFAULT, ENOMEM, PROT_READ, PROT_WRITE } from '@iommufd/uapi'
import { CHUNK_PAGES } from './address.js'
import { type Frames, ZERO_FRAME } from './frames.js'
import { type Backing, closeMapping, type Mapping, Mappings, openMapping } from './mappings.js'
import { BORROWED, DEVICE, PageTable, PRIVATE, READABLE, SHARED, WRITABLE } from './page-table.js'
import type { Shmem } from './shmem.js'

// What a fault is for.
/** The process, or the kernel copying for it, reads. */
export const FAULT_READ = 0
/** The same, or a pin, writes. */
export const FAULT_WRITE = 1
/** Somebody looks up the page for reading. */
export const FAULT_LOOKUP = 2
/** A pin for reading: a private page must become the mapping's own. */
export const FAULT_PIN = 3
/** A pin for writing. */
export const FAULT_PIN_WRITE = 4

export type Fault = 0 | 1 | 2 | 3 | 4

function permitted(prot: number, fault: Fault): boolean {
  if (fault === FAULT_READ) return prot !== 0
  if (fault === FAULT_WRITE || fault === FAULT_PIN_WRITE) return (prot & PROT_WRITE) !== 0
  return (prot & PROT_READ) !== 0
}

/** The rights that a page may have at most under `prot`. */
function rights(prot: number): number {
  return (prot === 0 ? 0 : READABLE) | ((prot & PROT_WRITE) === 0 ? 0 : WRITABLE)
}

export class AddressSpace {
  readonly frames: Frames
  readonly table: PageTable = new PageTable()
  readonly #mappings = new Mappings()

  constructor(frames: Frames) {
    this.frames = frames
  }

  /**
   * Makes the page at (chunk, slot) present and fit for `fault`.
   * @returns the index of its page table entry, -EFAULT or -ENOMEM
   */
  fault(chunk: number, slot: number, fault: Fault): number {
    const mapping = this.#mappings.at(chunk, slot)
    if (mapping === undefined || !permitted(mapping.prot, fault)) return -EFAULT
    const { backing } = mapping
    const page = chunk * CHUNK_PAGES + slot
    const base = this.table.find(chunk)
    const index = base >= 0 && this.table.flags[base + slot] !== 0 ? base + slot : -1
    if (backing.device !== undefined) return this.#faultDevice(chunk, slot, mapping, index, fault)
    if (backing.shared) {
      if (index >= 0) return this.#permit(index, mapping)
      const frame = (backing.shmem as Shmem).frame(page - backing.origin)
      return frame < 0 ? frame : this.#enterHeld(chunk, slot, frame, SHARED, mapping)
    }
    const own = fault !== FAULT_READ && fault !== FAULT_LOOKUP
    return index < 0
      ? this.#faultAbsent(chunk, slot, mapping, own)
      : this.#faultPresent(index, mapping, own)
  }

  /** Whether any page of [start, end) is mapped. */
  overlaps(start: number, end: number): boolean {
    return this.#mappings.within(start, end).length > 0
  }

  /** As Mappings.highestGap. */
  highestGap(pages: number, floor: number, ceiling: number): number {
    return this.#mappings.highestGap(pages, floor, ceiling)
  }

  /** Maps [start, end), where nothing may be mapped. */
  map(start: number, end: number, prot: number, backing: Backing): void {
    this.#mappings.insert(openMapping(start, end, prot, backing))
  }

  /** Brings in the pages of [start, end) until one cannot be had. */
  populate(start: number, end: number, fault: Fault): void {
    for (let page = start; page < end; page++)
      if (this.fault(Math.floor(page / CHUNK_PAGES), page % CHUNK_PAGES, fault) < 0) return
  }

  /** Removes whatever is mapped in [start, end). */
  unmap(start: number, end: number): void {
    const taken = this.#mappings.take(start, end)
    if (taken.length === 0) return
    this.#zap(start, end)
    taken.forEach(closeMapping)
  }

  /**
   * Changes the rights of [start, end).
   * @returns 0; -ENOMEM at the first hole, -EACCES at the first mapping that may not be written: what lies before it has
   * changed
   */
  protect(start: number, end: number, prot: number): number {
    let next = start
    for (const mapping of this.#mappings.isolate(start, end)) {
      if (mapping.start > next) return -ENOMEM
      if ((prot & PROT_WRITE) !== 0 && !mapping.backing.mayWrite) return -EACCES
      mapping.prot = prot
      this.#restrict(mapping.start, mapping.end, rights(prot))
      next = mapping.end
    }
    return next < end ? -ENOMEM : 0
  }

  /** Removes the pages of `shmem` from page `first` of the file on, private copies included; the mappings stay. */
  truncate(shmem: Shmem, first: number): void {
    for (const { start, end, backing } of this.#mappings.all)
      if (backing.shmem === shmem) this.#zap(Math.max(start, backing.origin + first), end)
  }

  /**
   * Fills a new address space with a copy of this one, for fork. Pages of files and devices are left to be faulted in.
   * @returns 0, or -ENOMEM: the copy is then incomplete, and to be unmapped
   */
  copyTo(child: AddressSpace): number {
    for (const { start, end, prot, backing } of this.#mappings.all)
      child.map(start, end, prot, backing)
    for (const chunk of this.table.chunks(0, Number.MAX_SAFE_INTEGER)) {
      const base = this.table.find(chunk)
      for (let slot = 0; slot < CHUNK_PAGES; slot++) {
        if (((this.table.flags[base + slot] as number) & PRIVATE) === 0) continue
        if (!this.#copyPage(child, chunk, slot, base + slot)) return -ENOMEM
      }
    }
    return 0
  }

  /** A pinned page stays the parent's alone; any other is shared until one of the two writes. */
  #copyPage(child: AddressSpace, chunk: number, slot: number, index: number): boolean {
    const { table, frames } = this
    const frame = table.frames[index] as number
    const flags = table.flags[index] as number
    if (frames.pins(frame) > 0) {
      const copy = frames.duplicate(frame)
      if (copy < 0) return false
      child.table.add(chunk, slot, copy, flags)
      return true
    }
    frames.get(frame)
    table.flags[index] = flags & ~WRITABLE
    child.table.add(chunk, slot, frame, flags & ~WRITABLE)
    return true
  }

  #faultAbsent(chunk: number, slot: number, mapping: Mapping, own: boolean): number {
    const { shmem, origin } = mapping.backing
    const page = chunk * CHUNK_PAGES + slot
    const source = shmem === undefined ? ZERO_FRAME : shmem.frame(page - origin)
    if (source < 0) return source
    if (!own) return this.#enterHeld(chunk, slot, source, BORROWED, mapping)
    const frame = this.frames.duplicate(source)
    return frame < 0 ? frame : this.#enter(chunk, slot, frame, PRIVATE, mapping)
  }

  #faultPresent(index: number, mapping: Mapping, own: boolean): number {
    const { table, frames } = this
    const shared = table.frames[index] as number
    const mine = ((table.flags[index] as number) & PRIVATE) !== 0 && frames.mappings(shared) === 1
    if (own && !mine) {
      const frame = frames.duplicate(shared)
      if (frame < 0) return frame
      table.frames[index] = frame
      table.flags[index] = PRIVATE
      frames.put(shared)
    }
    return this.#permit(index, mapping)
  }

  #faultDevice(chunk: number, slot: number, mapping: Mapping, index: number, fault: Fault): number {
    if (fault !== FAULT_READ && fault !== FAULT_WRITE) return -EFAULT
    if (index >= 0) return this.#permit(index, mapping)
    const { device, origin } = mapping.backing
    const frame = device?.frames[chunk * CHUNK_PAGES + slot - origin]
    if (frame === undefined) return -EFAULT
    return this.#enterHeld(chunk, slot, frame, DEVICE, mapping)
  }

  /** Enters a page that was absent and whose frame somebody else holds. */
  #enterHeld(chunk: number, slot: number, frame: number, kind: number, mapping: Mapping): number {
    this.frames.get(frame)
    return this.#enter(chunk, slot, frame, kind, mapping)
  }

  /** Enters a page that was absent. Takes over the caller's reference on the frame. */
  #enter(chunk: number, slot: number, frame: number, kind: number, mapping: Mapping): number {
    return this.#permit(this.table.add(chunk, slot, frame, kind), mapping)
  }

  /** Gives a present page the rights that its mapping permits now. */
  #permit(index: number, mapping: Mapping): number {
    const { table } = this
    const flags = table.flags[index] as number
    let most = rights(mapping.prot)
    const mine =
      (flags & PRIVATE) !== 0 && this.frames.mappings(table.frames[index] as number) === 1
    if ((flags & (SHARED | DEVICE)) === 0 && !mine) most &= ~WRITABLE
    table.flags[index] = (flags & ~(READABLE | WRITABLE)) | most
    return index
  }

  /** Takes away the rights that are not in `most` from the pages of [start, end). */
  #restrict(start: number, end: number, most: number): void {
    const { flags } = this.table
    this.#eachPresent(start, end, (_chunk, index) => {
      flags[index] = (flags[index] as number) & (~(READABLE | WRITABLE) | most)
    })
  }

  /** Removes the pages of [start, end) from the page table. */
  #zap(start: number, end: number): void {
    const { table, frames } = this
    this.#eachPresent(start, end, (chunk, index) => {
      const frame = table.frames[index] as number
      table.remove(chunk, index)
      frames.put(frame)
    })
  }

  #eachPresent(start: number, end: number, visit: (chunk: number, index: number) => void): void {
    if (start >= end) return
    const first = Math.floor(start / CHUNK_PAGES)
    const last = Math.floor((end - 1) / CHUNK_PAGES)
    for (const chunk of this.table.chunks(first, last)) {
      const base = this.table.find(chunk)
      const to = chunk === last ? (end - 1) % CHUNK_PAGES : CHUNK_PAGES - 1
      for (let slot = chunk === first ? start % CHUNK_PAGES : 0; slot <= to; slot++)
        if (this.table.flags[base + slot] !== 0) visit(chunk, base + slot)
    }
  }
}
