// SPDX-License-Identifier: Apache-2.0
// A recording (iommufd-trace, version 1) in memory: the header and, in order, each thing that the recorded
// processes did, with what the kernel answered. A call holds nothing that was not in its line, except
// that `pid` is 1 where the line has none. Addresses and 64-bit values are U64, all others numbers.

import type { U64 } from './hex.js'

/** Line 1: where and how the recording was made. */
export interface TraceHeader {
  /** release of the recorded kernel, such as '7.3.4' */
  readonly kernel: string
  /** the cap of the alignment of automatically chosen IOVAs, in bytes, a power of two */
  readonly maxIovaAlignment: number
  readonly profile: string
  readonly seed: number
  /** uid of the first process; 0 has every capability */
  readonly uid: number
  /** the page of ioctl structs, zeroed before each call that brings one */
  readonly argPage: { readonly addr: U64; readonly length: number }
}

interface Recorded {
  /** line of the file, from 2 */
  readonly line: number
  /** the logical process that made the call (of exit and status: that it is about) */
  readonly pid: number
}

export interface OpenCall extends Recorded {
  readonly call: 'open'
  readonly path: string
  readonly ret: number
}

export interface CloseCall extends Recorded {
  readonly call: 'close'
  readonly fd: number
  readonly ret: number
}

export interface MmapCall extends Recorded {
  readonly call: 'mmap'
  readonly addr: U64
  readonly length: U64
  readonly prot: number
  readonly flags: number
  readonly fd: number | undefined
  readonly offset: U64 | undefined
  /** the address or -errno */
  readonly ret: U64
}

export interface MunmapCall extends Recorded {
  readonly call: 'munmap'
  readonly addr: U64
  readonly length: U64
  readonly ret: number
}

export interface MprotectCall extends Recorded {
  readonly call: 'mprotect'
  readonly addr: U64
  readonly length: U64
  readonly prot: number
  readonly ret: number
}

export interface MemfdCreateCall extends Recorded {
  readonly call: 'memfd_create'
  readonly name: string
  readonly flags: number
  readonly ret: number
}

export interface FtruncateCall extends Recorded {
  readonly call: 'ftruncate'
  readonly fd: number
  readonly length: U64
  readonly ret: number
}

/** The process writes its own memory. */
export interface StoreCall extends Recorded {
  readonly call: 'store'
  readonly addr: U64
  readonly bytes: Uint8Array
}

/** The process fills its own memory with the xorshift32 stream of `seed`. */
export interface FillCall extends Recorded {
  readonly call: 'fill'
  readonly addr: U64
  readonly length: U64
  readonly seed: number
}

/** What the process read from its own memory. */
export interface LoadCall extends Recorded {
  readonly call: 'load'
  readonly addr: U64
  readonly bytes: Uint8Array
}

/** FNV-1a 32 of the process's own memory. */
export interface HashCall extends Recorded {
  readonly call: 'hash'
  readonly addr: U64
  readonly length: U64
  readonly fnv1a: number
}

export interface IoctlCall extends Recorded {
  readonly call: 'ioctl'
  /** what was meant, for people; `cmd` alone decides */
  readonly op: string
  readonly fd: number
  readonly cmd: number
  readonly argAddr: U64
  /** the struct is in place already (earlier lines stored it), `arg` only repeats it */
  readonly argPreset: boolean
  readonly arg: Uint8Array | undefined
  readonly ret: number
  /** the descriptor that appeared during the call */
  readonly newFd: number | undefined
  /** the bytes at argAddr afterwards, as many as `arg` */
  readonly out: Uint8Array | undefined
}

export interface ReadCall extends Recorded {
  readonly call: 'read'
  readonly fd: number
  readonly addr: U64
  readonly length: number
  readonly ret: number
  /** the memory at addr afterwards, `ret` long; absent when ret is not positive */
  readonly bytes: Uint8Array | undefined
}

export interface WriteCall extends Recorded {
  readonly call: 'write'
  readonly fd: number
  readonly addr: U64
  readonly length: number
  readonly ret: number
}

export interface PollCall extends Recorded {
  readonly call: 'poll'
  readonly fd: number
  readonly events: number
  readonly ret: number
  readonly revents: number
}

export interface SetrlimitCall extends Recorded {
  readonly call: 'setrlimit'
  readonly resource: 'MEMLOCK'
  readonly cur: U64
  readonly max: U64
  readonly ret: number
}

export interface SetresuidCall extends Recorded {
  readonly call: 'setresuid'
  readonly uid: number
  readonly ret: number
}

export interface ForkCall extends Recorded {
  readonly call: 'fork'
  /** the logical number of the new process */
  readonly ret: number
}

export interface ExitCall extends Recorded {
  readonly call: 'exit'
}

export interface StatusCall extends Recorded {
  readonly call: 'status'
  /** kB, may be negative */
  readonly VmPin: number
  /** kB, may be negative */
  readonly VmLck: number
}

export type TraceCall =
  | OpenCall
  | CloseCall
  | MmapCall
  | MunmapCall
  | MprotectCall
  | MemfdCreateCall
  | FtruncateCall
  | StoreCall
  | FillCall
  | LoadCall
  | HashCall
  | IoctlCall
  | ReadCall
  | WriteCall
  | PollCall
  | SetrlimitCall
  | SetresuidCall
  | ForkCall
  | ExitCall
  | StatusCall

export interface Trace {
  /** the name of the recording in messages */
  readonly file: string
  readonly header: TraceHeader
  readonly calls: readonly TraceCall[]
}
