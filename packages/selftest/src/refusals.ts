// SPDX-License-Identifier: Apache-2.0
/** The refusals of IOMMU_TEST_CMD. */
import type { RefusalSite } from '@iommufd/core'
import {
  EBADE,
  EBADFD,
  EFAULT,
  EINVAL,
  EIO,
  ENOENT,
  ENOMEM,
  EOPNOTSUPP,
  EOVERFLOW,
} from '@iommufd/uapi'

export * from './refusals-of-viommu.js'

export const TEST_OP_UNKNOWN: RefusalSite = {
  id: 'TEST_OP_UNKNOWN',
  errno: EOPNOTSUPP,
  spec: 'section 10',
  operands: { op: 'u32' },
  sentence: 'IOMMU_TEST_CMD has no operation {op} here',
  remedy: 'see the list of operations that are implemented',
}

export const TEST_FLAGS_UNKNOWN: RefusalSite = {
  id: 'TEST_FLAGS_UNKNOWN',
  errno: EOPNOTSUPP,
  spec: 'section 10',
  operands: { flags: 'flags', known: 'flags' },
  sentence: 'flags {flags} has bits outside {known}',
  remedy: 'use only the flags of this operation',
}

export const RESERVED_LENGTH_ZERO: RefusalSite = {
  id: 'RESERVED_LENGTH_ZERO',
  errno: EINVAL,
  spec: 'section 10',
  operands: { start: 'u64' },
  sentence: 'the range to reserve at {start} has length 0',
  remedy: 'reserve at least one byte',
}

export const RESERVED_RANGE_WRAPS: RefusalSite = {
  id: 'RESERVED_RANGE_WRAPS',
  errno: EOVERFLOW,
  spec: 'section 10',
  operands: { start: 'u64', length: 'u64' },
  sentence: '{length} bytes to reserve at {start} run past the end of the 64-bit space',
  remedy: 'check start and length',
}

export const FD_IS_NO_ACCESS: RefusalSite = {
  id: 'FD_IS_NO_ACCESS',
  errno: EBADFD,
  spec: 'section 10',
  operands: { fd: 's32' },
  sentence: 'descriptor {fd} is not an open access',
  remedy: 'pass a descriptor that IOMMU_TEST_OP_CREATE_ACCESS gave',
}

export const NO_FREE_DESCRIPTOR: RefusalSite = {
  id: 'NO_FREE_DESCRIPTOR',
  errno: ENOMEM,
  spec: 'section 10',
  operands: {},
  sentence: 'the process has no free descriptor',
  remedy: 'close descriptors',
}

export const ACCESS_TOO_LARGE: RefusalSite = {
  id: 'ACCESS_TOO_LARGE',
  errno: ENOMEM,
  spec: 'section 10',
  operands: { length: 'u64' },
  sentence: 'an access of {length} bytes is larger than the 16 MiB of a test operation',
  remedy: 'use at most 16 MiB at once',
}

export const ACCESS_CANNOT_PIN: RefusalSite = {
  id: 'ACCESS_CANNOT_PIN',
  errno: EOPNOTSUPP,
  spec: 'section 10',
  operands: {},
  sentence: 'the access was created without MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES',
  remedy: 'create it with that flag to pin pages',
}

export const PAGES_DIFFER: RefusalSite = {
  id: 'PAGES_DIFFER',
  errno: EBADE,
  spec: 'section 10',
  operands: { address: 'u64', frame: 'u32', pinned: 'u32' },
  sentence: 'at {address} the caller sees frame {frame}, but frame {pinned} is pinned',
  remedy: 'the caller must have the same page there as the process that mapped it',
}

export const PAGE_NOT_THERE: RefusalSite = {
  id: 'PAGE_NOT_THERE',
  errno: EFAULT,
  spec: 'section 10',
  operands: { address: 'u64' },
  sentence: 'the caller has no page at {address}',
  remedy: 'pass an address of mapped memory',
}

export const PINNED_ITEM_UNKNOWN: RefusalSite = {
  id: 'PINNED_ITEM_UNKNOWN',
  errno: ENOENT,
  spec: 'section 10',
  operands: { id: 'u32' },
  sentence: 'this access holds no pinned pages with id {id}',
  remedy: 'use the id that IOMMU_TEST_OP_ACCESS_PAGES gave; an unmapped range is gone already',
}

export const REFS_MISALIGNED: RefusalSite = {
  id: 'REFS_MISALIGNED',
  errno: EINVAL,
  spec: 'section 10',
  operands: { address: 'u64', length: 'u64' },
  sentence: '{length} bytes at {address} are not whole pages, or run past the end of the space',
  remedy: 'check whole pages',
}

export const REFS_DIFFER: RefusalSite = {
  id: 'REFS_DIFFER',
  errno: EIO,
  spec: 'section 10',
  operands: { address: 'u64', pins: 'u32', asked: 'u32' },
  sentence: 'the page at {address} has {pins} pins, not {asked}',
  remedy: 'a normal answer: not this many pins',
}

export const MEMORY_LIMIT_TOO_SMALL: RefusalSite = {
  id: 'MEMORY_LIMIT_TOO_SMALL',
  errno: EINVAL,
  spec: 'section 10',
  operands: { limit: 'u32' },
  sentence: 'a temporary memory limit of {limit} bytes does not hold one batch entry',
  remedy: 'use at least 12 bytes',
}

export const MOCK_FLAGS_UNKNOWN: RefusalSite = {
  id: 'MOCK_FLAGS_UNKNOWN',
  errno: EINVAL,
  spec: 'section 10',
  operands: { flags: 'flags', known: 'flags' },
  sentence: 'dev_flags {flags} has bits outside {known}',
  remedy: 'use MOCK_FLAGS_DEVICE_NO_DIRTY and MOCK_FLAGS_DEVICE_PASID',
}

export const DEVICE_WITHOUT_DIRTY: RefusalSite = {
  id: 'DEVICE_WITHOUT_DIRTY',
  errno: EINVAL,
  spec: 'section 10',
  operands: {},
  sentence: 'the table tracks dirty pages, which the mock device (NO_DIRTY) cannot',
  remedy: 'attach the device to a table made without IOMMU_HWPT_ALLOC_DIRTY_TRACKING',
}

export const MOCK_MAP_WITHOUT_PERMISSION: RefusalSite = {
  id: 'MOCK_MAP_WITHOUT_PERMISSION',
  errno: EINVAL,
  spec: 'section 9',
  operands: { iova: 'u64' },
  sentence: 'the table has no entry that is neither readable nor writeable, as asked for at {iova}',
  remedy: 'set VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE or both',
}

export const MOCK_TABLE_UNKNOWN: RefusalSite = {
  id: 'MOCK_TABLE_UNKNOWN',
  errno: EOPNOTSUPP,
  spec: 'section 10',
  operands: { type: 'u32' },
  sentence: 'the mock IOMMU has no page tables of type {type}',
  remedy: 'use MOCK_IOMMUPT_DEFAULT (0) or MOCK_IOMMUPT_HUGE (1)',
}

export const MOCK_NESTED_FLAGS: RefusalSite = {
  id: 'MOCK_NESTED_FLAGS',
  errno: EOPNOTSUPP,
  spec: 'section 10',
  operands: { flags: 'flags' },
  sentence: 'the mock IOMMU makes no nested tables with flags {flags}',
  remedy: 'use no flag but IOMMU_HWPT_ALLOC_PASID',
}

export const MOCK_DATA_TYPE: RefusalSite = {
  id: 'MOCK_DATA_TYPE',
  errno: EOPNOTSUPP,
  spec: 'section 10',
  operands: { type: 'u32', known: 'u32' },
  sentence: 'a table of the mock IOMMU takes data of type {known}, not {type}',
  remedy: 'use IOMMU_HWPT_DATA_SELFTEST',
}

export const MOCK_HW_INFO_TYPE: RefusalSite = {
  id: 'MOCK_HW_INFO_TYPE',
  errno: EOPNOTSUPP,
  spec: 'section 10',
  operands: { type: 'u32' },
  sentence: 'the mock IOMMU is not of type {type}',
  remedy: 'ask for IOMMU_HW_INFO_TYPE_SELFTEST, or for IOMMU_HW_INFO_TYPE_DEFAULT (0)',
}

export const MOCK_PASID_REFUSED: RefusalSite = {
  id: 'MOCK_PASID_REFUSED',
  errno: ENOMEM,
  spec: 'section 10',
  operands: { pasid: 'u32' },
  sentence: 'the mock device does not take a second table for PASID {pasid}',
  remedy: 'a fault on purpose (IOMMU_TEST_PASID_RESERVED): try again, or use another PASID',
}

export const HWPT_UNKNOWN: RefusalSite = {
  id: 'HWPT_UNKNOWN',
  errno: ENOENT,
  spec: 'section 10',
  operands: { id: 'u32' },
  sentence: 'this context has no object with id {id}',
  remedy: 'ask for the id of a hardware page table, or for 0: none',
}

export const NO_HWPT: RefusalSite = {
  id: 'NO_HWPT',
  errno: EINVAL,
  spec: 'section 10',
  operands: { id: 'u32' },
  sentence: 'object {id} is not a hardware page table',
  remedy: 'ask for the id of a hardware page table, or for 0: none',
}

export const PASID_HWPT_DIFFERS: RefusalSite = {
  id: 'PASID_HWPT_DIFFERS',
  errno: EINVAL,
  spec: 'section 10',
  operands: { pasid: 'u32', hwpt: 'u32', asked: 'u32' },
  sentence: 'PASID {pasid} of the device uses hwpt {hwpt}, not {asked} (0: none)',
  remedy: 'a normal answer: not this table',
}

export const DIRTY_RANGE_UNUSABLE: RefusalSite = {
  id: 'DIRTY_RANGE_UNUSABLE',
  errno: EINVAL,
  spec: 'section 10',
  operands: { iova: 'u64', length: 'u64', pageSize: 'u64' },
  sentence:
    '{length} bytes from IOVA {iova} are no whole pages of {pageSize} bytes, or there is no bitmap',
  remedy: 'give a bitmap, and multiples of page_size that are not 0',
}

export const DIRTY_NOT_RECORDED: RefusalSite = {
  id: 'DIRTY_NOT_RECORDED',
  errno: EINVAL,
  spec: 'section 10',
  operands: { hwpt: 'u32' },
  sentence: 'hwpt {hwpt} does not record now which pages are written',
  remedy: 'begin with IOMMU_HWPT_SET_DIRTY_TRACKING',
}

export const DIRTY_RANGE_TOO_LONG: RefusalSite = {
  id: 'DIRTY_RANGE_TOO_LONG',
  errno: EOVERFLOW,
  spec: 'section 10',
  operands: {},
  sentence: 'the range has more pages than one bitmap can hold',
  remedy: 'use a shorter range or larger pages',
}

export const MAP_MISALIGNED: RefusalSite = {
  id: 'MAP_MISALIGNED',
  errno: EINVAL,
  spec: 'section 10',
  operands: { iova: 'u64', address: 'u64', length: 'u64' },
  sentence:
    'iova {iova}, address {address} or length {length} is not aligned to pages of the table, or the memory ends behind the space',
  remedy: 'use whole pages of the table, MOCK_PAGE_SIZE bytes each',
}

export const MAP_DIFFERS: RefusalSite = {
  id: 'MAP_DIFFERS',
  errno: EINVAL,
  spec: 'section 10',
  operands: { iova: 'u64', address: 'u64' },
  sentence: 'the table does not map iova {iova} to the memory that the caller has at {address}',
  remedy: 'a normal answer: not mapped, or to another page than the caller sees',
}
