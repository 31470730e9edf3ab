// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO_IOMMU_UNMAP_DMA (SPEC V1, V18 to V25).
 *
 * Invariant: `size` comes back as the bytes that were unmapped, also when the unmapping was refused
 * half-way; nothing comes back when it was refused before it began. Where the address space has
 * large pages disabled (type 1) the range is cut out of the areas at its two ends first; a cut that
 * was made before the other was refused stays, which nobody can tell from its mappings. An empty
 * range is unmapped with success. A call leaves no garbage of its own.
 */
import type { IommufdCtx } from '@iommufd/core'
import { previousHi, previousLo, sumHi, sumWraps } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import { type IoPagetable, splitAfter, unmapAll, unmapRange } from '@iommufd/pages'
import { ENODEV, VFIO_DMA_UNMAP_FLAG_ALL, vfio_iommu_type1_dma_unmap } from '@iommufd/uapi'
import type { VfioCompat } from './compat-ioas.js'
import { ContainerArg } from './container-arg.js'
import {
  UNMAP_ALL_HAS_RANGE,
  UNMAP_ARGSZ_TOO_SMALL,
  UNMAP_FLAGS_UNKNOWN,
  UNMAP_RANGE_WRAPS,
  UNMAP_SIZE_ZERO,
} from './refusals.js'

const { at, size: MIN_SIZE } = vfio_iommu_type1_dma_unmap

export class UnmapDma {
  readonly #compat: VfioCompat
  readonly #arg: ContainerArg

  constructor(compat: VfioCompat) {
    this.#compat = compat
    this.#arg = new ContainerArg(compat.engine, MIN_SIZE)
  }

  execute(ctx: IommufdCtx, task: Task, argHi: number, argLo: number): number {
    const arg = this.#arg
    const rc = arg.read(task, argHi, argLo, MIN_SIZE) || this.#check()
    if (rc < 0) return rc
    const ioas = this.#compat.find(ctx)
    if (ioas === undefined) return -ENODEV
    const isAll = (arg.lo(at.flags) & VFIO_DMA_UNMAP_FLAG_ALL) !== 0
    const prepared = isAll ? this.#checkAll() : this.#cut(ioas.iopt)
    if (prepared < 0) return prepared
    const unmapped = isAll ? unmapAll(ioas.iopt) : this.#unmapChosen(ioas.iopt)
    arg.setU64(at.size, ioas.iopt.unmappedHi, ioas.iopt.unmappedLo)
    return arg.write(MIN_SIZE) || unmapped
  }

  #check(): number {
    const { refusals } = this.#compat.engine
    const argsz = this.#arg.lo(at.argsz)
    if (argsz >>> 0 < MIN_SIZE) return refusals.refuse(UNMAP_ARGSZ_TOO_SMALL, argsz, MIN_SIZE)
    const flags = this.#arg.lo(at.flags)
    const unknown = flags & ~VFIO_DMA_UNMAP_FLAG_ALL
    return unknown !== 0 ? refusals.refuse(UNMAP_FLAGS_UNKNOWN, flags) : 0
  }

  #checkAll(): number {
    const arg = this.#arg
    const iovaHi = arg.hi(at.iova)
    const iovaLo = arg.lo(at.iova)
    const sizeHi = arg.hi(at.size)
    const sizeLo = arg.lo(at.size)
    if ((iovaHi | iovaLo | sizeHi | sizeLo) === 0) return 0
    const { refusals } = this.#compat.engine
    return refusals.refuse(UNMAP_ALL_HAS_RANGE, iovaHi, iovaLo, sizeHi, sizeLo)
  }

  /**
   * Cuts areas at the ends of the range, where areas may be cut: last end first. The range has not
   * been checked: Linux cuts wherever its last byte is modulo 2^64.
   */
  #cut(iopt: IoPagetable): number {
    if (!iopt.largePagesDisabled) return 0
    const arg = this.#arg
    const hi = arg.hi(at.iova)
    const lo = arg.lo(at.iova)
    const sizeHi = arg.hi(at.size)
    const sizeLo = arg.lo(at.size)
    const endHi = sumHi(hi, lo, sizeHi, sizeLo)
    const endLo = (lo + sizeLo) | 0
    const rc = splitAfter(iopt, previousHi(endHi, endLo), previousLo(endLo))
    if (rc < 0 || (hi === 0 && lo === 0)) return rc
    return splitAfter(iopt, previousHi(hi, lo), previousLo(lo))
  }

  #unmapChosen(iopt: IoPagetable): number {
    const { refusals } = this.#compat.engine
    const arg = this.#arg
    const hi = arg.hi(at.iova)
    const lo = arg.lo(at.iova)
    const sizeHi = arg.hi(at.size)
    const sizeLo = arg.lo(at.size)
    iopt.unmappedHi = 0
    iopt.unmappedLo = 0
    if (sizeHi === 0 && sizeLo === 0) return refusals.refuse(UNMAP_SIZE_ZERO, hi, lo)
    const sizeM1Hi = previousHi(sizeHi, sizeLo)
    const sizeM1Lo = previousLo(sizeLo)
    if (sumWraps(hi, lo, sizeM1Hi, sizeM1Lo)) {
      return refusals.refuse(UNMAP_RANGE_WRAPS, hi, lo, sizeHi, sizeLo)
    }
    return unmapRange(iopt, hi, lo, sumHi(hi, lo, sizeM1Hi, sizeM1Lo), (lo + sizeM1Lo) | 0)
  }
}
