// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO_IOMMU_GET_INFO of type 1 (SPEC V27 to V29).
 *
 * Invariant: either all capabilities are written behind the struct, or none and `argsz` says how much
 * room they need; where they fit `argsz` stays as it was. From memory of Linux, not from a recording.
 */
import type { Task } from '@iommufd/host'
import {
  PAGE_SIZE,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_info_cap_header,
  vfio_iommu_type1_info,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iommu_type1_info_cap_migration,
  vfio_iommu_type1_info_dma_avail,
  vfio_iova_range,
} from '@iommufd/uapi'
import { ContainerArg } from '../container-arg.js'
import type { Type1Iommu } from './iommu.js'
import { TYPE1_ARGSZ_TOO_SMALL } from './refusals.js'

const { at, size: FULL_SIZE } = vfio_iommu_type1_info
const MIN_SIZE = at.cap_offset
/** The struct up to and with cap_offset. */
const CAPS_SIZE = at.cap_offset + 4
/** Bits for 2^31 - 1 pages. */
const MAX_BITMAP_BYTES = 256 * 2 ** 20

export class Type1Info {
  readonly #iommu: Type1Iommu
  readonly #arg: ContainerArg

  constructor(iommu: Type1Iommu) {
    this.#iommu = iommu
    this.#arg = new ContainerArg(iommu.engine, FULL_SIZE)
  }

  execute(task: Task, argHi: number, argLo: number): number {
    const { engine, pageSizes } = this.#iommu
    const arg = this.#arg
    const rc = arg.read(task, argHi, argLo, MIN_SIZE)
    if (rc < 0) return rc
    const argsz = arg.lo(at.argsz) >>> 0
    if (argsz < MIN_SIZE) {
      return engine.refusals.refuse(TYPE1_ARGSZ_TOO_SMALL, argsz, MIN_SIZE)
    }
    const allocated = engine.allocate()
    if (allocated < 0) return allocated
    const chain = this.#chain()
    const fits = argsz >= FULL_SIZE + chain.length
    const written = fits ? arg.writeAt(FULL_SIZE, chain, chain.length) : 0
    if (written < 0) return written
    arg.setWord(at.argsz, fits ? argsz : FULL_SIZE + chain.length)
    arg.setWord(at.flags, VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS)
    arg.setU64(at.iova_pgsizes, Number(pageSizes >> 32n) | 0, Number(pageSizes & 0xffffffffn) | 0)
    arg.setWord(at.cap_offset, fits ? FULL_SIZE : 0)
    return arg.write(argsz >= CAPS_SIZE ? CAPS_SIZE : MIN_SIZE)
  }

  /** The capabilities in their order, each begun at a multiple of 8. */
  #chain(): Uint8Array {
    const iommu = this.#iommu
    const parts = [this.#available()]
    if (iommu.isSecondVersion) parts.unshift(this.#migration())
    if (iommu.usable.length > 0) parts.push(this.#ranges())
    const chain = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
    let offset = 0
    for (const [index, part] of parts.entries()) {
      const next = index === parts.length - 1 ? 0 : FULL_SIZE + offset + part.byteLength
      part.setUint32(vfio_info_cap_header.at.next, next, true)
      chain.set(new Uint8Array(part.buffer), offset)
      offset += part.byteLength
    }
    return chain
  }

  #migration(): DataView {
    const { at: fields, size } = vfio_iommu_type1_info_cap_migration
    const part = capability(VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, size)
    part.setBigUint64(fields.pgsize_bitmap, BigInt(this.#iommu.pageSize), true)
    part.setBigUint64(fields.max_dirty_bitmap_size, BigInt(MAX_BITMAP_BYTES), true)
    return part
  }

  #available(): DataView {
    const { at: fields, size } = vfio_iommu_type1_info_dma_avail
    const part = capability(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, size)
    part.setUint32(fields.avail, this.#iommu.available, true)
    return part
  }

  #ranges(): DataView {
    const { usable } = this.#iommu
    const { at: fields, size } = vfio_iommu_type1_info_cap_iova_range
    const part = capability(
      VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
      size + usable.length * vfio_iova_range.size,
    )
    part.setUint32(fields.nr_iovas, usable.length, true)
    for (const [index, { first, last }] of usable.entries()) {
      const offset = size + index * vfio_iova_range.size
      part.setBigUint64(offset, BigInt(first) * BigInt(PAGE_SIZE), true)
      part.setBigUint64(offset + 8, BigInt(last + 1) * BigInt(PAGE_SIZE) - 1n, true)
    }
    return part
  }
}

/** A capability of version 1, all zero behind its header. */
function capability(id: number, size: number): DataView {
  const part = new DataView(new ArrayBuffer((size + 7) & -8))
  part.setUint16(vfio_info_cap_header.at.id, id, true)
  part.setUint16(vfio_info_cap_header.at.version, 1, true)
  return part
}
