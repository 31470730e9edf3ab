// SPDX-License-Identifier: Apache-2.0
// Calls and answers as text, in the manner of strace. One call is one line, whatever its size.

import {
  changedFields,
  decodeIoctl,
  errnoName,
  errnoText,
  type FileKind,
  formatIoctl,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '@iommufd/uapi'
import { quote } from '../trace/error.js'
import { encodeHex, formatU64, type U64 } from '../trace/hex.js'
import type { IoctlCall, MmapCall, TraceCall } from '../trace/trace.js'

const PROT = { PROT_READ, PROT_WRITE, PROT_EXEC }
const MAP = { MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS }
const MFD = { MFD_CLOEXEC, MFD_ALLOW_SEALING }
const POLL = { POLLIN, POLLOUT, POLLERR, POLLHUP, POLLNVAL }
const BYTES_SHOWN = 16

/**
 * The call with its arguments; the structs of an ioctl decoded, changed members as `before->after`.
 * @param file what an ioctl is made on, which tells commands with the same number apart
 */
export function formatCall(call: TraceCall, file: FileKind = 'iommu'): string {
  const process = call.pid === 1 ? '' : `[${call.pid}] `
  return `${process}${formatArguments(call, file)}`
}

/** A return value: a number, `-EINVAL (Invalid argument)`, or an address. */
export function formatReturn(ret: U64): string {
  if (ret < 0) return `-${errnoName(Number(ret))} (${errnoText(Number(ret))})`
  return ret > 0xffff ? formatU64(ret) : ret.toString()
}

/** What Linux answered; undefined for a call that answers nothing. */
export function formatAnswer(call: TraceCall): string | undefined {
  switch (call.call) {
    case 'load':
      return formatBytes(call.bytes)
    case 'hash':
      return `0x${call.fnv1a.toString(16)}`
    case 'read':
      return withDetail(call.ret, call.bytes && formatBytes(call.bytes))
    case 'poll':
      return withDetail(call.ret, formatEvents(call.revents))
    case 'ioctl':
      return withDetail(call.ret, call.newFd === undefined ? undefined : `new fd ${call.newFd}`)
    default:
      return 'ret' in call ? formatReturn(call.ret) : undefined
  }
}

function withDetail(ret: number, detail: string | undefined): string {
  return detail === undefined ? formatReturn(ret) : `${formatReturn(ret)} {${detail}}`
}

/** Bytes as hex digits, cut after 16 of them. */
function formatBytes(bytes: Uint8Array): string {
  if (bytes.length <= BYTES_SHOWN) return encodeHex(bytes)
  return `${encodeHex(bytes.subarray(0, BYTES_SHOWN))}… (${bytes.length} bytes)`
}

/** Poll events by name, '0' for none. */
export function formatEvents(events: number): string {
  return formatFlags(events, POLL, '0')
}

function formatArguments(call: TraceCall, file: FileKind): string {
  switch (call.call) {
    case 'open':
      return `open(${quote(call.path)}, O_RDWR)`
    case 'close':
      return `close(${call.fd})`
    case 'mmap':
      return formatMmap(call)
    case 'munmap':
      return `munmap(${formatU64(call.addr)}, ${formatU64(call.length)})`
    case 'mprotect':
      return `mprotect(${formatU64(call.addr)}, ${formatU64(call.length)}, ${formatProt(call.prot)})`
    case 'memfd_create':
      return `memfd_create(${quote(call.name)}, ${formatFlags(call.flags, MFD, '0')})`
    case 'ftruncate':
      return `ftruncate(${call.fd}, ${formatU64(call.length)})`
    case 'store':
      return `store(${formatU64(call.addr)}, ${formatBytes(call.bytes)})`
    case 'fill':
      return `fill(${formatU64(call.addr)}, ${formatU64(call.length)}, seed ${call.seed})`
    case 'load':
      return `load(${formatU64(call.addr)}, ${call.bytes.length})`
    case 'hash':
      return `hash(${formatU64(call.addr)}, ${formatU64(call.length)})`
    case 'ioctl':
      return formatIoctlCall(call, file)
    case 'read':
    case 'write':
      return `${call.call}(${call.fd}, ${formatU64(call.addr)}, ${call.length})`
    case 'poll':
      return `poll(${call.fd}, ${formatEvents(call.events)})`
    case 'setrlimit':
      return `setrlimit(RLIMIT_MEMLOCK, {cur=${formatU64(call.cur)}, max=${formatU64(call.max)}})`
    case 'setresuid':
      return `setresuid(${call.uid}, ${call.uid}, ${call.uid})`
    case 'fork':
      return 'fork()'
    case 'exit':
      return 'exit()'
    case 'status':
      return 'status()'
  }
}

function formatMmap(call: MmapCall): string {
  const file = call.fd === undefined ? '-1, 0' : `${call.fd}, ${formatU64(call.offset ?? 0)}`
  const flags = formatFlags(call.flags, MAP, '0')
  return `mmap(${formatU64(call.addr)}, ${formatU64(call.length)}, ${formatProt(call.prot)}, ${flags}, ${file})`
}

function formatProt(prot: number): string {
  return formatFlags(prot, PROT, 'PROT_NONE')
}

function formatFlags(value: number, names: Readonly<Record<string, number>>, none: string): string {
  let rest = value
  const parts: string[] = []
  for (const [name, bit] of Object.entries(names)) {
    if ((rest & bit) === 0) continue
    parts.push(name)
    rest &= ~bit
  }
  if (rest !== 0) parts.push(`0x${(rest >>> 0).toString(16)}`)
  return parts.length === 0 ? none : parts.join('|')
}

function formatIoctlCall(call: IoctlCall, file: FileKind): string {
  const { fd, cmd, argAddr, arg, out } = call
  const changes = arg === undefined || out === undefined ? [] : changedFields(cmd, arg, out, file)
  return `ioctl(${fd}, ${formatIoctl(decodeIoctl(cmd, arg, argAddr, file), changes)})`
}
