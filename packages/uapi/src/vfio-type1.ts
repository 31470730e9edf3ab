// SPDX-License-Identifier: Apache-2.0
//
// vfio.h, second part: the ioctls of a container with a type 1 IOMMU, which iommufd serves too
// (SPEC section 6).
//
// Invariant: names, numbers and offsets are those of Linux 7.3 on x86-64, nothing else is exported.

// vfio_iommu_type1_info.flags
/** `iova_pgsizes` is valid. */
export const VFIO_IOMMU_INFO_PGSIZES = 0x1
/** `cap_offset` is valid. */
export const VFIO_IOMMU_INFO_CAPS = 0x2

/**
 * Argument of VFIO_IOMMU_GET_INFO. `iova_pgsizes`: bit n is set when pages of 2^n bytes can be mapped.
 * `cap_offset`: bytes from here to the first capability, 0 when the chain did not fit.
 */
export const vfio_iommu_type1_info = {
  name: 'vfio_iommu_type1_info',
  size: 24,
  at: { argsz: 0, flags: 4, iova_pgsizes: 8, cap_offset: 16, pad: 20 },
  type: { argsz: 'u32', flags: 'u32', iova_pgsizes: 'u64', cap_offset: 'u32', pad: 'u32' },
} as const

// Capability ids after vfio_iommu_type1_info
/** vfio_iommu_type1_info_cap_iova_range */
export const VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1
/** vfio_iommu_type1_info_cap_migration */
export const VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2
/** vfio_iommu_type1_info_dma_avail */
export const VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3

/** A range of IOVAs in bytes; `end` is inclusive here. */
export const vfio_iova_range = {
  name: 'vfio_iova_range',
  size: 16,
  at: { start: 0, end: 8 },
  type: { start: 'u64', end: 'u64' },
} as const

/** Capability: the IOVAs that can be mapped. `iova_ranges` has `nr_iovas` elements. */
export const vfio_iommu_type1_info_cap_iova_range = {
  name: 'vfio_iommu_type1_info_cap_iova_range',
  size: 16,
  at: { header: 0, nr_iovas: 8, reserved: 12, iova_ranges: 16 },
  type: {
    header: 'struct vfio_info_cap_header',
    nr_iovas: 'u32',
    reserved: 'u32',
    iova_ranges: 'struct vfio_iova_range[]',
  },
  count: { iova_ranges: 'nr_iovas' },
} as const

/** Capability: dirty tracking. `pgsize_bitmap`: as iova_pgsizes. `max_dirty_bitmap_size`: bytes. */
export const vfio_iommu_type1_info_cap_migration = {
  name: 'vfio_iommu_type1_info_cap_migration',
  size: 32,
  at: { header: 0, flags: 8, pgsize_bitmap: 16, max_dirty_bitmap_size: 24 },
  type: {
    header: 'struct vfio_info_cap_header',
    flags: 'u32',
    pgsize_bitmap: 'u64',
    max_dirty_bitmap_size: 'u64',
  },
} as const

/** Capability: how many more mappings may be made. */
export const vfio_iommu_type1_info_dma_avail = {
  name: 'vfio_iommu_type1_info_dma_avail',
  size: 12,
  at: { header: 0, avail: 8 },
  type: { header: 'struct vfio_info_cap_header', avail: 'u32' },
} as const

export const VFIO_IOMMU_GET_INFO = 0x3b70

// vfio_iommu_type1_dma_map.flags
export const VFIO_DMA_MAP_FLAG_READ = 0x1
export const VFIO_DMA_MAP_FLAG_WRITE = 0x2
/** Gives a new address to a mapping whose address was invalidated. */
export const VFIO_DMA_MAP_FLAG_VADDR = 0x4

/** Argument of VFIO_IOMMU_MAP_DMA. `vaddr`: address in the calling process. `size`: bytes. */
export const vfio_iommu_type1_dma_map = {
  name: 'vfio_iommu_type1_dma_map',
  size: 32,
  at: { argsz: 0, flags: 4, vaddr: 8, iova: 16, size: 24 },
  type: { argsz: 'u32', flags: 'u32', vaddr: 'u64', iova: 'u64', size: 'u64' },
} as const

export const VFIO_IOMMU_MAP_DMA = 0x3b71

/** A dirty bitmap. `pgsize`: bytes per bit. `size`: bytes of bitmap at `data`. */
export const vfio_bitmap = {
  name: 'vfio_bitmap',
  size: 24,
  at: { pgsize: 0, size: 8, data: 16 },
  type: { pgsize: 'u64', size: 'u64', data: 'u64 *' },
} as const

// vfio_iommu_type1_dma_unmap.flags
/** `data` holds a vfio_bitmap that gets the dirty bits. */
export const VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 0x1
/** Everything; `iova` and `size` are 0. */
export const VFIO_DMA_UNMAP_FLAG_ALL = 0x2
/** Only forgets the process's addresses. */
export const VFIO_DMA_UNMAP_FLAG_VADDR = 0x4

/** Argument of VFIO_IOMMU_UNMAP_DMA. `size`: in, bytes to unmap; out, bytes unmapped. */
export const vfio_iommu_type1_dma_unmap = {
  name: 'vfio_iommu_type1_dma_unmap',
  size: 24,
  at: { argsz: 0, flags: 4, iova: 8, size: 16, data: 24 },
  type: { argsz: 'u32', flags: 'u32', iova: 'u64', size: 'u64', data: 'u8[]' },
} as const

export const VFIO_IOMMU_UNMAP_DMA = 0x3b72

/** No argument. */
export const VFIO_IOMMU_ENABLE = 0x3b73
/** No argument. */
export const VFIO_IOMMU_DISABLE = 0x3b74

// vfio_iommu_type1_dirty_bitmap.flags
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 0x1
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 0x2
/** `data` holds a vfio_iommu_type1_dirty_bitmap_get. */
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 0x4

/** Argument of VFIO_IOMMU_DIRTY_PAGES. */
export const vfio_iommu_type1_dirty_bitmap = {
  name: 'vfio_iommu_type1_dirty_bitmap',
  size: 8,
  at: { argsz: 0, flags: 4, data: 8 },
  type: { argsz: 'u32', flags: 'u32', data: 'u8[]' },
} as const

/** Which dirty bits to get. `iova`, `size`: bytes. */
export const vfio_iommu_type1_dirty_bitmap_get = {
  name: 'vfio_iommu_type1_dirty_bitmap_get',
  size: 40,
  at: { iova: 0, size: 8, bitmap: 16 },
  type: { iova: 'u64', size: 'u64', bitmap: 'struct vfio_bitmap' },
} as const

export const VFIO_IOMMU_DIRTY_PAGES = 0x3b75
