// SPDX-License-Identifier: Apache-2.0
//
// The server's end of a seccomp filter: system calls come in, answers and descriptors go out.
//
// Invariant: a call that was received is answered once. An answer to a caller that is gone is lost without harm.

import { close, ioctl, type Region, region, setU64 } from './libc.js'

const NOTIF_BYTES = 80
const RECV = 0xc0502100
const SEND = 0xc0182101
const ID_VALID = 0x40082102
const ADDFD = 0x40182103
const SET_FLAGS = 0x40082104
const FD_SYNC_WAKE_UP = 1
const RESPONSE_CONTINUE = 1
const ADDFD_SETFD = 1

/** Offsets in struct seccomp_notif. */
const PID = 8
const NUMBER = 16
const ARGS = 32

export class Listener {
  readonly fd: number
  readonly #notif: Region = region(NOTIF_BYTES)
  readonly #answer: Region = region(24)
  readonly #addfd: Region = region(24)
  /** Whether the call received last still waits for its answer. */
  pending = false

  constructor(fd: number) {
    this.fd = fd
    // Caller and server take turns, so they are best on one processor. From Linux 6.6 on; without it all is slower.
    ioctl(fd, SET_FLAGS, FD_SYNC_WAKE_UP)
  }

  /** Receives one call: 0, or -errno (-ENOENT: the caller was interrupted before). */
  receive(): number {
    this.#notif.bytes.fill(0)
    const rc = ioctl(this.fd, RECV, this.#notif.address)
    this.pending = rc === 0
    return rc
  }

  /** The thread that called. */
  get tid(): number {
    return this.#notif.words[PID >> 2] as number
  }

  /** Number of the system call. */
  get number(): number {
    return this.#notif.words[NUMBER >> 2] as number
  }

  /** Argument `index` as a number; exact for addresses, lengths and whatever else is below 2^53. */
  arg(index: number): number {
    return (this.argHi(index) >>> 0) * 0x100000000 + (this.argLo(index) >>> 0)
  }

  /** Low word of argument `index`: also an int such as a descriptor. */
  argLo(index: number): number {
    return this.#notif.words[(ARGS >> 2) + 2 * index] as number
  }

  argHi(index: number): number {
    return this.#notif.words[(ARGS >> 2) + 2 * index + 1] as number
  }

  /** Whether the caller still waits: its thread number is then its own and nobody else's. */
  isValid(): boolean {
    return this.pending && ioctl(this.fd, ID_VALID, this.#notif.address) === 0
  }

  /** Answers the call: the value it returns, or -errno. */
  answer(value: number): undefined {
    this.#send(Math.max(value, 0), Math.min(value, 0), 0)
  }

  /** Lets the kernel make the call. */
  goOn(): undefined {
    this.#send(0, 0, RESPONSE_CONTINUE)
  }

  /**
   * Gives the caller a descriptor of our file `fd`.
   * @param at the number it has to get, which is closed first; undefined: the lowest free one
   * @returns its number, or -errno
   */
  addFd(fd: number, flags: number, at?: number): number {
    const { words } = this.#addfd
    words[0] = this.#notif.words[0] as number
    words[1] = this.#notif.words[1] as number
    words[2] = at === undefined ? 0 : ADDFD_SETFD
    words[3] = fd
    words[4] = at ?? 0
    words[5] = flags
    return ioctl(this.fd, ADDFD, this.#addfd.address)
  }

  close(): void {
    close(this.fd)
  }

  #send(value: number, error: number, flags: number): void {
    const { words, view } = this.#answer
    words[0] = this.#notif.words[0] as number
    words[1] = this.#notif.words[1] as number
    setU64(view, 8, value)
    words[4] = error
    words[5] = flags
    ioctl(this.fd, SEND, this.#answer.address)
    this.pending = false
  }
}
