// SPDX-License-Identifier: Apache-2.0
// Calls of a running program in the form in which recordings have them.

import type { ServedCall } from '@iommufd/run'
import {
  IOMMU_OPTION,
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_SET_IOMMU,
} from '@iommufd/uapi'
import type { IoctlCall, TraceCall } from '../trace/trace.js'

/** Structs are looked at as far as this. */
const MOST_BYTES = 4096

/** Commands whose argument is a number. */
const PLAIN = new Set([VFIO_GET_API_VERSION, VFIO_CHECK_EXTENSION, VFIO_SET_IOMMU])

/** An address as one number, exact below 2^53, else a bigint. */
function addressOf(hi: number, lo: number): number | bigint {
  const high = hi >>> 0
  if (high < 0x200000) return high * 0x100000000 + (lo >>> 0)
  return (BigInt(high) << 32n) | BigInt(lo >>> 0)
}

/**
 * The struct that the call's argument points to, as long as it says and can be read, or the bytes that have been read;
 * undefined when there is none.
 */
export function argOf({
  process,
  call,
  cmd,
  argHi,
  argLo,
  ret,
}: ServedCall): Uint8Array | undefined {
  const address = addressOf(argHi, argLo)
  if (typeof address === 'bigint') return undefined
  if ((call === 'read' || call === 'pread') && ret > 0) return process.peek(address, ret)
  if (call !== 'ioctl' || PLAIN.has(cmd)) return undefined
  const first = process.peek(address, 4)
  if (first.length < 4) return undefined
  const size = new DataView(first.buffer, first.byteOffset, 4).getUint32(0, true)
  return process.peek(address, Math.max(4, Math.min(size, MOST_BYTES)))
}

/** The calls that recordings have. */
export type RecordableCall = ServedCall & {
  readonly call: Exclude<ServedCall['call'], 'pread' | 'pwrite'>
}

export function isRecordable(served: ServedCall): served is RecordableCall {
  return served.call !== 'pread' && served.call !== 'pwrite'
}

/** The call with its answer; `arg` and `out` are its struct before and after. */
export function traceCall(
  served: RecordableCall,
  pid: number,
  arg: Uint8Array | undefined,
  out: Uint8Array | undefined,
): TraceCall {
  const { fd, cmd, ret, newFd } = served
  const common = { line: 0, pid }
  const addr = addressOf(served.argHi, served.argLo)
  switch (served.call) {
    case 'open':
      return { ...common, call: 'open', path: served.path, ret }
    case 'mmap': {
      const { prot = 0, flags = 0, offset = 0 } = served
      return { ...common, call: 'mmap', addr, length: cmd, prot, flags, fd, offset, ret }
    }
    case 'read':
      return { ...common, call: 'read', fd, addr, length: cmd, ret, bytes: out }
    case 'write':
      return { ...common, call: 'write', fd, addr, length: cmd, ret }
    case 'ioctl': {
      const call: IoctlCall = {
        ...common,
        call: 'ioctl',
        op: opName(cmd),
        fd,
        cmd,
        argAddr: addr,
        argPreset: true,
        arg,
        ret,
        newFd: newFd < 0 ? undefined : newFd,
        out: arg === undefined ? undefined : out,
      }
      return call
    }
  }
}

function opName(cmd: number): string {
  return cmd === IOMMU_OPTION ? 'OPTION' : `0x${cmd.toString(16)}`
}
