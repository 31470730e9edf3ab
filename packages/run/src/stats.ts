// SPDX-License-Identifier: Apache-2.0
//
// What stat and statx say of an emulated device: a character device that belongs to the caller (SPEC F1); and of the folder
// that it is in.
//
// Invariant: bytes are in the layout of the architecture; everything that is not said is zero. Paths have numbers of their
// own, so that two of them are not taken for one.

import type { Arch } from './arch.js'

const S_IFCHR = 0o020000
const S_IFDIR_0755 = 0o040755
const MISC_MAJOR = 10
/** VFIO_MINOR; that of /dev/iommu is dynamic, as are the majors of groups and devices. */
const VFIO_MINOR = 196
const IOMMU_MINOR = 122
const GROUP_MAJOR = 242
const DEVICE_MAJOR = 243
const STATX_BYTES = 256
const STATX_BASIC = 0x7ff
const BLOCK = 4096
const DEV = 5

/** What is said of a path. */
interface Node {
  readonly mode: number
  readonly major: number
  readonly minor: number
  readonly ino: number
}

type FillStat = (path: string, isFolder: boolean, uid: number, gid: number) => Uint8Array

export interface Stats {
  readonly stat: FillStat
  readonly statx: FillStat
}

function nodeOf(path: string, isFolder: boolean): Node {
  const ino = inodeOf(path)
  if (isFolder) return { mode: S_IFDIR_0755, major: 0, minor: 0, ino }
  if (path === '/dev/iommu') return device(ino, 0o660, MISC_MAJOR, IOMMU_MINOR)
  const [, isDevice, number] = /\/(vfio)?(\d+)$/.exec(path) ?? []
  if (number === undefined) return device(ino, 0o666, MISC_MAJOR, VFIO_MINOR)
  return device(ino, 0o600, isDevice === undefined ? GROUP_MAJOR : DEVICE_MAJOR, Number(number))
}

function device(ino: number, permissions: number, major: number, minor: number): Node {
  return { mode: S_IFCHR | permissions, major, minor, ino }
}

/** A number for a path, above those of the machine's own /dev: FNV-1a, with the highest bit set. */
function inodeOf(path: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < path.length; i++) hash = Math.imul(hash ^ path.charCodeAt(i), 0x01000193)
  return (hash | 0x80000000) >>> 0
}

export function deviceStat({ stat }: Arch): Stats {
  return {
    stat: (path, isFolder, uid, gid) => {
      const { mode, major, minor, ino } = nodeOf(path, isFolder)
      const view = new DataView(new ArrayBuffer(stat.bytes))
      view.setUint32(stat.dev, DEV, true)
      view.setUint32(stat.ino, ino, true)
      view.setUint32(stat.nlink, isFolder ? 2 : 1, true)
      view.setUint32(stat.mode, mode, true)
      view.setUint32(stat.uid, uid, true)
      view.setUint32(stat.gid, gid, true)
      view.setUint32(stat.rdev, major * 256 + minor, true)
      view.setUint32(stat.blksize, BLOCK, true)
      return new Uint8Array(view.buffer)
    },
    statx: (path, isFolder, uid, gid) => {
      const { mode, major, minor, ino } = nodeOf(path, isFolder)
      const view = new DataView(new ArrayBuffer(STATX_BYTES))
      view.setUint32(0, STATX_BASIC, true)
      view.setUint32(4, BLOCK, true)
      view.setUint32(16, isFolder ? 2 : 1, true)
      view.setUint32(20, uid, true)
      view.setUint32(24, gid, true)
      view.setUint16(28, mode, true)
      view.setUint32(32, ino, true)
      view.setUint32(128, major, true)
      view.setUint32(132, minor, true)
      view.setUint32(140, DEV, true)
      return new Uint8Array(view.buffer)
    },
  }
}
