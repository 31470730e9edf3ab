// SPDX-License-Identifier: Apache-2.0
/**
 * Pinning memory behind an `iopt_pages`, a batch at a time (SPEC C6, L8).
 *
 * Invariant: a batch holds at least one page or is a refusal; it may end early, and the caller goes
 * on behind it. User memory of a process that is gone cannot be pinned; files need no process.
 */
import { pageHi, pageLo, pageOf } from '@iommufd/core'
import type { PagesTable } from './pages-table.js'
import { FILE_PAGES_BAD, USER_PAGES_BAD } from './refusals.js'

/** Pages that are pinned at most in one call of the host. */
export const BATCH_PAGES = 8192

/** Pins up to `most` pages from `index` on into `frames[at…]`: how many, or a negative errno. */
export function pinBatch(
  table: PagesTable,
  pages: number,
  index: number,
  most: number,
  frames: Uint32Array,
  at: number,
): number {
  const { engine } = table
  if (engine.faults.hit()) return engine.injectFault()
  const page = pageOf(table.baseHi(pages), table.baseLo(pages)) + index
  const hi = pageHi(page)
  const lo = pageLo(page)
  const npages = Math.min(most, table.batchPages)
  const file = table.file(pages)
  if (file !== undefined) {
    const pinned = engine.host.pinFile(file, hi, lo, npages, frames, at)
    return pinned > 0 ? pinned : engine.refusals.refuse(FILE_PAGES_BAD, hi, lo, npages)
  }
  const { mm, task } = table.owner(pages)
  const pinned = mm.pin(hi, lo, npages, table.isWritable(pages), frames, at)
  return pinned > 0 ? pinned : engine.refusals.refuse(USER_PAGES_BAD, hi, lo, npages, task.pid)
}
