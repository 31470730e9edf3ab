// SPDX-License-Identifier: Apache-2.0
//
// Emulated descriptors. Each open file is a pair of sockets: the program has one end, under as many descriptors and in as
// many processes as it likes, we have the other. The kernel does the bookkeeping of close, dup, fork, exec and passing.
//
// Invariant: we keep no copy of the program's end, so the file is released when the program's last reference is gone. The
// file behind a descriptor is named by the inode of its socket.

import { fstatSync } from 'node:fs'
import type { File } from '@iommufd/host'
import { EMFILE, POLLIN } from '@iommufd/uapi'
import { makePair } from './handover.js'
import {
  close,
  epollCreate,
  epollCtl,
  epollWait,
  fcntl,
  readlink,
  recv,
  region,
  send,
} from './libc.js'

const EPOLL_CLOEXEC = 0x80000
const EPOLL_CTL_ADD = 1
const EPOLL_CTL_DEL = 2
const EVENT_BYTES = 12
const EVENTS_AT_ONCE = 64
const EPOLLHUP = 0x10
const MSG_DONTWAIT_NOSIGNAL = 0x4040
const LINK_BYTES = 256
const F_SETFL = 4
const O_NONBLOCK = 0o4000
const PREFIX = 'socket:['

const event = region(16)
const events = region(EVENT_BYTES * EVENTS_AT_ONCE)
const path = region(64)
const link = region(LINK_BYTES)
const byte = region(1)

/** A program's end that is not given away yet. */
export interface Prepared {
  /** our copy of the program's end, to be closed once it is given */
  readonly theirs: number
  readonly inode: number
}

interface Entry {
  readonly file: File | undefined
  readonly ours: number
  /** Whether the program's end can be read now: it has a byte from us. */
  isReadable: boolean
}

export class EmulatedFiles {
  /** Readable when a file has lost its last reference. */
  readonly epoll: number = epollCreate(EPOLL_CLOEXEC)
  readonly #byInode = new Map<number, Entry>()
  readonly #inodes = new Map<number, number>()
  /** Files that are readable only at times. */
  readonly #queues = new Map<number, Entry>()

  /** Told of each file that has lost its last reference, before it is released. */
  onEnd: (inode: number) => void = () => undefined

  /** A new pair, not yet bound to a file. @returns -errno when there are no descriptors left */
  prepare(): Prepared | number {
    const pair = makePair()
    if (typeof pair === 'number') return pair === -EMFILE ? -EMFILE : pair
    const [ours, theirs] = pair
    const inode = fstatSync(theirs).ino
    this.#byInode.set(inode, { file: undefined, ours, isReadable: false })
    this.#inodes.set(ours, inode)
    event.view.setUint32(0, EPOLLHUP, true)
    event.view.setInt32(4, ours, true)
    epollCtl(this.epoll, EPOLL_CTL_ADD, ours, event.address)
    return { theirs, inode }
  }

  /** Lets the pair serve `file`, whose reference it takes over. */
  bind({ theirs, inode }: Prepared, file: File, nonblocking: boolean): void {
    const entry = this.#byInode.get(inode)
    if (entry === undefined) throw new Error('the program’s end is gone')
    const bound = { file, ours: entry.ours, isReadable: false }
    this.#byInode.set(inode, bound)
    if (nonblocking) fcntl(theirs, F_SETFL, O_NONBLOCK)
    // A file without an operation of its own for poll is always readable.
    if (file.ops.poll === undefined) makeReadable(bound)
    else this.#queues.set(inode, bound)
  }

  /**
   * Wakes whoever polls a queue that has become readable; of one that has been emptied, the descriptor is readable no more.
   * @param take brings a descriptor of the program here, for a moment, by its inode; -1 when the program has none
   */
  wake(take: (inode: number) => number): void {
    for (const [inode, entry] of this.#queues) {
      const events = entry.file?.ops.poll?.(POLLIN) ?? 0
      if ((events & POLLIN) === 0) this.settle(inode, () => take(inode))
      else if (!entry.isReadable) makeReadable(entry)
    }
  }

  /**
   * A queue may have been emptied: then its descriptor is not readable any more.
   * @param take brings the program's descriptor here, for a moment
   */
  settle(inode: number, take: () => number): void {
    const entry = this.#queues.get(inode)
    if (entry === undefined || !entry.isReadable) return
    if (((entry.file?.ops.poll?.(POLLIN) ?? 0) & POLLIN) !== 0) return
    const theirs = take()
    if (theirs < 0) return
    recv(theirs, byte.address, 1, MSG_DONTWAIT_NOSIGNAL)
    close(theirs)
    entry.isReadable = false
  }

  /** The file behind descriptor `fd` of a thread, undefined when it is none of ours. */
  find(tid: number, fd: number): File | undefined {
    return this.#byInode.get(this.inodeOf(tid, fd))?.file
  }

  /** Inode of the socket behind a descriptor, 0 when it is no socket. */
  inodeOf(tid: number, fd: number): number {
    writePath(tid, fd)
    const length = readlink(path.address, link.address, LINK_BYTES)
    const { bytes } = link
    if (length <= PREFIX.length) return 0
    for (let i = 0; i < PREFIX.length; i++) if (bytes[i] !== PREFIX.charCodeAt(i)) return 0
    let inode = 0
    for (let i = PREFIX.length; i < length - 1; i++) inode = inode * 10 + (bytes[i] as number) - 48
    return inode
  }

  /** Releases the files whose last reference in any program is gone. */
  release(): void {
    for (;;) {
      const n = epollWait(this.epoll, events.address, EVENTS_AT_ONCE, 0)
      for (let i = 0; i < n; i++) this.#end(events.view.getInt32(i * EVENT_BYTES + 4, true))
      if (n < EVENTS_AT_ONCE) return
    }
  }

  /** Releases every file. */
  closeAll(): void {
    for (const ours of [...this.#inodes.keys()]) this.#end(ours)
  }

  #end(ours: number): void {
    const inode = this.#inodes.get(ours)
    if (inode === undefined) return
    const entry = this.#byInode.get(inode)
    this.#inodes.delete(ours)
    this.#byInode.delete(inode)
    this.#queues.delete(inode)
    epollCtl(this.epoll, EPOLL_CTL_DEL, ours, event.address)
    close(ours)
    if (entry?.file === undefined) return
    this.onEnd(inode)
    entry.file.put()
  }
}

function makeReadable(entry: Entry): void {
  send(entry.ours, byte.address, 1, MSG_DONTWAIT_NOSIGNAL)
  entry.isReadable = true
}

const ROOT = '/proc/'
const MIDDLE = '/fd/'

/** Writes `/proc/TID/fd/FD` where C can read it, without making a string. */
function writePath(tid: number, fd: number): void {
  let at = putText(0, ROOT)
  at = putNumber(at, tid)
  at = putText(at, MIDDLE)
  at = putNumber(at, fd >>> 0)
  path.bytes[at] = 0
}

function putText(at: number, text: string): number {
  for (let i = 0; i < text.length; i++) path.bytes[at + i] = text.charCodeAt(i)
  return at + text.length
}

function putNumber(at: number, value: number): number {
  let digits = 1
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++
  let rest = value
  for (let i = digits - 1; i >= 0; i--) {
    path.bytes[at + i] = 48 + (rest % 10)
    rest = Math.floor(rest / 10)
  }
  return at + digits
}
