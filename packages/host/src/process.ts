// SPDX-License-Identifier: Apache-2.0
//
// A simulated process and its system calls. Each answers what Linux answers: a number, negative errno when refused.
// Exceptions are for misuse of this API (a process that has exited, a number that is none), never for what a program
// could do to itself.
//
// What fork shares and copies: open files, user and credentials are shared, memory is copied on write, VmPin and VmLck
// begin at 0, limits are copied. On exit the memory goes first, then the descriptors are closed in ascending order.

import {
  EBADF,
  EFAULT,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EFD_SEMAPHORE,
  EINVAL,
  ENOTTY,
  EPERM,
  ESPIPE,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_EXEC,
  MFD_HUGETLB,
  MFD_NOEXEC_SEAL,
  O_RDWR,
  PAGE_SIZE,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
} from '@iommufd/uapi'
import { offsetOf, pageOf, pagesOf, split, words } from './address.js'
import { type Credentials, isUid, withUid } from './credentials.js'
import { Descriptors } from './descriptors.js'
import { EventCounter } from './eventfd.js'
import type { Frames } from './frames.js'
import { type EventFd, File, FMODE_READ, FMODE_WRITE, type Task, type User } from './host.js'
import { isUserRange, Memory } from './memory.js'
import { mmap, mprotect, munmap } from './mmap.js'
import { Shmem, ShmemFile } from './shmem.js'

/** What a process needs of the machine it runs on. */
export interface Kernel {
  readonly frames: Frames
  /** A new open file, with one reference, or -errno. */
  open(task: Task, path: string, flags: number): File | number
  user(uid: number): User
  /** Enters a new process among the living. @returns its pid */
  born(process: Process): number
  died(process: Process): void
  /** Removes the pages of `shmem` from page `first` on from all mappings. */
  truncated(shmem: Shmem, first: number): void
}

/** A soft and a hard limit in bytes; Infinity is none. */
export interface Limit {
  readonly cur: number
  readonly max: number
}

const CAP_SYS_RESOURCE = 24
/** Characters in the name of a memfd. */
const MEMFD_NAME_MAX = 249
const EVENTFD_FLAGS = EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC
const MEMFD_FLAGS = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC
/** The most bytes that one read or write moves. */
const MAX_RW = 0x7ffff000

export class Process implements Task {
  readonly pid: number
  readonly mm: Memory
  readonly #kernel: Kernel
  readonly #descriptors: Descriptors = new Descriptors()
  #credentials: Credentials
  #user: User
  #memlock: Limit

  /** Processes are made by Machine.spawn and fork. */
  constructor(kernel: Kernel, credentials: Credentials, memlock: Limit) {
    this.#kernel = kernel
    this.#credentials = credentials
    this.#user = kernel.user(credentials.uid)
    this.#memlock = memlock
    this.mm = new Memory(kernel.frames)
    this.pid = kernel.born(this)
  }

  get user(): User {
    return this.#user
  }

  get rlimitMemlock(): number {
    return this.#memlock.cur
  }

  capable(cap: number): boolean {
    return this.#credentials.capabilities.has(cap)
  }

  file(fd: number): File | undefined {
    return this.#descriptors.get(fd)
  }

  eventfd(fd: number): EventFd | undefined {
    const ops = this.file(fd)?.ops
    return ops instanceof EventCounter ? ops.hold() : undefined
  }

  unusedFd(): number {
    return this.#descriptors.unused()
  }

  installFile(file: File): number {
    this.#check()
    return this.#descriptors.install(file)
  }

  /**
   * Opens a device that is registered, /dev/null, or /proc/self/fd/N.
   * @param flags O_RDONLY, O_WRONLY or O_RDWR; others have no effect
   */
  open(path: string, flags: number = O_RDWR): number {
    this.#check()
    const file = this.#kernel.open(this, path, flags)
    return typeof file === 'number' ? file : this.#install(file)
  }

  close(fd: number): number {
    this.#check()
    return this.#descriptors.close(fd)
  }

  dup(fd: number): number {
    this.#check()
    const file = this.file(fd)
    return file === undefined ? -EBADF : this.#install(file.get())
  }

  /** @returns the address, or -errno */
  mmap(
    addr: number | bigint,
    length: number | bigint,
    prot: number,
    flags: number,
    fd: number = -1,
    offset: number | bigint = 0,
  ): number {
    this.#check()
    split(addr)
    const page = pageOf(words[0] as number, words[1] as number)
    const pageOffset = offsetOf(words[1] as number)
    const pages = splitPages(length)
    split(offset)
    const result = mmap(this, this.mm.space, this.#kernel.frames, {
      page,
      pageOffset,
      pages,
      prot,
      flags,
      file: this.file(fd),
      offsetPage: pageOf(words[0] as number, words[1] as number),
      offsetRest: offsetOf(words[1] as number),
    })
    return result < 0 ? result : result * PAGE_SIZE
  }

  munmap(addr: number | bigint, length: number | bigint): number {
    this.#check()
    const pages = splitPages(length)
    split(addr)
    return munmap(this.mm.space, words[0] as number, words[1] as number, pages)
  }

  mprotect(addr: number | bigint, length: number | bigint, prot: number): number {
    this.#check()
    const pages = splitPages(length)
    split(addr)
    return mprotect(this.mm.space, words[0] as number, words[1] as number, pages, prot)
  }

  memfdCreate(name: string, flags: number): number {
    this.#check()
    if ((flags & ~(MEMFD_FLAGS | MFD_HUGETLB)) !== 0 || (flags & MFD_HUGETLB) !== 0) return -EINVAL
    if ((flags & MFD_EXEC) !== 0 && (flags & MFD_NOEXEC_SEAL) !== 0) return -EINVAL
    if (name.length > MEMFD_NAME_MAX) return -EINVAL
    return this.#install(new ShmemFile(`memfd:${name}`, new Shmem(this.#kernel.frames, 0)))
  }

  /** eventfd2: a counter that begins at `initial`, a u32. A read or write that would wait is -EAGAIN. */
  eventfd2(initial: number, flags: number): number {
    this.#check()
    if ((flags & ~EVENTFD_FLAGS) !== 0) return -EINVAL
    return this.#install(new File('[eventfd]', new EventCounter(initial >>> 0, flags)))
  }

  ftruncate(fd: number, length: number | bigint): number {
    this.#check()
    split(length)
    if ((words[0] as number) < 0) return -EINVAL
    const size = (words[0] as number) * 2 ** 32 + ((words[1] as number) >>> 0)
    const file = this.file(fd)
    if (file === undefined) return -EBADF
    if (!(file instanceof ShmemFile) || (file.mode & FMODE_WRITE) === 0) return -EINVAL
    const { shmem } = file
    if (size < shmem.size) this.#kernel.truncated(shmem, Math.ceil(size / PAGE_SIZE))
    shmem.resize(size)
    return 0
  }

  ioctl(fd: number, cmd: number, arg: number | bigint): number {
    this.#check()
    const file = this.#descriptors.get(fd)
    if (file === undefined) return -EBADF
    if (file.ops.ioctl === undefined) return -ENOTTY
    split(arg)
    return file.ops.ioctl(this, cmd >>> 0, words[0] as number, words[1] as number)
  }

  read(fd: number, addr: number | bigint, length: number): number {
    this.#check()
    const file = this.file(fd)
    if (file === undefined || (file.mode & FMODE_READ) === 0) return -EBADF
    if (file.ops.read === undefined) return -EINVAL
    split(addr)
    const [hi, lo] = [words[0] as number, words[1] as number]
    if (length < 0 || !isUserRange(hi, lo, length)) return -EFAULT
    return file.ops.read(this, hi, lo, Math.min(length, MAX_RW))
  }

  write(fd: number, addr: number | bigint, length: number): number {
    this.#check()
    const file = this.file(fd)
    if (file === undefined || (file.mode & FMODE_WRITE) === 0) return -EBADF
    if (file.ops.write === undefined) return -EINVAL
    split(addr)
    const [hi, lo] = [words[0] as number, words[1] as number]
    if (length < 0 || !isUserRange(hi, lo, length)) return -EFAULT
    return file.ops.write(this, hi, lo, Math.min(length, MAX_RW))
  }

  /** pread64: as read, from a byte offset below 2^63. A file that has no positions is -ESPIPE. */
  pread(fd: number, addr: number | bigint, length: number, offset: number | bigint): number {
    return this.#positioned('pread', FMODE_READ, fd, addr, length, offset)
  }

  /** pwrite64: as write, to a byte offset below 2^63. */
  pwrite(fd: number, addr: number | bigint, length: number, offset: number | bigint): number {
    return this.#positioned('pwrite', FMODE_WRITE, fd, addr, length, offset)
  }

  /** poll of one descriptor, without waiting. `ret` is 1 when an event is reported, else 0. */
  poll(fd: number, events: number): { ret: number; revents: number } {
    this.#check()
    const revents = fd < 0 ? 0 : this.#poll(this.file(fd), events)
    return { ret: revents === 0 ? 0 : 1, revents }
  }

  /** setrlimit(RLIMIT_MEMLOCK) in bytes; Infinity or 2^64 - 1 is no limit. */
  setrlimitMemlock(cur: number | bigint, max: number | bigint): number {
    this.#check()
    const limit = { cur: limitOf(cur), max: limitOf(max) }
    if (limit.cur > limit.max) return -EINVAL
    if (limit.max > this.#memlock.max && !this.capable(CAP_SYS_RESOURCE)) return -EPERM
    this.#memlock = limit
    return 0
  }

  /** setresuid(uid, uid, uid); 2^32 - 1 leaves all as it is. */
  setresuid(uid: number): number {
    this.#check()
    if (uid === 2 ** 32 - 1) return 0
    if (!isUid(uid)) return -EINVAL
    const changed = withUid(this.#credentials, uid)
    if (typeof changed === 'number') return changed
    this.#credentials = changed
    this.#user = this.#kernel.user(uid)
    return 0
  }

  /** @throws when the machine has no frames left for the copies of pinned pages */
  fork(): Process {
    this.#check()
    const child = new Process(this.#kernel, this.#credentials, this.#memlock)
    if (this.mm.space.copyTo(child.mm.space) < 0) {
      child.exit()
      throw new Error(`fork of process ${this.pid}: the machine is out of memory`)
    }
    this.#descriptors.copyTo(child.#descriptors)
    return child
  }

  exit(): void {
    this.#check()
    this.mm.destroy()
    this.#descriptors.closeAll()
    this.#kernel.died(this)
  }

  /** The process writes its memory. @returns 0, or -EFAULT: what lies before the page that faults is written */
  store(addr: number | bigint, bytes: Uint8Array): number {
    this.#check()
    split(addr)
    return this.mm.copyToUser(words[0] as number, words[1] as number, bytes, 0, bytes.length)
  }

  /** The process reads `length` bytes of its memory. @returns them, or -EFAULT */
  load(addr: number | bigint, length: number): Uint8Array | number {
    this.#check()
    const bytes = new Uint8Array(length)
    split(addr)
    const error = this.mm.copyFromUser(words[0] as number, words[1] as number, bytes, 0, length)
    return error < 0 ? error : bytes
  }

  /** What /proc/PID/status says, in kB. */
  status(): { VmPin: number; VmLck: number } {
    this.#check()
    const kB = PAGE_SIZE / 1024
    return { VmPin: this.mm.pinnedVm * kB, VmLck: this.mm.lockedVm * kB }
  }

  #install(file: File): number {
    const fd = this.#descriptors.install(file)
    if (fd < 0) file.put()
    return fd
  }

  #positioned(
    name: 'pread' | 'pwrite',
    mode: number,
    fd: number,
    addr: number | bigint,
    length: number,
    offset: number | bigint,
  ): number {
    this.#check()
    split(offset)
    const [offHi, offLo] = [words[0] as number, words[1] as number]
    if (offHi < 0) return -EINVAL
    const file = this.file(fd)
    if (file === undefined) return -EBADF
    if (file.ops[name] === undefined) return -ESPIPE
    if ((file.mode & mode) === 0) return -EBADF
    split(addr)
    const [hi, lo] = [words[0] as number, words[1] as number]
    if (length < 0 || !isUserRange(hi, lo, length)) return -EFAULT
    return file.ops[name](this, hi, lo, Math.min(length, MAX_RW), offHi, offLo)
  }

  #poll(file: File | undefined, events: number): number {
    if (file === undefined) return POLLNVAL
    const ready = file.ops.poll === undefined ? POLLIN | POLLOUT : file.ops.poll(events)
    return ready & (events | POLLERR | POLLHUP)
  }

  #check(): void {
    if (!this.mm.alive) throw new Error(`process ${this.pid} has exited`)
  }
}

function splitPages(length: number | bigint): number {
  split(length)
  return pagesOf(words[0] as number, words[1] as number)
}

function limitOf(value: number | bigint): number {
  const bytes = Number(value)
  if (!(bytes >= 0)) throw new RangeError(`limit ${value}: must be 0 or more`)
  return bytes >= 2 ** 64 - 1 ? Number.POSITIVE_INFINITY : bytes
}
