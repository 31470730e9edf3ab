// SPDX-License-Identifier: Apache-2.0
//
// The call in progress: who makes it, how it is answered, and what can be done in its maker's stead while it waits.
//
// Invariant: one call at a time. A thread that is held goes on when its call is over, whatever happened; a call that
// nobody has answered is answered -EIO.

import type { File } from '@iommufd/host'
import { EIO } from '@iommufd/uapi'
import type { Arch } from './arch.js'
import { Injector } from './inject.js'
import { close, syscall } from './libc.js'
import { TRAPPED_FDS } from './limits.js'
import type { Listener } from './listener.js'
import type { LiveHost } from './live-host.js'
import type { CallContext } from './live-memory.js'
import type { LiveMm } from './live-mm.js'
import type { LiveProcess } from './live-process.js'
import type { CallObserver, ServedCall } from './served-call.js'
import { descriptorsOf, freeFdFrom, readStatus, tgidOf } from './threads.js'

export const O_CLOEXEC = 0o2000000
const O_NONBLOCK = 0o4000
const PIDFD_THREAD = 0x80

export class Caller {
  readonly host: LiveHost
  readonly arch: Arch
  readonly #observer: CallObserver | undefined
  readonly #onFault: (error: unknown) => void
  #listener!: Listener
  #injector: Injector | undefined
  #newFd = -1
  /** Whether descriptors that the call is given have their reads and writes trapped. */
  trapsNewFd = false

  constructor(
    host: LiveHost,
    observer: CallObserver | undefined,
    onFault: (error: unknown) => void,
  ) {
    this.host = host
    this.arch = host.arch
    this.#observer = observer
    this.#onFault = onFault
    host.give = (fd, closeOnExec) => this.#give(fd, closeOnExec ? O_CLOEXEC : 0, this.trapsNewFd)
    host.installed = (_task, fd) => {
      this.#newFd = fd
    }
  }

  /** Has the call that a listener has received served by `serve`. */
  serve(listener: Listener, serve: () => void): void {
    this.#listener = listener
    this.trapsNewFd = false
    this.guard(serve)
    this.guard(() => this.#over())
    if (listener.pending) listener.answer(-EIO)
  }

  /** What goes wrong in `action` is told, and ends there. */
  guard(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#onFault(error)
    }
  }

  get listener(): Listener {
    return this.#listener
  }

  /** The process that calls; the engine may act on it until the call is over. */
  enter(): LiveProcess {
    const process = this.host.enter(this.#listener.tid, tgidOf)
    this.host.memory.context = this.#context(process)
    return process
  }

  /** Has a call answered by the engine, and the program by us. */
  answerWith(
    process: LiveProcess,
    what: Omit<ServedCall, 'process' | 'ret' | 'newFd'>,
    serve: () => number,
  ): void {
    const observer = this.#observer
    this.#newFd = -1
    observer?.before?.({ ...what, process, ret: 0, newFd: -1 })
    let ret = -EIO
    try {
      ret = serve()
    } finally {
      this.#closeIn(process.leave())
      if (observer?.after !== undefined) {
        this.guard(() => observer.after?.({ ...what, process, ret, newFd: this.#newFd }))
      }
      this.reply(ret)
    }
  }

  /** Answers the call, also where the thread is held. What it has made readable is so when the program goes on. */
  reply(ret: number): void {
    this.host.files.wake((inode) => this.#takeInode(inode))
    this.#injector?.finish(ret)
    this.#injector = undefined
    if (this.#listener.pending) this.#listener.answer(ret)
  }

  /** Holds the thread, to make system calls in its stead; undefined when it cannot be held. */
  hold(): Injector | undefined {
    if (this.#injector === undefined && this.#listener.pending) {
      this.#injector = new Injector(this.arch, this.#listener)
    }
    return this.#injector?.attached ? this.#injector : undefined
  }

  /** Whether nobody else traces the thread: once it is held there is no way back to its own call. */
  get canBeHeld(): boolean {
    return /^TracerPid:\s+0$/m.test(readStatus(this.#listener.tid))
  }

  /** Gives the caller a descriptor of a file of ours, whose reference it takes over: its number, or -errno. */
  giveFile(file: File, flags: number, isTrapped: boolean): number {
    const { files } = this.host
    const prepared = files.prepare()
    if (typeof prepared === 'number') {
      file.put()
      return prepared
    }
    files.bind(prepared, file, (flags & O_NONBLOCK) !== 0)
    const fd = this.#give(prepared.theirs, flags & O_CLOEXEC, isTrapped)
    // Without the program's descriptor this was the last reference: the file is released as any other.
    close(prepared.theirs)
    return fd
  }

  /** Our own descriptor of what the caller has as `fd`, or -errno. */
  takeFd(pid: number, fd: number): number {
    const { nr } = this.arch
    let pidfd = syscall(nr.pidfdOpen, this.#listener.tid, PIDFD_THREAD)
    if (pidfd < 0) pidfd = syscall(nr.pidfdOpen, pid, 0)
    if (pidfd < 0) return pidfd
    const ours = syscall(nr.pidfdGetfd, pidfd, fd, 0)
    close(pidfd)
    return ours
  }

  /** As takeFd, for a socket that the caller has under some number. */
  #takeInode(inode: number): number {
    const { tid } = this.#listener
    const fd = descriptorsOf(tid).find((fd) => this.host.files.inodeOf(tid, fd) === inode)
    return fd === undefined ? -1 : this.takeFd(this.host.processOf(tid)?.pid ?? tid, fd)
  }

  #over(): void {
    this.#injector?.finish(-EIO)
    this.#injector = undefined
    this.host.memory.context = undefined
  }

  /** Closes a descriptor of the calling program. */
  #closeIn(fd: number): void {
    if (fd >= 0) this.hold()?.call(this.arch.nr.close, fd)
  }

  /** Gives the caller our descriptor `fd`, under a number that is trapped or the lowest. */
  #give(fd: number, flags: number, isTrapped: boolean): number {
    const at = isTrapped ? freeFdFrom(this.#listener.tid, TRAPPED_FDS) : undefined
    return this.#listener.addFd(fd, flags, at)
  }

  #context({ pid, mm }: { pid: number; mm: LiveMm }): CallContext {
    return {
      arch: this.arch,
      tid: this.#listener.tid,
      mm,
      injector: () => this.hold(),
      takeFd: (fd) => this.takeFd(pid, fd),
    }
  }
}
