// SPDX-License-Identifier: Apache-2.0
//
// Who a process is: its uid (real, effective and saved are always the same here) and its capabilities. A value, replaced
// as a whole when the process changes it, so that fork can share it.

import { EPERM } from '@iommufd/uapi'

/** The highest capability there is: CAP_CHECKPOINT_RESTORE. */
const CAP_LAST_CAP = 40
const CAP_SETUID = 7

const ALL: ReadonlySet<number> = new Set(Array.from({ length: CAP_LAST_CAP + 1 }, (_, cap) => cap))
const NONE: ReadonlySet<number> = new Set()

export interface Credentials {
  readonly uid: number
  readonly capabilities: ReadonlySet<number>
}

/**
 * @param capabilities by default all for uid 0, none for others
 * @throws RangeError when the uid or a capability is none
 */
export function credentials(uid: number, capabilities?: Iterable<number>): Credentials {
  if (!isUid(uid)) throw new RangeError(`uid ${uid}: must be an integer from 0 to 4294967294`)
  if (capabilities === undefined) return { uid, capabilities: uid === 0 ? ALL : NONE }
  const set = new Set(capabilities)
  for (const cap of set)
    if (!ALL.has(cap)) throw new RangeError(`capability ${cap}: must be 0 to ${CAP_LAST_CAP}`)
  return { uid, capabilities: set }
}

/** What setresuid(uid, uid, uid) leads to, or -EPERM. Leaving uid 0 gives up every capability. */
export function withUid(old: Credentials, uid: number): Credentials | number {
  if (uid === old.uid) return old
  if (!old.capabilities.has(CAP_SETUID)) return -EPERM
  return { uid, capabilities: old.uid === 0 ? NONE : old.capabilities }
}

/** 2^32 - 1 stands for "unchanged" in system calls and is no uid. */
export function isUid(uid: number): boolean {
  return Number.isInteger(uid) && uid >= 0 && uid < 2 ** 32 - 1
}
