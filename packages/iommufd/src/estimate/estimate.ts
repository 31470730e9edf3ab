// SPDX-License-Identifier: Apache-2.0
// How much locked memory a setup needs, for whom it is counted, and which limit must allow it (SPEC E5, V16).
//
// Pages are counted in 4 KiB each, whatever they are made of. A page is counted once per mapping that pins it:
// once for an address space however many devices use it, once for all copies of it, again for each address
// space into which it is mapped anew.

import type { Setup } from './setup.js'

const PAGE = 4096n

export interface Estimate {
  /** Bytes that each process has pinned, as counted. */
  readonly perProcess: bigint
  /** VmPin and VmLck of each process, in bytes. */
  readonly vmPin: bigint
  readonly vmLck: bigint
  /** Bytes charged to each user over all its processes. */
  readonly perUser: bigint
  /** Bytes that RLIMIT_MEMLOCK of each process must be at least; undefined: no limit applies. */
  readonly limit: bigint | undefined
}

export function estimate(setup: Setup): Estimate {
  const { accounting, addressSpaces, backEnd, devices, memory, pageSize, processes } = setup
  const whole = ((memory + pageSize - 1n) / pageSize) * pageSize
  const once = ((whole + PAGE - 1n) / PAGE) * PAGE
  const perProcess = addressSpaces === 'each' ? once * BigInt(devices) : once
  const isType1 = backEnd === 'type1'
  const perUser = accounting === 'user' ? perProcess * BigInt(processes) : 0n
  const limits = { user: perUser, process: perProcess, none: undefined }
  return {
    perProcess,
    vmPin: isType1 ? 0n : perProcess,
    vmLck: isType1 || accounting === 'process' ? perProcess : 0n,
    perUser,
    limit: limits[accounting],
  }
}
