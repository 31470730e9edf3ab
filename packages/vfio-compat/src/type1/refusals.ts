// SPDX-License-Identifier: Apache-2.0
/** The refusals of the type 1 container, in its own manner: what vfio_iommu_type1 answers. */
import type { RefusalSite } from '@iommufd/core'
import {
  EACCES,
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOMEM,
  ENOSPC,
  ENOTTY,
  EOVERFLOW,
  EPERM,
} from '@iommufd/uapi'

export const TYPE1_NOT_SET: RefusalSite = {
  id: 'TYPE1_NOT_SET',
  errno: EINVAL,
  spec: 'V1',
  operands: { cmd: 'flags' },
  sentence: 'the container has no IOMMU yet, so nothing serves ioctl {cmd}',
  remedy: 'put a group into the container and make VFIO_SET_IOMMU first',
}

export const TYPE1_SET_IOMMU_WITHOUT_GROUP: RefusalSite = {
  id: 'TYPE1_SET_IOMMU_WITHOUT_GROUP',
  errno: EINVAL,
  spec: 'V3',
  operands: {},
  sentence: 'VFIO_SET_IOMMU on a container without a group',
  remedy: 'make VFIO_GROUP_SET_CONTAINER first: a group is what permits the use of an IOMMU',
}

export const TYPE1_SET_IOMMU_TWICE: RefusalSite = {
  id: 'TYPE1_SET_IOMMU_TWICE',
  errno: EINVAL,
  spec: 'V4',
  operands: {},
  sentence: 'VFIO_SET_IOMMU was made already',
  remedy: 'make it once; taking all groups out resets the container',
}

export const TYPE1_IOMMU_UNKNOWN: RefusalSite = {
  id: 'TYPE1_IOMMU_UNKNOWN',
  errno: ENODEV,
  spec: 'V5',
  operands: { type: 'u64' },
  sentence: 'no IOMMU driver of VFIO serves type {type} for these groups',
  remedy: 'ask VFIO_CHECK_EXTENSION which types there are',
}

export const TYPE1_NOIOMMU_DENIED: RefusalSite = {
  id: 'TYPE1_NOIOMMU_DENIED',
  errno: EPERM,
  spec: 'V31',
  operands: {},
  sentence: 'a group without an IOMMU needs CAP_SYS_RAWIO',
  remedy: 'run with CAP_SYS_RAWIO, or use a device behind an IOMMU',
}

export const TYPE1_GROUPS_MIXED: RefusalSite = {
  id: 'TYPE1_GROUPS_MIXED',
  errno: EPERM,
  spec: 'V31',
  operands: {},
  sentence: 'a container has groups with an IOMMU or groups without, not both',
  remedy: 'use two containers',
}

export const TYPE1_CALL_UNKNOWN: RefusalSite = {
  id: 'TYPE1_CALL_UNKNOWN',
  errno: ENOTTY,
  spec: 'section 6',
  operands: { cmd: 'flags' },
  sentence: 'the type 1 IOMMU has no ioctl {cmd}',
  remedy: 'IOMMU_* calls need an iommufd (/dev/iommu)',
}

export const TYPE1_MSI_NOT_ISOLATED: RefusalSite = {
  id: 'TYPE1_MSI_NOT_ISOLATED',
  errno: EPERM,
  spec: 'section 5',
  operands: {},
  sentence: 'devices of the group can raise interrupts that were not set up for them',
  remedy: 'allow unsafe interrupts, or use a platform that isolates them',
}

export const TYPE1_MAPPINGS_OUTSIDE: RefusalSite = {
  id: 'TYPE1_MAPPINGS_OUTSIDE',
  errno: EINVAL,
  spec: 'V30',
  operands: {},
  sentence: 'something is mapped where the new group cannot translate or reserves IOVAs',
  remedy: 'unmap it first, or attach the group before mapping; VFIO_IOMMU_GET_INFO has the ranges',
}

export const TYPE1_DRIVER_REFUSED: RefusalSite = {
  id: 'TYPE1_DRIVER_REFUSED',
  errno: EINVAL,
  spec: 'section 8',
  operands: {},
  sentence: 'the IOMMU driver does not accept this',
  remedy: 'see the driver: the answer is its own',
}

export const TYPE1_ADDRESSES_GONE: RefusalSite = {
  id: 'TYPE1_ADDRESSES_GONE',
  errno: EBUSY,
  spec: 'V25',
  operands: { mappings: 'u32' },
  sentence: 'the addresses of {mappings} mappings were given up with VFIO_DMA_UNMAP_FLAG_VADDR',
  remedy: 'give new ones with VFIO_DMA_MAP_FLAG_VADDR first',
}

export const TYPE1_ARGSZ_TOO_SMALL: RefusalSite = {
  id: 'TYPE1_ARGSZ_TOO_SMALL',
  errno: EINVAL,
  spec: 'V1',
  operands: { argsz: 'u32', minSize: 'u32' },
  sentence: 'the struct has argsz={argsz}; at least {minSize} are needed',
  remedy: 'set argsz to sizeof the struct, with what follows it',
}

export const TYPE1_MAP_FLAGS: RefusalSite = {
  id: 'TYPE1_MAP_FLAGS',
  errno: EINVAL,
  spec: 'V7',
  operands: { flags: 'flags' },
  sentence:
    'VFIO_IOMMU_MAP_DMA has flags {flags}: they must be READ (1), WRITE (2) or both, or VADDR (4) alone',
  remedy: 'say what the device may do',
}

export const TYPE1_RANGE_WRAPS: RefusalSite = {
  id: 'TYPE1_RANGE_WRAPS',
  errno: EOVERFLOW,
  spec: 'V8',
  operands: { start: 'u64', size: 'u64' },
  sentence: '{size} bytes from {start} run past the end of the 64-bit space',
  remedy: 'check iova, vaddr and size',
}

export const TYPE1_SIZE_ZERO: RefusalSite = {
  id: 'TYPE1_SIZE_ZERO',
  errno: EINVAL,
  spec: 'V9',
  operands: { iova: 'u64' },
  sentence: 'size is 0 at iova {iova}',
  remedy: 'pass the size in bytes, or VFIO_DMA_UNMAP_FLAG_ALL to unmap everything',
}

export const TYPE1_MISALIGNED: RefusalSite = {
  id: 'TYPE1_MISALIGNED',
  errno: EINVAL,
  spec: 'V10',
  operands: { iova: 'u64', size: 'u64', pageSize: 'u32' },
  sentence: 'iova {iova}, size {size} or vaddr is no multiple of {pageSize}',
  remedy: 'use multiples of the smallest page in iova_pgsizes',
}

export const TYPE1_OVERLAPS: RefusalSite = {
  id: 'TYPE1_OVERLAPS',
  errno: EEXIST,
  spec: 'V11',
  operands: { iova: 'u64', size: 'u64' },
  sentence: '{size} bytes at iova {iova} overlap a mapping',
  remedy: 'unmap it first',
}

export const TYPE1_TOO_MANY: RefusalSite = {
  id: 'TYPE1_TOO_MANY',
  errno: ENOSPC,
  spec: 'V13',
  operands: { limit: 'u32' },
  sentence: 'the container has {limit} mappings, as many as dma_entry_limit allows',
  remedy:
    'map larger pieces, or raise the module parameter dma_entry_limit of vfio_iommu_type1; an iommufd has no such limit',
}

export const TYPE1_IOVA_UNUSABLE: RefusalSite = {
  id: 'TYPE1_IOVA_UNUSABLE',
  errno: EINVAL,
  spec: 'V12',
  operands: { iova: 'u64', size: 'u64' },
  sentence: '{size} bytes at iova {iova} are not inside one range that every device can use',
  remedy: 'use the ranges that VFIO_IOMMU_GET_INFO lists',
}

export const TYPE1_PAGES_BAD: RefusalSite = {
  id: 'TYPE1_PAGES_BAD',
  errno: EFAULT,
  spec: 'V14',
  operands: { page: 'u64' },
  sentence: 'the memory at page {page} of the process cannot be pinned',
  remedy: 'map memory there, writable if the device is to write',
}

export const TYPE1_LIMIT_EXCEEDED: RefusalSite = {
  id: 'TYPE1_LIMIT_EXCEEDED',
  errno: ENOMEM,
  spec: 'V15',
  operands: { pid: 's32', locked: 'u32', pages: 'u32', limit: 'u32' },
  sentence:
    'process {pid} has {locked} pages locked; {pages} more exceed RLIMIT_MEMLOCK of {limit} pages',
  remedy: 'raise RLIMIT_MEMLOCK of the process, or give it CAP_IPC_LOCK before it maps',
}

export const TYPE1_NO_SUCH_MAPPING: RefusalSite = {
  id: 'TYPE1_NO_SUCH_MAPPING',
  errno: ENOENT,
  spec: 'V7',
  operands: { iova: 'u64' },
  sentence: 'VFIO_DMA_MAP_FLAG_VADDR at iova {iova}, where nothing is mapped',
  remedy: 'name a mapping whose address was given up',
}

export const TYPE1_MAPPING_HAS_ADDRESS: RefusalSite = {
  id: 'TYPE1_MAPPING_HAS_ADDRESS',
  errno: EINVAL,
  spec: 'V7',
  operands: { iova: 'u64', size: 'u64' },
  sentence:
    'VFIO_DMA_MAP_FLAG_VADDR for {size} bytes at iova {iova}: not one whole mapping whose address was given up',
  remedy: 'give the iova and size of the mapping; unmap with VFIO_DMA_UNMAP_FLAG_VADDR first',
}

export const TYPE1_UNMAP_FLAGS: RefusalSite = {
  id: 'TYPE1_UNMAP_FLAGS',
  errno: EINVAL,
  spec: 'V25',
  operands: { flags: 'flags' },
  sentence:
    'VFIO_IOMMU_UNMAP_DMA has flags {flags}: GET_DIRTY_BITMAP (1) alone, or ALL (2) and VADDR (4)',
  remedy: 'use flags that go together',
}

export const TYPE1_ALL_HAS_RANGE: RefusalSite = {
  id: 'TYPE1_ALL_HAS_RANGE',
  errno: EINVAL,
  spec: 'V24',
  operands: { iova: 'u64', size: 'u64' },
  sentence: 'VFIO_DMA_UNMAP_FLAG_ALL comes with iova={iova} and size={size}',
  remedy: 'set iova and size to 0',
}

export const TYPE1_BISECTS: RefusalSite = {
  id: 'TYPE1_BISECTS',
  errno: EINVAL,
  spec: 'V18',
  operands: { iova: 'u64', size: 'u64' },
  sentence: '{size} bytes at iova {iova} begin or end inside a mapping; nothing is unmapped',
  remedy: 'unmap whole mappings',
}

export const TYPE1_EMULATED_DEVICES: RefusalSite = {
  id: 'TYPE1_EMULATED_DEVICES',
  errno: EBUSY,
  spec: 'V25',
  operands: {},
  sentence: 'addresses cannot be given up while the container has emulated devices',
  remedy: 'ask VFIO_CHECK_EXTENSION for VFIO_UPDATE_VADDR first',
}

export const TYPE1_VADDR_GONE_TWICE: RefusalSite = {
  id: 'TYPE1_VADDR_GONE_TWICE',
  errno: EINVAL,
  spec: 'V25',
  operands: { iova: 'u64' },
  sentence: 'the mapping at iova {iova} has given up its address already',
  remedy: 'give new addresses with VFIO_DMA_MAP_FLAG_VADDR',
}

export const TYPE1_DIRTY_FIRST_VERSION: RefusalSite = {
  id: 'TYPE1_DIRTY_FIRST_VERSION',
  errno: EACCES,
  spec: 'V26',
  operands: {},
  sentence: 'the first version of type 1 tracks no dirty pages and pins none for devices',
  remedy: 'choose VFIO_TYPE1v2_IOMMU',
}

export const TYPE1_DIRTY_FLAGS: RefusalSite = {
  id: 'TYPE1_DIRTY_FLAGS',
  errno: EINVAL,
  spec: 'V26',
  operands: { flags: 'flags' },
  sentence:
    'VFIO_IOMMU_DIRTY_PAGES has flags {flags}; it takes one of START (1), STOP (2), GET_BITMAP (4)',
  remedy: 'set exactly one flag',
}

export const TYPE1_DIRTY_OFF: RefusalSite = {
  id: 'TYPE1_DIRTY_OFF',
  errno: EINVAL,
  spec: 'V26',
  operands: {},
  sentence: 'dirty pages are not tracked',
  remedy: 'make VFIO_IOMMU_DIRTY_PAGES with START first',
}

export const TYPE1_MAPPING_TOO_LARGE: RefusalSite = {
  id: 'TYPE1_MAPPING_TOO_LARGE',
  errno: EINVAL,
  spec: 'V26',
  operands: { pages: 'u64' },
  sentence: 'a mapping has {pages} pages, more than dirty tracking can count',
  remedy: 'map smaller pieces',
}

export const TYPE1_BITMAP_UNUSABLE: RefusalSite = {
  id: 'TYPE1_BITMAP_UNUSABLE',
  errno: EINVAL,
  spec: 'V26',
  operands: { pages: 'u32', bytes: 'u32', pageSize: 'u32' },
  sentence:
    'the bitmap has {bytes} bytes with {pageSize} bytes per bit for a range of {pages} pages',
  remedy: 'use the smallest page size, and 8 bytes for each 64 pages begun',
}

export const TYPE1_BITMAP_RANGE: RefusalSite = {
  id: 'TYPE1_BITMAP_RANGE',
  errno: EINVAL,
  spec: 'V26',
  operands: { iova: 'u64', size: 'u64' },
  sentence: '{size} bytes at iova {iova} are not aligned, empty, too many, or cut a mapping',
  remedy: 'ask for whole mappings',
}

export const TYPE1_PIN_UNMAPPED: RefusalSite = {
  id: 'TYPE1_PIN_UNMAPPED',
  errno: EINVAL,
  spec: 'V33',
  operands: { page: 'u64' },
  sentence: 'a device pins page {page} of the IOVAs, where nothing is mapped',
  remedy: 'map it first',
}

export const TYPE1_PIN_DENIED: RefusalSite = {
  id: 'TYPE1_PIN_DENIED',
  errno: EPERM,
  spec: 'V33',
  operands: { page: 'u64' },
  sentence: 'a device pins page {page} of the IOVAs for writing, which is mapped for reading',
  remedy: 'map it with VFIO_DMA_MAP_FLAG_WRITE',
}
