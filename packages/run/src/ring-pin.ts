// SPDX-License-Identifier: Apache-2.0
//
// Private memory that is really pinned: the program's own thread is made to register it as a buffer of an io_uring, whose
// descriptor we take over. The kernel then keeps the pages, whatever the program unmaps or overwrites and even when it
// ends; reads and writes go through the ring and a pipe.
//
// Invariant: the buffer is registered for as long as a page of it is pinned, and unregistered at once afterwards.

import type { Arch } from './arch.js'
import type { Frames, Segment, Store } from './frames.js'
import type { Injector } from './inject.js'
import {
  close,
  fcntl,
  memcpy,
  mmap,
  munmap,
  pipe2,
  processVmReadv,
  processVmWritev,
  type Region,
  read,
  region,
  setU64,
  syscall,
  write,
} from './libc.js'
import { PAGE_SIZE } from './limits.js'

const REGISTER_BUFFERS = 0
const UNREGISTER_BUFFERS = 1
const ENTER_GETEVENTS = 1
const READ_FIXED = 4
const WRITE_FIXED = 5
const PARAMS_BYTES = 120
const SQE_BYTES = 64
const OFF_SQES = 0x10000000
const MAP_SHARED_POPULATE = 0x8001
const PROT_READ_WRITE = 3
const O_NONBLOCK_CLOEXEC = 0o2004000
const F_SETPIPE_SZ = 1031
const PIPE_BYTES = 1 << 20
/** Where the vector lies in the page that the program lends us. */
const IOVEC_AT = 256

const params = region(PARAMS_BYTES)
const iovec = region(16)
const sqe = region(SQE_BYTES)
const word = region(4)
const cqe = region(16)
const chunk = region(PIPE_BYTES)
const local = region(16)
const remote = region(16)

/** Copies between our memory and a process's: whether all of it arrived. */
function exchange(
  transfer: typeof processVmReadv,
  tid: number,
  theirs: number,
  ours: Region,
  length: number,
): boolean {
  setU64(local.view, 0, ours.address)
  setU64(local.view, 8, length)
  setU64(remote.view, 0, theirs)
  setU64(remote.view, 8, length)
  return transfer(tid, local.address, 1, remote.address, 1, 0) === length
}

let pipe: readonly [number, number] | undefined

function bouncePipe(): readonly [number, number] {
  if (pipe === undefined) {
    const ends = region(8)
    if (pipe2(ends.address, O_NONBLOCK_CLOEXEC) < 0) throw new Error('no pipe can be made')
    pipe = [ends.words[0] as number, ends.words[1] as number]
    fcntl(pipe[1], F_SETPIPE_SZ, PIPE_BYTES)
  }
  return pipe
}

export interface PinRequest {
  readonly injector: Injector
  readonly arch: Arch
  readonly tid: number
  /** a page of the program's memory that we may use */
  readonly scratch: number
  /** first address, a multiple of the page size */
  readonly start: number
  readonly pages: number
  /** brings one of the program's descriptors here: ours, or -errno */
  readonly takeFd: (fd: number) => number
}

export class RingPin implements Store {
  readonly kind: string = 'pinned by an io_uring'
  readonly start: number
  readonly pages: number
  segment: Segment | undefined
  readonly #arch: Arch
  readonly #fd: number
  readonly #ring: number
  readonly #ringBytes: number
  readonly #sqes: number
  readonly #tailAt: number
  readonly #headAt: number
  readonly #cqesAt: number
  readonly #cqMask: number
  readonly #onIdle: (pin: RingPin) => void
  #submitted = 0

  private constructor(request: PinRequest, fd: number, onIdle: (pin: RingPin) => void) {
    const { view } = params
    this.#arch = request.arch
    this.start = request.start
    this.pages = request.pages
    this.#fd = fd
    this.#onIdle = onIdle
    const sqEntries = view.getUint32(0, true)
    const cqEntries = view.getUint32(4, true)
    this.#tailAt = view.getUint32(44, true)
    this.#headAt = view.getUint32(80, true)
    this.#cqesAt = view.getUint32(100, true)
    this.#cqMask = cqEntries - 1
    const sqEnd = view.getUint32(64, true) + 4 * sqEntries
    this.#ringBytes = Math.max(sqEnd, this.#cqesAt + 16 * cqEntries)
    this.#ring = mmap(0, this.#ringBytes, PROT_READ_WRITE, MAP_SHARED_POPULATE, fd, 0)
    this.#sqes = mmap(0, SQE_BYTES, PROT_READ_WRITE, MAP_SHARED_POPULATE, fd, OFF_SQES)
  }

  /** Pins the range in the program's context: the pin, or -errno. */
  static make(
    request: PinRequest,
    frames: Frames,
    onIdle: (pin: RingPin) => void,
  ): RingPin | number {
    const { injector, arch, tid, scratch } = request
    params.bytes.fill(0)
    setU64(iovec.view, 0, request.start)
    setU64(iovec.view, 8, request.pages * PAGE_SIZE)
    if (!exchange(processVmWritev, tid, scratch, params, PARAMS_BYTES)) return -14
    if (!exchange(processVmWritev, tid, scratch + IOVEC_AT, iovec, 16)) return -14
    const theirs = injector.call(arch.nr.ioUringSetup, 1, scratch)
    if (theirs < 0) return theirs
    exchange(processVmReadv, tid, scratch, params, PARAMS_BYTES)
    const rc = injector.call(
      arch.nr.ioUringRegister,
      theirs,
      REGISTER_BUFFERS,
      scratch + IOVEC_AT,
      1,
    )
    const ours = rc < 0 ? rc : request.takeFd(theirs)
    injector.call(arch.nr.close, theirs)
    if (ours < 0) return ours
    const pin = new RingPin(request, ours, onIdle)
    pin.segment = frames.allocate(pin, 0, request.pages)
    if (pin.segment !== undefined && pin.#ring >= 0 && pin.#sqes >= 0) return pin
    pin.close(frames)
    return -12
  }

  read(offset: number, dst: Uint8Array, at: number, length: number): void {
    const [out, into] = bouncePipe()
    for (let done = 0; done < length; ) {
      const part = Math.min(length - done, PIPE_BYTES)
      const moved = this.#submit(WRITE_FIXED, into, offset + done, part)
      if (moved <= 0) throw new Error(`a pinned page cannot be read: ${moved}`)
      read(out, chunk.address, moved)
      dst.set(chunk.bytes.subarray(0, moved), at + done)
      done += moved
    }
  }

  write(offset: number, src: Uint8Array, at: number, length: number): void {
    const [out, into] = bouncePipe()
    for (let done = 0; done < length; ) {
      const part = Math.min(length - done, PIPE_BYTES)
      chunk.bytes.set(src.subarray(at + done, at + done + part))
      const filled = write(into, chunk.address, part)
      if (filled <= 0) throw new Error(`the pipe takes nothing: ${filled}`)
      for (let moved = 0; moved < filled; ) {
        const n = this.#submit(READ_FIXED, out, offset + done + moved, filled - moved)
        if (n <= 0) throw new Error(`a pinned page cannot be written: ${n}`)
        moved += n
      }
      done += filled
    }
  }

  idle(): void {
    this.#onIdle(this)
  }

  close(frames: Frames): void {
    if (this.segment !== undefined) frames.release(this.segment)
    this.segment = undefined
    syscall(this.#arch.nr.ioUringRegister, this.#fd, UNREGISTER_BUFFERS, 0, 0)
    if (this.#ring >= 0) munmap(this.#ring, this.#ringBytes)
    if (this.#sqes >= 0) munmap(this.#sqes, SQE_BYTES)
    close(this.#fd)
  }

  /** One operation between the buffer and a descriptor, at once: bytes, or -errno. */
  #submit(opcode: number, fd: number, offset: number, length: number): number {
    const { view, bytes } = sqe
    bytes.fill(0)
    bytes[0] = opcode
    view.setInt32(4, fd, true)
    view.setInt32(8, -1, true)
    view.setInt32(12, -1, true)
    setU64(view, 16, this.start + offset)
    view.setUint32(24, length, true)
    memcpy(this.#sqes, sqe.address, SQE_BYTES)
    word.words[0] = ++this.#submitted
    memcpy(this.#ring + this.#tailAt, word.address, 4)
    const rc = syscall(this.#arch.nr.ioUringEnter, this.#fd, 1, 1, ENTER_GETEVENTS, 0, 0)
    if (rc < 0) return rc
    memcpy(word.address, this.#ring + this.#headAt, 4)
    const head = word.words[0] as number
    memcpy(cqe.address, this.#ring + this.#cqesAt + (head & this.#cqMask) * 16, 16)
    word.words[0] = head + 1
    memcpy(this.#ring + this.#headAt, word.address, 4)
    return cqe.words[2] as number
  }
}
