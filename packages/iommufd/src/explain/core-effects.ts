// SPDX-License-Identifier: Apache-2.0
// Effects of the commands around an IOAS and its mappings, and of the VFIO container ioctls on top of it.

import {
  IOMMU_DESTROY,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_NOIOMMU_GET_PA,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_RLIMIT_MODE,
  IOMMU_VFIO_IOAS,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  iommu_destroy,
  iommu_ioas_alloc,
  iommu_ioas_allow_iovas,
  iommu_ioas_copy,
  iommu_ioas_iova_ranges,
  iommu_ioas_map,
  iommu_ioas_map_file,
  iommu_ioas_noiommu_get_pa,
  iommu_ioas_unmap,
  iommu_option,
  iommu_vfio_ioas,
  type StructValue,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
} from '@iommufd/uapi'
import { count, type Effect, effectOf, hex, range } from './effect.js'

const U64_MAX = 2n ** 64n - 1n

export const coreEffects: readonly (readonly [cmd: number, effect: Effect])[] = [
  [IOMMU_DESTROY, effectOf(iommu_destroy, ({ id }) => `object ${id} destroyed`)],
  [
    IOMMU_IOAS_ALLOC,
    effectOf(iommu_ioas_alloc, ({ out_ioas_id }) => `ioas ${out_ioas_id} created, empty`),
  ],
  [
    IOMMU_IOAS_ALLOW_IOVAS,
    effectOf(iommu_ioas_allow_iovas, ({ ioas_id, num_iovas }) =>
      num_iovas === 0
        ? `ioas ${ioas_id}: automatic IOVAs are no longer restricted`
        : `ioas ${ioas_id}: automatic IOVAs now come from ${count(num_iovas, 'range')}`,
    ),
  ],
  [
    IOMMU_IOAS_IOVA_RANGES,
    effectOf(
      iommu_ioas_iova_ranges,
      ({ ioas_id, num_iovas, out_iova_alignment }) =>
        `ioas ${ioas_id}: ${count(num_iovas, 'usable range')}, alignment ${out_iova_alignment}`,
    ),
  ],
  [
    IOMMU_IOAS_MAP,
    effectOf(
      iommu_ioas_map,
      ({ ioas_id, iova, length, user_va }) =>
        `ioas ${ioas_id}: mapped ${range(iova, length)} from user ${hex(user_va)}`,
    ),
  ],
  [
    IOMMU_IOAS_MAP_FILE,
    effectOf(
      iommu_ioas_map_file,
      ({ ioas_id, iova, length, fd, start }) =>
        `ioas ${ioas_id}: mapped ${range(iova, length)} from offset ${hex(start)} of descriptor ${fd}`,
    ),
  ],
  [
    IOMMU_IOAS_COPY,
    effectOf(
      iommu_ioas_copy,
      ({ dst_ioas_id, dst_iova, length, src_ioas_id, src_iova }) =>
        `ioas ${dst_ioas_id}: mapped ${range(dst_iova, length)}, the same memory as ` +
        `${range(src_iova, length)} of ioas ${src_ioas_id}`,
    ),
  ],
  [IOMMU_IOAS_UNMAP, effectOf(iommu_ioas_unmap, tellUnmap)],
  [IOMMU_OPTION, effectOf(iommu_option, tellOption)],
  [IOMMU_VFIO_IOAS, effectOf(iommu_vfio_ioas, tellVfioIoas)],
  [
    IOMMU_IOAS_CHANGE_PROCESS,
    () => 'what this context has pinned is now charged to the calling process',
  ],
  [
    IOMMU_IOAS_NOIOMMU_GET_PA,
    effectOf(
      iommu_ioas_noiommu_get_pa,
      ({ ioas_id, iova, length, out_phys }) =>
        `ioas ${ioas_id}: ${hex(iova)} is ${hex(out_phys)}, contiguous for ${count(length, 'byte')}`,
    ),
  ],
  [
    VFIO_IOMMU_MAP_DMA,
    effectOf(
      vfio_iommu_type1_dma_map,
      ({ iova, size, vaddr }) => `container: mapped ${range(iova, size)} from user ${hex(vaddr)}`,
    ),
  ],
  [
    VFIO_IOMMU_UNMAP_DMA,
    effectOf(vfio_iommu_type1_dma_unmap, ({ size }) =>
      size === 0n ? 'container: nothing was mapped there' : `container: unmapped ${bytes(size)}`,
    ),
  ],
  [
    VFIO_IOMMU_GET_INFO,
    effectOf(
      vfio_iommu_type1_info,
      ({ argsz, iova_pgsizes }) =>
        `container: page sizes ${hex(iova_pgsizes)}, the full answer has ${argsz} bytes`,
    ),
  ],
]

function tellUnmap(
  after: StructValue<typeof iommu_ioas_unmap>,
  before: StructValue<typeof iommu_ioas_unmap>,
): string {
  const { ioas_id, iova, length } = after
  if (iova === 0n && before.length === U64_MAX) {
    return `ioas ${ioas_id}: everything unmapped, ${bytes(length)}`
  }
  return `ioas ${ioas_id}: unmapped ${bytes(length)} within ${range(iova, before.length)}`
}

function tellOption(option: StructValue<typeof iommu_option>): string {
  const { option_id, op, object_id, val64 } = option
  const name =
    option_id === IOMMU_OPTION_RLIMIT_MODE ? 'RLIMIT_MODE' : `HUGE_PAGES of ioas ${object_id}`
  return `option ${name} ${op === IOMMU_OPTION_OP_GET ? 'is' : 'set to'} ${val64}`
}

function tellVfioIoas({ op, ioas_id }: StructValue<typeof iommu_vfio_ioas>): string {
  if (op === IOMMU_VFIO_IOAS_CLEAR) return 'the container has no ioas any more'
  const change = op === IOMMU_VFIO_IOAS_GET ? 'acts' : 'now acts'
  return `the container ${change} on ioas ${ioas_id}`
}

function bytes(number: bigint): string {
  return count(number, 'byte')
}
