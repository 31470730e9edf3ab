// SPDX-License-Identifier: Apache-2.0
//
// The address space of a live process (SPEC C6, E4, E7): copies with the process's own permissions, pins by whichever way
// its memory allows.
//
// Invariant: the object stands for one address space, not for a process number: after exec or exit it is no longer alive
// and reaches nobody's memory. A frame that `pin` gave names its page until it is unpinned.

import { closeSync, openSync } from 'node:fs'
import type { Mm } from '@iommufd/host'
import { EFAULT, ENOMEM } from '@iommufd/uapi'
import { pread, processVmReadv, processVmWritev, region, setU64 } from './libc.js'
import { PAGE_SIZE } from './limits.js'
import type { LiveMemory } from './live-memory.js'
import { type Vma, VmaQuery } from './vma.js'

const BOUNCE_BYTES = 1 << 20
/** Above the user half of the address space of any machine (5-level page tables end at 2^56). */
const USER_END_HI = 1 << 24

const bounce = region(BOUNCE_BYTES)
const local = region(16)
const remote = region(16)
const probe = region(8)
setU64(local.view, 0, bounce.address)

/** Told of every part of a user's memory that the engine looks at or changes; for recordings. */
export interface MemoryObserver {
  /** `bytes` were read at `address`. */
  read(mm: LiveMm, address: number, bytes: Uint8Array): void
  /** Bytes were written at `address`. */
  written(mm: LiveMm, address: number, bytes: Uint8Array): void
  /** Pages from `address` on were pinned or looked up, or could not be. */
  touched(mm: LiveMm, address: number, bytes: number): void
}

export class LiveMm implements Mm {
  pinnedVm = 0
  lockedVm = 0
  readonly pid: number
  /** A thread that is known to use this address space: the last one that called. */
  tid: number
  readonly vmas: VmaQuery
  observer: MemoryObserver | undefined
  readonly #memory: LiveMemory
  readonly #mem: number
  #gone = false
  /** The page that the process lends us for arguments of calls made in its stead; 0: none yet. */
  scratch = 0

  /**
   * @param tid a thread that uses it: the first one may have ended
   * @throws a system error when the process is gone or out of reach
   */
  constructor(memory: LiveMemory, pid: number, tid: number) {
    this.#memory = memory
    this.pid = pid
    this.tid = tid
    this.vmas = new VmaQuery(tid)
    this.#mem = openSync(`/proc/${tid}/mem`, 'r')
  }

  /** An open `mem` stays with its address space: of one that has ended it reads nothing, of a living one page 0 is an error. */
  get alive(): boolean {
    if (!this.#gone && pread(this.#mem, probe.address, 1, 0) === 0) this.#end()
    return !this.#gone
  }

  copyFromUser(hi: number, lo: number, dst: Uint8Array, at: number, length: number): number {
    const start = addressOf(hi, lo)
    for (let done = 0; done < length; ) {
      const part = Math.min(length - done, BOUNCE_BYTES)
      const got = this.#transfer(processVmReadv, start + done, part)
      if (got > 0) dst.set(bounce.bytes.subarray(0, got), at + done)
      if (got > 0) this.observer?.read(this, start + done, bounce.bytes.subarray(0, got))
      if (got !== part) return this.#fault(start + done + Math.max(got, 0))
      done += part
    }
    return 0
  }

  copyToUser(hi: number, lo: number, src: Uint8Array, at: number, length: number): number {
    const start = addressOf(hi, lo)
    for (let done = 0; done < length; ) {
      const part = Math.min(length - done, BOUNCE_BYTES)
      bounce.bytes.set(src.subarray(at + done, at + done + part))
      const got = this.#transfer(processVmWritev, start + done, part)
      if (got > 0) this.observer?.written(this, start + done, bounce.bytes.subarray(0, got))
      if (got !== part) return this.#fault(start + done + Math.max(got, 0))
      done += part
    }
    return 0
  }

  readWords(hi: number, lo: number, dst: Int32Array, count: number): number {
    const address = addressOf(hi, lo)
    const got = this.#transfer(processVmReadv, address, count * 4)
    if (got !== count * 4) return this.#fault(address + Math.max(got, 0))
    const { words } = bounce
    for (let i = 0; i < count; i++) dst[i] = words[i] as number
    this.observer?.read(this, address, bounce.bytes.subarray(0, got))
    return 0
  }

  writeWords(hi: number, lo: number, src: Int32Array, at: number, count: number): number {
    const address = addressOf(hi, lo)
    const { words } = bounce
    for (let i = 0; i < count; i++) words[i] = src[at + i] as number
    const got = this.#transfer(processVmWritev, address, count * 4)
    if (got > 0) this.observer?.written(this, address, bounce.bytes.subarray(0, got))
    return got === count * 4 ? 0 : this.#fault(address + Math.max(got, 0))
  }

  pin(
    hi: number,
    lo: number,
    npages: number,
    write: boolean,
    frames: Uint32Array,
    at: number,
  ): number {
    const start = addressOf(hi, lo)
    const page = start - (start % PAGE_SIZE)
    this.observer?.touched(this, page, npages * PAGE_SIZE)
    if (hi >>> 0 >= USER_END_HI || !this.alive) return -EFAULT
    const vma = this.vmas.find(page)
    if (vma === undefined || !(write ? vma.writable : vma.readable)) return -EFAULT
    const n = Math.min(npages, (vma.end - page) / PAGE_SIZE)
    return this.#memory.pin(this, vma, page, n, write, frames, at)
  }

  lookup(hi: number, lo: number): number {
    const start = addressOf(hi, lo)
    const page = start - (start % PAGE_SIZE)
    this.observer?.touched(this, page, PAGE_SIZE)
    if (hi >>> 0 >= USER_END_HI || !this.alive) return -EFAULT
    const vma = this.vmas.find(page)
    return vma?.readable ? this.#memory.lookup(this, vma, page) : -EFAULT
  }

  /** The page at `address` as the process sees it, good until the next copy; undefined when it cannot be read. */
  peek(address: number): Uint8Array | undefined {
    const got = this.#transfer(processVmReadv, address, PAGE_SIZE)
    return got === PAGE_SIZE ? bounce.bytes.subarray(0, PAGE_SIZE) : undefined
  }

  /** What is mapped at `address`, if anything. */
  vma(address: number): Vma | undefined {
    return this.vmas.find(address)
  }

  #transfer(transfer: typeof processVmReadv, address: number, length: number): number {
    if (this.#gone || address >= USER_END_HI * 0x100000000) return -EFAULT
    setU64(local.view, 8, length)
    setU64(remote.view, 0, address)
    setU64(remote.view, 8, length)
    const rc = transfer(this.tid, local.address, 1, remote.address, 1, 0)
    return rc === -ENOMEM ? -EFAULT : rc
  }

  #fault(address: number): number {
    this.observer?.touched(this, address, 1)
    return -EFAULT
  }

  #end(): void {
    this.#gone = true
    closeSync(this.#mem)
    this.vmas.close()
    this.#memory.ended(this)
  }
}

/** Inexact above 2^53, which is no address of a process. */
function addressOf(hi: number, lo: number): number {
  return (hi >>> 0) * 0x100000000 + (lo >>> 0)
}
