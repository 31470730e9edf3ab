// SPDX-License-Identifier: Apache-2.0
//
// The machine underneath the engine when programs are real: a second implementation of the host interface.
//
// Invariant: processes are met when they call, never looked for; what is known of one is good for its present call.

import { existsSync } from 'node:fs'
import type { DeviceHost, File, FileOperations, OpenDevice, Task, User } from '@iommufd/host'
import { EINVAL, ENOMEM } from '@iommufd/uapi'
import type { Arch } from './arch.js'
import { EmulatedFiles } from './emulated-files.js'
import type { Segment } from './frames.js'
import { PAGE_SIZE } from './limits.js'
import { type Announce, LiveMemory } from './live-memory.js'
import type { MemoryObserver } from './live-mm.js'
import { ForeignFile, LiveProcess } from './live-process.js'
import { OwnPages } from './own-pages.js'
import { parentOf } from './threads.js'

/** Told of what a program is given without asking by name. */
export type Installed = (task: Task, fd: number, file: File) => void

/** A path that is not a device's and is answered all the same. */
export type Synthetic =
  /** a file with operations of its own, for read and write */
  | { readonly kind: 'file'; readonly operations: FileOperations }
  /** a file with this text, which can be written without effect */
  | { readonly kind: 'text'; readonly text: string }
  /** a folder that is opened in its stead */
  | { readonly kind: 'folder'; readonly path: string }

/** Gives the caller a descriptor of our file: its number, or -errno. */
export type GiveFd = (fd: number, closeOnExec: boolean) => number

export class LiveHost implements DeviceHost {
  readonly arch: Arch
  readonly files: EmulatedFiles = new EmulatedFiles()
  readonly memory: LiveMemory
  readonly #devices = new Map<string, OpenDevice>()
  readonly #users = new Map<number, User>()
  readonly #processes = new Map<number, LiveProcess>()
  /** Threads by number; a number can be used again, so each call looks whether it is still the same. */
  readonly #threads = new Map<number, LiveProcess>()
  /** Whether every process is taken for root with all capabilities, whoever it is. */
  privileged = false
  /** Ends of paths that `synthetic` may know, beside those below /proc. */
  syntheticNames: readonly string[] = []
  /** What a path leads to for a process; undefined: what it leads to anyway. */
  synthetic: (path: string, pid: number) => Synthetic | undefined = () => undefined
  give: GiveFd = () => -EINVAL
  installed: Installed = () => undefined
  observer: MemoryObserver | undefined

  constructor(arch: Arch, announce: Announce) {
    this.arch = arch
    this.memory = new LiveMemory(announce)
  }

  /**
   * Makes `path` something to open.
   * @throws when the path is taken
   */
  registerDevice(path: string, open: OpenDevice): void {
    if (this.#devices.has(path)) throw new Error(`${path} is registered already`)
    this.#devices.set(path, open)
  }

  /** What opens at a path, if anything. */
  device(path: string): OpenDevice | undefined {
    return this.#devices.get(path)
  }

  /** Paths that something opens at. */
  get paths(): readonly string[] {
    return [...this.#devices.keys()]
  }

  user(uid: number): User {
    let user = this.#users.get(uid)
    if (user === undefined) {
      user = { uid, lockedVm: 0 }
      this.#users.set(uid, user)
    }
    return user
  }

  /**
   * The process of a thread that calls now.
   * @param tgidOf reads the process's number, when it is not known
   */
  enter(tid: number, tgidOf: (tid: number) => number): LiveProcess {
    let process = this.#threads.get(tid)
    if (process !== undefined && !isStill(process, tid)) process = undefined
    if (process === undefined) {
      process = this.#meet(tgidOf(tid), tid)
      this.#threads.set(tid, process)
    }
    process.enter(tid)
    return process
  }

  /** The process with a number, when it has called already. */
  process(pid: number): LiveProcess | undefined {
    return this.#processes.get(pid)
  }

  /** The process of a thread, when it has called already. */
  processOf(tid: number): LiveProcess | undefined {
    return this.#threads.get(tid)
  }

  /** Forgets processes that have ended. */
  sweep(): void {
    for (const [pid, process] of this.#processes) {
      if (!process.mm.alive) this.#processes.delete(pid)
    }
    for (const [tid, process] of this.#threads) {
      if (this.#processes.get(process.pid) !== process) this.#threads.delete(tid)
    }
  }

  unpin(frames: Uint32Array, at: number, n: number): void {
    for (let i = at; i < at + n; i++) this.memory.frames.unpin(frames[i] as number)
  }

  readFrame(frame: number, offset: number, dst: Uint8Array, at: number, length: number): void {
    this.memory.frames.read(frame, offset, dst, at, length)
  }

  writeFrame(frame: number, offset: number, src: Uint8Array, at: number, length: number): void {
    this.memory.frames.write(frame, offset, src, at, length)
  }

  pinFile(
    file: File,
    offHi: number,
    offLo: number,
    npages: number,
    frames: Uint32Array,
    at: number,
  ): number {
    if (!(file instanceof ForeignFile) || file.held === undefined) return -EINVAL
    const offset = (offHi >>> 0) * 0x100000000 + (offLo >>> 0)
    if (offset + npages * PAGE_SIZE > file.held.size) return -EINVAL
    return this.memory.pinPages(file.held, Math.floor(offset / PAGE_SIZE), npages, frames, at)
  }

  allocate(npages: number, frames: Uint32Array, at: number): number {
    const store = new OwnPages(npages, () => this.memory.frames.release(segment as Segment))
    const segment = this.memory.frames.allocate(store, 0, npages)
    if (segment === undefined) return -ENOMEM
    for (let i = 0; i < npages; i++) frames[at + i] = this.memory.frames.pin(segment, i)
    return 0
  }

  pins(frame: number): number {
    return this.memory.frames.pins(frame)
  }

  #meet(pid: number, tid: number): LiveProcess {
    const known = this.#processes.get(pid)
    if (known?.mm.alive) return known
    this.sweep()
    const process = new LiveProcess(this, pid, tid)
    process.mm.observer = this.observer
    // Who is known, and has another address space, has executed a program: as root it has everything again.
    if (this.privileged && known === undefined) this.#inherit(process)
    this.#processes.set(pid, process)
    return process
  }

  /** A process that was forked has what its parent has. */
  #inherit(process: LiveProcess): void {
    const parent = this.#processes.get(parentOf(process.pid))
    if (parent !== undefined) process.capabilities.inherit(parent.capabilities)
  }
}

/** Whether the thread belongs to the process, and that to the address space that it had when it was met. */
function isStill(process: LiveProcess, tid: number): boolean {
  if (!process.mm.alive) return false
  return tid === process.pid || existsSync(`/proc/${process.pid}/task/${tid}`)
}
