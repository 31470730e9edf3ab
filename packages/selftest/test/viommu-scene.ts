// SPDX-License-Identifier: Apache-2.0
//
// A mock device, a nesting parent on its address space, and the commands and test operations of nested translation.

import { registerHwIommu } from '@iommufd/hw-iommu'
import {
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HW_QUEUE_TYPE_SELFTEST,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_DATA_SELFTEST,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_TEST_OP_DEV_CHECK_CACHE,
  IOMMU_TEST_OP_MD_CHECK_IOTLB,
  IOMMU_TEST_OP_MOCK_DOMAIN,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  IOMMU_TEST_OP_TRIGGER_VEVENT,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VEVENTQ_TYPE_SELFTEST,
  IOMMU_VIOMMU_ALLOC,
  IOMMU_VIOMMU_TYPE_SELFTEST,
  iommu_hw_queue_alloc,
  iommu_hwpt_alloc,
  iommu_hwpt_invalidate,
  iommu_hwpt_selftest,
  iommu_vdevice_alloc,
  iommu_veventq_alloc,
  iommu_viommu_alloc,
  iommu_viommu_selftest,
  MOCK_APERTURE_START,
  readStruct,
  type StructInput,
  type StructLayout,
  type StructValue,
  writeStruct,
} from '@iommufd/uapi'
import { allocIoas, type Booted, BUFFER, boot, ioctl, map, PAGE, testOp, why } from './harness.js'

/** Where data for drivers lies. */
export const DATA: number = BUFFER + 15 * PAGE
export const IOTLB = 0x11111111
/** Where the scene has a page of memory. */
export const MAPPED: number = MOCK_APERTURE_START

export class ViommuScene {
  readonly booted: Booted
  /** Of the device; with IOAS 1 in a new engine: 2, 3 and 5. */
  readonly stdev: number
  readonly idev: number
  readonly parent: number

  constructor(booted?: Booted) {
    this.booted = booted ?? withCommands()
    this.booted.process.store(DATA, Uint8Array.of(0))
    map(this.booted, 1, { iova: MAPPED, length: PAGE })
    const device = this.device()
    this.stdev = device.stdev
    this.idev = device.idev
    this.parent = this.hwpt({ pt_id: 1, flags: IOMMU_HWPT_ALLOC_NEST_PARENT }) as number
  }

  device(): { stdev: number; idev: number } {
    const { out } = testOp(this.booted, IOMMU_TEST_OP_MOCK_DOMAIN, { id: 1 })
    return { stdev: out.mock_domain_out_stdev_id, idev: out.mock_domain_out_idev_id }
  }

  hwpt(values: StructInput<typeof iommu_hwpt_alloc>): number | string {
    const given = { dev_id: this.idev, ...values }
    const { ret, out } = ioctl(this.booted, IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, given)
    return this.#answer(ret, out.out_hwpt_id)
  }

  /** A nested table on a table or a vIOMMU, whose IOTLB holds `iotlb`. */
  nested(pt_id: number, iotlb: number = IOTLB, flags = 0): number | string {
    this.booted.process.store(DATA, writeStruct(iommu_hwpt_selftest, { iotlb }))
    const data = { data_type: IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: DATA }
    return this.hwpt({ pt_id, flags, ...data })
  }

  viommu(values: StructInput<typeof iommu_viommu_alloc> = {}): number | string {
    const defaults = { type: IOMMU_VIOMMU_TYPE_SELFTEST, dev_id: this.idev, hwpt_id: this.parent }
    const given = { ...defaults, ...values }
    const { ret, out } = ioctl(this.booted, IOMMU_VIOMMU_ALLOC, iommu_viommu_alloc, given)
    return this.#answer(ret, out.out_viommu_id)
  }

  /** A vIOMMU with data: its id, and what came back. */
  viommuWithPages(in_data: number): {
    id: number | string
    data: StructValue<typeof iommu_viommu_selftest>
  } {
    const { process } = this.booted
    const { size } = iommu_viommu_selftest
    process.store(DATA, writeStruct(iommu_viommu_selftest, { in_data }))
    const id = this.viommu({ data_len: size, data_uptr: DATA })
    const bytes = process.load(DATA, size) as Uint8Array
    return { id, data: readStruct(iommu_viommu_selftest, bytes) }
  }

  vdevice(viommu_id: number, virt_id: number | bigint, dev_id = this.idev): number | string {
    const values = { viommu_id, virt_id, dev_id }
    const { ret, out } = ioctl(this.booted, IOMMU_VDEVICE_ALLOC, iommu_vdevice_alloc, values)
    return this.#answer(ret, out.out_vdevice_id)
  }

  /** The descriptor of an event queue. */
  veventq(viommu_id: number, veventq_depth: number): number | string {
    const values = { viommu_id, veventq_depth, type: IOMMU_VEVENTQ_TYPE_SELFTEST }
    const { ret, out } = ioctl(this.booted, IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc, values)
    return this.#answer(ret, out.out_veventq_fd)
  }

  hwQueue(
    viommu_id: number,
    index: number,
    type: number = IOMMU_HW_QUEUE_TYPE_SELFTEST,
  ): number | string {
    const values = { viommu_id, type, index, nesting_parent_iova: MAPPED, length: PAGE }
    const { ret, out } = ioctl(this.booted, IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, values)
    return this.#answer(ret, out.out_hw_queue_id)
  }

  /** Entries, one behind the other: how many were dealt with, and the answer. */
  invalidate<const L extends StructLayout>(
    hwpt_id: number,
    layout: L,
    entries: readonly StructInput<L>[],
    values: StructInput<typeof iommu_hwpt_invalidate> = {},
  ): [done: number, answer: string] {
    const bytes = new Uint8Array(entries.length * layout.size)
    for (const [i, entry] of entries.entries()) writeStruct(layout, entry, bytes, i * layout.size)
    this.booted.process.store(DATA, bytes)
    const given = {
      hwpt_id,
      data_type: 0xdeadbeef,
      data_uptr: DATA,
      entry_len: layout.size,
      entry_num: entries.length,
      ...values,
    }
    const { ret, out } = ioctl(this.booted, IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate, given)
    return [out.entry_num, why(this.booted.engine, ret)]
  }

  replace(pt: number, id: number = this.stdev): string {
    const values = { id, mock_domain_replace_pt_id: pt }
    return testOp(this.booted, IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, values).answer
  }

  checkIotlb(id: number, entry: number, value: number): string {
    const values = { id, check_iotlb_id: entry, check_iotlb_iotlb: value }
    return testOp(this.booted, IOMMU_TEST_OP_MD_CHECK_IOTLB, values).answer
  }

  checkCache(entry: number, value: number, id: number = this.idev): string {
    const values = { id, check_dev_cache_id: entry, check_dev_cache_cache: value }
    return testOp(this.booted, IOMMU_TEST_OP_DEV_CHECK_CACHE, values).answer
  }

  triggerVevent(trigger_vevent_dev_id: number = this.idev): string {
    return testOp(this.booted, IOMMU_TEST_OP_TRIGGER_VEVENT, { trigger_vevent_dev_id }).answer
  }

  /** What must be as before when a call was refused. */
  state(): unknown {
    const { ctx, machine, process } = this.booted
    const objects = [...ctx.objects].map(({ typeName, id, users }) => [typeName, id, users])
    return [objects, machine.pinnedFrames, machine.framesInUse, process.unusedFd()]
  }

  #answer(ret: number, id: number): number | string {
    const answer = why(this.booted.engine, ret)
    return answer === '0' ? id : answer
  }
}

/** An engine with the commands on tables, and IOAS 1. */
function withCommands(): Booted {
  const booted = boot()
  registerHwIommu(booted.engine)
  allocIoas(booted)
  return booted
}
