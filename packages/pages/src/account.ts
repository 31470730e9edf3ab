// SPDX-License-Identifier: Apache-2.0
/**
 * Charging pinned pages to whoever mapped them (SPEC E5).
 *
 * Invariant: a charge is taken whole or not at all, after the pages are pinned; what was charged is
 * given back when they are unpinned. VmPin moves in every mode; the limit is the mapper's present
 * RLIMIT_MEMLOCK. Counts may become negative (a charge moved by IOAS_CHANGE_PROCESS) and are then
 * compared as the unsigned numbers that Linux sees.
 */
import type { Iommufd } from '@iommufd/core'
import { PAGE_SIZE } from '@iommufd/uapi'
import type { Owner } from './owners.js'
import { PROCESS_LIMIT_EXCEEDED, USER_LIMIT_EXCEEDED } from './refusals.js'

/** Nothing is limited: the mapper had CAP_IPC_LOCK. */
export const ACCOUNT_NONE = 0
/** The mapper's user, over all its processes. */
export const ACCOUNT_USER = 1
/** The mapper's process alone. */
export const ACCOUNT_MM = 2

/** Charges `npages` to the owner, whose process may have ended: 0, or -ENOMEM over the limit. */
export function charge(engine: Iommufd, owner: Owner, mode: number, npages: number): number {
  if (mode !== ACCOUNT_NONE) {
    const rc = engine.allocate() || chargeLimited(engine, owner, mode, npages)
    if (rc < 0) return rc
  }
  owner.mm.pinnedVm += npages
  return 0
}

/** Gives a charge back. A process that is gone has nothing left to give it to. */
export function uncharge(engine: Iommufd, owner: Owner, mode: number, npages: number): void {
  if (mode === ACCOUNT_USER) owner.user.lockedVm -= npages
  else if (mode === ACCOUNT_MM) {
    if (isGone(engine, owner)) return
    owner.mm.lockedVm -= npages
  }
  owner.mm.pinnedVm -= npages
}

function chargeLimited(engine: Iommufd, owner: Owner, mode: number, npages: number): number {
  const limit = Math.floor(owner.task.rlimitMemlock / PAGE_SIZE)
  if (mode === ACCOUNT_USER) {
    if (exceeds(owner.user.lockedVm + npages, limit)) return overUser(engine, owner, npages, limit)
    owner.user.lockedVm += npages
    return 0
  }
  if (exceeds(owner.mm.lockedVm + npages, limit)) {
    return overProcess(engine, owner, npages, limit)
  }
  owner.mm.lockedVm += npages
  return 0
}

/** A negative count is a huge unsigned one: only no limit at all admits it. */
function exceeds(pages: number, limit: number): boolean {
  return pages > limit || (pages < 0 && limit !== Number.POSITIVE_INFINITY)
}

/** A process that works on its own memory needs no reference to it, even while it is ending. */
function isGone(engine: Iommufd, owner: Owner): boolean {
  return !owner.mm.alive && engine.current?.mm !== owner.mm
}

function overUser(engine: Iommufd, owner: Owner, npages: number, limit: number): number {
  const locked = owner.user.lockedVm
  return engine.refusals.refuse(
    USER_LIMIT_EXCEEDED,
    owner.user.uid,
    countHi(locked),
    countLo(locked),
    countHi(npages),
    countLo(npages),
    countHi(limit),
    countLo(limit),
  )
}

function overProcess(engine: Iommufd, owner: Owner, npages: number, limit: number): number {
  const locked = owner.mm.lockedVm
  return engine.refusals.refuse(
    PROCESS_LIMIT_EXCEEDED,
    owner.task.pid,
    countHi(locked),
    countLo(locked),
    countHi(npages),
    countLo(npages),
    countHi(limit),
    countLo(limit),
  )
}

/** High word of a count of pages; negative ones print as the unsigned number that Linux sees. */
function countHi(count: number): number {
  return Math.floor(count / 0x100000000) | 0
}

function countLo(count: number): number {
  return count | 0
}
