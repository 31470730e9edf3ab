// SPDX-License-Identifier: Apache-2.0
// Why a call was refused: the engine's refusal where it refused, else what the machine underneath says of a
// call that never reached the engine (a descriptor that is not open, memory that is not there).

import type { Refusal } from '@iommufd/core'
import {
  EBADF,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOMEM,
  ENOTTY,
  ENXIO,
  EPERM,
  errnoName,
  errnoText,
} from '@iommufd/uapi'
import { quote } from '../trace/error.js'
import { formatU64 } from '../trace/hex.js'
import type { TraceCall } from '../trace/trace.js'

/** A sentence for people, with an id that stays the same. */
export interface Reason {
  readonly id: string
  readonly sentence: string
  /** what the caller can do about it */
  readonly remedy: string
  /** the row of the behaviour table, where the engine refused */
  readonly spec?: string
}

/** @param ret our return value, a negative errno */
export function reasonOf(call: TraceCall, ret: number, refusal: Refusal | undefined): Reason {
  if (refusal !== undefined && refusal.errno === -ret) {
    const { id, sentence, remedy, spec } = refusal
    return { id, sentence, remedy, spec }
  }
  return hostReason(call, -ret) ?? unknownReason(ret)
}

function hostReason(call: TraceCall, errno: number): Reason | undefined {
  if (errno === EBADF && 'fd' in call && call.fd !== undefined) {
    return {
      id: 'DESCRIPTOR_NOT_OPEN',
      sentence: `descriptor ${call.fd} is not open in process ${call.pid}`,
      remedy: 'use a descriptor that open gave and close has not taken back',
    }
  }
  switch (call.call) {
    case 'open':
      return errno === ENOENT ? pathUnknown(call.path) : undefined
    case 'ioctl':
      return errno === ENOTTY ? noIoctl(call.fd, call.cmd) : undefined
    case 'read':
    case 'write':
      return errno === EINVAL ? noReadWrite(call.fd) : undefined
    case 'mmap':
    case 'munmap':
    case 'mprotect':
      return mappingReason(call, errno)
    case 'setrlimit':
      return limitReason(errno)
    case 'setresuid':
      return errno === EPERM ? uidReason(call.uid) : undefined
    case 'store':
    case 'fill':
    case 'load':
    case 'hash':
      return errno === EFAULT ? noMemory(call.addr) : undefined
    default:
      return undefined
  }
}

function pathUnknown(path: string): Reason {
  return {
    id: 'PATH_UNKNOWN',
    sentence: `there is no ${quote(path)} on this machine`,
    remedy: 'the machine has /dev/iommu, /dev/vfio/vfio and /dev/null',
  }
}

function noIoctl(fd: number, cmd: number): Reason {
  return {
    id: 'FILE_HAS_NO_IOCTL',
    sentence: `the file behind descriptor ${fd} does not know ioctl 0x${cmd.toString(16)}`,
    remedy: 'make this ioctl on a descriptor of /dev/iommu or /dev/vfio/vfio',
  }
}

function noReadWrite(fd: number): Reason {
  return {
    id: 'FILE_HAS_NO_READ_WRITE',
    sentence: `the file behind descriptor ${fd} cannot be read or written this way`,
    remedy: 'only fault and event queues are read, and only fault queues are written',
  }
}

type MappingCall = Extract<TraceCall, { call: 'mmap' | 'munmap' | 'mprotect' }>

function mappingReason(call: MappingCall, errno: number): Reason | undefined {
  const place = `${formatU64(call.addr)}, ${formatU64(call.length)} bytes`
  if (errno === ENXIO || errno === ENODEV) {
    return {
      id: 'NOTHING_TO_MAP',
      sentence: `the file has nothing that can be mapped as asked (${place})`,
      remedy: 'map the offset and length that the driver gave for this context',
    }
  }
  if (errno === ENOMEM) {
    return {
      id: 'RANGE_NOT_MAPPED',
      sentence: `part of the range is not mapped, or there is no room (${place})`,
      remedy: 'give a range that is mapped throughout',
    }
  }
  if (errno !== EINVAL) return undefined
  return {
    id: 'RANGE_INVALID',
    sentence: `the address, length or flags cannot be used (${place})`,
    remedy: 'give a page-aligned address and a length above 0',
  }
}

function limitReason(errno: number): Reason | undefined {
  if (errno === EINVAL) {
    return {
      id: 'LIMIT_ABOVE_MAXIMUM',
      sentence: 'the soft limit is above the hard limit',
      remedy: 'give cur <= max',
    }
  }
  if (errno !== EPERM) return undefined
  return {
    id: 'LIMIT_RAISED',
    sentence: 'raising a hard limit needs CAP_SYS_RESOURCE',
    remedy: 'keep max at or below the present hard limit',
  }
}

function uidReason(uid: number): Reason {
  return {
    id: 'UID_NOT_PERMITTED',
    sentence: `this process may not become uid ${uid}`,
    remedy: 'change the uid before giving up root',
  }
}

function noMemory(addr: number | bigint): Reason {
  return {
    id: 'MEMORY_NOT_ACCESSIBLE',
    sentence: `the process cannot access its memory at ${formatU64(addr)}`,
    remedy:
      'an earlier call left other mappings behind than the recorded one: look at the first divergence',
  }
}

function unknownReason(ret: number): Reason {
  return {
    id: errnoName(ret),
    sentence: errnoText(ret),
    remedy: 'the machine gave no further explanation',
  }
}

/** Why a call has no answer at all. */
export function failureReason(failure: Error): Reason {
  return {
    id: 'ENGINE_FAILED',
    sentence: `the engine broke down: ${failure.message.split('\n')[0]}`,
    remedy: 'this is a fault of iommufd itself: please report it with the recording',
  }
}
