// SPDX-License-Identifier: Apache-2.0
//
// The server of launched programs: takes each trapped system call, has it answered by the engine or lets the kernel make
// it (SPEC F1, F2, F7).
//
// Invariant: calls are served one after another, each to its end. Before a call is served, every file whose last reference
// was dropped before it has been released. Whatever goes wrong while serving a call is an errno of that call.

import type { FileOperations } from '@iommufd/host'
import {
  EEXIST,
  EINVAL,
  ENODATA,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  VFIO_GROUP_GET_DEVICE_FD,
} from '@iommufd/uapi'
import type { Arch } from './arch.js'
import { Caller } from './caller.js'
import { capabilityCall } from './capabilities.js'
import { poll, region, watch } from './libc.js'
import { Listener } from './listener.js'
import type { LiveHost } from './live-host.js'
import { MemoryCalls } from './memory-calls.js'
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, PathCalls } from './path-calls.js'
import type { CallObserver, Refuse } from './served-call.js'
import { tgidOf } from './threads.js'

const POLLIN = 1
/** How long to wait for the next call before going back to the event loop, and how long to keep it waiting at most. */
const WAIT_MS = 1
const TURN_MS = 20
/** Commands whose new descriptor is for reads and writes. */
const TRAPPED_COMMANDS: readonly number[] = [
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  VFIO_GROUP_GET_DEVICE_FD,
]
/** Of one transfer, at most. */
const MOST_BYTES = 0x7ffff000

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
  readonly #options: ServerOptions
  readonly #caller: Caller
  readonly #paths: PathCalls
  readonly #memory: MemoryCalls
  readonly #listeners: Listener[] = []
  readonly #unwatch = new Map<number, () => void>()
  readonly #ended = new Map<number, () => void>()
  #polled = region(8)

  constructor(options: ServerOptions) {
    const { host, observer, onFault } = options
    this.#host = host
    this.#arch = host.arch
    this.#options = options
    this.#caller = new Caller(host, observer, onFault)
    this.#paths = new PathCalls(this.#caller)
    this.#memory = new MemoryCalls(this.#caller, observer)
    host.files.onEnd = (inode) => observer?.released?.(inode)
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
      if (this.#revents(count - 1) !== 0) this.#caller.guard(() => this.#host.files.release())
      this.#caller.guard(() => this.#host.memory.devices.sweep())
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
    this.#caller.guard(() => this.#host.files.release())
    if (this.#listeners.length === 0) this.#options.onEnd()
  }

  #receive(listener: Listener): void {
    if (listener.receive() < 0) return
    this.#caller.serve(listener, () => this.#serve(listener))
  }

  #serve(listener: Listener): undefined {
    const { nr } = this.#arch
    const paths = this.#paths
    switch (listener.number) {
      case nr.ioctl:
        return this.#ioctl(listener)
      case nr.open:
        return paths.open(AT_FDCWD, 0, listener.argLo(1))
      case nr.openat:
        return paths.open(listener.argLo(0), 1, listener.argLo(2))
      case nr.openat2:
        return paths.openat2()
      case nr.stat:
        return paths.stat(AT_FDCWD, 0, 1, 0)
      case nr.lstat:
        return paths.stat(AT_FDCWD, 0, 1, AT_SYMLINK_NOFOLLOW)
      case nr.newfstatat:
        return paths.stat(listener.argLo(0), 1, 2, listener.argLo(3))
      case nr.statx:
        return paths.stat(listener.argLo(0), 1, 4, listener.argLo(2))
      case nr.fstat:
        return paths.fstat(listener.argLo(0), 1)
      case nr.access:
        return paths.access(AT_FDCWD, 0)
      case nr.faccessat:
      case nr.faccessat2:
        return paths.access(listener.argLo(0), 1)
      case nr.mkdir:
      case nr.mknod:
        return paths.answer(AT_FDCWD, 0, -EEXIST)
      case nr.mkdirat:
      case nr.mknodat:
        return paths.answer(listener.argLo(0), 1, -EEXIST)
      case nr.readlink:
        return paths.answer(AT_FDCWD, 0, -EINVAL)
      case nr.readlinkat:
        return paths.answer(listener.argLo(0), 1, -EINVAL)
      case nr.getxattr:
      case nr.lgetxattr:
        return paths.answer(AT_FDCWD, 0, -ENODATA)
      case nr.listxattr:
      case nr.llistxattr:
        return paths.answer(AT_FDCWD, 0, 0)
      case nr.getdents64:
        return paths.list()
      case nr.capget:
        return capabilityCall(this.#caller, false)
      case nr.capset:
        return capabilityCall(this.#caller, true)
      case nr.mmap:
        return this.#memory.mmap()
      case nr.read:
        return this.#transfer(listener, 'read')
      case nr.write:
        return this.#transfer(listener, 'write')
      case nr.pread64:
        return this.#transferAt(listener, 'pread')
      case nr.pwrite64:
        return this.#transferAt(listener, 'pwrite')
      case nr.munmap:
      case nr.mremap:
        return this.#memory.unmap()
      default:
        return this.#forgetUser(listener)
    }
  }

  #ioctl(listener: Listener): undefined {
    const fd = listener.argLo(0)
    const file = this.#host.files.find(listener.tid, fd)
    if (file?.ops.ioctl === undefined) return listener.goOn()
    const process = this.#caller.enter()
    const cmd = listener.argLo(1) >>> 0
    this.#caller.trapsNewFd = TRAPPED_COMMANDS.includes(cmd)
    const argHi = listener.argHi(2)
    const argLo = listener.argLo(2)
    const { refuse } = this.#options
    const what = { call: 'ioctl', path: file.name, fd, cmd, argHi, argLo } as const
    this.#caller.answerWith(process, what, () => {
      const refused = refuse?.(process, cmd, argHi, argLo) ?? 0
      if (refused < 0) return refused
      return (file.ops as Required<FileOperations>).ioctl(process, cmd, argHi, argLo)
    })
  }

  /** read and write. */
  #transfer(listener: Listener, call: 'read' | 'write'): undefined {
    const fd = listener.argLo(0)
    const file = this.#host.files.find(listener.tid, fd)
    const operation = file?.ops[call]
    if (file === undefined || operation === undefined) return listener.goOn()
    const { argHi, argLo, length } = transferOf(listener)
    const caller = this.#caller
    const process = caller.enter()
    caller.answerWith(process, { call, path: '', fd, cmd: length, argHi, argLo }, () => {
      const ret = operation.call(file.ops, process, argHi, argLo, length)
      const { files } = this.#host
      const take = (): number => caller.takeFd(process.pid, fd)
      if (call === 'read') files.settle(files.inodeOf(listener.tid, fd), take)
      return ret
    })
  }

  /** pread and pwrite: a file without positions is a socket's, which answers ESPIPE itself. */
  #transferAt(listener: Listener, call: 'pread' | 'pwrite'): undefined {
    const fd = listener.argLo(0)
    const file = this.#host.files.find(listener.tid, fd)
    const operation = file?.ops[call]
    if (file === undefined || operation === undefined) return listener.goOn()
    const [offHi, offLo] = [listener.argHi(3), listener.argLo(3)]
    if (offHi < 0) return listener.answer(-EINVAL)
    const { argHi, argLo, length } = transferOf(listener)
    const process = this.#caller.enter()
    const what = { call, path: '', fd, cmd: length, argHi, argLo, offset: listener.arg(3) }
    this.#caller.answerWith(process, what, () =>
      operation.call(file.ops, process, argHi, argLo, length, offHi, offLo),
    )
  }

  /** The process becomes another user; any of its threads can say so. */
  #forgetUser(listener: Listener): undefined {
    const { tid } = listener
    const process = this.#host.processOf(tid) ?? this.#host.process(tgidOf(tid))
    process?.forgetUser()
    listener.goOn()
  }
}

/** Where the bytes of a transfer are in the program, and how many. */
function transferOf(listener: Listener): { argHi: number; argLo: number; length: number } {
  const length = Math.min(listener.arg(2), MOST_BYTES)
  return { argHi: listener.argHi(1), argLo: listener.argLo(1), length }
}
