// SPDX-License-Identifier: Apache-2.0
//
// Pages of the engine that programs have mapped by mmap of an emulated descriptor (SPEC F8).
//
// Invariant: a mapping counts from the mmap until the last process has unmapped it, as seen before the next call is served.
// Each mmap has an opening of the file of its own, which lives as long as what it maps: a lease on ours, which is granted
// only when nobody else has the file open, tells that all of them are gone.

import { fstatSync, openSync } from 'node:fs'
import type { DeviceMapping } from '@iommufd/host'
import { EINVAL } from '@iommufd/uapi'
import type { Frames } from './frames.js'
import { fcntl } from './libc.js'
import { PAGE_SIZE } from './limits.js'
import { OwnPages } from './own-pages.js'

const F_SETLEASE = 1024
const F_WRLCK = 1
const F_UNLCK = 2

interface Live {
  readonly fd: number
  readonly mapping: DeviceMapping
}

export class DeviceMappings {
  readonly #frames: Frames
  #live: Live[] = []
  readonly #inodes = new Set<number>()

  constructor(frames: Frames) {
    this.#frames = frames
  }

  /** Whether a file is one of these: what is mapped of it cannot be pinned. */
  has(inode: number): boolean {
    return this.#inodes.has(inode)
  }

  /**
   * A new opening of the file with the pages of a mapping, to be mapped by a program: our descriptor, for the caller to
   * close, and where the pages begin in bytes; or -errno.
   */
  open({ frames }: DeviceMapping): { readonly fd: number; readonly offset: number } | number {
    const first = frames[0] as number
    const segment = this.#frames.find(first)
    if (segment === undefined || !(segment.store instanceof OwnPages)) return -EINVAL
    const fd = segment.store.share()
    if (fd < 0) return fd
    this.#inodes.add(fstatSync(fd).ino)
    const offset = (segment.firstPage + first - segment.base) * PAGE_SIZE
    return { fd: openSync(`/proc/self/fd/${fd}`, 'r+'), offset }
  }

  /** A program has mapped what `open` gave for this mapping. */
  mapped(mapping: DeviceMapping): void {
    const { store } = this.#frames.find(mapping.frames[0] as number) ?? {}
    if (!(store instanceof OwnPages)) return
    mapping.open()
    this.#live.push({ fd: store.share(), mapping })
  }

  /** Lets go of mappings that no process has any more. */
  sweep(): void {
    if (this.#live.length === 0) return
    const gone = this.#live.filter(({ fd }) => isUnused(fd))
    this.#live = this.#live.filter((live) => !gone.includes(live))
    for (const { mapping } of gone) mapping.close()
  }

  /** Lets go of all. */
  closeAll(): void {
    for (const { mapping } of this.#live.splice(0)) mapping.close()
  }
}

/** Whether nobody but us has the file open or mapped. */
function isUnused(fd: number): boolean {
  if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0) return false
  fcntl(fd, F_SETLEASE, F_UNLCK)
  return true
}
