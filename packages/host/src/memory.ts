// SPDX-License-Identifier: Apache-2.0
//
// The Mm of a simulated process: user copies, long-term pins and lookups over its address space.
//
// All of it works from the page table and falls back to a fault where the table says no. Every ioctl copies through here,
// so the way of a short copy within one page makes no call that allocates.

import { EFAULT, PAGE_SHIFT, PAGE_SIZE } from '@iommufd/uapi'
import { CHUNK_PAGES, offsetOf, pageOf, TASK_PAGES, USER_HI_BITS } from './address.js'
import {
  AddressSpace,
  FAULT_LOOKUP,
  FAULT_PIN,
  FAULT_PIN_WRITE,
  FAULT_READ,
  FAULT_WRITE,
  type Fault,
} from './address-space.js'
import type { Frames } from './frames.js'
import type { Mm } from './host.js'
import { DEVICE, PRIVATE, READABLE, SHARED, WRITABLE } from './page-table.js'

/** Bits of an address below its chunk: 2 MiB. */
const CHUNK_SHIFT = 21

function chunkOf(hi: number, lo: number): number {
  return (hi << (32 - CHUNK_SHIFT)) | (lo >>> CHUNK_SHIFT)
}

function slotOf(lo: number): number {
  return (lo >>> PAGE_SHIFT) & (CHUNK_PAGES - 1)
}

/** Whether `length` bytes at (hi, lo) are all user addresses. */
export function isUserRange(hi: number, lo: number, length: number): boolean {
  if (hi >>> USER_HI_BITS !== 0) return false
  return pageOf(hi, lo) * PAGE_SIZE + offsetOf(lo) + length <= TASK_PAGES * PAGE_SIZE
}

export class Memory implements Mm {
  alive = true
  pinnedVm = 0
  lockedVm = 0
  readonly space: AddressSpace
  readonly #frames: Frames

  constructor(frames: Frames) {
    this.#frames = frames
    this.space = new AddressSpace(frames)
  }

  copyFromUser(hi: number, lo: number, dst: Uint8Array, at: number, length: number): number {
    const offset = lo & (PAGE_SIZE - 1)
    const index = this.#present(hi, lo, offset + length, READABLE)
    if (index < 0) return this.#copy(hi, lo, dst, at, length, false)
    const frame = this.space.table.frames[index] as number
    this.#frames.copyOut(frame * PAGE_SIZE + offset, dst, at, length)
    return 0
  }

  copyToUser(hi: number, lo: number, src: Uint8Array, at: number, length: number): number {
    const offset = lo & (PAGE_SIZE - 1)
    const index = this.#present(hi, lo, offset + length, WRITABLE)
    if (index < 0) return this.#copy(hi, lo, src, at, length, true)
    const frame = this.space.table.frames[index] as number
    this.#frames.copyIn(src, at, frame * PAGE_SIZE + offset, length)
    return 0
  }

  readWords(hi: number, lo: number, dst: Int32Array, count: number): number {
    const offset = lo & (PAGE_SIZE - 1)
    const index = this.#present(hi, lo, offset + count * 4, READABLE)
    if (index < 0) {
      const bytes = new Uint8Array(dst.buffer, dst.byteOffset, count * 4)
      return this.#copy(hi, lo, bytes, 0, count * 4, false)
    }
    const from = ((this.space.table.frames[index] as number) * PAGE_SIZE + offset) / 4
    const { words } = this.#frames
    for (let i = 0; i < count; i++) dst[i] = words[from + i] as number
    return 0
  }

  writeWords(hi: number, lo: number, src: Int32Array, at: number, count: number): number {
    const offset = lo & (PAGE_SIZE - 1)
    const index = this.#present(hi, lo, offset + count * 4, WRITABLE)
    if (index < 0) {
      const bytes = new Uint8Array(src.buffer, src.byteOffset + at * 4, count * 4)
      return this.#copy(hi, lo, bytes, 0, count * 4, true)
    }
    const to = ((this.space.table.frames[index] as number) * PAGE_SIZE + offset) / 4
    const { words } = this.#frames
    for (let i = 0; i < count; i++) words[to + i] = src[at + i] as number
    return 0
  }

  pin(
    hi: number,
    lo: number,
    npages: number,
    write: boolean,
    frames: Uint32Array,
    at: number,
  ): number {
    if (hi >>> USER_HI_BITS !== 0) return -EFAULT
    let chunk = chunkOf(hi, lo)
    let slot = slotOf(lo)
    let done = 0
    while (done < npages) {
      if (slot === CHUNK_PAGES) {
        chunk++
        slot = 0
      }
      const base = this.space.table.find(chunk)
      const n = Math.min(npages - done, CHUNK_PAGES - slot)
      let pinned = base < 0 ? 0 : this.#pinPresent(base + slot, n, write, frames, at + done)
      if (pinned === 0) {
        pinned = this.#pinAbsent(chunk, slot, write, frames, at + done)
        if (pinned < 0) return done > 0 ? done : pinned
      }
      done += pinned
      slot += pinned
    }
    return done
  }

  lookup(hi: number, lo: number): number {
    if (hi >>> USER_HI_BITS !== 0) return -EFAULT
    const { table } = this.space
    const chunk = chunkOf(hi, lo)
    let index = table.find(chunk)
    if (index >= 0) index += slotOf(lo)
    if (index < 0 || ((table.flags[index] as number) & (READABLE | DEVICE)) !== READABLE)
      index = this.space.fault(chunk, slotOf(lo), FAULT_LOOKUP)
    return index < 0 ? -EFAULT : (table.frames[index] as number)
  }

  /** The process has exited: all of its memory goes, its pages stay as far as they are pinned. */
  destroy(): void {
    this.alive = false
    this.space.unmap(0, TASK_PAGES)
  }

  /** Page table entry of an access that ends within its page and that the page has `right` for, or -1. */
  #present(hi: number, lo: number, end: number, right: number): number {
    if (hi >>> USER_HI_BITS !== 0 || end > PAGE_SIZE) return -1
    const { table } = this.space
    const base = table.find(chunkOf(hi, lo))
    if (base < 0) return -1
    const index = base + slotOf(lo)
    return ((table.flags[index] as number) & right) === 0 ? -1 : index
  }

  /** Pins up to `n` pages from the table, stopping before the first that needs a fault. @returns how many */
  #pinPresent(index: number, n: number, write: boolean, frames: Uint32Array, at: number): number {
    const { table } = this.space
    for (let i = 0; i < n; i++) {
      const flags = table.flags[index + i] as number
      const frame = table.frames[index + i] as number
      if ((flags & (SHARED | PRIVATE)) === 0) return i
      if ((flags & (write ? WRITABLE : READABLE)) === 0) return i
      if (!write && (flags & SHARED) === 0 && this.#frames.mappings(frame) !== 1) return i
      this.#frames.pin(frame)
      frames[at + i] = frame
    }
    return n
  }

  /** Pins one page that needs a fault. @returns 1 or -errno */
  #pinAbsent(chunk: number, slot: number, write: boolean, frames: Uint32Array, at: number): number {
    const index = this.space.fault(chunk, slot, write ? FAULT_PIN_WRITE : FAULT_PIN)
    if (index < 0) return index
    const frame = this.space.table.frames[index] as number
    this.#frames.pin(frame)
    frames[at] = frame
    return 1
  }

  /** Any copy: page by page, in runs of frames that follow each other. */
  #copy(
    hi: number,
    lo: number,
    bytes: Uint8Array,
    at: number,
    length: number,
    toUser: boolean,
  ): number {
    if (length === 0) return 0
    if (!isUserRange(hi, lo, length)) return -EFAULT
    let chunk = chunkOf(hi, lo)
    let slot = slotOf(lo)
    let done = 0
    while (done < length) {
      const offset = done === 0 ? offsetOf(lo) : 0
      const index = this.#access(chunk, slot, toUser)
      if (index < 0) return -EFAULT
      const run = this.#run(index, slot, offset, length - done, toUser)
      const from = (this.space.table.frames[index] as number) * PAGE_SIZE + offset
      if (toUser) this.#frames.copyIn(bytes, at + done, from, run)
      else this.#frames.copyOut(from, bytes, at + done, run)
      done += run
      slot += (offset + run) >>> PAGE_SHIFT
      if (slot === CHUNK_PAGES) {
        chunk++
        slot = 0
      }
    }
    return 0
  }

  /** Page table entry of a page that may be read or written, or -errno. */
  #access(chunk: number, slot: number, toUser: boolean): number {
    const { table } = this.space
    const base = table.find(chunk)
    const right = toUser ? WRITABLE : READABLE
    if (base >= 0 && ((table.flags[base + slot] as number) & right) !== 0) return base + slot
    const fault: Fault = toUser ? FAULT_WRITE : FAULT_READ
    return this.space.fault(chunk, slot, fault)
  }

  /** How many of `length` bytes from `offset` of a page on lie in frames that follow each other, within the chunk. */
  #run(index: number, slot: number, offset: number, length: number, toUser: boolean): number {
    const { table } = this.space
    const right = toUser ? WRITABLE : READABLE
    const frame = table.frames[index] as number
    let run = PAGE_SIZE - offset
    for (let i = 1; run < length && slot + i < CHUNK_PAGES; i++) {
      if (((table.flags[index + i] as number) & right) === 0) break
      if (table.frames[index + i] !== frame + i) break
      run += PAGE_SIZE
    }
    return Math.min(run, length)
  }
}
