// SPDX-License-Identifier: Apache-2.0
//
// Pages of nobody: memory of the engine, which devices reach and which a program may be let map.
//
// Invariant: the bytes are in one place, here, or in a file as soon as a program maps them.

import { openSync, readSync, writeSync } from 'node:fs'
import type { Store } from './frames.js'
import { close, memfdCreate } from './libc.js'
import { PAGE_SIZE } from './limits.js'

const MFD_CLOEXEC = 1

export class OwnPages implements Store {
  readonly kind: string = 'of the engine'
  #bytes: Uint8Array
  readonly #onIdle: () => void
  #fd = -1

  constructor(npages: number, onIdle: () => void) {
    this.#bytes = new Uint8Array(npages * PAGE_SIZE)
    this.#onIdle = onIdle
  }

  /** Our descriptor of the file with the pages, which others may map: or -errno. */
  share(): number {
    if (this.#fd >= 0) return this.#fd
    const made = memfdCreate('iommufd-device', MFD_CLOEXEC)
    if (made < 0) return made
    // What memfd_create gives is not counted among the file's writers, and leases go by that count.
    const fd = openSync(`/proc/self/fd/${made}`, 'r+')
    close(made)
    writeSync(fd, this.#bytes, 0, this.#bytes.length, 0)
    this.#bytes = new Uint8Array(0)
    this.#fd = fd
    return fd
  }

  read(offset: number, dst: Uint8Array, at: number, length: number): void {
    if (this.#fd < 0) dst.set(this.#bytes.subarray(offset, offset + length), at)
    else readSync(this.#fd, dst, at, length, offset)
  }

  write(offset: number, src: Uint8Array, at: number, length: number): void {
    if (this.#fd < 0) this.#bytes.set(src.subarray(at, at + length), offset)
    else writeSync(this.#fd, src, at, length, offset)
  }

  idle(): void {
    if (this.#fd >= 0) close(this.#fd)
    this.#onIdle()
  }
}
