// SPDX-License-Identifier: Apache-2.0
// What a recorded call that succeeded has changed. Told from the recording alone, so it holds whatever our
// engine makes of the call.

import {
  IOMMU_TEST_CMD,
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_SET_IOMMU,
} from '@iommufd/uapi'
import { formatU64, type U64 } from '../trace/hex.js'
import type { IoctlCall, MmapCall, TraceCall } from '../trace/trace.js'
import { coreEffects } from './core-effects.js'
import { deviceEffects } from './device-effects.js'
import { count, type Effect } from './effect.js'
import { testEffect } from './test-effects.js'

const effects: ReadonlyMap<number, Effect> = new Map([
  ...coreEffects,
  ...deviceEffects,
  [IOMMU_TEST_CMD, testEffect],
])

/** One sentence, or undefined when nothing changed that the call itself does not show. */
export function effectText(call: TraceCall): string | undefined {
  switch (call.call) {
    case 'open':
      return openEffect(call.path)
    case 'close':
      return `descriptor ${call.fd} is free again`
    case 'mmap':
      return mmapEffect(call)
    case 'munmap':
      return `memory at ${span(call.addr, call.length)} is gone`
    case 'ioctl':
      return ioctlEffect(call)
    case 'fork':
      return `process ${call.ret} is born`
    case 'exit':
      return `process ${call.pid} is gone, with its memory and descriptors`
    case 'setresuid':
      return call.uid === 0 ? undefined : `process ${call.pid} has no capabilities any more`
    case 'setrlimit':
      return `process ${call.pid} may lock ${count(call.cur, 'byte')}`
    case 'status':
      return `process ${call.pid}: VmPin ${call.VmPin} kB, VmLck ${call.VmLck} kB`
    default:
      return undefined
  }
}

function openEffect(path: string): string | undefined {
  if (path === '/dev/iommu') return 'a new context; pinned pages count per user'
  if (path === '/dev/vfio/vfio') return 'a new context; pinned pages count per process'
  return undefined
}

function mmapEffect({ addr, length, fd, offset }: MmapCall): string {
  if (fd === undefined) return `memory at ${span(addr, length)} is new, all zero`
  return `memory at ${span(addr, length)} is descriptor ${fd} from offset ${formatU64(offset ?? 0)}`
}

function ioctlEffect(call: IoctlCall): string | undefined {
  const { cmd, arg, out, argAddr, ret } = call
  if (cmd === VFIO_GET_API_VERSION) return `the API version is ${ret}`
  if (cmd === VFIO_CHECK_EXTENSION)
    return `extension ${argAddr} is ${ret === 0 ? 'absent' : 'there'}`
  if (cmd === VFIO_SET_IOMMU) return `the container is of type ${argAddr}`
  const effect = effects.get(cmd)
  return arg === undefined ? undefined : effect?.(arg, out ?? arg)
}

function span(addr: U64, length: U64): string {
  return `[${formatU64(addr)}, ${formatU64(BigInt(addr) + BigInt(length) - 1n)}]`
}
