// SPDX-License-Identifier: Apache-2.0
/**
 * A container with an IOMMU of its own, as Linux has it without iommufd: /dev/vfio/vfio of the module
 * vfio_iommu_type1 (SPEC V1 to V6, V31, V32).
 *
 * Invariant: there is an IOMMU from VFIO_SET_IOMMU on, for which a group is needed, until the last
 * group has left; then the container is as new. Groups with and without an IOMMU do not mix. What
 * reaches no IOMMU is EINVAL, whatever it is. From memory of Linux, not from a recording.
 */
import type { Iommufd } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import type { Device } from '@iommufd/hw-iommu'
import {
  CAP_SYS_RAWIO,
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
  VFIO_UPDATE_VADDR,
} from '@iommufd/uapi'
import { VfioContainer } from '../group/container.js'
import type { VfioGroup } from '../group/group.js'
import { pinForDevice, unpinForDevice } from './device-pins.js'
import { Type1DirtyPages } from './dirty-pages.js'
import { Type1Info } from './get-info.js'
import { Type1Iommu } from './iommu.js'
import { Type1Map } from './map-dma.js'
import type { Type1Options } from './options.js'
import {
  TYPE1_CALL_UNKNOWN,
  TYPE1_DIRTY_FIRST_VERSION,
  TYPE1_GROUPS_MIXED,
  TYPE1_IOMMU_UNKNOWN,
  TYPE1_NOIOMMU_DENIED,
  TYPE1_NOT_SET,
  TYPE1_SET_IOMMU_TWICE,
  TYPE1_SET_IOMMU_WITHOUT_GROUP,
} from './refusals.js'
import { Type1Unmap } from './unmap-dma.js'

/** The calls of one IOMMU. */
class Calls {
  readonly iommu: Type1Iommu
  readonly map: Type1Map
  readonly unmap: Type1Unmap
  readonly info: Type1Info
  readonly dirty: Type1DirtyPages

  constructor(iommu: Type1Iommu) {
    this.iommu = iommu
    this.map = new Type1Map(iommu)
    this.unmap = new Type1Unmap(iommu)
    this.info = new Type1Info(iommu)
    this.dirty = new Type1DirtyPages(iommu)
  }
}

export class Type1Container extends VfioContainer {
  readonly #options: Type1Options
  readonly #groups = new Set<VfioGroup>()
  #calls: Calls | undefined
  /** The groups have no IOMMU. */
  #isNoIommu = false
  /** VFIO_SET_IOMMU was made for them. */
  #noIommuIsSet = false

  constructor(engine: Iommufd, options: Type1Options = {}) {
    super(engine)
    this.#options = options
  }

  /** The IOMMU, from VFIO_SET_IOMMU on. */
  get iommu(): Type1Iommu | undefined {
    return this.#calls?.iommu
  }

  get hasIommu(): boolean {
    return this.#calls !== undefined || (this.#isNoIommu && this.#noIommuIsSet)
  }

  attachGroup(task: Task, group: VfioGroup): number {
    const { refusals } = this.engine
    const isNoIommu = group.kind === 'noiommu'
    if (isNoIommu && !task.capable(CAP_SYS_RAWIO)) return refusals.refuse(TYPE1_NOIOMMU_DENIED)
    if (this.#groups.size > 0 && this.#isNoIommu !== isNoIommu) {
      return refusals.refuse(TYPE1_GROUPS_MIXED)
    }
    const claimed = this.#claim(group)
    if (claimed < 0) return claimed
    const rc = this.#calls?.iommu.attachGroup(group) ?? 0
    if (rc < 0) {
      group.iommuGroup?.releaseDmaOwner()
      return rc
    }
    this.#isNoIommu = isNoIommu
    this.#groups.add(group)
    return 0
  }

  detachGroup(group: VfioGroup): void {
    this.#calls?.iommu.detachGroup(group)
    group.iommuGroup?.releaseDmaOwner()
    this.#groups.delete(group)
    if (this.#groups.size > 0) return
    this.#calls = undefined
    this.#noIommuIsSet = false
  }

  pinPages(
    _group: VfioGroup,
    page: number,
    npage: number,
    write: boolean,
    frames: Uint32Array,
  ): number {
    const { refusals } = this.engine
    const iommu = this.#calls?.iommu
    if (iommu === undefined) return refusals.refuse(TYPE1_NOT_SET)
    if (!iommu.isSecondVersion) return refusals.refuse(TYPE1_DIRTY_FIRST_VERSION)
    return pinForDevice(iommu, page, npage, write, frames)
  }

  unpinPages(page: number, npage: number): void {
    const iommu = this.#calls?.iommu
    if (iommu !== undefined) unpinForDevice(iommu, page, npage)
  }

  protected serve(task: Task, cmd: number, argHi: number, argLo: number): number {
    switch (cmd) {
      case VFIO_GET_API_VERSION:
        return VFIO_API_VERSION
      case VFIO_CHECK_EXTENSION:
        return argHi === 0 ? this.#checkExtension(argLo) : 0
      case VFIO_SET_IOMMU:
        return this.#setIommu(argHi, argLo)
      default:
        return this.#serveIommu(task, cmd, argHi, argLo)
    }
  }

  #serveIommu(task: Task, cmd: number, argHi: number, argLo: number): number {
    const { refusals } = this.engine
    const calls = this.#calls
    if (calls === undefined) {
      const site = this.#noIommuIsSet ? TYPE1_CALL_UNKNOWN : TYPE1_NOT_SET
      return refusals.refuse(site, cmd | 0)
    }
    switch (cmd) {
      case VFIO_IOMMU_MAP_DMA:
        return calls.map.execute(task, argHi, argLo)
      case VFIO_IOMMU_UNMAP_DMA:
        return calls.unmap.execute(task, argHi, argLo)
      case VFIO_IOMMU_GET_INFO:
        return calls.info.execute(task, argHi, argLo)
      case VFIO_IOMMU_DIRTY_PAGES:
        return calls.dirty.execute(task, argHi, argLo)
      default:
        return refusals.refuse(TYPE1_CALL_UNKNOWN, cmd | 0)
    }
  }

  /** V6. Without an IOMMU every driver that could serve the groups is asked. */
  #checkExtension(extension: number): number {
    const iommu = this.#calls?.iommu
    const canBeNoIommu = this.#groups.size === 0 || this.#isNoIommu
    if (extension === VFIO_NOIOMMU_IOMMU) {
      return this.#options.noiommu === true && iommu === undefined && canBeNoIommu ? 1 : 0
    }
    if (this.#groups.size > 0 && this.#isNoIommu) return 0
    switch (extension) {
      case VFIO_TYPE1_IOMMU:
      case VFIO_TYPE1v2_IOMMU:
      case VFIO_UNMAP_ALL:
        return 1
      case VFIO_UPDATE_VADDR:
        return iommu !== undefined && !iommu.hasEmulated ? 1 : 0
      case VFIO_DMA_CC_IOMMU:
        return iommu?.isCoherent === true ? 1 : 0
      default:
        return 0
    }
  }

  #setIommu(typeHi: number, typeLo: number): number {
    const { refusals } = this.engine
    if (this.#groups.size === 0) return refusals.refuse(TYPE1_SET_IOMMU_WITHOUT_GROUP)
    if (this.hasIommu) return refusals.refuse(TYPE1_SET_IOMMU_TWICE)
    const type = typeHi === 0 ? typeLo : -1
    if (this.#isNoIommu) {
      this.#noIommuIsSet = this.#options.noiommu === true && type === VFIO_NOIOMMU_IOMMU
      return this.#noIommuIsSet ? 0 : refusals.refuse(TYPE1_IOMMU_UNKNOWN, typeHi, typeLo)
    }
    if (type !== VFIO_TYPE1_IOMMU && type !== VFIO_TYPE1v2_IOMMU) {
      return refusals.refuse(TYPE1_IOMMU_UNKNOWN, typeHi, typeLo)
    }
    return this.#openIommu(type === VFIO_TYPE1v2_IOMMU)
  }

  /** An IOMMU with all groups attached, or none. */
  #openIommu(isSecondVersion: boolean): number {
    const allocated = this.engine.allocate()
    if (allocated < 0) return allocated
    const iommu = new Type1Iommu(this.engine, this.#options, isSecondVersion)
    const attached: VfioGroup[] = []
    for (const group of this.#groups) {
      const rc = iommu.attachGroup(group)
      if (rc < 0) {
        for (const undone of attached.reverse()) iommu.detachGroup(undone)
        return rc
      }
      attached.push(group)
    }
    this.#calls = new Calls(iommu)
    return 0
  }

  /** The group's DMA is the container's alone: 0, or -EBUSY when somebody else has it. */
  #claim(group: VfioGroup): number {
    const dev = group.iommuGroup?.devices[0] as Device | undefined
    return dev === undefined ? 0 : (group.iommuGroup?.claimDmaOwner(dev, group) ?? 0)
  }
}
