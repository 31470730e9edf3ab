// SPDX-License-Identifier: Apache-2.0
/** Rows V18 to V26 and V33: UNMAP_DMA and dirty pages. */
import type { DifferenceRow } from './row.js'

export const unmapping: readonly DifferenceRow[] = [
  {
    row: 'V18',
    situation: 'UNMAP_DMA with TYPE1v2 that begins or ends inside a mapping',
    change:
      'ENOENT, and the whole mappings before the one that is cut are gone; size comes back as what was unmapped. Type 1: EINVAL, nothing happens, size is not written',
    remedy: 'unmap exactly what was mapped; after an error look at size, do not just try again',
    cases: [
      {
        what: 'mappings of 1, 1, 2 pages, unmap of the first 3',
        type1: 'EINVAL, 0x3000 bytes, left 0-1 1-2 2-4',
        iommufd: 'ENOENT, 0x2000 bytes, left 2-4',
      },
      {
        what: 'one mapping of 4 pages, unmap of its last 2',
        type1: 'EINVAL, 0x2000 bytes, left 0-4',
        iommufd: 'ENOENT, 0x0 bytes, left 0-4',
      },
    ],
  },
  {
    row: 'V19',
    situation: 'UNMAP_DMA with TYPE1 that begins inside a mapping',
    change: 'exactly the range is unmapped; type 1 does nothing and says 0 bytes',
    remedy: 'do not rely on the mapping staying whole',
    cases: [
      {
        what: 'one mapping of 4 pages, unmap of the second',
        type1: 'ok, 0x0 bytes, left 0-4',
        iommufd: 'ok, 0x1000 bytes, left 0-1 2-4',
      },
    ],
  },
  {
    row: 'V20',
    situation: 'UNMAP_DMA with TYPE1 of the beginning of a mapping',
    change: 'exactly the range is unmapped; type 1 unmaps the whole mapping and says so in size',
    remedy: 'do not rely on more being unmapped than was asked for',
    cases: [
      {
        what: 'one mapping of 4 pages, unmap of the first',
        type1: 'ok, 0x4000 bytes, left none',
        iommufd: 'ok, 0x1000 bytes, left 1-4',
      },
    ],
  },
  {
    row: 'V21',
    situation: 'UNMAP_DMA with TYPE1 where a mapping cannot be split',
    change:
      'a cut inside a page, and in a mapping in which an emulated device holds pins, is EINVAL; in one of a dma-buf EOPNOTSUPP',
    remedy: 'unmap whole mappings where devices of the kernel or dma-bufs are involved',
    cases: [
      {
        what: 'one mapping of 4 pages, unmap of 0x1800 bytes',
        type1: 'EINVAL, 0x1800 bytes, left 0-4',
        iommufd: 'EINVAL, 0x1800 bytes, left 0-4',
      },
      { what: 'an emulated device pins the fourth page', type1: 'EACCES', iommufd: 'ok' },
      {
        what: 'unmap of the second page then',
        type1: 'ok, 0x0 bytes, left 0-4',
        iommufd: 'EINVAL, 0x1000 bytes, left 0-4',
      },
      {
        what: 'IOMMU_IOAS_MAP_FILE of a dma-buf of 2 pages',
        type1: 'ENOTTY',
        iommufd: 'ok',
      },
      {
        what: 'unmap of its first page',
        type1: 'ok, 0x0 bytes, left none',
        iommufd: 'EOPNOTSUPP, 0x1000 bytes, left 0-2',
      },
      {
        what: 'unmap of both',
        type1: 'ok, 0x0 bytes, left none',
        iommufd: 'ok, 0x2000 bytes, left none',
      },
    ],
  },
  {
    row: 'V22',
    situation: 'UNMAP_DMA with an iova or size that is not aligned',
    change: 'not checked as such: 0 bytes where nothing is mapped, ENOENT where it cuts a mapping',
    remedy: 'align iova and size',
    cases: [
      {
        what: 'iova + 1, size 17 where nothing is mapped',
        type1: 'EINVAL, 0x11 bytes, left 0-1',
        iommufd: 'ok, 0x0 bytes, left 0-1',
      },
      {
        what: 'iova + 1, size 17 inside a mapping',
        type1: 'EINVAL, 0x11 bytes, left 0-1',
        iommufd: 'ENOENT, 0x0 bytes, left 0-1',
      },
    ],
  },
  {
    row: 'V23',
    situation: 'UNMAP_DMA where nothing is mapped',
    change: 'nothing (IOMMU_IOAS_UNMAP says ENOENT)',
    remedy: 'nothing',
    cases: [{ what: 'an empty range', type1: 'ok, 0x0 bytes', iommufd: 'ok, 0x0 bytes' }],
  },
  {
    row: 'V24',
    situation: 'UNMAP_DMA with ALL',
    change: 'nothing',
    remedy: 'nothing',
    cases: [
      { what: 'iova 0x1000, size 0', type1: 'EINVAL', iommufd: 'EINVAL' },
      { what: 'iova 0, size 0x1000', type1: 'EINVAL', iommufd: 'EINVAL' },
      {
        what: 'iova 0, size 0, 3 pages mapped',
        type1: 'ok, 0x3000 bytes',
        iommufd: 'ok, 0x3000 bytes',
      },
    ],
  },
  {
    row: 'V25',
    situation: 'UNMAP_DMA with GET_DIRTY_BITMAP or VADDR',
    change: 'EINVAL: neither exists',
    remedy:
      'read dirty bits of the page table (IOMMU_HWPT_GET_DIRTY_BITMAP) before unmapping; for VADDR map files and use IOMMU_IOAS_CHANGE_PROCESS',
    cases: [
      { what: 'GET_DIRTY_BITMAP', type1: 'ok, bitmap 0xf', iommufd: 'EINVAL' },
      { what: 'VADDR', type1: 'ok', iommufd: 'EINVAL' },
    ],
  },
  {
    row: 'V26',
    situation: 'VFIO_IOMMU_DIRTY_PAGES',
    change: 'ENOTTY: an iommufd does not track dirty pages by software',
    remedy:
      'allocate the page table with IOMMU_HWPT_ALLOC_DIRTY_TRACKING, or use the device’s own logging (VFIO_DEVICE_FEATURE_DMA_LOGGING_*)',
    cases: [
      { what: 'START with TYPE1', type1: 'EACCES', iommufd: 'ENOTTY' },
      { what: 'START with TYPE1v2', type1: 'ok', iommufd: 'ENOTTY' },
      { what: 'GET_BITMAP of 4 pages', type1: 'ok, bitmap 0xf', iommufd: 'ENOTTY' },
      { what: 'STOP', type1: 'ok', iommufd: 'ENOTTY' },
    ],
  },
  {
    row: 'V33',
    situation: 'UNMAP_DMA of memory that a device of the kernel has pinned',
    change:
      'a device that does not let go makes the call fail with EDEADLOCK after 100 more tries; type 1 stops the kernel after 10',
    remedy: 'a driver’s bug on either side: make dma_unmap let go of everything in the range',
    cases: [
      { what: 'a device that lets go', type1: 'ok, 0x1000 bytes', iommufd: 'ok, 0x1000 bytes' },
      {
        what: 'a device that does not',
        type1: 'kernel BUG, asked 11 times',
        iommufd: 'EDEADLK, asked 101 times',
      },
    ],
  },
]
