// SPDX-License-Identifier: Apache-2.0
/** Why an area is not split (SPEC E6). */
import type { RefusalSite } from '@iommufd/core'
import { EBUSY, EINVAL, EOPNOTSUPP } from '@iommufd/uapi'

export const SPLIT_AREA_GOING: RefusalSite = {
  id: 'SPLIT_AREA_GOING',
  errno: EBUSY,
  spec: 'E6',
  operands: { iova: 'u64', areaIova: 'u64', areaLast: 'u64' },
  sentence:
    'the area [{areaIova}, {areaLast}] cannot be split behind {iova}: it is being unmapped as a whole',
  remedy: 'do not unmap a part of an area from within the unmap callback that announces its end',
}

export const SPLIT_DMABUF: RefusalSite = {
  id: 'SPLIT_DMABUF',
  errno: EOPNOTSUPP,
  spec: 'E6',
  operands: { iova: 'u64', areaIova: 'u64', areaLast: 'u64' },
  sentence: 'the area [{areaIova}, {areaLast}] cannot be split behind {iova}: it shows a dma-buf',
  remedy: 'unmap what was mapped of a dma-buf with one IOMMU_IOAS_MAP_FILE as a whole',
}

export const SPLIT_MISALIGNED: RefusalSite = {
  id: 'SPLIT_MISALIGNED',
  errno: EINVAL,
  spec: 'E6',
  operands: { iova: 'u64', areaIova: 'u64', areaLast: 'u64', alignment: 'u32' },
  sentence:
    'the area [{areaIova}, {areaLast}] cannot be split behind {iova}: the next byte is no multiple of {alignment}',
  remedy: 'begin and end a partial unmap at multiples of the page size',
}

export const SPLIT_AREA_PINNED: RefusalSite = {
  id: 'SPLIT_AREA_PINNED',
  errno: EINVAL,
  spec: 'E6',
  operands: { iova: 'u64', areaIova: 'u64', areaLast: 'u64', accesses: 'u32' },
  sentence:
    'the area [{areaIova}, {areaLast}] cannot be split behind {iova}: in-kernel users hold {accesses} pins in it',
  remedy: 'unmap whole areas, which asks those users to let go',
}

export const SPLIT_HUGE_PAGES: RefusalSite = {
  id: 'SPLIT_HUGE_PAGES',
  errno: EINVAL,
  spec: 'E6',
  operands: { iova: 'u64', areaIova: 'u64', areaLast: 'u64' },
  sentence:
    'the area [{areaIova}, {areaLast}] cannot be split behind {iova}: domains may map it with large pages',
  remedy: 'choose VFIO_TYPE1_IOMMU (or IOMMU_OPTION_HUGE_PAGES=0) before mapping',
}
