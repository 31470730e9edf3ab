// SPDX-License-Identifier: Apache-2.0
/**
 * Reading and writing the memory behind an `iopt_pages` from inside the kernel (SPEC E7).
 *
 * Invariant: nothing stays pinned and nothing is charged. Three ways lead to the bytes: the mapper
 * itself (or a kernel thread that takes its address space on) uses its own addresses; somebody else
 * goes through the mapper's page tables for a range inside one page, and through pins for more. So
 * one IOVA can read differently for two callers after the mapper has changed its mappings. What was
 * copied before an error stays copied.
 */

import { pageOf, sumHi } from '@iommufd/core'
import type { Mm } from '@iommufd/host'
import { PAGE_SIZE } from '@iommufd/uapi'
import type { PagesTable } from './pages-table.js'
import { BATCH_PAGES, pinBatch } from './pin.js'
import { USER_RANGE_BAD } from './refusals.js'

/** Write to the memory; without it, read. */
export const RW_WRITE = 1
/** The caller is a kernel thread and takes on the mapper's address space. */
export const RW_KTHREAD = 2
/** Use pins even where the mapper's own addresses would do (tests). */
export const RW_SLOW_PATH = 4

const frames = new Uint32Array(BATCH_PAGES)
/** 1 where the frame was pinned for this batch alone. */
const taken = new Uint8Array(BATCH_PAGES)

/** Copies `length` bytes between `data[at…]` and byte (startHi, startLo) of the pages. */
export function rwPages(
  table: PagesTable,
  pages: number,
  startHi: number,
  startLo: number,
  data: Uint8Array,
  at: number,
  length: number,
  flags: number,
): number {
  if (table.file(pages) === undefined) {
    const mm = table.owner(pages).mm
    const isCurrent = mm === table.engine.current?.mm && (flags & RW_SLOW_PATH) === 0
    const takesOn = (flags & RW_KTHREAD) !== 0 && mm.alive
    const insidePage = (startLo & (PAGE_SIZE - 1)) + length <= PAGE_SIZE
    if (isCurrent || takesOn || (insidePage && mm.alive)) {
      return rwUser(table, pages, mm, startHi, startLo, data, at, length, flags)
    }
  }
  return rwPinned(table, pages, startHi, startLo, data, at, length, flags)
}

/** By the addresses of an address space. */
function rwUser(
  table: PagesTable,
  pages: number,
  mm: Mm,
  startHi: number,
  startLo: number,
  data: Uint8Array,
  at: number,
  length: number,
  flags: number,
): number {
  const { engine } = table
  if (engine.faults.hit()) return engine.injectFault()
  const baseLo = table.baseLo(pages)
  const hi = sumHi(table.baseHi(pages), baseLo, startHi, startLo)
  const lo = (baseLo + startLo) | 0
  const isWrite = (flags & RW_WRITE) !== 0
  const rc = isWrite
    ? mm.copyToUser(hi, lo, data, at, length)
    : mm.copyFromUser(hi, lo, data, at, length)
  return rc === 0 ? 0 : engine.refusals.refuse(USER_RANGE_BAD, hi, lo, length, isWrite ? 1 : 0)
}

/**
 * By pins: those that are held already, or ones taken for the moment. A batch is gathered whole
 * before its first byte is copied; it ends where a pin ended early, so that what comes before an
 * unusable page is copied and the page itself refused.
 */
function rwPinned(
  table: PagesTable,
  pages: number,
  startHi: number,
  startLo: number,
  data: Uint8Array,
  at: number,
  length: number,
  flags: number,
): number {
  let index = pageOf(startHi, startLo)
  let offset = startLo & (PAGE_SIZE - 1)
  let done = 0
  while (done < length) {
    const n = gather(table, pages, index, Math.ceil((offset + length - done) / PAGE_SIZE))
    if (n < 0) return n
    const bytes = Math.min(n * PAGE_SIZE - offset, length - done)
    copyFrames(table, offset, data, at + done, bytes, flags)
    unpinTaken(table, n)
    done += bytes
    index += n
    offset = 0
  }
  return 0
}

/** Frames of up to `wanted` pages from `index` on: how many, or a negative errno. */
function gather(table: PagesTable, pages: number, index: number, wanted: number): number {
  const pinned = table.pinned(pages)
  const most = Math.min(wanted, BATCH_PAGES)
  let n = 0
  while (n < most) {
    const run = pinned === undefined ? most - n : pinned.runLength(index + n, most - n)
    if (pinned?.isHeld(index + n)) {
      pinned.frames(index + n, run, frames, n)
      taken.fill(0, n, n + run)
      n += run
      continue
    }
    const got = pinBatch(table, pages, index + n, run, frames, n)
    if (got < 0) {
      unpinTaken(table, n)
      return got
    }
    taken.fill(1, n, n + got)
    n += got
    if (got < run) break
  }
  return n
}

/** Unpins those of the first `n` frames that were pinned for this batch alone. */
function unpinTaken(table: PagesTable, n: number): void {
  for (let i = 0; i < n; i++) if (taken[i] === 1) table.engine.host.unpin(frames, i, 1)
}

/** Copies `bytes` from byte `offset` of the first frame on, as many frames at once as follow each other. */
function copyFrames(
  table: PagesTable,
  offset: number,
  data: Uint8Array,
  at: number,
  bytes: number,
  flags: number,
): void {
  const { host } = table.engine
  let from = offset
  for (let done = 0, i = 0; done < bytes; ) {
    const first = frames[i] as number
    let end = i + 1
    while ((end - i) * PAGE_SIZE - from < bytes - done && frames[end] === first + end - i) end++
    const part = Math.min((end - i) * PAGE_SIZE - from, bytes - done)
    if ((flags & RW_WRITE) !== 0) host.writeFrame(first, from, data, at + done, part)
    else host.readFrame(first, from, data, at + done, part)
    done += part
    i = end
    from = 0
  }
}
