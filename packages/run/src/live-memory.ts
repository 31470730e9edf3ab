// SPDX-License-Identifier: Apache-2.0
//
// How pages of live processes are kept (SPEC E4): the file is held, or the page is pinned by the process itself, or, where
// neither can be, it is only remembered by its address.
//
// Invariant: shared pages are known by their file and offset, so all addresses of one page give one frame, without any
// privilege. Private pages are known by the pin. What is only remembered is announced.

import { fstatSync, openSync, readdirSync, statfsSync, statSync } from 'node:fs'
import { EFAULT, ENOMEM } from '@iommufd/uapi'
import type { Arch } from './arch.js'
import { DeviceMappings } from './device-mappings.js'
import { Frames, type Segment, type Store } from './frames.js'
import { HeldFile } from './held-file.js'
import type { Injector } from './inject.js'
import { close, ftruncate, memfdCreate } from './libc.js'
import { OUR_MMAP, PAGE_SIZE } from './limits.js'
import type { LiveMm } from './live-mm.js'
import { RingPin } from './ring-pin.js'
import type { Vma } from './vma.js'

/** A buffer of an io_uring is at most 1 GiB. */
const MAX_RING_PAGES = 1 << 18
/** Where programs have nothing, so that no address is taken which they have just freed. */
const SCRATCH_HINT = 0x600000000000
/** MAP_PRIVATE | MAP_ANONYMOUS. */
const SCRATCH_FLAGS = OUR_MMAP * 0x100000000 + 0x22
const MFD_CLOEXEC_SEALING = 3
const TMPFS_MAGIC = 0x01021994
const HUGETLBFS_MAGIC = 0x958458f6
const S_IFMT = 0o170000
const S_IFREG = 0o100000
/** Files that nobody pins are kept up to so many, for the next look. */
const IDLE_FILES = 32

/** What the memory needs of the call in progress, to act in the caller's context. */
export interface CallContext {
  readonly arch: Arch
  /** the thread that waits, and its address space */
  readonly tid: number
  readonly mm: LiveMm
  /** holds the thread; undefined when it cannot be held */
  injector(): Injector | undefined
  takeFd(fd: number): number
}

/** Says how a range of a program's memory is kept. */
export type Announce = (
  pid: number,
  address: number,
  pages: number,
  how: string,
  reason?: string,
) => void

/** A private range, found again by its addresses. */
interface Range {
  readonly mm: LiveMm
  readonly start: number
  readonly pages: number
  readonly segment: Segment
  readonly isPinned: boolean
}

export class LiveMemory {
  readonly frames: Frames = new Frames()
  readonly devices: DeviceMappings = new DeviceMappings(this.frames)
  readonly #files = new Map<string, HeldFile>()
  /** Files that stand for shared anonymous memory: nobody else can open them. */
  readonly #anonymous = new Set<HeldFile>()
  readonly #ranges: Range[] = []
  readonly #announce: Announce
  /** The call in progress. */
  context: CallContext | undefined

  constructor(announce: Announce) {
    this.#announce = announce
  }

  /** A file for shared anonymous memory of `length` bytes, or -errno. */
  makeAnonymous(length: number): HeldFile | number {
    this.sweep()
    const fd = memfdCreate('iommufd-shared', MFD_CLOEXEC_SEALING)
    if (fd < 0) return fd
    const rc = ftruncate(fd, length)
    const { dev, ino } = fstatSync(fd)
    const key = keyOf(dev, ino)
    const file = new HeldFile(this.frames, fd, key, 'file held', () => undefined)
    if (rc < 0) {
      file.close()
      return rc
    }
    this.#files.set(key, file)
    file.sealSize()
    this.#anonymous.add(file)
    return file
  }

  /** Lets go of files that stand for shared anonymous memory which no process maps and nobody pins any more. */
  sweep(): void {
    for (const file of this.#anonymous) {
      if (!file.inUse && file.sealIfUnmapped()) this.#drop(file)
    }
  }

  /** The file behind our descriptor `fd`, which is taken over. */
  adopt(fd: number): HeldFile {
    const { dev, ino } = fstatSync(fd)
    const key = keyOf(dev, ino)
    const known = this.#files.get(key)
    if (known !== undefined) {
      close(fd)
      return known
    }
    const file = new HeldFile(this.frames, fd, key, 'file held', (idle) => this.#idle(idle))
    this.#files.set(key, file)
    return file
  }

  /** As Mm.pin, for pages of one mapping that may be accessed as asked. */
  pin(
    mm: LiveMm,
    vma: Vma,
    page: number,
    n: number,
    write: boolean,
    frames: Uint32Array,
    at: number,
  ): number {
    if (vma.shared && vma.inode !== 0) {
      const file = this.#fileOf(mm, vma)
      if (typeof file === 'number') return file
      if (file !== undefined) {
        if (write && !isMemoryFile(file.fd)) return -EFAULT
        return this.#pinFile(mm, file, vma, page, n, frames, at)
      }
    }
    return this.#pinPrivate(mm, vma, page, n, frames, at)
  }

  /** As Mm.lookup. */
  lookup(mm: LiveMm, vma: Vma, page: number): number {
    if (vma.shared && vma.inode !== 0) {
      const file = this.#fileOf(mm, vma)
      if (typeof file === 'number') return file
      if (file !== undefined) {
        const index = (vma.offset + page - vma.start) / PAGE_SIZE
        const segment = index * PAGE_SIZE < file.size ? file.segment(index) : undefined
        return segment === undefined ? -EFAULT : segment.base + index - segment.firstPage
      }
    }
    return this.#lookupPrivate(mm, page)
  }

  /** Pins pages of a file by its offset, without a process: how many, or -errno. */
  pinPages(file: HeldFile, first: number, n: number, frames: Uint32Array, at: number): number {
    for (let i = 0; i < n; i++) {
      const segment = file.segment(first + i)
      if (segment === undefined) return i > 0 ? i : -ENOMEM
      frames[at + i] = this.frames.pin(segment, first + i - segment.firstPage)
    }
    return n
  }

  /** Lets go of everything. */
  closeAll(): void {
    this.devices.closeAll()
    for (const file of [...this.#files.values()]) this.#drop(file)
  }

  /** An address space has ended: its private pages are found by address no more. */
  ended(mm: LiveMm): void {
    for (let i = this.#ranges.length - 1; i >= 0; i--) {
      if (this.#ranges[i]?.mm === mm) this.#ranges.splice(i, 1)
    }
  }

  #pinFile(
    mm: LiveMm,
    file: HeldFile,
    vma: Vma,
    page: number,
    n: number,
    frames: Uint32Array,
    at: number,
  ): number {
    const first = (vma.offset + page - vma.start) / PAGE_SIZE
    const within = Math.min(n, Math.ceil(file.size / PAGE_SIZE) - first)
    if (within <= 0) return -EFAULT
    this.#announce(mm.pid, page, within, file.kind)
    return this.pinPages(file, first, within, frames, at)
  }

  #pinPrivate(
    mm: LiveMm,
    vma: Vma,
    page: number,
    n: number,
    frames: Uint32Array,
    at: number,
  ): number {
    const pages = Math.min(n, MAX_RING_PAGES)
    const pin = this.#pinByRing(mm, vma, page, pages)
    let segment: Segment
    if (pin instanceof RingPin) {
      segment = pin.segment as Segment
      this.#announce(mm.pid, page, pages, pin.kind)
    } else {
      const peeked = this.#peek(mm, page, pages)
      if (typeof peeked === 'number') return peeked
      segment = peeked
      this.#announce(mm.pid, page, segment.count, segment.store.kind, pin)
    }
    this.#ranges.push({
      mm,
      start: page,
      pages: segment.count,
      segment,
      isPinned: pin instanceof RingPin,
    })
    for (let i = 0; i < segment.count; i++) frames[at + i] = this.frames.pin(segment, i)
    return segment.count
  }

  /** The pin, or why there is none. */
  #pinByRing(mm: LiveMm, vma: Vma, page: number, pages: number): RingPin | string {
    const context = this.context
    if (context === undefined || context.mm !== mm) return 'the process is not the caller'
    const injector = context.injector()
    if (injector === undefined)
      return 'the thread cannot be held (it is traced already, or may not be)'
    const { arch, tid } = context
    if (mm.scratch === 0) {
      const scratch = injector.call(arch.nr.mmap, SCRATCH_HINT, PAGE_SIZE, 3, SCRATCH_FLAGS, -1, 0)
      if (scratch < 0) return `no page for arguments (errno ${-scratch})`
      mm.scratch = scratch
    }
    const bytes = pages * PAGE_SIZE
    // Registering needs a writable mapping; while its page is being pinned, a read-only one is made such.
    const protection = vma.writable ? 0 : injector.call(arch.nr.mprotect, page, bytes, 3)
    if (protection < 0) return `not writable (errno ${-protection})`
    const pin = RingPin.make(
      { injector, arch, tid, scratch: mm.scratch, start: page, pages, takeFd: context.takeFd },
      this.frames,
      (idle) => this.#release(idle),
    )
    if (!vma.writable) injector.call(arch.nr.mprotect, page, bytes, protectionOf(vma))
    return typeof pin === 'number' ? `io_uring refused (errno ${-pin})` : pin
  }

  #release(pin: RingPin): void {
    const at = this.#ranges.findIndex(({ segment }) => segment === pin.segment)
    if (at >= 0) this.#ranges.splice(at, 1)
    pin.close(this.frames)
  }

  /** Frames of pages that are there but cannot be kept: they are whatever the addresses lead to. */
  #peek(mm: LiveMm, page: number, pages: number): Segment | number {
    let count = 0
    while (count < pages && mm.peek(page + count * PAGE_SIZE) !== undefined) count++
    if (count === 0) return -EFAULT
    const store = new PeekedRange(mm, page, () => {
      const at = this.#ranges.findIndex((range) => range.segment === segment)
      if (at >= 0) this.#ranges.splice(at, 1)
      this.frames.release(segment as Segment)
    })
    const segment = this.frames.allocate(store, 0, count)
    return segment ?? -ENOMEM
  }

  /** The newest pin at this address, as long as the process still sees what is pinned. */
  #lookupPrivate(mm: LiveMm, page: number): number {
    const seen = mm.peek(page)
    if (seen === undefined) return -EFAULT
    for (let i = this.#ranges.length - 1; i >= 0; i--) {
      const range = this.#ranges[i] as Range
      const index = (page - range.start) / PAGE_SIZE
      if (range.mm !== mm || index < 0 || index >= range.pages) continue
      const frame = range.segment.base + index
      if (!range.isPinned) return frame
      const copy = seen.slice()
      this.frames.read(frame, 0, pinned, 0, PAGE_SIZE)
      if (Buffer.compare(copy, pinned) === 0) return frame
    }
    return 0
  }

  /** The held file behind a shared mapping; undefined when it cannot be held, -EFAULT when it is no memory. */
  #fileOf(mm: LiveMm, vma: Vma): HeldFile | number | undefined {
    if (this.devices.has(vma.inode)) return -EFAULT
    const key = `${vma.device}:${vma.inode}`
    const known = this.#files.get(key)
    if (known !== undefined) return known
    const fd = openMapped(mm.pid, vma, key)
    if (fd === undefined) return undefined
    if (fd < 0) return -EFAULT
    const file = new HeldFile(this.frames, fd, key, 'file held', (idle) => this.#idle(idle))
    this.#files.set(key, file)
    return file
  }

  #idle(file: HeldFile): void {
    if (this.#anonymous.has(file) || this.#files.size <= IDLE_FILES) return
    this.#drop(file)
  }

  #drop(file: HeldFile): void {
    this.#anonymous.delete(file)
    this.#files.delete(file.key)
    file.close()
  }
}

const pinned = new Uint8Array(PAGE_SIZE)

/** Memory that can only be looked at, through the process. */
class PeekedRange implements Store {
  readonly kind: string = 'not pinned: its addresses are remembered'
  readonly #mm: LiveMm
  readonly #start: number
  readonly #onIdle: () => void

  constructor(mm: LiveMm, start: number, onIdle: () => void) {
    this.#mm = mm
    this.#start = start
    this.#onIdle = onIdle
  }

  read(offset: number, dst: Uint8Array, at: number, length: number): void {
    const address = this.#start + offset
    const rc = this.#mm.alive
      ? this.#mm.copyFromUser(high(address), low(address), dst, at, length)
      : -1
    if (rc < 0) dst.fill(0, at, at + length)
  }

  write(offset: number, src: Uint8Array, at: number, length: number): void {
    const address = this.#start + offset
    if (this.#mm.alive) this.#mm.copyToUser(high(address), low(address), src, at, length)
  }

  idle(): void {
    this.#onIdle()
  }
}

function protectionOf(vma: Vma): number {
  return (vma.readable ? 1 : 0) | (vma.writable ? 2 : 0) | (vma.executable ? 4 : 0)
}

function high(address: number): number {
  return Math.floor(address / 0x100000000) | 0
}

function low(address: number): number {
  return address | 0
}

function keyOf(dev: number, ino: number): string {
  const major = Math.floor(dev / 256) & 0xfff
  const minor = (dev & 0xff) | (Math.floor(dev / 4096) & 0xfff00)
  return `${major}:${minor}:${ino}`
}

/** Whether a file lives in memory (tmpfs, hugetlbfs), so that writing to its pages needs no word to a filesystem. */
function isMemoryFile(fd: number): boolean {
  const { type } = statfsSync(`/proc/self/fd/${fd}`)
  return type === TMPFS_MAGIC || type === HUGETLBFS_MAGIC
}

/** Opens the file of a mapping: -1 when it is no regular file, undefined when there is no way to it. */
function openMapped(pid: number, vma: Vma, key: string): number | undefined {
  const range = `${vma.start.toString(16)}-${vma.end.toString(16)}`
  for (const path of [`/proc/${pid}/map_files/${range}`, ...descriptorsOf(pid)]) {
    const fd = openIf(path, key)
    if (fd !== undefined) return fd
  }
  return undefined
}

function* descriptorsOf(pid: number): Generator<string> {
  try {
    for (const name of readdirSync(`/proc/${pid}/fd`)) yield `/proc/${pid}/fd/${name}`
  } catch {
    // The process is gone.
  }
}

function openIf(path: string, key: string): number | undefined {
  try {
    const { dev, ino, mode } = statSync(path)
    if (keyOf(dev, ino) !== key) return undefined
    if ((mode & S_IFMT) !== S_IFREG) return -1
    return openEither(path)
  } catch {
    return undefined
  }
}

function openEither(path: string): number {
  try {
    return openSync(path, 'r+')
  } catch {
    return openSync(path, 'r')
  }
}
