// SPDX-License-Identifier: Apache-2.0
//
// A live process as the engine sees it (SPEC E5): its address space, its user, its capabilities and limits as they are at
// the moment of the call, its descriptors.
//
// Invariant: a descriptor that the engine was promised (`unusedFd`) is in the program already; it gets its file by
// `installFile`, or is closed again when the call ends without.

import { openSync, readFileSync, readlinkSync, statfsSync } from 'node:fs'
import { type EventFd, File, type Task, type User } from '@iommufd/host'
import { EMFILE } from '@iommufd/uapi'
import { Capabilities } from './capabilities.js'
import type { Prepared } from './emulated-files.js'
import type { HeldFile } from './held-file.js'
import { close, getU64, prlimit, region, syscall } from './libc.js'
import { LiveEventFd } from './live-eventfd.js'
import type { LiveHost } from './live-host.js'
import { LiveMm } from './live-mm.js'
import { peekBytes } from './user-copy.js'

const RLIMIT_MEMLOCK = 8
const CAPABILITY_VERSION_3 = 0x20080522
const TMPFS_MAGIC = 0x01021994
const HUGETLBFS_MAGIC = 0x958458f6

const limit = region(16)
const capHeader = region(8)
const capData = region(24)

/** A file of the program that is not ours: something to map into an I/O address space, or to be refused. */
export class ForeignFile extends File {
  /** its pages, when it is a file in memory */
  readonly held: HeldFile | undefined

  constructor(name: string, held: HeldFile | undefined) {
    super(name, { release: () => held?.put() })
    this.held = held?.get()
  }
}

interface Promised {
  readonly fd: number
  readonly prepared: Prepared
}

export class LiveProcess implements Task {
  readonly pid: number
  readonly mm: LiveMm
  /** What it has of root's, where it is taken for root. */
  readonly capabilities: Capabilities = new Capabilities()
  /** The calling thread. */
  tid: number
  readonly #host: LiveHost
  #user: User | undefined
  #memlock = 0
  #promised: Promised | undefined
  /** Files of the program that were looked at during the call. */
  readonly #borrowed: ForeignFile[] = []

  constructor(host: LiveHost, pid: number, tid: number) {
    this.#host = host
    this.pid = pid
    this.tid = tid
    this.mm = new LiveMm(host.memory, pid, tid)
  }

  get user(): User {
    if (this.#host.privileged) return this.#host.user(0)
    this.#user ??= this.#host.user(readUid(this.tid))
    return this.#user
  }

  get rlimitMemlock(): number {
    if (prlimit(this.pid, RLIMIT_MEMLOCK, 0, limit.address) === 0) {
      const isInfinite = limit.words[0] === -1 && limit.words[1] === -1
      this.#memlock = isInfinite ? Number.POSITIVE_INFINITY : getU64(limit.view, 0)
    } else {
      // Another user's limits may be read, though not by prlimit.
      this.#memlock = readMemlock(this.pid) ?? this.#memlock
    }
    return this.#memlock
  }

  capable(cap: number): boolean {
    if (this.#host.privileged) return this.capabilities.has(cap)
    capHeader.view.setUint32(0, CAPABILITY_VERSION_3, true)
    capHeader.view.setInt32(4, this.tid, true)
    const { arch } = this.#host
    if (syscall(arch.nr.capget, capHeader.address, capData.address) < 0) return false
    // struct __user_cap_data_struct is effective, permitted, inheritable; twice, for the low and the high half.
    const effective = capData.view.getUint32(cap < 32 ? 0 : 12, true)
    return ((effective >>> (cap & 31)) & 1) === 1
  }

  file(fd: number): File | undefined {
    return this.#host.files.find(this.tid, fd) ?? this.#foreign(fd)
  }

  eventfd(fd: number): EventFd | undefined {
    if (linkOf(this.tid, fd) !== 'anon_inode:[eventfd]') return undefined
    const ours = this.#host.memory.context?.takeFd(fd) ?? -1
    return ours < 0 ? undefined : new LiveEventFd(ours)
  }

  /** As much as can be read of `length` bytes at `address`, at most a page. */
  peek(address: number, length: number): Uint8Array {
    return peekBytes(this.tid, address, length)
  }

  unusedFd(): number {
    const prepared = this.#host.files.prepare()
    if (typeof prepared === 'number') return -EMFILE
    const fd = this.#host.give(prepared.theirs, true)
    close(prepared.theirs)
    if (fd < 0) return -EMFILE
    this.#promised = { fd, prepared }
    return fd
  }

  installFile(file: File): number {
    if (this.#promised === undefined) {
      const fd = this.unusedFd()
      if (fd < 0) return fd
    }
    const { fd, prepared } = this.#promised as Promised
    this.#promised = undefined
    this.#host.files.bind(prepared, file, false)
    this.#host.installed(this, fd, file)
    return fd
  }

  /** Names the file behind a descriptor of the process, when it is one of ours; 0: it is not. */
  inodeOf(fd: number): number {
    return this.#host.files.inodeOf(this.tid, fd)
  }

  /** The process calls, by this thread. */
  enter(tid: number): void {
    this.tid = tid
    this.mm.tid = tid
  }

  /** The call is over. @returns a descriptor of the program that has to be closed, -1: none */
  leave(): number {
    for (const file of this.#borrowed.splice(0)) file.put()
    const fd = this.#promised?.fd ?? -1
    this.#promised = undefined
    return fd
  }

  /** The process's user is no longer what it was. */
  forgetUser(): void {
    this.#user = undefined
  }

  #foreign(fd: number): ForeignFile | undefined {
    const path = `/proc/${this.tid}/fd/${fd}`
    try {
      const name = readlinkSync(path)
      const { type } = statfsSync(path)
      const isMemory = type === TMPFS_MAGIC || type === HUGETLBFS_MAGIC
      const held = isMemory ? this.#host.memory.adopt(openSync(path, 'r+')) : undefined
      const file = new ForeignFile(name, held)
      this.#borrowed.push(file)
      return file
    } catch {
      return undefined
    }
  }
}

/** What a descriptor of a thread leads to, undefined when it leads nowhere. */
function linkOf(tid: number, fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/${tid}/fd/${fd}`)
  } catch {
    return undefined
  }
}

/** The real user of a thread. */
function readUid(tid: number): number {
  const match = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${tid}/status`, 'latin1'))
  return Number(match?.[1] ?? 0)
}

/** The soft RLIMIT_MEMLOCK in bytes, undefined when the process is gone. */
function readMemlock(pid: number): number | undefined {
  try {
    const limits = readFileSync(`/proc/${pid}/limits`, 'latin1')
    const soft = /^Max locked memory\s+(\S+)/m.exec(limits)?.[1]
    return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
  } catch {
    return undefined
  }
}
