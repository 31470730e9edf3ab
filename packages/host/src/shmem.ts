// SPDX-License-Identifier: Apache-2.0
//
// Memory that is a file: what memfd_create makes, and what lies behind shared anonymous memory. One Shmem (the inode) may
// stand behind several open files and any number of mappings.
//
// A page is allocated when it is first touched, and the Shmem holds one reference on it. Invariant: no page at or beyond
// the size, rounded up to pages, is held. The pages go with the last open file; each mapping keeps its file open.

import { EFAULT, PAGE_SIZE } from '@iommufd/uapi'
import type { Frames } from './frames.js'
import { File } from './host.js'

const LEAF_PAGES = 512

export class Shmem {
  readonly #frames: Frames
  /** 512 frames per leaf, 0 = not allocated (the zero frame is never a file's). */
  readonly #leaves = new Map<number, Uint32Array>()
  #size: number
  #openFiles = 0

  /** @param size bytes */
  constructor(frames: Frames, size: number) {
    this.#frames = frames
    this.#size = size
  }

  /** Bytes. */
  get size(): number {
    return this.#size
  }

  /** The frame of a page, allocated now if need be. @returns the frame, -EFAULT beyond the end, or -ENOMEM */
  frame(index: number): number {
    if (index * PAGE_SIZE >= this.#size) return -EFAULT
    const leaf = this.#leaf(Math.floor(index / LEAF_PAGES))
    const held = leaf[index % LEAF_PAGES] as number
    if (held !== 0) return held
    const frame = this.#frames.allocate(true)
    if (frame > 0) leaf[index % LEAF_PAGES] = frame
    return frame
  }

  /** Makes the file `size` bytes long. Mappings of what is cut off are the caller's to remove first. */
  resize(size: number): void {
    if (size < this.#size) this.#cut(size)
    this.#size = size
  }

  opened(): void {
    this.#openFiles++
  }

  closed(): void {
    if (--this.#openFiles === 0) this.#drop(0)
  }

  #leaf(key: number): Uint32Array {
    let leaf = this.#leaves.get(key)
    if (leaf === undefined) {
      leaf = new Uint32Array(LEAF_PAGES)
      this.#leaves.set(key, leaf)
    }
    return leaf
  }

  /** The rest of the page that the new end lies in reads zero, should the file grow again. */
  #cut(size: number): void {
    const tail = size % PAGE_SIZE
    const index = Math.floor(size / PAGE_SIZE)
    const frame = this.#leaves.get(Math.floor(index / LEAF_PAGES))?.[index % LEAF_PAGES] ?? 0
    if (tail !== 0 && frame !== 0)
      this.#frames.bytes.fill(0, frame * PAGE_SIZE + tail, (frame + 1) * PAGE_SIZE)
    this.#drop(Math.ceil(size / PAGE_SIZE))
  }

  /** Lets go of all pages from `first` on. */
  #drop(first: number): void {
    for (const [key, leaf] of this.#leaves) {
      const from = Math.max(0, first - key * LEAF_PAGES)
      for (let i = from; i < LEAF_PAGES; i++) {
        const frame = leaf[i] as number
        leaf[i] = 0
        if (frame !== 0) this.#frames.put(frame)
      }
      if (from === 0) this.#leaves.delete(key)
    }
  }
}

/** An open file of a Shmem. */
export class ShmemFile extends File {
  readonly shmem: Shmem

  constructor(name: string, shmem: Shmem, mode?: number) {
    super(name, { release: () => shmem.closed() }, mode)
    this.shmem = shmem
    shmem.opened()
  }
}
