// SPDX-License-Identifier: Apache-2.0
//
// What /proc tells of the thread that calls, and files made for it.
//
// Invariant: good for the call in progress, in which the thread waits.

import { readdirSync, readFileSync, writeSync } from 'node:fs'
import { memfdCreate } from './libc.js'

const MFD_CLOEXEC = 1

/** A file in memory with this text: our descriptor, or -errno. */
export function textFile(text: string): number {
  const fd = memfdCreate('iommufd-text', MFD_CLOEXEC)
  if (fd >= 0) writeSync(fd, text, 0)
  return fd
}

/** The descriptors of a thread's process; none when it has ended. */
export function descriptorsOf(tid: number): number[] {
  try {
    return readdirSync(`/proc/${tid}/fd`).map(Number)
  } catch {
    return []
  }
}

/** The lowest descriptor from `first` on that a thread's process does not use. */
export function freeFdFrom(tid: number, first: number): number {
  const used = new Set(descriptorsOf(tid))
  let fd = first
  while (used.has(fd)) fd++
  return fd
}

/** What /proc says of a thread. */
export function readStatus(tid: number): string {
  return readFileSync(`/proc/${tid}/status`, 'latin1')
}

/** The process of a thread. */
export function tgidOf(tid: number): number {
  return Number(/^Tgid:\s+(\d+)/m.exec(readStatus(tid))?.[1] ?? tid)
}

/** The parent of a process, 0 when it has none that is known. */
export function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(readStatus(pid))?.[1] ?? 0)
}

/** The effective user and group of a thread. */
export function ownerOf(tid: number): { uid: number; gid: number } {
  const status = readStatus(tid)
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+\\d+\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0)
  return { uid: field('Uid'), gid: field('Gid') }
}
