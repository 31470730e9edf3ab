// SPDX-License-Identifier: Apache-2.0
// What many tests need: a machine with one process, a place in its memory, and pins that are easy to take.

import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from '@iommufd/uapi'
import { Machine } from '../src/machine.js'
import type { Process } from '../src/process.js'

export const PAGE = 4096
/** Three pages below the border of two page table leaves. */
export const BASE: number = 0x1_0020_0000 - 3 * PAGE
export const RW: number = PROT_READ | PROT_WRITE
export const PRIVATE: number = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
export const SHARED: number = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED

export function boot(): { machine: Machine; process: Process } {
  const machine = new Machine()
  return { machine, process: machine.spawn() }
}

/** Maps `pages` pages at BASE. */
export function mapped(
  process: Process,
  pages: number,
  flags: number = PRIVATE,
  prot: number = RW,
): number {
  return process.mmap(BASE, pages * PAGE, prot, flags)
}

export function hi(address: number): number {
  return Math.floor(address / 2 ** 32)
}

export function lo(address: number): number {
  return address | 0
}

/** Frames pinned from `address` on, or the errno. */
export function pin(
  process: Process,
  address: number,
  pages: number,
  write: boolean,
): number[] | number {
  const frames = new Uint32Array(pages)
  const pinned = process.mm.pin(hi(address), lo(address), pages, write, frames, 0)
  return pinned < 0 ? pinned : [...frames.subarray(0, pinned)]
}

/** As `pin`, of one page that can be pinned. */
export function pinOne(process: Process, address: number, write: boolean): number {
  const frames = pin(process, address, 1, write)
  if (typeof frames === 'number') throw new Error(`pin: ${frames}`)
  return frames[0] as number
}

export function unpin(machine: Machine, ...frames: number[]): void {
  machine.unpin(Uint32Array.from(frames), 0, frames.length)
}

/** The first `length` bytes of a frame. */
export function peek(machine: Machine, frame: number, length: number): number[] {
  const bytes = new Uint8Array(length)
  machine.readFrame(frame, 0, bytes, 0, length)
  return [...bytes]
}

export function poke(machine: Machine, frame: number, ...bytes: number[]): void {
  machine.writeFrame(frame, 0, Uint8Array.from(bytes), 0, bytes.length)
}

export function store(process: Process, address: number, ...bytes: number[]): number {
  return process.store(address, Uint8Array.from(bytes))
}

/** The bytes, or the errno. */
export function load(process: Process, address: number, length: number): number[] | number {
  const bytes = process.load(address, length)
  return typeof bytes === 'number' ? bytes : [...bytes]
}
