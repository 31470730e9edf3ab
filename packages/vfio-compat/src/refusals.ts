// SPDX-License-Identifier: Apache-2.0
/** The refusals of the VFIO container: IOMMU_VFIO_IOAS, the container ioctls, the in-kernel side. */
import type { RefusalSite } from '@iommufd/core'
import { EINVAL, ENODEV, ENOTTY, EOPNOTSUPP, EOVERFLOW, EPERM } from '@iommufd/uapi'

export const COMPAT_IOAS_MISSING: RefusalSite = {
  id: 'COMPAT_IOAS_MISSING',
  errno: ENODEV,
  spec: 'C10',
  operands: {},
  sentence: 'this context has no compatibility IOAS, on which container ioctls act',
  remedy:
    'attach a device first (VFIO_GROUP_SET_CONTAINER), or choose an IOAS with IOMMU_VFIO_IOAS (op SET)',
}

export const VFIO_IOAS_RESERVED: RefusalSite = {
  id: 'VFIO_IOAS_RESERVED',
  errno: EOPNOTSUPP,
  spec: 'C10',
  operands: { reserved: 'flags' },
  sentence: 'IOMMU_VFIO_IOAS has __reserved={reserved}',
  remedy: 'set __reserved to 0',
}

export const VFIO_IOAS_OP_UNKNOWN: RefusalSite = {
  id: 'VFIO_IOAS_OP_UNKNOWN',
  errno: EOPNOTSUPP,
  spec: 'C10',
  operands: { op: 'u32' },
  sentence: 'IOMMU_VFIO_IOAS has no operation {op}',
  remedy: 'use IOMMU_VFIO_IOAS_GET (0), IOMMU_VFIO_IOAS_SET (1) or IOMMU_VFIO_IOAS_CLEAR (2)',
}

export const DIRTY_PAGES_ABSENT: RefusalSite = {
  id: 'DIRTY_PAGES_ABSENT',
  errno: ENOTTY,
  spec: 'V26',
  operands: {},
  sentence: 'an iommufd has no VFIO_IOMMU_DIRTY_PAGES, and no software dirty tracking',
  remedy:
    'allocate the page table with IOMMU_HWPT_ALLOC_DIRTY_TRACKING and use IOMMU_HWPT_SET_DIRTY_TRACKING and IOMMU_HWPT_GET_DIRTY_BITMAP',
}

export const IOMMU_TYPE_UNKNOWN: RefusalSite = {
  id: 'IOMMU_TYPE_UNKNOWN',
  errno: EINVAL,
  spec: 'V5',
  operands: { type: 'u64' },
  sentence: 'VFIO_SET_IOMMU asks for type {type}',
  remedy:
    'use VFIO_TYPE1v2_IOMMU (3), or VFIO_TYPE1_IOMMU (1) to unmap parts of mappings; ask VFIO_CHECK_EXTENSION first',
}

export const CONTAINER_WITHOUT_IOMMU: RefusalSite = {
  id: 'CONTAINER_WITHOUT_IOMMU',
  errno: EINVAL,
  spec: 'V31',
  operands: { type: 'u64' },
  sentence: 'the context serves devices without an IOMMU; VFIO_SET_IOMMU asks for type {type}',
  remedy: 'use VFIO_NOIOMMU_IOMMU (8), or open another context for devices with an IOMMU',
}

export const NOIOMMU_NOT_PRIVILEGED: RefusalSite = {
  id: 'NOIOMMU_NOT_PRIVILEGED',
  errno: EPERM,
  spec: 'V31',
  operands: {},
  sentence: 'VFIO_NOIOMMU_IOMMU needs CAP_SYS_RAWIO',
  remedy: 'devices without an IOMMU can reach all memory: use them with CAP_SYS_RAWIO only',
}

export const INFO_ARGSZ_TOO_SMALL: RefusalSite = {
  id: 'INFO_ARGSZ_TOO_SMALL',
  errno: EINVAL,
  spec: 'V1',
  operands: { argsz: 'u32', minSize: 'u32' },
  sentence: 'VFIO_IOMMU_GET_INFO has argsz={argsz}; at least {minSize} are needed',
  remedy: 'set argsz to sizeof the struct; it comes back as the size with all capabilities',
}

export const MAP_ARGSZ_TOO_SMALL: RefusalSite = {
  id: 'MAP_ARGSZ_TOO_SMALL',
  errno: EINVAL,
  spec: 'V1',
  operands: { argsz: 'u32', minSize: 'u32' },
  sentence: 'VFIO_IOMMU_MAP_DMA has argsz={argsz}; at least {minSize} are needed',
  remedy: 'set argsz to sizeof the struct',
}

export const MAP_FLAGS_UNKNOWN: RefusalSite = {
  id: 'MAP_FLAGS_UNKNOWN',
  errno: EINVAL,
  spec: 'V7',
  operands: { flags: 'flags' },
  sentence: 'VFIO_IOMMU_MAP_DMA has flags {flags}; an iommufd knows READ (1) and WRITE (2)',
  remedy:
    'instead of VFIO_DMA_MAP_FLAG_VADDR map with IOMMU_IOAS_MAP_FILE, which IOMMU_IOAS_CHANGE_PROCESS can hand over',
}

export const UNMAP_ARGSZ_TOO_SMALL: RefusalSite = {
  id: 'UNMAP_ARGSZ_TOO_SMALL',
  errno: EINVAL,
  spec: 'V1',
  operands: { argsz: 'u32', minSize: 'u32' },
  sentence: 'VFIO_IOMMU_UNMAP_DMA has argsz={argsz}; at least {minSize} are needed',
  remedy: 'set argsz to sizeof the struct',
}

export const UNMAP_FLAGS_UNKNOWN: RefusalSite = {
  id: 'UNMAP_FLAGS_UNKNOWN',
  errno: EINVAL,
  spec: 'V25',
  operands: { flags: 'flags' },
  sentence: 'VFIO_IOMMU_UNMAP_DMA has flags {flags}; an iommufd knows ALL (2)',
  remedy:
    'get dirty bits with IOMMU_HWPT_GET_DIRTY_BITMAP before unmapping; VFIO_DMA_UNMAP_FLAG_VADDR has no counterpart',
}

export const UNMAP_ALL_HAS_RANGE: RefusalSite = {
  id: 'UNMAP_ALL_HAS_RANGE',
  errno: EINVAL,
  spec: 'V24',
  operands: { iova: 'u64', size: 'u64' },
  sentence: 'VFIO_DMA_UNMAP_FLAG_ALL comes with iova={iova} and size={size}',
  remedy: 'set iova and size to 0; size comes back as the bytes unmapped',
}

export const UNMAP_SIZE_ZERO: RefusalSite = {
  id: 'UNMAP_SIZE_ZERO',
  errno: EINVAL,
  spec: 'V18',
  operands: { iova: 'u64' },
  sentence: 'VFIO_IOMMU_UNMAP_DMA at {iova} has size 0',
  remedy: 'pass the size in bytes, or VFIO_DMA_UNMAP_FLAG_ALL to unmap everything',
}

export const UNMAP_RANGE_WRAPS: RefusalSite = {
  id: 'UNMAP_RANGE_WRAPS',
  errno: EOVERFLOW,
  spec: 'V18',
  operands: { iova: 'u64', size: 'u64' },
  sentence: '{size} bytes at iova {iova} run past the end of the 64-bit space',
  remedy: 'check iova and size; VFIO_DMA_UNMAP_FLAG_ALL unmaps everything',
}

export const COMPAT_IS_NOIOMMU: RefusalSite = {
  id: 'COMPAT_IS_NOIOMMU',
  errno: EINVAL,
  spec: 'V31',
  operands: {},
  sentence: 'the context serves devices without an IOMMU and can have no compatibility IOAS',
  remedy: 'open another context for devices with an IOMMU',
}

export const COMPAT_HAS_IOAS: RefusalSite = {
  id: 'COMPAT_HAS_IOAS',
  errno: EINVAL,
  spec: 'V31',
  operands: { ioas: 'u32' },
  sentence:
    'the context has the compatibility IOAS {ioas}; it cannot serve devices without an IOMMU',
  remedy: 'open another context for devices without an IOMMU',
}
