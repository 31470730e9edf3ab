// SPDX-License-Identifier: Apache-2.0
/**
 * Charging pinned pages as type 1 does (SPEC V15, V16).
 *
 * Invariant: the count is VmLck of the mapping process, for every mapper: CAP_IPC_LOCK lifts the
 * limit, not the count. VmPin does not move, and no user is charged. A limit that is hit is told to
 * the kernel's log. From memory of Linux, not from a recording.
 */
import type { Mm, Task } from '@iommufd/host'
import { PAGE_SIZE } from '@iommufd/uapi'
import type { Type1Iommu } from './iommu.js'
import { TYPE1_LIMIT_EXCEEDED } from './refusals.js'

/** Who is charged. A mapping is one. */
export interface Payer {
  readonly task: Task
  readonly mm: Mm
  readonly isUnlimited: boolean
}

/** Charges `npages`: 0, or -ENOMEM over the payer's limit. */
export function chargeType1({ engine, log }: Type1Iommu, payer: Payer, npages: number): number {
  const { mm, task, isUnlimited } = payer
  const rc = engine.allocate()
  if (rc < 0) return rc
  const limit = Math.floor(task.rlimitMemlock / PAGE_SIZE)
  if (!isUnlimited && mm.lockedVm + npages > limit) {
    log(`vfio_pin_pages_remote: RLIMIT_MEMLOCK (${limit * PAGE_SIZE}) exceeded`)
    return engine.refusals.refuse(TYPE1_LIMIT_EXCEEDED, task.pid, mm.lockedVm, npages, limit)
  }
  mm.lockedVm += npages
  return 0
}

/** Gives a charge back. A process that is gone has nothing left to give it to. */
export function unchargeType1({ engine }: Type1Iommu, mm: Mm, npages: number): void {
  if (mm.alive || engine.current?.mm === mm) mm.lockedVm -= npages
}
