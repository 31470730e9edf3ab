// SPDX-License-Identifier: Apache-2.0
/**
 * What the commands on devices, tables and queues refuse beside IOMMU_HWPT_ALLOC (SPEC L2 to L14).
 *
 * Invariant: as in refusals.ts, which names them to others.
 */
import type { RefusalSite } from '@iommufd/core'
import { EINVAL, EMFILE, EOPNOTSUPP, EOVERFLOW, ESPIPE } from '@iommufd/uapi'

export const FAULT_QUEUE_FLAGS_NOT_ZERO: RefusalSite = {
  id: 'FAULT_QUEUE_FLAGS_NOT_ZERO',
  errno: EOPNOTSUPP,
  spec: 'L6',
  operands: { flags: 'flags' },
  sentence: 'flags of a fault queue is {flags}',
  remedy: 'zero the whole struct before setting fields',
}

export const FAULT_QUEUE_NO_DESCRIPTOR: RefusalSite = {
  id: 'FAULT_QUEUE_NO_DESCRIPTOR',
  errno: EMFILE,
  spec: 'L6',
  operands: {},
  sentence: 'the process has no free descriptor for the fault queue',
  remedy: 'close descriptors that are not needed any more',
}

export const FAULT_QUEUE_LENGTH: RefusalSite = {
  id: 'FAULT_QUEUE_LENGTH',
  errno: ESPIPE,
  spec: 'L7',
  operands: { length: 'u32', record: 'u32' },
  sentence: '{length} bytes are not a whole number of records of {record} bytes',
  remedy: 'read whole struct iommu_hwpt_pgfault, write whole struct iommu_hwpt_page_response',
}

export const FAULT_GROUP_TOO_LARGE: RefusalSite = {
  id: 'FAULT_GROUP_TOO_LARGE',
  errno: EINVAL,
  spec: 'L7',
  operands: { length: 'u32' },
  sentence: 'the first group of faults has {length} bytes, more than the buffer',
  remedy: 'read with a buffer of at least {length} bytes: a group is read whole',
}

export const FAULT_RESPONSE_CODE: RefusalSite = {
  id: 'FAULT_RESPONSE_CODE',
  errno: EINVAL,
  spec: 'L7',
  operands: { code: 'u32' },
  sentence: 'a response cannot have code {code}',
  remedy: 'use IOMMUFD_PAGE_RESP_SUCCESS (0) or IOMMUFD_PAGE_RESP_INVALID (1)',
}

export const FAULT_RESPONSE_COOKIE: RefusalSite = {
  id: 'FAULT_RESPONSE_COOKIE',
  errno: EINVAL,
  spec: 'L7',
  operands: { cookie: 'u32' },
  sentence: 'no faults read from the queue await a response with cookie {cookie}',
  remedy: 'answer with the cookie that was read, once for each group of faults',
}

export const HW_INFO_FLAGS_UNKNOWN: RefusalSite = {
  id: 'HW_INFO_FLAGS_UNKNOWN',
  errno: EOPNOTSUPP,
  spec: 'L2',
  operands: { flags: 'flags', known: 'flags' },
  sentence: 'flags {flags} has bits outside {known}',
  remedy: 'use IOMMU_HW_INFO_FLAG_INPUT_TYPE or 0',
}

export const HW_INFO_RESERVED_NOT_ZERO: RefusalSite = {
  id: 'HW_INFO_RESERVED_NOT_ZERO',
  errno: EOPNOTSUPP,
  spec: 'L2',
  operands: { reserved: 'flags' },
  sentence: '__reserved is {reserved}',
  remedy: 'zero the whole struct before setting fields',
}

export const INVALIDATE_RESERVED_NOT_ZERO: RefusalSite = {
  id: 'INVALIDATE_RESERVED_NOT_ZERO',
  errno: EOPNOTSUPP,
  spec: 'L5',
  operands: { reserved: 'flags' },
  sentence: '__reserved is {reserved}',
  remedy: 'zero the whole struct before setting fields',
}

export const INVALIDATE_ENTRIES_BAD: RefusalSite = {
  id: 'INVALIDATE_ENTRIES_BAD',
  errno: EINVAL,
  spec: 'L5',
  operands: { count: 'u32', length: 'u32' },
  sentence:
    '{count} entries of {length} bytes cannot be read: they are too many, too long, too short or nowhere',
  remedy:
    'give at most 524288 entries of 1 to 4096 bytes with their address, or none to ask whether it is supported',
}

export const INVALIDATE_OBJECT_WRONG: RefusalSite = {
  id: 'INVALIDATE_OBJECT_WRONG',
  errno: EINVAL,
  spec: 'L5',
  operands: { id: 'u32' },
  sentence: 'object {id} is neither a nested table nor a vIOMMU',
  remedy: 'name the table that the guest has changed',
}

export const INVALIDATE_UNSUPPORTED: RefusalSite = {
  id: 'INVALIDATE_UNSUPPORTED',
  errno: EOPNOTSUPP,
  spec: 'L5',
  operands: { id: 'u32' },
  sentence: 'the IOMMU driver remembers nothing of object {id} that a guest could invalidate',
  remedy: 'leave invalidation out for this driver',
}

export const DIRTY_FLAGS_UNKNOWN: RefusalSite = {
  id: 'DIRTY_FLAGS_UNKNOWN',
  errno: EOPNOTSUPP,
  spec: 'L3',
  operands: { flags: 'flags', known: 'flags' },
  sentence: 'flags {flags} has bits outside {known}',
  remedy: 'use only flags that this kernel knows',
}

export const DIRTY_RESERVED_NOT_ZERO: RefusalSite = {
  id: 'DIRTY_RESERVED_NOT_ZERO',
  errno: EOPNOTSUPP,
  spec: 'L4',
  operands: { reserved: 'flags' },
  sentence: '__reserved is {reserved}',
  remedy: 'zero the whole struct before setting fields',
}

export const DIRTY_NOT_TRACKED: RefusalSite = {
  id: 'DIRTY_NOT_TRACKED',
  errno: EOPNOTSUPP,
  spec: 'L3',
  operands: { hwpt: 'u32' },
  sentence: 'hwpt {hwpt} does not record which pages were written',
  remedy: 'make the table with IOMMU_HWPT_ALLOC_DIRTY_TRACKING',
}

export const DIRTY_RANGE_WRAPS: RefusalSite = {
  id: 'DIRTY_RANGE_WRAPS',
  errno: EOVERFLOW,
  spec: 'L4',
  operands: { iova: 'u64', length: 'u64' },
  sentence: '{length} bytes from IOVA {iova} go beyond 2^64 - 1',
  remedy: 'ask for a range that ends below',
}

export const DIRTY_RANGE_BAD: RefusalSite = {
  id: 'DIRTY_RANGE_BAD',
  errno: EINVAL,
  spec: 'L4',
  operands: { iova: 'u64', length: 'u64', pageSize: 'u64' },
  sentence: '{length} bytes from IOVA {iova} cannot be told in pages of {pageSize} bytes',
  remedy:
    'let both ends be multiples of a power of two of page_size, and of the alignment of the address space',
}
