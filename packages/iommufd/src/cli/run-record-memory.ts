// SPDX-License-Identifier: Apache-2.0
// The memory of a recording's processes: mappings, and what lies in them.
//
// Invariant: after `prepare` a replay finds the mappings and bytes that the engine found. A file of shared memory is one
// file of the recording, whoever maps it.

import type { LiveMm } from '@iommufd/run'
import { MAP_FIXED, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE } from '@iommufd/uapi'
import { encodeHex, formatU64 } from '../trace/hex.js'
import type { Mapping, RecordedProcess } from './run-record-process.js'

const PAGE = 4096
const PRIVATE = 0x22 | MAP_FIXED
const SHARED = MAP_SHARED | MAP_FIXED

/** Memory that the engine looked at during a call. */
export interface Look {
  readonly mm: LiveMm
  readonly address: number
  readonly length: number
  /** what was read there; undefined: it was only looked at, or written */
  readonly bytes: Uint8Array | undefined
}

export interface SharedFile {
  readonly fd: number
  size: number
}

export class RecordedMemory {
  readonly #line: (line: Record<string, unknown>, process: RecordedProcess) => void
  readonly #files = new Map<string, SharedFile>()
  readonly #freeFiles: number[]

  /** @param files descriptors of memfds, which every process of the recording has */
  constructor(
    line: (line: Record<string, unknown>, process: RecordedProcess) => void,
    files: number[],
  ) {
    this.#line = line
    this.#freeFiles = files
  }

  /** Gives a replay the mapping and the bytes that the engine found. */
  prepare(process: RecordedProcess, { mm, address, length, bytes }: Look): void {
    const end = pageOf(address + length + PAGE - 1)
    for (let at = pageOf(address); at < end; ) at = this.#prepareMapping(process, mm, at, end)
    if (bytes === undefined) return
    for (let done = 0; done < bytes.length; )
      done += this.#store(process, address + done, bytes, done)
  }

  /** Puts the mapping at `at` right: up to where. */
  #prepareMapping(process: RecordedProcess, mm: LiveMm, at: number, most: number): number {
    const vma = mm.vma(at)
    if (vma === undefined) {
      this.forget(process, at, at + PAGE)
      return at + PAGE
    }
    const known = process.at(at)
    const end = Math.min(most, vma.end, known?.end ?? nextOf(process, at))
    const key = vma.shared && vma.inode !== 0 ? `${vma.device}:${vma.inode}` : undefined
    const prot =
      (vma.readable ? PROT_READ : 0) |
      (vma.writable ? PROT_WRITE : 0) |
      (vma.executable ? PROT_EXEC : 0)
    const offset = key === undefined ? 0 : vma.offset + at - vma.start
    const wanted: Mapping = { start: at, end, prot, key, offset }
    if (known === undefined || !isSamePlace(known, wanted)) this.#mmap(process, wanted)
    else if (known.prot !== prot) this.#mprotect(process, wanted, prot)
    return end
  }

  /** Stores what lies in one mapping: how many bytes. */
  #store(process: RecordedProcess, address: number, bytes: Uint8Array, from: number): number {
    const mapping = process.at(address)
    if (mapping === undefined) return bytes.length
    const part = bytes.subarray(from, from + Math.min(bytes.length - from, mapping.end - address))
    const store = { call: 'store', addr: formatU64(address), bytes: encodeHex(part) }
    if ((mapping.prot & PROT_WRITE) !== 0) this.#line(store, process)
    else {
      this.#mprotect(process, mapping, PROT_READ | PROT_WRITE)
      this.#line(store, process)
      this.#mprotect(process, mapping, mapping.prot)
    }
    return part.length
  }

  #mmap(process: RecordedProcess, mapping: Mapping): void {
    const { start, end, prot, key, offset } = mapping
    const file = key === undefined ? undefined : this.file(key)
    if (file !== undefined) this.resize(process, file, Math.max(file.size, offset + end - start))
    const addr = formatU64(start)
    const common = { call: 'mmap', addr, length: formatU64(end - start), prot }
    if (file === undefined) this.#line({ ...common, flags: PRIVATE, ret: addr }, process)
    else {
      const where = { fd: file.fd, offset: formatU64(offset) }
      this.#line({ ...common, flags: SHARED, ...where, ret: addr }, process)
    }
    process.put(mapping)
  }

  /** The process has nothing at these addresses any more. */
  forget(process: RecordedProcess, start: number, end: number): void {
    if (!process.cut(start, end)) return
    const length = formatU64(end - start)
    this.#line({ call: 'munmap', addr: formatU64(start), length, ret: 0 }, process)
  }

  #mprotect(process: RecordedProcess, { start, end, key, offset }: Mapping, prot: number): void {
    const length = formatU64(end - start)
    this.#line({ call: 'mprotect', addr: formatU64(start), length, prot, ret: 0 }, process)
    process.put({ start, end, prot, key, offset })
  }

  /** The process has mapped a device's pages. */
  mapDevice(process: RecordedProcess, start: number, length: number): void {
    const end = pageOf(start + length + PAGE - 1)
    process.put({ start, end, prot: PROT_READ | PROT_WRITE, key: 'device', offset: 0 })
  }

  /** Gives the file the size it has. */
  resize(process: RecordedProcess, file: SharedFile, size: number): void {
    if (file.size === size) return
    file.size = size
    this.#line({ call: 'ftruncate', fd: file.fd, length: formatU64(size), ret: 0 }, process)
  }

  /** The file of the recording that stands for one of the programs'. Undefined when there are too many. */
  file(key: string): SharedFile | undefined {
    let file = this.#files.get(key)
    const fd = file === undefined ? this.#freeFiles.shift() : file.fd
    if (fd === undefined) return undefined
    file ??= { fd, size: 0 }
    this.#files.set(key, file)
    return file
  }
}

export function pageOf(address: number): number {
  return address - (address % PAGE)
}

/** Where the next mapping begins. */
function nextOf(process: RecordedProcess, at: number): number {
  let next = Number.POSITIVE_INFINITY
  for (const { start } of process.mappings) if (start > at && start < next) next = start
  return next
}

function isSamePlace(known: Mapping, wanted: Mapping): boolean {
  if (known.key !== wanted.key) return false
  return known.key === undefined || known.offset - known.start === wanted.offset - wanted.start
}
