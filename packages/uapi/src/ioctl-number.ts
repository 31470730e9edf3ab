// SPDX-License-Identifier: Apache-2.0
//
// The composition of an ioctl number: direction (2 bits), size (14), type (8), nr (8).

const directions = ['_IO', '_IOW', '_IOR', '_IOWR'] as const

/** An ioctl number without direction and size, as all of iommufd and VFIO are. */
export function _IO(type: number, nr: number): number {
  return ((type & 0xff) << 8) | (nr & 0xff)
}

/** An ioctl number as C source would write it: `_IO(0x3b, 0x9f)`, `_IOWR(0x3b, 0x80, 8)`. */
export function formatIoctlNumber(cmd: number): string {
  const type = hex((cmd >>> 8) & 0xff)
  const nr = hex(cmd & 0xff)
  const size = (cmd >>> 16) & 0x3fff
  const name = directions[cmd >>> 30] as string
  if (name === '_IO') return size === 0 ? `_IO(${type}, ${nr})` : `_IOC(0, ${type}, ${nr}, ${size})`
  return `${name}(${type}, ${nr}, ${size})`
}

function hex(value: number): string {
  return `0x${value.toString(16)}`
}
