// SPDX-License-Identifier: Apache-2.0
// How much memory a recorded program had locked at most, process by process and user by user.
//
// Looked at after every call, on both sides: an iommufd as recorded, and vfio_iommu_type1 in its place.

import { PAGE_SIZE } from '@iommufd/uapi'
import type { Column } from '../compat/column.js'
import { compareTrace } from '../compat/compare.js'
import type { Trace } from '../trace/trace.js'

/** Bytes. */
export interface ProcessPeak {
  readonly pid: number
  /** The user that it was last. */
  uid: number
  vmPin: number
  vmLck: number
  type1VmLck: number
}

export interface UserPeak {
  readonly uid: number
  /** Charged to the user. */
  charged: number
  /** Pinned by all its processes at one time, charged to the user or not. */
  pinned: number
}

export interface Peaks {
  readonly processes: readonly ProcessPeak[]
  readonly users: readonly UserPeak[]
  /** Calls that type 1 has too; without any its numbers say nothing. */
  readonly vfioCalls: number
}

export function peaksOf(trace: Trace): Peaks {
  const processes = new Map<number, ProcessPeak>()
  const users = new Map<number, UserPeak>()
  const { compared } = compareTrace(trace, (iommufd, type1) => {
    lookAt(iommufd, processes, users)
    for (const [pid, { mm, user }] of type1.processes) {
      const peak = entry(processes, pid, () => newProcess(pid, user.uid))
      peak.type1VmLck = Math.max(peak.type1VmLck, mm.lockedVm * PAGE_SIZE)
    }
  })
  return {
    processes: [...processes.values()],
    vfioCalls: compared,
    users: [...users.values()].filter(({ charged, pinned }) => charged > 0 || pinned > 0),
  }
}

function lookAt(
  column: Column,
  processes: Map<number, ProcessPeak>,
  users: Map<number, UserPeak>,
): void {
  const pinned = new Map<number, number>()
  for (const [pid, { mm, user }] of column.processes) {
    const { uid } = user
    const peak = entry(processes, pid, () => newProcess(pid, uid))
    peak.uid = uid
    peak.vmPin = Math.max(peak.vmPin, mm.pinnedVm * PAGE_SIZE)
    peak.vmLck = Math.max(peak.vmLck, mm.lockedVm * PAGE_SIZE)
    pinned.set(uid, (pinned.get(uid) ?? 0) + mm.pinnedVm * PAGE_SIZE)
    const charges = entry(users, uid, () => ({ uid, charged: 0, pinned: 0 }))
    charges.charged = Math.max(charges.charged, user.lockedVm * PAGE_SIZE)
  }
  for (const [uid, bytes] of pinned) {
    const peak = entry(users, uid, () => ({ uid, charged: 0, pinned: 0 }))
    peak.pinned = Math.max(peak.pinned, bytes)
  }
}

function newProcess(pid: number, uid: number): ProcessPeak {
  return { pid, uid, vmPin: 0, vmLck: 0, type1VmLck: 0 }
}

function entry<T>(map: Map<number, T>, key: number, make: () => T): T {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}
