// SPDX-License-Identifier: Apache-2.0
//
// What the engine sees of the machine underneath it: address spaces, users, calling processes, open files, and frames.
//
// Everything here is an interface but File, because two kinds of machine stand behind it: the simulated one of this
// package, and live processes whose memory is reached from outside. Hence the limits of the interface: no pointer into
// user memory is ever handed out, no frame is reachable unless it is pinned, nothing is asynchronous.
//
// The invariant everything above relies on: a frame number names one page for as long as the page is pinned, whatever
// any process does to its mappings meanwhile.
//
// Conventions: an address is two int32 words (hi, lo), bit patterns of a u64; a frame number is a u32 below 2^31; a
// failing function returns a negative errno.

import type { DmaBuf } from './dma-buf.js'

/** An address space. It outlives the process: after exit it is no longer `alive`, but keeps its two counts. */
export interface Mm {
  /** False once its process has exited: nothing can be pinned or copied any more, every such call is -EFAULT. */
  readonly alive: boolean
  /** Pages pinned by mappings of this address space (VmPin). Kept by the engine; may be negative. */
  pinnedVm: number
  /** Pages locked by this address space (VmLck). Kept by the engine; may be negative. */
  lockedVm: number
  /**
   * Copies `length` bytes of user memory at (hi, lo) into `dst` from index `at`: page by page and in order, so that the
   * bytes before a fault have arrived.
   * @returns 0, or -EFAULT. Length 0 is always 0.
   */
  copyFromUser(hi: number, lo: number, dst: Uint8Array, at: number, length: number): number
  /**
   * Copies `count` 32-bit little-endian words of user memory at (hi, lo), a multiple of 4, into `dst` from index 0. What
   * structs of calls are made of, in a third of the time of their bytes. 0, or -EFAULT.
   */
  readWords(hi: number, lo: number, dst: Int32Array, count: number): number
  /** Copies `count` words of `src` from index `at` to user memory at (hi, lo), a multiple of 4. 0, or -EFAULT. */
  writeWords(hi: number, lo: number, src: Int32Array, at: number, count: number): number
  /** Copies `length` bytes of `src` from index `at` to user memory at (hi, lo). As copyFromUser. */
  copyToUser(hi: number, lo: number, src: Uint8Array, at: number, length: number): number
  /**
   * Takes one long-term pin on each of up to `npages` pages, starting with the page that holds (hi, lo), and writes their
   * frame numbers to `frames[at…]`. `write` needs a writable mapping and breaks copy-on-write; without it a private page
   * still becomes the process's own, so that the pin always sees what the process sees.
   * @param npages at least 1
   * @returns how many pages are now pinned: at least 1, fewer than `npages` when the next one cannot be pinned or the
   * host ended a batch; -EFAULT (or -ENOMEM) when the first page cannot be pinned.
   */
  pin(
    hi: number,
    lo: number,
    npages: number,
    write: boolean,
    frames: Uint32Array,
    at: number,
  ): number
  /**
   * The frame now mapped at (hi, lo), faulted in for reading and not pinned: good for comparing only.
   * @returns a frame number, or -EFAULT.
   */
  lookup(hi: number, lo: number): number
}

/** A user of the machine, across all of its processes. */
export interface User {
  readonly uid: number
  /** Pages charged to the user. Kept by the engine. */
  lockedVm: number
}

/** What an eventfd is to a device that signals it. It outlives the descriptor until `put`. */
export interface EventFd {
  /** Adds 1 to the counter, unless it is at its end. */
  signal(): void
  /** Gives the reference back; it must not be used any more. */
  put(): void
}

/** The process that makes a call (its thread group). */
export interface Task {
  readonly pid: number
  readonly mm: Mm
  readonly user: User
  capable(cap: number): boolean
  /** The soft RLIMIT_MEMLOCK in bytes, Infinity when unlimited. Stays readable after exit. */
  readonly rlimitMemlock: number
  /** The open file behind a descriptor, undefined when there is none. Takes no reference. */
  file(fd: number): File | undefined
  /** The eventfd behind a descriptor, with a reference that the caller puts; undefined for anything else. */
  eventfd(fd: number): EventFd | undefined
  /** The descriptor that installFile would give now, or -EMFILE. */
  unusedFd(): number
  /**
   * Gives the file the lowest free descriptor, which takes over the caller's reference.
   * @returns the descriptor, or -EMFILE (the reference then stays the caller's).
   */
  installFile(file: File): number
}

/**
 * Pages of a device, mapped into a process by mmap of the device's file. The process reads and writes them directly;
 * they cannot be pinned through the mapping (-EFAULT). The device keeps them allocated while a mapping exists.
 */
export interface DeviceMapping {
  /** One frame per page of the mapping. */
  readonly frames: Uint32Array
  /** The mapping now exists once more: made by mmap, split in two, or inherited by fork. */
  open(): void
  /** The mapping exists once less: unmapped, replaced, or its process exited. */
  close(): void
}

/**
 * What a file can do. A member left out answers as Linux does for a file without it: ioctl -ENOTTY, read and write
 * -EINVAL, pread and pwrite -ESPIPE, mmap -ENODEV, poll always readable and writable.
 */
export interface FileOperations {
  /** Called once, with the open file that these operations now serve. */
  opened?(file: File): void
  ioctl?(task: Task, cmd: number, argHi: number, argLo: number): number
  /** Reads up to `length` bytes to user memory at (hi, lo). @returns bytes, or -errno */
  read?(task: Task, hi: number, lo: number, length: number): number
  /** Writes up to `length` bytes of user memory at (hi, lo). @returns bytes, or -errno */
  write?(task: Task, hi: number, lo: number, length: number): number
  /** Reads as `read`, from the byte offset (offHi, offLo), which is below 2^63. @returns bytes, or -errno */
  pread?(task: Task, hi: number, lo: number, length: number, offHi: number, offLo: number): number
  /** Writes as `write`, to the byte offset (offHi, offLo), which is below 2^63. @returns bytes, or -errno */
  pwrite?(task: Task, hi: number, lo: number, length: number, offHi: number, offLo: number): number
  /** @returns the events (POLLIN, POLLOUT, …) that are ready, whether asked for or not */
  poll?(events: number): number
  /**
   * @param length bytes, a multiple of the page size
   * @param prot PROT_READ | PROT_WRITE | PROT_EXEC as asked
   * @param shared MAP_SHARED; false is MAP_PRIVATE
   * @param offsetPage file offset in pages
   */
  mmap?(
    task: Task,
    length: number,
    prot: number,
    shared: boolean,
    offsetPage: number,
  ): DeviceMapping | number
  /** The memory that the file exports; only a dma-buf has it. */
  readonly dmaBuf?: DmaBuf
  /** The last reference to the file is gone. */
  release?(): void
}

/** How a file was opened; bits of File.mode. */
export const FMODE_READ = 1
export const FMODE_WRITE = 2

/** An open file: shared by the descriptors of all processes that got it by dup or fork, and by whoever holds a reference. */
export class File {
  readonly name: string
  readonly ops: FileOperations
  /** FMODE_READ | FMODE_WRITE */
  readonly mode: number
  #references = 1

  /** A new open file with one reference, the caller's. */
  constructor(name: string, ops: FileOperations, mode: number = FMODE_READ | FMODE_WRITE) {
    this.name = name
    this.ops = ops
    this.mode = mode
    ops.opened?.(this)
  }

  /** Takes one more reference. @throws when the file has been released */
  get(): File {
    if (this.#references === 0) throw new Error(`get of ${this.name}, which has been released`)
    this.#references++
    return this
  }

  /** Drops one reference; the last one releases the file. @throws when the file has been released */
  put(): void {
    if (this.#references === 0) throw new Error(`put of ${this.name}, which has been released`)
    this.#references--
    if (this.#references === 0) this.ops.release?.()
  }
}

/** The frames of the machine, and the files whose pages can be pinned without a process. */
export interface Host {
  /** Drops one pin from each of `frames[at … at + n - 1]`. @throws when one of them is not pinned */
  unpin(frames: Uint32Array, at: number, n: number): void
  /** Copies `length` bytes at `offset` of a pinned frame, and on of the pinned frames numbered next, to `dst[at…]`. */
  readFrame(frame: number, offset: number, dst: Uint8Array, at: number, length: number): void
  /** Copies `length` bytes of `src[at…]` to `offset` of a pinned frame, and on to the pinned frames numbered next. */
  writeFrame(frame: number, offset: number, src: Uint8Array, at: number, length: number): void
  /**
   * Takes one long-term pin on each of up to `npages` pages of a file made by memfd_create, starting with the page that
   * holds the byte offset (offHi, offLo), and writes their frame numbers to `frames[at…]`. Needs no process.
   * @returns how many pages are now pinned (at least 1, may be fewer than `npages`); -EINVAL for another kind of file, or
   * when [offset, offset + npages * 4096) as asked ends beyond the file's size; -ENOMEM.
   */
  pinFile(
    file: File,
    offHi: number,
    offLo: number,
    npages: number,
    frames: Uint32Array,
    at: number,
  ): number
  /**
   * Allocates `npages` pages that read zero and belong to no process, each pinned once, and writes their frame numbers,
   * which follow each other, to `frames[at…]`. `unpin` gives them back.
   * @returns 0, or -ENOMEM (nothing is allocated then)
   */
  allocate(npages: number, frames: Uint32Array, at: number): number
  /** How many pins are held on a frame now. */
  pins(frame: number): number
}

/** Makes what an open of a device gives, or refuses with a negative errno. */
export type OpenDevice = (task: Task) => FileOperations | number

/** A machine that devices can be put on: where an engine makes itself known. */
export interface DeviceHost extends Host {
  /**
   * Makes `path` something to open.
   * @throws when the path is taken
   */
  registerDevice(path: string, open: OpenDevice): void
}
