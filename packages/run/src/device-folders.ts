// SPDX-License-Identifier: Apache-2.0
//
// The folders below /dev that hold emulated devices, such as /dev/vfio: they can be listed, whether the machine has them or
// not.
//
// Invariant: a folder lists what can be opened in it, and nothing of the machine's own. /dev itself is the machine's.

import { posix } from 'node:path'
import type { FileOperations } from '@iommufd/host'
import { withoutSlash } from './paths.js'

const DT_CHR = 2
const DT_DIR = 4
/** Bytes of struct linux_dirent64 before its name. */
const NAME_AT = 19

interface Entry {
  readonly name: string
  readonly type: number
}

export class DeviceFolders {
  readonly #folders = new Map<string, Map<string, number>>()

  /** @param paths of the devices */
  constructor(paths: readonly string[]) {
    for (const path of paths) this.#add(path, DT_CHR)
  }

  get paths(): string[] {
    return [...this.#folders.keys()]
  }

  /** Whether a path leads to one; it may end with a slash. */
  has(path: string): boolean {
    return this.#folders.has(withoutSlash(path))
  }

  /** An open folder, undefined when the path is none of them. */
  open(path: string): OpenFolder | undefined {
    const names = this.#folders.get(withoutSlash(path))
    if (names === undefined) return undefined
    const found = [...names].map(([name, type]) => ({ name, type }))
    return new OpenFolder([{ name: '.', type: DT_DIR }, { name: '..', type: DT_DIR }, ...found])
  }

  #add(path: string, type: number): void {
    const folder = posix.dirname(path)
    if (folder === '/dev' || folder === '/') return
    const names = this.#folders.get(folder) ?? new Map<string, number>()
    names.set(posix.basename(path), type)
    this.#folders.set(folder, names)
    this.#add(folder, DT_DIR)
  }
}

/** What a descriptor of a folder stands for: how far it has been read. */
export class OpenFolder implements FileOperations {
  readonly #entries: readonly Entry[]
  #next = 0

  constructor(entries: readonly Entry[]) {
    this.#entries = entries
  }

  release(): void {}

  /** The next entries as getdents64 writes them, at most `room` bytes: none at the end; undefined when not even one fits. */
  read64(room: number): Uint8Array | undefined {
    const parts: Uint8Array[] = []
    let left = room
    for (; this.#next < this.#entries.length; this.#next++) {
      const part = direntOf(this.#entries[this.#next] as Entry, this.#next + 1)
      if (part.length > left) break
      left -= part.length
      parts.push(part)
    }
    return parts.length === 0 && this.#next < this.#entries.length ? undefined : join(parts)
  }
}

/** struct linux_dirent64. @param next position of the entry behind it */
function direntOf({ name, type }: Entry, next: number): Uint8Array {
  const text = new TextEncoder().encode(name)
  const bytes = new Uint8Array(Math.ceil((NAME_AT + text.length + 1) / 8) * 8)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, next, true)
  view.setUint32(8, next, true)
  view.setUint16(16, bytes.length, true)
  bytes[18] = type
  bytes.set(text, NAME_AT)
  return bytes
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
