// SPDX-License-Identifier: Apache-2.0
//
// A device behind the toy IOMMU, a nesting parent for it on an address space with memory, and the commands of vIOMMUs.

import {
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VIOMMU_ALLOC,
  iommu_hw_queue_alloc,
  type iommu_hwpt_alloc,
  iommu_hwpt_invalidate,
  iommu_ioas_map,
  iommu_ioas_unmap,
  iommu_vdevice_alloc,
  iommu_veventq_alloc,
  iommu_viommu_alloc,
  type StructInput,
} from '@iommufd/uapi'
import { type IommufdDevice, type IommufdViommu, VIOMMU } from '../src/index.js'
import { DATA, PAGE, World } from './harness.js'
import { TOY_TYPE } from './toy-viommu.js'

/** Where the first two pages of memory are mapped, and the third for writing only. */
export const QUEUE_IOVA = 0x10000
export const WRITE_ONLY_IOVA = 0x20000
const MEMORY = 0x1_1000_0000

export class ViommuScene {
  readonly world: World
  /** 1, in a new world. */
  readonly ioas: number
  /** 2 */
  readonly idev: IommufdDevice
  /** 3 */
  readonly parent: number

  constructor(world: World = new World()) {
    this.world = world
    this.ioas = world.ioas().id
    this.idev = world.bind(world.device('a'))
    this.map(QUEUE_IOVA, 2)
    this.map(WRITE_ONLY_IOVA, 1, 2, 3)
    this.parent = this.hwpt({ pt_id: this.ioas, flags: IOMMU_HWPT_ALLOC_NEST_PARENT }) as number
  }

  /** Maps memory from its `page`th page on. */
  map(iova: number, pages: number, page = 0, flags = 7): void {
    const length = pages * PAGE
    const user_va = MEMORY + page * PAGE
    const values = { flags, ioas_id: this.ioas, user_va, length, iova }
    this.world.outcome(this.world.ioctl(IOMMU_IOAS_MAP, iommu_ioas_map, values).ret)
  }

  unmap(iova: number, pages: number): string {
    const values = { ioas_id: this.ioas, iova, length: pages * PAGE }
    return this.world.outcome(this.world.ioctl(IOMMU_IOAS_UNMAP, iommu_ioas_unmap, values).ret)
  }

  hwpt(values: StructInput<typeof iommu_hwpt_alloc>): number | string {
    return this.world.hwptAlloc({ dev_id: this.idev.id, ...values })
  }

  /** A nested table on the vIOMMU. */
  nested(pt_id: number, values: StructInput<typeof iommu_hwpt_alloc> = {}): number | string {
    return this.hwpt({ pt_id, data_type: TOY_TYPE, data_len: 4, data_uptr: DATA, ...values })
  }

  viommu(values: StructInput<typeof iommu_viommu_alloc> = {}): number | string {
    const given = { type: TOY_TYPE, dev_id: this.idev.id, hwpt_id: this.parent, ...values }
    const { ret, out_viommu_id: id } = this.world.ioctl(
      IOMMU_VIOMMU_ALLOC,
      iommu_viommu_alloc,
      given,
    )
    return this.#answer(ret, id)
  }

  vdevice(
    viommu_id: number,
    values: StructInput<typeof iommu_vdevice_alloc> = {},
  ): number | string {
    const given = { viommu_id, dev_id: this.idev.id, virt_id: 5, ...values }
    const answer = this.world.ioctl(IOMMU_VDEVICE_ALLOC, iommu_vdevice_alloc, given)
    return this.#answer(answer.ret, answer.out_vdevice_id)
  }

  veventq(
    viommu_id: number,
    values: StructInput<typeof iommu_veventq_alloc> = {},
  ): { id: number | string; fd: number } {
    const given = { viommu_id, type: TOY_TYPE, veventq_depth: 2, ...values }
    const answer = this.world.ioctl(IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc, given)
    return { id: this.#answer(answer.ret, answer.out_veventq_id), fd: answer.out_veventq_fd }
  }

  hwQueue(
    viommu_id: number,
    values: StructInput<typeof iommu_hw_queue_alloc> = {},
  ): number | string {
    const defaults = { type: TOY_TYPE, nesting_parent_iova: QUEUE_IOVA, length: PAGE }
    const given = { viommu_id, ...defaults, ...values }
    const answer = this.world.ioctl(IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, given)
    return this.#answer(answer.ret, answer.out_hw_queue_id)
  }

  /** Entries that lie at DATA: how many were dealt with, and the answer. */
  invalidate(
    hwpt_id: number,
    values: StructInput<typeof iommu_hwpt_invalidate> = {},
  ): [done: number, outcome: string] {
    const defaults = { data_type: TOY_TYPE, data_uptr: DATA, entry_len: 8, entry_num: 1 }
    const given = { hwpt_id, ...defaults, ...values }
    const answer = this.world.ioctl(IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate, given)
    return [answer.entry_num, this.world.outcome(answer.ret)]
  }

  object(id: number): IommufdViommu {
    const viommu = this.world.ctx.find(id, VIOMMU)
    if (viommu === undefined) throw new Error(`${id} is no vIOMMU`)
    return viommu
  }

  #answer(ret: number, id: number): number | string {
    const outcome = this.world.outcome(ret)
    return ret < 0 ? outcome : id
  }
}
