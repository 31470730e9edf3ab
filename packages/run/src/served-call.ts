// SPDX-License-Identifier: Apache-2.0
//
// What observers are told of a call, and how one may be refused before the engine sees it.

import type { LiveMm } from './live-mm.js'
import type { LiveProcess } from './live-process.js'

/** Something that a program did and the engine answered. */
export interface ServedCall {
  readonly process: LiveProcess
  readonly call: 'open' | 'ioctl' | 'mmap' | 'read' | 'write' | 'pread' | 'pwrite'
  readonly ret: number
  /** the path of an open, or what an ioctl is made on: a path, or a name in brackets */
  readonly path: string
  readonly fd: number
  /** the command of an ioctl; of a transfer or an mmap, how many bytes are asked for */
  readonly cmd: number
  readonly argHi: number
  readonly argLo: number
  /** PROT_* and MAP_* of an mmap */
  readonly prot?: number
  readonly flags?: number
  /** byte in the file, of mmap, pread and pwrite; not negative, exact below 2^53 */
  readonly offset?: number
  /** a descriptor that the program was given during the call, -1: none */
  readonly newFd: number
}

export interface CallObserver {
  /** The call is about to be served. */
  before?(call: ServedCall): void
  after?(call: ServedCall): void
  /** The file whose program's end has this inode has lost its last reference, and is about to be released. */
  released?(inode: number): void
  /** A process is about to change what is mapped at [address, address + length). */
  remapped?(mm: LiveMm, address: number, length: number): void
}

/** Refuses an ioctl before the engine sees it, with -errno; 0 lets it pass. */
export type Refuse = (process: LiveProcess, cmd: number, argHi: number, argLo: number) => number
