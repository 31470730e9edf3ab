// SPDX-License-Identifier: Apache-2.0
// A live process as a recording has it: which descriptors it has there, and what is mapped.
//
// Invariant: what this says is what a replay has at that line. Whatever differs from the live process is put right by a
// line before it matters.

import type { LiveMm, LiveProcess } from '@iommufd/run'

/** Pages [start, end) that a replay has mapped, addresses in bytes. */
export interface Mapping {
  readonly start: number
  readonly end: number
  readonly prot: number
  /** the file, by device and inode; undefined: private memory */
  readonly key: string | undefined
  /** offset of `start` in the file */
  readonly offset: number
}

const FIRST_FD = 3

export class RecordedProcess {
  /** Number in the recording. */
  readonly pid: number
  readonly live: LiveProcess | undefined
  /** Descriptors by the inode of the socket behind them. */
  readonly fds: Map<number, number> = new Map()
  readonly #used = new Set<number>()
  mappings: Mapping[] = []
  uid = 0
  /** soft RLIMIT_MEMLOCK */
  memlock: number = 8 << 20

  constructor(pid: number, live: LiveProcess | undefined) {
    this.pid = pid
    this.live = live
  }

  get mm(): LiveMm | undefined {
    return this.live?.mm
  }

  /** As fork leaves it. */
  child(pid: number, live: LiveProcess): RecordedProcess {
    const child = new RecordedProcess(pid, live)
    for (const [inode, fd] of this.fds) child.fds.set(inode, fd)
    for (const fd of this.#used) child.#used.add(fd)
    child.mappings = [...this.mappings]
    child.uid = this.uid
    child.memlock = this.memlock
    return child
  }

  /** The lowest free descriptor, from now on taken; for the file that `inode` names, if any. */
  takeFd(inode?: number): number {
    let fd = FIRST_FD
    while (this.#used.has(fd)) fd++
    this.#used.add(fd)
    if (inode !== undefined) this.fds.set(inode, fd)
    return fd
  }

  /** Forgets the descriptor of a file: its number, undefined when there is none. */
  dropFd(inode: number): number | undefined {
    const fd = this.fds.get(inode)
    if (fd === undefined) return undefined
    this.fds.delete(inode)
    this.#used.delete(fd)
    return fd
  }

  /** The mapping of an address. */
  at(address: number): Mapping | undefined {
    return this.mappings.find(({ start, end }) => start <= address && address < end)
  }

  /** Takes [start, end) out of the mappings: whether anything was there. */
  cut(start: number, end: number): boolean {
    const kept: Mapping[] = []
    let found = false
    for (const mapping of this.mappings) {
      if (mapping.end <= start || end <= mapping.start) {
        kept.push(mapping)
        continue
      }
      found = true
      if (mapping.start < start) kept.push({ ...mapping, end: start })
      if (end < mapping.end) {
        kept.push({ ...mapping, start: end, offset: mapping.offset + end - mapping.start })
      }
    }
    if (found) this.mappings = kept
    return found
  }

  put(mapping: Mapping): void {
    this.cut(mapping.start, mapping.end)
    const before = this.mappings.findIndex(({ end }) => end === mapping.start)
    const last = this.mappings[before]
    if (last !== undefined && continues(last, mapping)) {
      this.mappings[before] = { ...last, end: mapping.end }
    } else this.mappings.push(mapping)
  }
}

function continues(a: Mapping, b: Mapping): boolean {
  if (a.prot !== b.prot || a.key !== b.key) return false
  return a.key === undefined || a.offset + a.end - a.start === b.offset
}
