// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO_IOMMU_MAP_DMA (SPEC V1, V7 to V16).
 *
 * Invariant: the struct is judged before the compatibility IOAS is looked for. Everything behind
 * that is IOMMU_IOAS_MAP at a chosen IOVA, except that a mapping may ask for no permission at all;
 * then it is a domain that refuses it. Nothing is written back. A call leaves no garbage.
 */
import type { IommufdCtx } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import { AREA_READ, AREA_WRITE, MapRequest, mapUser } from '@iommufd/pages'
import {
  ENODEV,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  vfio_iommu_type1_dma_map,
} from '@iommufd/uapi'
import type { VfioCompat } from './compat-ioas.js'
import { ContainerArg } from './container-arg.js'
import { MAP_ARGSZ_TOO_SMALL, MAP_FLAGS_UNKNOWN } from './refusals.js'

const { at, size: MIN_SIZE } = vfio_iommu_type1_dma_map
const KNOWN_FLAGS = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE

export class MapDma {
  readonly #compat: VfioCompat
  readonly #arg: ContainerArg
  readonly #request = new MapRequest()

  constructor(compat: VfioCompat) {
    this.#compat = compat
    this.#arg = new ContainerArg(compat.engine, MIN_SIZE)
    this.#request.isFixed = true
  }

  execute(ctx: IommufdCtx, task: Task, argHi: number, argLo: number): number {
    const arg = this.#arg
    const rc = arg.read(task, argHi, argLo, MIN_SIZE) || this.#check()
    if (rc < 0) return rc
    const ioas = this.#compat.find(ctx)
    if (ioas === undefined) return -ENODEV
    this.#fillRequest()
    const accountsMm = ctx.accountMode === 'mm'
    return mapUser(ioas.iopt, task, accountsMm, arg.hi(at.vaddr), arg.lo(at.vaddr), this.#request)
  }

  #check(): number {
    const { refusals } = this.#compat.engine
    const argsz = this.#arg.lo(at.argsz)
    if (argsz >>> 0 < MIN_SIZE) return refusals.refuse(MAP_ARGSZ_TOO_SMALL, argsz, MIN_SIZE)
    const flags = this.#arg.lo(at.flags)
    return (flags & ~KNOWN_FLAGS) !== 0 ? refusals.refuse(MAP_FLAGS_UNKNOWN, flags) : 0
  }

  #fillRequest(): void {
    const arg = this.#arg
    const request = this.#request
    const flags = arg.lo(at.flags)
    request.prot =
      ((flags & VFIO_DMA_MAP_FLAG_READ) !== 0 ? AREA_READ : 0) |
      ((flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0 ? AREA_WRITE : 0)
    request.iovaHi = arg.hi(at.iova)
    request.iovaLo = arg.lo(at.iova)
    request.lengthHi = arg.hi(at.size)
    request.lengthLo = arg.lo(at.size)
  }
}
