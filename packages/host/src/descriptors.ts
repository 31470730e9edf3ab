// SPDX-License-Identifier: Apache-2.0
//
// The descriptors of one process: numbers for open files, always the lowest free one. The table holds one reference on
// a file per descriptor.

import { EBADF, EMFILE } from '@iommufd/uapi'
import type { File } from './host.js'

/** RLIMIT_NOFILE, as most systems set it. */
const MAX_DESCRIPTORS = 1024

export class Descriptors {
  readonly #files: (File | undefined)[] = []

  get(fd: number): File | undefined {
    return this.#files[fd]
  }

  /** Takes over the caller's reference. @returns the descriptor, or -EMFILE: the reference then stays the caller's */
  install(file: File): number {
    const fd = this.unused()
    if (fd >= 0) this.#files[fd] = file
    return fd
  }

  /** @returns the lowest free descriptor, or -EMFILE */
  unused(): number {
    let fd = 0
    while (this.#files[fd] !== undefined) fd++
    return fd < MAX_DESCRIPTORS ? fd : -EMFILE
  }

  /** @returns 0 or -EBADF */
  close(fd: number): number {
    const file = this.get(fd)
    if (file === undefined) return -EBADF
    this.#files[fd] = undefined
    file.put()
    return 0
  }

  /** The same numbers for the same open files, for fork. */
  copyTo(child: Descriptors): void {
    this.#files.forEach((file, fd) => {
      child.#files[fd] = file?.get()
    })
  }

  closeAll(): void {
    for (let fd = 0; fd < this.#files.length; fd++) this.close(fd)
  }
}
