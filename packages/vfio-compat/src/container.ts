// SPDX-License-Identifier: Apache-2.0
/**
 * The container ioctls of a context (SPEC section 6): which number is served by whom, and those that
 * take a plain number.
 *
 * Invariant: what is not named here is unknown (ENOTTY), whatever its argument. The file that the
 * context was opened by makes no difference.
 */
import { coreRefusals, type IommufdCtx } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import {
  CAP_SYS_RAWIO,
  ENODEV,
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_CC_IOMMU,
  VFIO_GET_API_VERSION,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
} from '@iommufd/uapi'
import type { VfioCompat } from './compat-ioas.js'
import { GetInfo } from './get-info.js'
import { MapDma } from './map-dma.js'
import {
  CONTAINER_WITHOUT_IOMMU,
  DIRTY_PAGES_ABSENT,
  IOMMU_TYPE_UNKNOWN,
  NOIOMMU_NOT_PRIVILEGED,
} from './refusals.js'
import { UnmapDma } from './unmap-dma.js'

export class Container {
  readonly #compat: VfioCompat
  readonly #map: MapDma
  readonly #unmap: UnmapDma
  readonly #info: GetInfo

  constructor(compat: VfioCompat) {
    this.#compat = compat
    this.#map = new MapDma(compat)
    this.#unmap = new UnmapDma(compat)
    this.#info = new GetInfo(compat)
  }

  /** Answers one ioctl that is not iommufd's own: 0 or positive, or a negative errno. */
  ioctl(ctx: IommufdCtx, task: Task, cmd: number, argHi: number, argLo: number): number {
    switch (cmd) {
      case VFIO_IOMMU_MAP_DMA:
        return this.#map.execute(ctx, task, argHi, argLo)
      case VFIO_IOMMU_UNMAP_DMA:
        return this.#unmap.execute(ctx, task, argHi, argLo)
      case VFIO_IOMMU_GET_INFO:
        return this.#info.execute(ctx, task, argHi, argLo)
      case VFIO_CHECK_EXTENSION:
        return argHi === 0 ? this.#checkExtension(ctx, argLo) : 0
      case VFIO_SET_IOMMU:
        return this.#setIommu(ctx, task, argHi, argLo)
      case VFIO_GET_API_VERSION:
        return VFIO_API_VERSION
      case VFIO_IOMMU_DIRTY_PAGES:
        return this.#compat.engine.refusals.refuse(DIRTY_PAGES_ABSENT)
      default:
        return this.#compat.engine.refusals.refuse(coreRefusals.COMMAND_UNKNOWN, cmd | 0)
    }
  }

  /** V6: whether the context has the extension, 1 or 0; an unknown one is 0. */
  #checkExtension(ctx: IommufdCtx, extension: number): number {
    switch (extension) {
      case VFIO_TYPE1_IOMMU:
      case VFIO_TYPE1v2_IOMMU:
      case VFIO_UNMAP_ALL:
        return this.#compat.isNoIommu(ctx) ? 0 : 1
      case VFIO_NOIOMMU_IOMMU:
        return this.#compat.options.vfioNoiommu === true ? 1 : 0
      case VFIO_DMA_CC_IOMMU:
        return this.#isCoherent(ctx)
      default:
        return 0
    }
  }

  /** 1 if every domain of the compatibility IOAS enforces coherency, 0 if not, or -ENODEV. */
  #isCoherent(ctx: IommufdCtx): number {
    const ioas = this.#compat.find(ctx)
    if (ioas === undefined) return -ENODEV
    const { domains } = ioas.iopt
    return domains.every((domain) => this.#compat.traitsOf(domain).enforcesCacheCoherency) ? 1 : 0
  }

  /**
   * V2 to V5: the first version of type 1 can unmap parts of mappings, for which domains must map
   * page by page. That is never undone.
   */
  #setIommu(ctx: IommufdCtx, task: Task, typeHi: number, typeLo: number): number {
    const { refusals } = this.#compat.engine
    if (this.#compat.isNoIommu(ctx)) return this.#setNoIommu(task, typeHi, typeLo)
    const type = typeHi === 0 ? typeLo : -1
    if (type !== VFIO_TYPE1_IOMMU && type !== VFIO_TYPE1v2_IOMMU) {
      return refusals.refuse(IOMMU_TYPE_UNKNOWN, typeHi, typeLo)
    }
    const ioas = this.#compat.find(ctx)
    if (ioas === undefined) return -ENODEV
    return type === VFIO_TYPE1_IOMMU ? ioas.iopt.disableLargePages() : 0
  }

  #setNoIommu(task: Task, typeHi: number, typeLo: number): number {
    const { engine, options } = this.#compat
    const isNoIommu = typeHi === 0 && typeLo === VFIO_NOIOMMU_IOMMU
    if (!isNoIommu || options.vfioNoiommu !== true) {
      return engine.refusals.refuse(CONTAINER_WITHOUT_IOMMU, typeHi, typeLo)
    }
    return task.capable(CAP_SYS_RAWIO) ? 0 : engine.refusals.refuse(NOIOMMU_NOT_PRIVILEGED)
  }
}
