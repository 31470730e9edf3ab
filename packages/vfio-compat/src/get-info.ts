// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO_IOMMU_GET_INFO (SPEC V1, V27 to V29).
 *
 * Invariant: what is written behind the struct never passes the caller's `argsz`, and a capability
 * is written if it fits, whether or not the next one does; `cap_offset` says so only if all did. The
 * struct itself is written last, so a caller whose struct cannot be written has the capabilities
 * all the same. `argsz` always comes back as the size that everything needs.
 */
import type { IommufdCtx } from '@iommufd/core'
import { isAfter, nextHi, nextLo } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import type { IoPagetable } from '@iommufd/pages'
import {
  ENODEV,
  PAGE_SIZE,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_info_cap_header,
  vfio_iommu_type1_info,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iommu_type1_info_dma_avail,
  vfio_iova_range,
} from '@iommufd/uapi'
import type { VfioCompat } from './compat-ioas.js'
import { ContainerArg } from './container-arg.js'
import { INFO_ARGSZ_TOO_SMALL } from './refusals.js'

const { at, size: FULL_SIZE } = vfio_iommu_type1_info
/** The part that the first version of the struct had. */
const MIN_SIZE: number = at.cap_offset
const AVAIL_AT: number = FULL_SIZE
/** Capabilities begin at multiples of 8. */
const RANGES_AT: number = AVAIL_AT + alignUp(vfio_iommu_type1_info_dma_avail.size)
const HEADER_BYTES = vfio_iommu_type1_info_cap_iova_range.size
const RANGE_BYTES = vfio_iova_range.size
/** Capabilities have version 1, the upper half of their first word. */
const VERSION_1 = 1 << 16
/** There is no limit on the number of mappings. */
const UNLIMITED = -1

export class GetInfo {
  readonly #compat: VfioCompat
  readonly #arg: ContainerArg
  /** A part of a capability on its way. */
  readonly #part = new Int32Array(4)
  readonly #partBytes = new Uint8Array(this.#part.buffer)
  #pageSizesHi = 0
  #pageSizesLo = 0

  constructor(compat: VfioCompat) {
    this.#compat = compat
    this.#arg = new ContainerArg(compat.engine, FULL_SIZE)
  }

  execute(ctx: IommufdCtx, task: Task, argHi: number, argLo: number): number {
    const arg = this.#arg
    const rc = arg.read(task, argHi, argLo, MIN_SIZE)
    if (rc < 0) return rc
    const argsz = arg.lo(at.argsz) >>> 0
    if (argsz < MIN_SIZE) {
      return this.#compat.engine.refusals.refuse(INFO_ARGSZ_TOO_SMALL, argsz, MIN_SIZE)
    }
    const ioas = this.#compat.find(ctx)
    if (ioas === undefined) return -ENODEV
    const total = this.#writeCapabilities(ioas.iopt, argsz)
    return total < 0 ? total : this.#writeStruct(ioas.iopt, argsz, total)
  }

  #writeStruct(iopt: IoPagetable, argsz: number, total: number): number {
    const arg = this.#arg
    this.#collectPageSizes(iopt)
    arg.setWord(at.argsz, total)
    arg.setWord(at.flags, VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS)
    arg.setU64(at.iova_pgsizes, this.#pageSizesHi, this.#pageSizesLo)
    arg.setWord(at.cap_offset, argsz >= total ? AVAIL_AT : 0)
    arg.setWord(at.pad, 0)
    return arg.write(Math.min(argsz, FULL_SIZE))
  }

  /** Writes what fits into `argsz` bytes: the bytes that everything needs, or -EFAULT. */
  #writeCapabilities(iopt: IoPagetable, argsz: number): number {
    const rc = this.#writeAvail(argsz)
    if (rc < 0) return rc
    const count = this.#writeRanges(iopt, argsz)
    if (count < 0) return count
    const linked = argsz >= RANGES_AT ? this.#linkRanges() : 0
    return linked < 0 ? linked : RANGES_AT + HEADER_BYTES + count * RANGE_BYTES
  }

  #writeAvail(argsz: number): number {
    const { size } = vfio_iommu_type1_info_dma_avail
    if (argsz < AVAIL_AT + size) return 0
    this.#setPart(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL | VERSION_1, 0, UNLIMITED, 0)
    return this.#arg.writeAt(AVAIL_AT, this.#partBytes, size)
  }

  /** Tells the first capability where the second is: also when that did not fit. */
  #linkRanges(): number {
    this.#setPart(RANGES_AT, 0, 0, 0)
    return this.#arg.writeAt(AVAIL_AT + vfio_info_cap_header.at.next, this.#partBytes, 4)
  }

  /** Writes the gaps between reserved ranges that fit: how many there are, or -EFAULT. */
  #writeRanges(iopt: IoPagetable, argsz: number): number {
    const { tree } = iopt.reserved
    let count = 0
    let hi = 0
    let lo = 0
    while (tree.findHole(hi, lo, 0, 0)) {
      const offset = RANGES_AT + HEADER_BYTES + count * RANGE_BYTES
      if (argsz >= offset + RANGE_BYTES) {
        this.#setPart(tree.holeStartLo, tree.holeStartHi, tree.holeLastLo, tree.holeLastHi)
        const rc = this.#arg.writeAt(offset, this.#partBytes, RANGE_BYTES)
        if (rc < 0) return rc
      }
      count++
      if (tree.holeLastHi === -1 && tree.holeLastLo === -1) break
      hi = nextHi(tree.holeLastHi, tree.holeLastLo)
      lo = nextLo(tree.holeLastLo)
    }
    return this.#writeRangesHeader(argsz, count)
  }

  #writeRangesHeader(argsz: number, count: number): number {
    if (argsz < RANGES_AT + HEADER_BYTES + count * RANGE_BYTES) return count
    this.#setPart(VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE | VERSION_1, 0, count, 0)
    const rc = this.#arg.writeAt(RANGES_AT, this.#partBytes, HEADER_BYTES)
    return rc < 0 ? rc : count
  }

  /** What every domain can map; sizes below a page count as a page, and none below the alignment. */
  #collectPageSizes(iopt: IoPagetable): void {
    let hi = -1
    let lo = -1
    for (const domain of iopt.domains) {
      const traits = this.#compat.traitsOf(domain)
      hi &= traits.pageSizesHi
      lo &= traits.pageSizesLo
    }
    if ((lo & (PAGE_SIZE - 1)) !== 0) lo = (lo & -PAGE_SIZE) | PAGE_SIZE
    const tooSmall = isAfter(0, iopt.alignment, hi, lo)
    this.#pageSizesHi = tooSmall ? 0 : hi
    this.#pageSizesLo = tooSmall ? iopt.alignment : lo
  }

  #setPart(a: number, b: number, c: number, d: number): void {
    const part = this.#part
    part[0] = a
    part[1] = b
    part[2] = c
    part[3] = d
  }
}

function alignUp(bytes: number): number {
  return (bytes + 7) & -8
}
