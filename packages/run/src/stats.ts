// SPDX-License-Identifier: Apache-2.0
//
// What stat and statx say of an emulated device: a character device that belongs to the caller (SPEC F1).
//
// Invariant: bytes are in the layout of the architecture; everything that is not said is zero.

import type { Arch } from './arch.js'

const S_IFCHR_0660 = 0o020660
const MISC_MAJOR = 10
/** VFIO_MINOR; that of /dev/iommu is dynamic. */
const VFIO_MINOR = 196
const IOMMU_MINOR = 122
const STATX_BYTES = 256
const STATX_BASIC = 0x7ff
const BLOCK = 4096

type FillStat = (path: string, uid: number, gid: number) => Uint8Array

export interface Stats {
  readonly stat: FillStat
  readonly statx: FillStat
}

function minorOf(path: string): number {
  return path === '/dev/iommu' ? IOMMU_MINOR : VFIO_MINOR
}

export function deviceStat({ stat }: Arch): Stats {
  return {
    stat: (path, uid, gid) => {
      const view = new DataView(new ArrayBuffer(stat.bytes))
      view.setUint32(stat.dev, 5, true)
      view.setUint32(stat.ino, 1000 + minorOf(path), true)
      view.setUint32(stat.nlink, 1, true)
      view.setUint32(stat.mode, S_IFCHR_0660, true)
      view.setUint32(stat.uid, uid, true)
      view.setUint32(stat.gid, gid, true)
      view.setUint32(stat.rdev, MISC_MAJOR * 256 + minorOf(path), true)
      view.setUint32(stat.blksize, BLOCK, true)
      return new Uint8Array(view.buffer)
    },
    statx: (path, uid, gid) => {
      const view = new DataView(new ArrayBuffer(STATX_BYTES))
      view.setUint32(0, STATX_BASIC, true)
      view.setUint32(4, BLOCK, true)
      view.setUint32(16, 1, true)
      view.setUint32(20, uid, true)
      view.setUint32(24, gid, true)
      view.setUint16(28, S_IFCHR_0660, true)
      view.setUint32(32, 1000 + minorOf(path), true)
      view.setUint32(128, MISC_MAJOR, true)
      view.setUint32(132, minorOf(path), true)
      view.setUint32(140, 5, true)
      return new Uint8Array(view.buffer)
    },
  }
}
