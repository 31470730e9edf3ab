// SPDX-License-Identifier: Apache-2.0
// Effects of the commands around devices: hardware page tables, virtual IOMMUs, queues.

import {
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_GET_HW_INFO,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VIOMMU_ALLOC,
  iommu_fault_alloc,
  iommu_hw_info,
  iommu_hw_queue_alloc,
  iommu_hwpt_alloc,
  iommu_hwpt_get_dirty_bitmap,
  iommu_hwpt_invalidate,
  iommu_hwpt_set_dirty_tracking,
  iommu_vdevice_alloc,
  iommu_veventq_alloc,
  iommu_viommu_alloc,
} from '@iommufd/uapi'
import { count, type Effect, effectOf, hex, range } from './effect.js'

export const deviceEffects: readonly (readonly [cmd: number, effect: Effect])[] = [
  [
    IOMMU_HWPT_ALLOC,
    effectOf(
      iommu_hwpt_alloc,
      ({ out_hwpt_id, dev_id, pt_id }) =>
        `hwpt ${out_hwpt_id} created for device ${dev_id} on object ${pt_id}`,
    ),
  ],
  [
    IOMMU_GET_HW_INFO,
    effectOf(
      iommu_hw_info,
      ({ dev_id, out_data_type, data_len, out_capabilities }) =>
        `device ${dev_id}: IOMMU type ${hex(out_data_type)}, ${count(data_len, 'byte')} of data, ` +
        `capabilities ${hex(out_capabilities)}`,
    ),
  ],
  [
    IOMMU_HWPT_SET_DIRTY_TRACKING,
    effectOf(iommu_hwpt_set_dirty_tracking, ({ hwpt_id, flags }) => {
      const on = (flags & IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0
      return `hwpt ${hwpt_id}: dirty tracking ${on ? 'starts, all clean' : 'stops'}`
    }),
  ],
  [
    IOMMU_HWPT_GET_DIRTY_BITMAP,
    effectOf(iommu_hwpt_get_dirty_bitmap, ({ hwpt_id, iova, length, page_size, flags }) => {
      const kept = (flags & IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) !== 0
      const what = `dirty bits of ${range(iova, length)}, one per ${count(page_size, 'byte')}`
      return `hwpt ${hwpt_id}: ${what}, read${kept ? '' : ' and cleared'}`
    }),
  ],
  [
    IOMMU_HWPT_INVALIDATE,
    effectOf(
      iommu_hwpt_invalidate,
      ({ hwpt_id, entry_num }) =>
        `object ${hwpt_id}: ${count(entry_num, 'cache invalidation')} done`,
    ),
  ],
  [
    IOMMU_FAULT_QUEUE_ALLOC,
    effectOf(
      iommu_fault_alloc,
      ({ out_fault_id, out_fault_fd }) =>
        `fault queue ${out_fault_id} created, read on descriptor ${out_fault_fd}`,
    ),
  ],
  [
    IOMMU_VIOMMU_ALLOC,
    effectOf(
      iommu_viommu_alloc,
      ({ out_viommu_id, dev_id, hwpt_id }) =>
        `viommu ${out_viommu_id} created for device ${dev_id} on hwpt ${hwpt_id}`,
    ),
  ],
  [
    IOMMU_VDEVICE_ALLOC,
    effectOf(
      iommu_vdevice_alloc,
      ({ out_vdevice_id, dev_id, virt_id, viommu_id }) =>
        `vdevice ${out_vdevice_id}: device ${dev_id} is ${hex(virt_id)} on viommu ${viommu_id}`,
    ),
  ],
  [
    IOMMU_VEVENTQ_ALLOC,
    effectOf(
      iommu_veventq_alloc,
      ({ out_veventq_id, out_veventq_fd, viommu_id, veventq_depth }) =>
        `event queue ${out_veventq_id} of viommu ${viommu_id} created for ` +
        `${count(veventq_depth, 'event')}, read on descriptor ${out_veventq_fd}`,
    ),
  ],
  [
    IOMMU_HW_QUEUE_ALLOC,
    effectOf(
      iommu_hw_queue_alloc,
      ({ out_hw_queue_id, index, viommu_id, nesting_parent_iova, length }) =>
        `hardware queue ${out_hw_queue_id}: number ${index} of viommu ${viommu_id} uses ` +
        `${range(nesting_parent_iova, length)}`,
    ),
  ],
]
