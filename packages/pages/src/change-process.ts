// SPDX-License-Identifier: Apache-2.0
/**
 * IOAS_CHANGE_PROCESS: another process takes over what a context has mapped (SPEC L11).
 *
 * Invariant: only mappings of memfds can change process. The new owner is charged for everything before
 * the old one is relieved, so the limit must admit both; if it does not, nothing has changed. All
 * mappings of the context change together.
 */

import type { Ucmd } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import { iommu_ioas_change_process } from '@iommufd/uapi'
import { ACCOUNT_NONE, ACCOUNT_USER, charge, uncharge } from './account.js'
import { AREA_OF_DMABUF } from './dma-buf-refusals.js'
import { IommufdIoas } from './ioas.js'
import { isOwner, type Owner } from './owners.js'
import type { PagesTable } from './pages-table.js'
import { AREA_NOT_A_FILE, RESERVED_NOT_ZERO } from './refusals.js'

export function ioasChangeProcess(ucmd: Ucmd): number {
  const { ctx, task } = ucmd
  const reserved = ucmd.word(iommu_ioas_change_process.at.__reserved)
  if (reserved !== 0) return ctx.engine.refusals.refuse(RESERVED_NOT_ZERO, reserved)
  const moving = new Set<number>()
  let table: PagesTable | undefined
  for (const object of ctx.objects) {
    if (!(object instanceof IommufdIoas)) continue
    const rc = collectMoving(object, task, moving)
    if (rc < 0) return rc
    table = object.iopt.tables.pages
  }
  return table === undefined ? 0 : moveCharges(table, moving, task)
}

/** Adds the pages of an address space that somebody else owns; user memory is refused. */
function collectMoving(ioas: IommufdIoas, task: Task, moving: Set<number>): number {
  const { areas, engine, tables } = ioas.iopt
  for (let pos = areas.first(); pos >= 0; pos = areas.next(pos)) {
    const pages = tables.areas.pages[areas.value(pos)] as number
    if (tables.pages.file(pages) === undefined) {
      const isDmaBuf = tables.pages.dmaBuf(pages) !== undefined
      const site = isDmaBuf ? AREA_OF_DMABUF : AREA_NOT_A_FILE
      return engine.refusals.refuse(site, ioas.id, areas.startHi(pos), areas.startLo(pos))
    }
    if (!isOwner(tables.pages.owner(pages), task)) moving.add(pages)
  }
  return 0
}

function moveCharges(table: PagesTable, moving: ReadonlySet<number>, task: Task): number {
  const rc = chargeNew(table, moving, task)
  if (rc < 0) return rc
  for (const pages of moving) {
    const npinned = table.pinned(pages)?.npinned ?? 0
    if (movesCharge(table, pages, task)) {
      uncharge(table.engine, table.owner(pages), table.accountMode(pages), npinned)
    }
    table.setOwner(pages, task)
  }
  return 0
}

/** Charges `task` for all pages at once, as one limit check; a context has one mode for all. */
function chargeNew(table: PagesTable, moving: ReadonlySet<number>, task: Task): number {
  const owner: Owner = { task, mm: task.mm, user: task.user, users: 0 }
  let mode = ACCOUNT_NONE
  let npinned = 0
  for (const pages of moving) {
    if (!movesCharge(table, pages, task)) continue
    mode = table.accountMode(pages)
    npinned += table.pinned(pages)?.npinned ?? 0
  }
  return npinned > 0 ? charge(table.engine, owner, mode, npinned) : 0
}

/**
 * Whether another count has to carry the pages. What root mapped stays in the count where it was
 * pinned: only pins and unpins from now on are the new owner's.
 */
function movesCharge(table: PagesTable, pages: number, task: Task): boolean {
  const { mm, user } = table.owner(pages)
  const mode = table.accountMode(pages)
  return mode !== ACCOUNT_NONE && (mm !== task.mm || (mode === ACCOUNT_USER && user !== task.user))
}
