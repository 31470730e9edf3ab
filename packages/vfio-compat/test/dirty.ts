// SPDX-License-Identifier: Apache-2.0
//
// The structs with a bitmap behind them: the bitmap has one word and lies 256 bytes behind the struct.

import {
  vfio_bitmap,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dirty_bitmap_get,
  vfio_iommu_type1_dma_unmap,
} from '@iommufd/uapi'
import { ARG, PAGE } from './columns.js'

export interface BitmapOptions {
  readonly argsz?: number
  readonly pgsize?: number
  readonly size?: number | bigint
  readonly data?: number
}

function build(size: number, argsz: number, flags: number): DataView {
  const bytes = new DataView(new ArrayBuffer(264))
  bytes.setUint32(0, argsz, true)
  bytes.setUint32(4, flags, true)
  if (size > 264) throw new Error('too large')
  return bytes
}

function putBitmap(bytes: DataView, offset: number, options: BitmapOptions): Uint8Array {
  const { at } = vfio_bitmap
  const { pgsize = PAGE, size = 8, data = ARG + 256 } = options
  bytes.setBigUint64(offset + at.pgsize, BigInt(pgsize), true)
  bytes.setBigUint64(offset + at.size, BigInt(size), true)
  bytes.setBigUint64(offset + at.data, BigInt(data), true)
  return new Uint8Array(bytes.buffer)
}

/** VFIO_IOMMU_UNMAP_DMA with a vfio_bitmap. */
export function unmapWithBitmap(
  flags: number,
  iova: number,
  length: number | bigint,
  options: BitmapOptions = {},
): Uint8Array {
  const { at, size } = vfio_iommu_type1_dma_unmap
  const whole = size + vfio_bitmap.size
  const bytes = build(whole, options.argsz ?? whole, flags)
  bytes.setBigUint64(at.iova, BigInt(iova), true)
  bytes.setBigUint64(at.size, BigInt(length), true)
  return putBitmap(bytes, size, options)
}

/** VFIO_IOMMU_DIRTY_PAGES that asks for a range. */
export function dirtyBitmapGet(
  flags: number,
  iova: number | bigint,
  length: number | bigint,
  options: BitmapOptions = {},
): Uint8Array {
  const { size: start } = vfio_iommu_type1_dirty_bitmap
  const { at, size } = vfio_iommu_type1_dirty_bitmap_get
  const bytes = build(start + size, options.argsz ?? start + size, flags)
  bytes.setBigUint64(start + at.iova, BigInt(iova), true)
  bytes.setBigUint64(start + at.size, BigInt(length), true)
  return putBitmap(bytes, start + at.bitmap, options)
}
