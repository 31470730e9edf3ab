// SPDX-License-Identifier: Apache-2.0
//
// The server of launched programs: takes each trapped system call, has it answered by the engine or lets the kernel make
// it (SPEC F1, F2, F7).
//
// Invariant: calls are served one after another, each to its end. Before a call is served, every file whose last reference
// was dropped before it has been released. Whatever goes wrong while serving a call is an errno of that call.

import { openSync } from 'node:fs'
import { File, type FileOperations } from '@iommufd/host'
import {
  EEXIST,
  EFAULT,
  EIO,
  ENOTDIR,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
} from '@iommufd/uapi'
import type { Arch } from './arch.js'
import { MMAP_FLAGS_MASK, SHARED_ANONYMOUS } from './filter.js'
import { Injector } from './inject.js'
import { close, poll, region, syscall, watch } from './libc.js'
import { OUR_MMAP, QUEUE_FDS } from './limits.js'
import { Listener } from './listener.js'
import type { LiveHost } from './live-host.js'
import type { CallContext } from './live-memory.js'
import type { LiveMm } from './live-mm.js'
import type { LiveProcess } from './live-process.js'
import { descriptorOf, pathFilter, resolvePath, withPid } from './paths.js'
import type { CallObserver, Refuse, ServedCall } from './served-call.js'
import { deviceStat, type Stats } from './stats.js'
import { freeFdFrom, ownerOf, readStatus, textFile, tgidOf } from './threads.js'
import { peekString, peekWords, poke } from './user-copy.js'

const POLLIN = 1
/** How long to wait for the next call before going back to the event loop, and how long to keep it waiting at most. */
const WAIT_MS = 1
const TURN_MS = 20
/** Longer than any path of ours. */
const PATH_BYTES = 256
const AT_FDCWD = -100
const O_CREAT_EXCL = 0o300
const O_DIRECTORY = 0o200000
const O_CLOEXEC = 0o2000000
const O_NONBLOCK = 0o4000
const MAP_FIXED = 0x10
const MAP_ANONYMOUS = 0x20
const PIDFD_THREAD = 0x80

export interface ServerOptions {
  readonly host: LiveHost
  readonly observer?: CallObserver
  readonly refuse?: Refuse
  /** Told of what went wrong inside. */
  readonly onFault: (error: unknown) => void
  /** Every program under the filter has ended. */
  readonly onEnd: () => void
}

export class Server {
  readonly #host: LiveHost
  readonly #arch: Arch
  readonly #stats: Stats
  readonly #options: ServerOptions
  readonly #mayBeOurs: (path: string) => boolean
  readonly #listeners: Listener[] = []
  readonly #unwatch = new Map<number, () => void>()
  readonly #ended = new Map<number, () => void>()
  #polled = region(8)
  #listener!: Listener
  #injector: Injector | undefined
  #newFd = -1
  /** Whether the call makes a queue, whose descriptor has to be one that is trapped. */
  #isQueueCall = false
  readonly #text = new Uint8Array(PATH_BYTES)

  constructor(options: ServerOptions) {
    const { host } = options
    this.#host = host
    this.#arch = host.arch
    this.#stats = deviceStat(host.arch)
    this.#options = options
    this.#mayBeOurs = pathFilter(host.paths, host.syntheticNames)
    host.give = (fd, closeOnExec) => this.#give(fd, closeOnExec ? O_CLOEXEC : 0, this.#isQueueCall)
    host.files.onEnd = (inode) => options.observer?.released?.(inode)
    host.installed = (_task, fd) => {
      this.#newFd = fd
    }
    this.#unwatch.set(
      host.files.epoll,
      watch(host.files.epoll, () => this.#turn()),
    )
  }

  /** Serves one more filter; `ended` is called when all of its programs are gone. */
  add(fd: number, ended?: () => void): void {
    this.#listeners.push(new Listener(fd))
    if (ended !== undefined) this.#ended.set(fd, ended)
    this.#unwatch.set(
      fd,
      watch(fd, () => this.#turn()),
    )
    this.#layOut()
  }

  /** Lets go of everything: files are released, pins dropped. */
  close(): void {
    for (const unwatch of this.#unwatch.values()) unwatch()
    this.#unwatch.clear()
    for (const listener of this.#listeners.splice(0)) listener.close()
    this.#host.files.closeAll()
    this.#host.memory.closeAll()
  }

  /** Filters first, released files last: what was released before a call came is then seen with the call. */
  #layOut(): void {
    const fds = [...this.#listeners.map(({ fd }) => fd), this.#host.files.epoll]
    this.#polled = region(8 * fds.length)
    for (const [i, fd] of fds.entries()) {
      this.#polled.view.setInt32(i * 8, fd, true)
      this.#polled.view.setInt16(i * 8 + 4, POLLIN, true)
    }
  }

  /** Serves calls for as long as they come quickly, then lets the event loop have its turn. */
  #turn(): void {
    const until = performance.now() + TURN_MS
    for (let served = 0; ; served++) {
      const count = this.#listeners.length + 1
      const ready = poll(this.#polled.address, count, WAIT_MS)
      if (ready <= 0) return
      if (this.#revents(count - 1) !== 0) this.#guard(() => this.#host.files.release())
      for (let i = count - 2; i >= 0; i--) this.#look(i)
      if ((served & 63) === 63 && performance.now() > until) return
    }
  }

  #revents(index: number): number {
    return this.#polled.view.getInt16(index * 8 + 6, true)
  }

  #look(index: number): void {
    const revents = this.#revents(index)
    if (revents === 0) return
    const listener = this.#listeners[index] as Listener
    if ((revents & POLLIN) !== 0) this.#receive(listener)
    else this.#drop(listener)
  }

  /** All programs under this filter are gone. */
  #drop(listener: Listener): void {
    this.#unwatch.get(listener.fd)?.()
    this.#unwatch.delete(listener.fd)
    this.#listeners.splice(this.#listeners.indexOf(listener), 1)
    listener.close()
    this.#ended.get(listener.fd)?.()
    this.#ended.delete(listener.fd)
    this.#layOut()
    this.#guard(() => this.#host.files.release())
    if (this.#listeners.length === 0) this.#options.onEnd()
  }

  #receive(listener: Listener): void {
    if (listener.receive() < 0) return
    this.#listener = listener
    this.#guard(() => this.#serve(listener))
    this.#guard(() => this.#afterCall())
    if (listener.pending) listener.answer(-EIO)
  }

  #guard(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#options.onFault(error)
    }
  }

  /** A thread that is still held must go on, whatever happened. */
  #afterCall(): void {
    this.#injector?.finish(-EIO)
    this.#injector = undefined
    this.#host.memory.context = undefined
    this.#host.files.wake()
  }

  #serve(listener: Listener): undefined {
    const { nr } = this.#arch
    switch (listener.number) {
      case nr.ioctl:
        return this.#ioctl(listener)
      case nr.open:
        return this.#open(listener, AT_FDCWD, 0, listener.argLo(1))
      case nr.openat:
        return this.#open(listener, listener.argLo(0), 1, listener.argLo(2))
      case nr.openat2:
        return this.#openat2(listener)
      case nr.stat:
      case nr.lstat:
        return this.#stat(listener, AT_FDCWD, 0, 1)
      case nr.newfstatat:
        return this.#stat(listener, listener.argLo(0), 1, 2)
      case nr.statx:
        return this.#stat(listener, listener.argLo(0), 1, 4)
      case nr.fstat:
        return this.#fstat(listener, listener.argLo(0), 1)
      case nr.access:
        return this.#access(listener, AT_FDCWD, 0)
      case nr.faccessat:
      case nr.faccessat2:
        return this.#access(listener, listener.argLo(0), 1)
      case nr.mmap:
        return this.#mmap(listener)
      case nr.read:
      case nr.write:
      case nr.pread64:
      case nr.pwrite64:
        return this.#transfer(listener)
      case nr.munmap:
      case nr.mremap:
        this.#remapped(listener, listener.arg(0), listener.arg(1))
        return listener.goOn()
      default:
        return this.#noteChange(listener)
    }
  }

  #ioctl(listener: Listener): undefined {
    const fd = listener.argLo(0)
    const file = this.#host.files.find(listener.tid, fd)
    if (file?.ops.ioctl === undefined) return listener.goOn()
    const process = this.#enter(listener)
    const cmd = listener.argLo(1) >>> 0
    this.#isQueueCall = cmd === IOMMU_FAULT_QUEUE_ALLOC || cmd === IOMMU_VEVENTQ_ALLOC
    const argHi = listener.argHi(2)
    const argLo = listener.argLo(2)
    const { refuse } = this.#options
    this.#answer(process, { call: 'ioctl', path: '', fd, cmd, argHi, argLo }, () => {
      const refused = refuse?.(process, cmd, argHi, argLo) ?? 0
      if (refused < 0) return refused
      return (file.ops as Required<FileOperations>).ioctl(process, cmd, argHi, argLo)
    })
  }

  /** Has a call answered by the engine, and the program by us. */
  #answer(
    process: LiveProcess,
    what: Omit<ServedCall, 'process' | 'ret' | 'newFd'>,
    serve: () => number,
  ): void {
    const { observer } = this.#options
    this.#newFd = -1
    observer?.before?.({ ...what, process, ret: 0, newFd: -1 })
    let ret = -EIO
    try {
      ret = serve()
    } finally {
      this.#closeIn(process.leave())
      if (observer?.after !== undefined) {
        this.#guard(() => observer.after?.({ ...what, process, ret, newFd: this.#newFd }))
      }
      this.#reply(ret)
    }
  }

  #reply(ret: number): void {
    this.#injector?.finish(ret)
    this.#injector = undefined
    if (this.#listener.pending) this.#listener.answer(ret)
  }

  /** Closes a descriptor of the calling program. */
  #closeIn(fd: number): void {
    if (fd >= 0) this.#inject(this.#listener)?.call(this.#arch.nr.close, fd)
  }

  #enter(listener: Listener): LiveProcess {
    const { tid } = listener
    const process = this.#host.enter(tid, tgidOf)
    this.#host.memory.context = this.#context(listener, process)
    return process
  }

  #context(listener: Listener, { pid, mm }: { pid: number; mm: LiveMm }): CallContext {
    const { tid } = listener
    return {
      arch: this.#arch,
      tid,
      mm,
      injector: () => this.#inject(listener),
      takeFd: (fd) => this.#takeFd(pid, tid, fd),
    }
  }

  #inject(listener: Listener): Injector | undefined {
    if (this.#injector === undefined && listener.pending) {
      this.#injector = new Injector(this.#arch, listener)
    }
    return this.#injector?.attached ? this.#injector : undefined
  }

  #takeFd(pid: number, tid: number, fd: number): number {
    const { nr } = this.#arch
    let pidfd = syscall(nr.pidfdOpen, tid, PIDFD_THREAD)
    if (pidfd < 0) pidfd = syscall(nr.pidfdOpen, pid, 0)
    if (pidfd < 0) return pidfd
    const ours = syscall(nr.pidfdGetfd, pidfd, fd, 0)
    close(pidfd)
    return ours
  }

  /** The path at argument `index`, if it may be one of ours, made absolute. */
  #path(listener: Listener, dirfd: number, index: number): string | undefined {
    const text = this.#string(listener, index)
    if (text === undefined || !this.#mayBeOurs(text)) return undefined
    return resolvePath(listener.tid, dirfd, text)
  }

  /** The string at argument `index`: undefined when it cannot be read, or is longer than any path of ours. */
  #string(listener: Listener, index: number): string | undefined {
    const text = this.#text
    const length = peekString(listener.tid, listener.arg(index), text)
    return length < 0 ? undefined : String.fromCharCode(...text.subarray(0, length))
  }

  #openat2(listener: Listener): undefined {
    const how = new Int32Array(2)
    if (peekWords(listener.tid, listener.arg(2), how) < 0) return listener.goOn()
    this.#open(listener, listener.argLo(0), 1, how[0] as number)
  }

  #open(listener: Listener, dirfd: number, pathIndex: number, flags: number): undefined {
    const path = this.#path(listener, dirfd, pathIndex)
    if (path === undefined) return listener.goOn()
    const device = this.#deviceName(listener, path)
    if (device === undefined) return this.#openSynthetic(listener, path, flags)
    const process = this.#enter(listener)
    const what = { call: 'open' as const, path: device, fd: -1, cmd: 0, argHi: 0, argLo: 0 }
    this.#answer(process, what, () => this.#openDevice(process, device, flags))
  }

  /** The device that a path leads to, directly or by a descriptor of it. */
  #deviceName(listener: Listener, path: string): string | undefined {
    if (this.#host.device(path) !== undefined) return path
    if (!path.startsWith('/proc/')) return undefined
    const fd = descriptorOf(path, this.#host.processOf(listener.tid)?.pid ?? 0, listener.tid)
    const name = fd < 0 ? undefined : this.#host.files.find(listener.tid, fd)?.name
    return name !== undefined && this.#host.device(name) !== undefined ? name : undefined
  }

  #openDevice(process: LiveProcess, path: string, flags: number): number {
    if ((flags & O_CREAT_EXCL) === O_CREAT_EXCL) return -EEXIST
    if ((flags & O_DIRECTORY) !== 0) return -ENOTDIR
    const operations = this.#host.device(path)?.(process) ?? -EIO
    if (typeof operations === 'number') return operations
    return this.#giveFile(new File(path, operations), flags, false)
  }

  #giveFile(file: File, flags: number, isQueue: boolean): number {
    const { files } = this.#host
    const prepared = files.prepare()
    if (typeof prepared === 'number') {
      file.put()
      return prepared
    }
    files.bind(prepared, file, (flags & O_NONBLOCK) !== 0)
    const fd = this.#give(prepared.theirs, flags & O_CLOEXEC, isQueue)
    // Without the program's descriptor this was the last reference: the file is released as any other.
    close(prepared.theirs)
    return fd
  }

  /** Gives the caller our descriptor `fd`, where its reads are trapped if it is a queue. */
  #give(fd: number, flags: number, isQueue: boolean): number {
    const at = isQueue ? freeFdFrom(this.#listener.tid, QUEUE_FDS) : undefined
    return this.#listener.addFd(fd, flags, at)
  }

  #openSynthetic(listener: Listener, path: string, flags: number): undefined {
    const { host } = this.#options
    const pid = host.processOf(listener.tid)?.pid ?? tgidOf(listener.tid)
    const found = host.synthetic(withPid(path, pid), pid)
    if (found === undefined) return listener.goOn()
    if (found.kind === 'file') {
      const file = new File(path, found.operations)
      listener.answer(this.#giveFile(file, flags, true))
      return undefined
    }
    const fd = found.kind === 'text' ? textFile(found.text) : openSync(found.path, 'r')
    const theirs = fd < 0 ? fd : listener.addFd(fd, flags & O_CLOEXEC)
    if (fd >= 0) close(fd)
    listener.answer(theirs)
  }

  #stat(listener: Listener, dirfd: number, pathIndex: number, bufferIndex: number): undefined {
    const text = this.#string(listener, pathIndex)
    if (text === '') return this.#fstat(listener, dirfd, bufferIndex)
    if (text === undefined || !this.#mayBeOurs(text)) return listener.goOn()
    const path = resolvePath(listener.tid, dirfd, text)
    if (path === undefined || this.#host.device(path) === undefined) return listener.goOn()
    this.#fillStat(listener, path, bufferIndex)
  }

  #fstat(listener: Listener, fd: number, bufferIndex: number): undefined {
    const file = fd < 0 ? undefined : this.#host.files.find(listener.tid, fd)
    if (file === undefined || this.#host.device(file.name) === undefined) return listener.goOn()
    this.#fillStat(listener, file.name, bufferIndex)
  }

  #fillStat(listener: Listener, path: string, bufferIndex: number): undefined {
    const { uid, gid } = ownerOf(listener.tid)
    const fill = listener.number === this.#arch.nr.statx ? this.#stats.statx : this.#stats.stat
    const bytes = fill(path, uid, gid)
    const rc = poke(listener.tid, listener.arg(bufferIndex), bytes)
    listener.answer(rc < 0 ? -EFAULT : 0)
  }

  /** Everybody may read and write; nobody may execute. */
  #access(listener: Listener, dirfd: number, pathIndex: number): undefined {
    const path = this.#path(listener, dirfd, pathIndex)
    if (path === undefined || this.#host.device(path) === undefined) return listener.goOn()
    listener.answer((listener.argLo(pathIndex + 1) & 1) === 0 ? 0 : -13)
  }

  /** Shared anonymous memory is given a file that we hold, so that its pages can be kept and shared. */
  #mmap(listener: Listener): undefined {
    const length = listener.arg(1)
    if ((listener.argLo(3) & MAP_FIXED) !== 0) this.#remapped(listener, listener.arg(0), length)
    if ((listener.argLo(3) & MMAP_FLAGS_MASK) !== SHARED_ANONYMOUS) return listener.goOn()
    const rounded = Math.ceil(length / 4096) * 4096
    if (!(rounded > 0 && rounded < 2 ** 46)) return listener.goOn()
    const injector = this.#injectable(listener)
    if (injector === undefined) return listener.goOn()
    const { nr } = this.#arch
    const file = this.#host.memory.makeAnonymous(rounded)
    if (typeof file === 'number') return listener.goOn()
    const theirs = listener.addFd(file.fd, O_CLOEXEC)
    if (theirs < 0) return listener.goOn()
    const holder = injector()
    if (holder === undefined) return listener.goOn()
    const flags = OUR_MMAP * 0x100000000 + (listener.argLo(3) & ~MAP_ANONYMOUS)
    const [address, prot] = [listener.arg(0), listener.argLo(2)]
    const result = holder.call(nr.mmap, address, length, prot, flags, theirs, 0)
    holder.call(nr.close, theirs)
    this.#reply(result)
  }

  #remapped(listener: Listener, address: number, length: number): void {
    const mm = this.#host.processOf(listener.tid)?.mm
    if (mm !== undefined) this.#options.observer?.remapped?.(mm, address, length)
  }

  /** How to hold the caller, unless somebody else traces it: once it is held there is no way back to its own call. */
  #injectable(listener: Listener): (() => Injector | undefined) | undefined {
    const status = readStatus(listener.tid)
    return /^TracerPid:\s+0$/m.test(status) ? () => this.#inject(listener) : undefined
  }

  #transfer(listener: Listener): undefined {
    const fd = listener.argLo(0)
    const file = this.#host.files.find(listener.tid, fd)
    const { nr } = this.#arch
    const isRead = listener.number === nr.read || listener.number === nr.pread64
    const operation = isRead ? file?.ops.read : file?.ops.write
    if (file === undefined || operation === undefined) return listener.goOn()
    const process = this.#enter(listener)
    const argHi = listener.argHi(1)
    const argLo = listener.argLo(1)
    const length = Math.min(listener.arg(2), 0x7ffff000)
    const call = isRead ? ('read' as const) : ('write' as const)
    this.#answer(process, { call, path: '', fd, cmd: length, argHi, argLo }, () => {
      const ret = operation.call(file.ops, process, argHi, argLo, length)
      const { files } = this.#host
      const take = (): number => this.#takeFd(process.pid, listener.tid, fd)
      if (isRead) files.settle(files.inodeOf(listener.tid, fd), take)
      return ret
    })
  }

  /** The program changes what we know of it: its address space, or its user. */
  #noteChange(listener: Listener): undefined {
    const { nr } = this.#arch
    const process = this.#host.processOf(listener.tid)
    const isExec = listener.number === nr.execve || listener.number === nr.execveat
    if (process !== undefined && isExec) process.mayHaveExecuted = true
    process?.forgetUser()
    listener.goOn()
  }
}
