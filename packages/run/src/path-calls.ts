// SPDX-License-Identifier: Apache-2.0
//
// System calls that name a path, or tell of the file behind a descriptor: open, stat, access and listing (SPEC F1).
//
// Invariant: what is not ours goes on to the kernel untouched.

import { openSync } from 'node:fs'
import { File } from '@iommufd/host'
import { EACCES, EEXIST, EFAULT, EINVAL, EIO, EISDIR, ENOTDIR } from '@iommufd/uapi'
import { type Caller, O_CLOEXEC } from './caller.js'
import { DeviceFolders, OpenFolder } from './device-folders.js'
import { close } from './libc.js'
import type { LiveHost } from './live-host.js'
import type { LiveProcess } from './live-process.js'
import {
  descriptorOf,
  inRealFolder,
  linkTarget,
  pathFilter,
  resolvePath,
  withPid,
} from './paths.js'
import { deviceStat, type Stats } from './stats.js'
import { ownerOf, textFile, tgidOf } from './threads.js'
import { peekString, peekWords, poke } from './user-copy.js'

export const AT_FDCWD = -100
/** Longer than any path of ours. */
const PATH_BYTES = 256
const O_ACCMODE = 0o3
const O_CREAT = 0o100
const O_CREAT_EXCL = 0o300
const O_DIRECTORY = 0o200000
const X_OK = 1
const W_OK = 2
export const AT_SYMLINK_NOFOLLOW = 0x100
const O_NOFOLLOW = 0o400000
const MOST_LINKS = 40
/** What is listed at once. */
const LIST_BYTES = 4096

export class PathCalls {
  readonly #caller: Caller
  readonly #host: LiveHost
  readonly #stats: Stats
  readonly #folders: DeviceFolders
  readonly #mayBeOurs: (path: string) => boolean
  readonly #text = new Uint8Array(PATH_BYTES)

  constructor(caller: Caller) {
    const { host } = caller
    this.#caller = caller
    this.#host = host
    this.#stats = deviceStat(host.arch)
    this.#folders = new DeviceFolders(host.paths)
    this.#mayBeOurs = pathFilter([...host.paths, ...this.#folders.paths], host.syntheticNames)
  }

  openat2(): undefined {
    const { listener } = this.#caller
    const how = new Int32Array(2)
    if (peekWords(listener.tid, listener.arg(2), how) < 0) return listener.goOn()
    this.open(listener.argLo(0), 1, how[0] as number)
  }

  /** @param pathIndex argument with the path */
  open(dirfd: number, pathIndex: number, flags: number): undefined {
    const caller = this.#caller
    const path = this.#path(dirfd, pathIndex, (flags & O_NOFOLLOW) === 0)
    if (path === undefined) return caller.listener.goOn()
    const folder = this.#folders.open(path)
    if (folder !== undefined) return this.#openFolder(path, folder, flags)
    const device = this.#deviceName(path)
    if (device === undefined) return this.#openSynthetic(path, flags)
    const process = caller.enter()
    const what = { call: 'open' as const, path: device, fd: -1, cmd: 0, argHi: 0, argLo: 0 }
    caller.answerWith(process, what, () => this.#openDevice(process, device, flags))
  }

  /**
   * @param bufferIndex argument with what is to be filled
   * @param flags AT_SYMLINK_NOFOLLOW is looked at
   */
  stat(dirfd: number, pathIndex: number, bufferIndex: number, flags: number): undefined {
    const text = this.#string(pathIndex)
    if (text === '') return this.fstat(dirfd, bufferIndex)
    const follows = (flags & AT_SYMLINK_NOFOLLOW) === 0
    const path = text === undefined ? undefined : this.#resolve(dirfd, text, follows)
    if (path === undefined || !this.#isOurs(path)) return this.#caller.listener.goOn()
    this.#fillStat(path, bufferIndex)
  }

  fstat(fd: number, bufferIndex: number): undefined {
    const { listener } = this.#caller
    const file = fd < 0 ? undefined : this.#host.files.find(listener.tid, fd)
    if (file === undefined || !this.#isOurs(file.name)) return listener.goOn()
    this.#fillStat(file.name, bufferIndex)
  }

  /** Everybody may read devices and write to them, and search folders; nothing else. */
  access(dirfd: number, pathIndex: number): undefined {
    const { listener } = this.#caller
    const path = this.#path(dirfd, pathIndex)
    if (path === undefined || !this.#isOurs(path)) return listener.goOn()
    const refused = this.#folders.has(path) ? W_OK : X_OK
    listener.answer((listener.argLo(pathIndex + 1) & refused) === 0 ? 0 : -EACCES)
  }

  /** What has the same answer for all of ours: they are there, are no links, and have no extended attributes. */
  answer(dirfd: number, pathIndex: number, answer: number): undefined {
    const { listener } = this.#caller
    const path = this.#path(dirfd, pathIndex, false)
    if (path === undefined || !this.#isOurs(path)) return listener.goOn()
    listener.answer(answer)
  }

  /** getdents64 of a folder. */
  list(): undefined {
    const { listener } = this.#caller
    const folder = this.#host.files.find(listener.tid, listener.argLo(0))?.ops
    if (!(folder instanceof OpenFolder)) return listener.goOn()
    const entries = folder.read64(Math.min(listener.arg(2), LIST_BYTES))
    if (entries === undefined) return listener.answer(-EINVAL)
    const rc = entries.length === 0 ? 0 : poke(listener.tid, listener.arg(1), entries)
    listener.answer(rc < 0 ? -EFAULT : entries.length)
  }

  /** The path at argument `index`, if it may be one of ours, made absolute. */
  #path(dirfd: number, index: number, follows = true): string | undefined {
    const text = this.#string(index)
    return text === undefined ? undefined : this.#resolve(dirfd, text, follows)
  }

  /**
   * The path that a thread means, when it may be one of ours.
   * @param follows whether a symbolic link at its end is followed
   */
  #resolve(dirfd: number, text: string, follows = true): string | undefined {
    const path = this.#mayBeOurs(text) ? this.#absolute(dirfd, text) : undefined
    if (path !== undefined && (this.#isOurs(path) || path.startsWith('/proc/'))) return path
    if (follows) return this.#followed(dirfd, text) ?? path
    return path === undefined ? undefined : inRealFolder(path)
  }

  #absolute(dirfd: number, text: string): string | undefined {
    const { tid } = this.#caller.listener
    return resolvePath(tid, dirfd, text, (fd) => this.#host.files.find(tid, fd)?.name)
  }

  /** What of ours a path leads to by symbolic links, at its end or to its folder. */
  #followed(dirfd: number, text: string): string | undefined {
    const { tid } = this.#caller.listener
    let from: string | undefined = text
    for (let links = 0; links < MOST_LINKS && from !== undefined; links++) {
      const path = this.#mayBeOurs(from) ? this.#absolute(dirfd, from) : undefined
      const real = path === undefined ? undefined : inRealFolder(path)
      if (real !== undefined && this.#isOurs(real)) return real
      from = linkTarget(tid, dirfd, from)
    }
    return undefined
  }

  /** The string at argument `index`: undefined when it cannot be read, or is longer than any path of ours. */
  #string(index: number): string | undefined {
    const { listener } = this.#caller
    const text = this.#text
    const length = peekString(listener.tid, listener.arg(index), text)
    return length < 0 ? undefined : String.fromCharCode(...text.subarray(0, length))
  }

  #isOurs(path: string): boolean {
    return this.#host.device(path) !== undefined || this.#folders.has(path)
  }

  /** As any folder it can be read only. */
  #openFolder(path: string, folder: OpenFolder, flags: number): undefined {
    const { listener } = this.#caller
    if ((flags & (O_ACCMODE | O_CREAT)) !== 0) return listener.answer(-EISDIR)
    listener.answer(this.#caller.giveFile(new File(path, folder), flags, false))
  }

  /** The device that a path leads to, directly or by a descriptor of it. */
  #deviceName(path: string): string | undefined {
    if (this.#host.device(path) !== undefined) return path
    if (!path.startsWith('/proc/')) return undefined
    const { tid } = this.#caller.listener
    const fd = descriptorOf(path, this.#host.processOf(tid)?.pid ?? 0, tid)
    const name = fd < 0 ? undefined : this.#host.files.find(tid, fd)?.name
    return name !== undefined && this.#host.device(name) !== undefined ? name : undefined
  }

  #openDevice(process: LiveProcess, path: string, flags: number): number {
    if ((flags & O_CREAT_EXCL) === O_CREAT_EXCL) return -EEXIST
    if ((flags & O_DIRECTORY) !== 0) return -ENOTDIR
    const operations = this.#host.device(path)?.(process) ?? -EIO
    if (typeof operations === 'number') return operations
    const isTrapped = operations.read !== undefined || operations.pread !== undefined
    return this.#caller.giveFile(new File(path, operations), flags, isTrapped)
  }

  #openSynthetic(path: string, flags: number): undefined {
    const { listener } = this.#caller
    const pid = this.#host.processOf(listener.tid)?.pid ?? tgidOf(listener.tid)
    const found = this.#host.synthetic(withPid(path, pid), pid)
    if (found === undefined) return listener.goOn()
    if (found.kind === 'file') {
      const file = new File(path, found.operations)
      return listener.answer(this.#caller.giveFile(file, flags, true))
    }
    const fd = found.kind === 'text' ? textFile(found.text) : openSync(found.path, 'r')
    const theirs = fd < 0 ? fd : listener.addFd(fd, flags & O_CLOEXEC)
    if (fd >= 0) close(fd)
    listener.answer(theirs)
  }

  #fillStat(path: string, bufferIndex: number): undefined {
    const { listener, arch } = this.#caller
    const { uid, gid } = ownerOf(listener.tid)
    const fill = listener.number === arch.nr.statx ? this.#stats.statx : this.#stats.stat
    const bytes = fill(path, this.#folders.has(path), uid, gid)
    const rc = poke(listener.tid, listener.arg(bufferIndex), bytes)
    listener.answer(rc < 0 ? -EFAULT : 0)
  }
}
