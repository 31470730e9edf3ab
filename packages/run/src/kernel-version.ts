// SPDX-License-Identifier: Apache-2.0
//
// What kernels before 7.3 lack of the uAPI, and how they answer to it (SPEC F2, F3, section 3).
//
// Invariant: commands were added in the order of their numbers, so a kernel's table ends somewhere and numbers behind
// the end are unknown (ENOTTY). A struct that was shorter refuses a longer one whose tail is not zero (E2BIG); a flag
// that did not exist is refused as any unknown one (EOPNOTSUPP).

import {
  E2BIG,
  ENOTTY,
  EOPNOTSUPP,
  IOMMU_GET_HW_INFO,
  IOMMU_HWPT_ALLOC,
  iommu_hw_info,
  iommu_hwpt_alloc,
} from '@iommufd/uapi'
import type { LiveProcess } from './live-process.js'
import type { Refuse } from './served-call.js'

export type KernelVersion = '6.2' | '6.6' | '6.12' | '7.3'

interface Struct {
  readonly cmd: number
  /** bytes that the kernel knew of the struct */
  readonly size: number
  readonly flagsAt: number
  readonly flags: number
}

interface Kernel {
  /** number of the last command */
  readonly last: number
  readonly structs: readonly Struct[]
}

const FIRST = 0x80
const TEST = 0xa0
const hwptFlags = iommu_hwpt_alloc.at.flags
const infoFlags = iommu_hw_info.at.flags

const kernels: Readonly<Record<KernelVersion, Kernel>> = {
  '6.2': { last: 0x88, structs: [] },
  '6.6': {
    last: 0x8a,
    structs: [
      { cmd: IOMMU_HWPT_ALLOC, size: 24, flagsAt: hwptFlags, flags: 0 },
      { cmd: IOMMU_GET_HW_INFO, size: 32, flagsAt: infoFlags, flags: 0 },
    ],
  },
  '6.12': {
    last: 0x8e,
    structs: [
      { cmd: IOMMU_HWPT_ALLOC, size: iommu_hwpt_alloc.size, flagsAt: hwptFlags, flags: 7 },
      { cmd: IOMMU_GET_HW_INFO, size: iommu_hw_info.size, flagsAt: infoFlags, flags: 0 },
    ],
  },
  '7.3': { last: 0x95, structs: [] },
}

/** The kernels whose uAPI can be presented. */
export const kernelVersions: readonly KernelVersion[] = ['6.2', '6.6', '6.12', '7.3']

/** Refuses what `version` lacks; undefined when that is nothing. */
export function lacksIn(version: KernelVersion): Refuse | undefined {
  if (version === '7.3') return undefined
  const { last, structs } = kernels[version]
  return (process, cmd, argHi, argLo) => {
    const number = cmd & 0xff
    if (number > last && number < TEST && number >= FIRST) return -ENOTTY
    const struct = structs.find((known) => known.cmd === cmd)
    return struct === undefined ? 0 : check(struct, process, argHi, argLo)
  }
}

/** What cannot be read is left to the engine to refuse. */
function check(struct: Struct, process: LiveProcess, argHi: number, argLo: number): number {
  const address = (argHi >>> 0) * 0x100000000 + (argLo >>> 0)
  const bytes = process.peek(address, 256)
  if (bytes.length < struct.flagsAt + 4) return 0
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const size = Math.min(view.getUint32(0, true), bytes.length)
  for (let i = struct.size; i < size; i++) if (bytes[i] !== 0) return -E2BIG
  const flags = view.getUint32(struct.flagsAt, true)
  return (flags & ~struct.flags) === 0 ? 0 : -EOPNOTSUPP
}
