// SPDX-License-Identifier: Apache-2.0
/**
 * What the mock IOMMU and the test operations refuse of nested translation (SPEC section 10).
 *
 * Invariant: as in refusals.ts, which names them to others.
 */
import type { RefusalSite } from '@iommufd/core'
import { EEXIST, EINVAL, EIO, ENOENT, ENOMEM, EOPNOTSUPP } from '@iommufd/uapi'

export const MOCK_INVALIDATE_TYPE: RefusalSite = {
  id: 'MOCK_INVALIDATE_TYPE',
  errno: EINVAL,
  spec: 'section 10',
  operands: { type: 'flags', known: 'flags' },
  sentence: 'the mock IOMMU takes invalidations of type {known}, not {type}',
  remedy: 'use IOMMU_HWPT_INVALIDATE_DATA_SELFTEST or IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST',
}

export const MOCK_INVALIDATE_FLAGS: RefusalSite = {
  id: 'MOCK_INVALIDATE_FLAGS',
  errno: EOPNOTSUPP,
  spec: 'section 10',
  operands: { flags: 'flags' },
  sentence: 'an invalidation has flags {flags}',
  remedy: 'use IOMMU_TEST_INVALIDATE_FLAG_ALL or 0',
}

export const MOCK_INVALIDATE_ENTRY: RefusalSite = {
  id: 'MOCK_INVALIDATE_ENTRY',
  errno: EINVAL,
  spec: 'section 10',
  operands: { entry: 'u32' },
  sentence: 'there is no entry {entry} to be forgotten',
  remedy: 'an IOTLB and a device cache have entries 0 to 3',
}

export const MOCK_INVALIDATE_DEVICE: RefusalSite = {
  id: 'MOCK_INVALIDATE_DEVICE',
  errno: EINVAL,
  spec: 'section 10',
  operands: { virtId: 'u32' },
  sentence: 'no device of the vIOMMU has the number {virtId}',
  remedy: 'use the virt_id of IOMMU_VDEVICE_ALLOC',
}

export const MOCK_INVALIDATE_TOO_MANY: RefusalSite = {
  id: 'MOCK_INVALIDATE_TOO_MANY',
  errno: ENOMEM,
  spec: 'section 10',
  operands: { count: 'u32' },
  sentence: '{count} commands need more than 4 MiB in one piece',
  remedy: 'give at most 349525 commands at once',
}

export const MOCK_HW_QUEUE_INDEX: RefusalSite = {
  id: 'MOCK_HW_QUEUE_INDEX',
  errno: EINVAL,
  spec: 'section 10',
  operands: { index: 'u32', max: 'u32' },
  sentence: 'the mock IOMMU has {max} hardware queues for a vIOMMU, and no number {index}',
  remedy: 'use an index below {max}',
}

export const MOCK_HW_QUEUE_EXISTS: RefusalSite = {
  id: 'MOCK_HW_QUEUE_EXISTS',
  errno: EEXIST,
  spec: 'section 10',
  operands: { index: 'u32' },
  sentence: 'the vIOMMU has hardware queue {index} already',
  remedy: 'destroy that queue, or use the next index',
}

export const MOCK_HW_QUEUE_ORDER: RefusalSite = {
  id: 'MOCK_HW_QUEUE_ORDER',
  errno: EIO,
  spec: 'section 10',
  operands: { index: 'u32', before: 'u32' },
  sentence: 'hardware queue {index} needs queue {before}, which is not there',
  remedy: 'make the queues in the order of their indices',
}

export const IOTLB_DIFFERS: RefusalSite = {
  id: 'IOTLB_DIFFERS',
  errno: EINVAL,
  spec: 'section 10',
  operands: { entry: 'u32', expected: 'flags' },
  sentence: 'entry {entry} of the IOTLB does not hold {expected}, or there is no such entry',
  remedy: 'a normal answer: not this value',
}

export const CACHE_DIFFERS: RefusalSite = {
  id: 'CACHE_DIFFERS',
  errno: EINVAL,
  spec: 'section 10',
  operands: { entry: 'u32', expected: 'flags' },
  sentence: 'entry {entry} of the device cache does not hold {expected}, or there is no such entry',
  remedy: 'a normal answer: not this value',
}

export const NESTED_NOT_MOCK: RefusalSite = {
  id: 'NESTED_NOT_MOCK',
  errno: EINVAL,
  spec: 'section 10',
  operands: { hwpt: 'u32' },
  sentence: 'nested table {hwpt} is not one of the mock IOMMU',
  remedy: 'ask for a table that was made for a mock device',
}

export const DEVICE_NOT_MOCK: RefusalSite = {
  id: 'DEVICE_NOT_MOCK',
  errno: EINVAL,
  spec: 'section 10',
  operands: { device: 'u32' },
  sentence: 'device {device} is not behind the mock IOMMU',
  remedy: 'ask for a device of IOMMU_TEST_OP_MOCK_DOMAIN',
}

export const DEVICE_ON_NO_VIOMMU: RefusalSite = {
  id: 'DEVICE_ON_NO_VIOMMU',
  errno: ENOENT,
  spec: 'section 10',
  operands: { device: 'u32' },
  sentence: 'device {device} uses no nested table of a vIOMMU, or has the number 0 there',
  remedy: 'attach it to a nested table of a vIOMMU on which it has another number',
}
