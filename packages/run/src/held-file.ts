// SPDX-License-Identifier: Apache-2.0
//
// Shared memory that is kept by holding its file: memfd, /dev/shm, and shared anonymous memory that was made a memfd when
// the program mapped it. The file's pages live as long as the file is open here, whatever the program unmaps, and reading
// the file is reading the page: one page cache, no mapping of ours that a truncation could take away.
//
// Invariant: one store per file, by device and inode, so two addresses of one page have one frame.

import { closeSync, fstatSync, readSync, writeSync } from 'node:fs'
import type { Frames, Segment, Store } from './frames.js'
import { fcntl } from './libc.js'
import { PAGE_SIZE } from './limits.js'

const F_ADD_SEALS = 1033
const F_SEAL_SHRINK = 2
const F_SEAL_GROW = 4
const F_SEAL_WRITE = 8

export class HeldFile implements Store {
  readonly kind: string
  readonly key: string
  readonly fd: number
  readonly #frames: Frames
  readonly #segments: Segment[] = []
  readonly #onIdle: (file: HeldFile) => void
  #size: number | undefined
  /** Who names the file without pinning its pages. */
  #users = 0

  constructor(
    frames: Frames,
    fd: number,
    key: string,
    kind: string,
    onIdle: (file: HeldFile) => void,
  ) {
    this.#frames = frames
    this.fd = fd
    this.key = key
    this.kind = kind
    this.#onIdle = onIdle
  }

  get size(): number {
    return this.#size ?? fstatSync(this.fd).size
  }

  /** Nobody can change the size any more. */
  sealSize(): void {
    if (fcntl(this.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) === 0) {
      this.#size = fstatSync(this.fd).size
    }
  }

  get inUse(): boolean {
    return this.#users > 0 || this.#segments.some(({ pinned }) => pinned > 0)
  }

  get(): this {
    this.#users++
    return this
  }

  put(): void {
    this.#users--
    this.idle()
  }

  /** The segment with page `page`, undefined when there are no numbers left for it. */
  segment(page: number): Segment | undefined {
    for (const segment of this.#segments) {
      const { firstPage, count } = segment
      if (firstPage <= page && page < firstPage + count) return segment
    }
    return this.#grow(page)
  }

  read(offset: number, dst: Uint8Array, at: number, length: number): void {
    const got = readSync(this.fd, dst, at, length, offset)
    if (got < length) dst.fill(0, at + got, at + length)
  }

  /** Bytes behind the end of a file that has been truncated are dropped, as a write to a page that is gone. */
  write(offset: number, src: Uint8Array, at: number, length: number): void {
    const within = Math.min(length, Math.max(0, this.size - offset))
    if (within > 0) writeSync(this.fd, src, at, within, offset)
  }

  idle(): void {
    if (!this.inUse) this.#onIdle(this)
  }

  /**
   * Whether no process maps the file any more: then, and only then, writing to it can be sealed off. Only for files that
   * nobody else can open.
   */
  sealIfUnmapped(): boolean {
    return fcntl(this.fd, F_ADD_SEALS, F_SEAL_WRITE) === 0
  }

  close(): void {
    for (const segment of this.#segments) this.#frames.release(segment)
    this.#segments.length = 0
    closeSync(this.fd)
  }

  /** Numbers for the file as it is now, as far as page `page` at least. */
  #grow(page: number): Segment | undefined {
    const last = this.#segments.at(-1)
    const first = last === undefined ? 0 : last.firstPage + last.count
    const end = Math.max(Math.ceil(this.size / PAGE_SIZE), page + 1)
    const segment = this.#frames.allocate(this, first, end - first)
    if (segment !== undefined) this.#segments.push(segment)
    return segment
  }
}
