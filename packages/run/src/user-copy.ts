// SPDX-License-Identifier: Apache-2.0
//
// Small copies from and to the memory of a thread that waits for us: paths, and structs of calls that are not the engine's.
//
// Invariant: nothing but the caller's own memory is touched, with the caller's own permissions.

import { EFAULT } from '@iommufd/uapi'
import { processVmReadv, processVmWritev, region, setU64 } from './libc.js'

const BOUNCE_BYTES = 4096
const bounce = region(BOUNCE_BYTES)
const local = region(16)
const remote = region(16)
setU64(local.view, 0, bounce.address)

function transfer(
  copy: typeof processVmReadv,
  tid: number,
  address: number,
  length: number,
): number {
  setU64(local.view, 8, length)
  setU64(remote.view, 0, address)
  setU64(remote.view, 8, length)
  return copy(tid, local.address, 1, remote.address, 1, 0)
}

/** Copies a string with room for `text.length` bytes: its length, or -EFAULT when it is longer or cannot be read. */
export function peekString(tid: number, address: number, text: Uint8Array): number {
  const got = transfer(processVmReadv, tid, address, text.length)
  if (got <= 0) return -EFAULT
  const end = bounce.bytes.indexOf(0)
  if (end < 0 || end >= got) return -EFAULT
  text.set(bounce.bytes.subarray(0, end))
  return end
}

/** Copies `words.length` words: 0, or -EFAULT. */
export function peekWords(tid: number, address: number, words: Int32Array): number {
  const got = transfer(processVmReadv, tid, address, words.length * 4)
  if (got !== words.length * 4) return -EFAULT
  words.set(bounce.words.subarray(0, words.length))
  return 0
}

/** Copies as many of `length` bytes as can be read. */
export function peekBytes(tid: number, address: number, length: number): Uint8Array {
  const got = transfer(processVmReadv, tid, address, Math.min(length, BOUNCE_BYTES))
  return bounce.bytes.slice(0, Math.max(got, 0))
}

/** Writes up to a page: 0, or -EFAULT. */
export function poke(tid: number, address: number, bytes: Uint8Array): number {
  bounce.bytes.set(bytes)
  return transfer(processVmWritev, tid, address, bytes.length) === bytes.length ? 0 : -EFAULT
}
