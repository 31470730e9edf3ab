// SPDX-License-Identifier: Apache-2.0
/**
 * What is refused of vIOMMUs and what stands on them (SPEC L1, L5, L9, L10, L12 to L14).
 *
 * Invariant: as in refusals.ts, which names them to others.
 */
import type { RefusalSite } from '@iommufd/core'
import {
  EEXIST,
  EFAULT,
  EINVAL,
  EMFILE,
  ENOENT,
  ENOMEM,
  EOPNOTSUPP,
  EOVERFLOW,
  ERANGE,
} from '@iommufd/uapi'

export const VIOMMU_FLAGS_OR_TYPE: RefusalSite = {
  id: 'VIOMMU_FLAGS_OR_TYPE',
  errno: EOPNOTSUPP,
  spec: 'L9',
  operands: { flags: 'flags', type: 'flags' },
  sentence: 'flags {flags} or type {type} of a vIOMMU is not known',
  remedy: 'use flags 0 and the type of the hardware',
}

export const VIOMMU_UNSUPPORTED: RefusalSite = {
  id: 'VIOMMU_UNSUPPORTED',
  errno: EOPNOTSUPP,
  spec: 'L9',
  operands: { device: 'u32', type: 'flags' },
  sentence: 'the IOMMU driver of device {device} has no vIOMMUs of type {type}',
  remedy:
    'ask IOMMU_GET_HW_INFO what the IOMMU is, or make nested tables on the paging table itself',
}

export const NESTED_VIOMMU_UNSUPPORTED: RefusalSite = {
  id: 'NESTED_VIOMMU_UNSUPPORTED',
  errno: EOPNOTSUPP,
  spec: 'L1',
  operands: { viommu: 'u32' },
  sentence: 'the IOMMU driver makes no nested tables on vIOMMU {viommu}',
  remedy: 'make the table on the nesting parent',
}

export const VIOMMU_OF_OTHER_IOMMU: RefusalSite = {
  id: 'VIOMMU_OF_OTHER_IOMMU',
  errno: EINVAL,
  spec: 'L1',
  operands: { device: 'u32', viommu: 'u32' },
  sentence: 'device {device} is behind another IOMMU than vIOMMU {viommu}',
  remedy: 'make a vIOMMU for each physical IOMMU',
}

export const USER_DATA_ARRAY_EMPTY: RefusalSite = {
  id: 'USER_DATA_ARRAY_EMPTY',
  errno: EINVAL,
  spec: 'L5',
  operands: {},
  sentence: 'there is no entry',
  remedy: 'give at least one entry; only the right data_type can be asked for with none',
}

export const VDEVICE_OF_OTHER_IOMMU: RefusalSite = {
  id: 'VDEVICE_OF_OTHER_IOMMU',
  errno: EINVAL,
  spec: 'L10',
  operands: { device: 'u32', viommu: 'u32' },
  sentence: 'device {device} is behind another IOMMU than vIOMMU {viommu}',
  remedy: 'make a vIOMMU for each physical IOMMU',
}

export const DEVICE_HAS_VDEVICE: RefusalSite = {
  id: 'DEVICE_HAS_VDEVICE',
  errno: EEXIST,
  spec: 'L10',
  operands: { device: 'u32', vdevice: 'u32' },
  sentence: 'device {device} has the virtual device {vdevice} already',
  remedy: 'a device has one number on one vIOMMU: destroy the other one first',
}

export const VIRT_ID_TAKEN: RefusalSite = {
  id: 'VIRT_ID_TAKEN',
  errno: EEXIST,
  spec: 'L10',
  operands: { virtId: 'u64', viommu: 'u32' },
  sentence: 'another device of vIOMMU {viommu} has the number {virtId}',
  remedy: 'use the number that the guest knows the device by',
}

export const VDEV_ID_UNKNOWN: RefusalSite = {
  id: 'VDEV_ID_UNKNOWN',
  errno: ENOENT,
  spec: 'L10',
  operands: { viommu: 'u32' },
  sentence: 'the device has no number on vIOMMU {viommu}',
  remedy: 'give it one with IOMMU_VDEVICE_ALLOC',
}

export const VEVENTQ_FLAGS_OR_TYPE: RefusalSite = {
  id: 'VEVENTQ_FLAGS_OR_TYPE',
  errno: EOPNOTSUPP,
  spec: 'L12',
  operands: { flags: 'flags', type: 'flags', reserved: 'flags' },
  sentence: 'flags {flags}, type {type} or __reserved {reserved} of an event queue is not known',
  remedy: 'use flags 0 and a type of the vIOMMU',
}

export const VEVENTQ_DEPTH: RefusalSite = {
  id: 'VEVENTQ_DEPTH',
  errno: EINVAL,
  spec: 'L12',
  operands: { depth: 'u32' },
  sentence: 'an event queue cannot hold {depth} events',
  remedy: 'use 1 to 524288',
}

export const VEVENTQ_EXISTS: RefusalSite = {
  id: 'VEVENTQ_EXISTS',
  errno: EEXIST,
  spec: 'L12',
  operands: { viommu: 'u32', type: 'flags', queue: 'u32' },
  sentence: 'vIOMMU {viommu} has queue {queue} for events of type {type} already',
  remedy: 'read that one; a vIOMMU has one queue for each type',
}

export const VEVENTQ_NO_DESCRIPTOR: RefusalSite = {
  id: 'VEVENTQ_NO_DESCRIPTOR',
  errno: EMFILE,
  spec: 'L12',
  operands: {},
  sentence: 'the process has no free descriptor for the event queue',
  remedy: 'close descriptors that are not needed any more',
}

export const VEVENTQ_MISSING: RefusalSite = {
  id: 'VEVENTQ_MISSING',
  errno: EOPNOTSUPP,
  spec: 'L12',
  operands: { viommu: 'u32', type: 'flags' },
  sentence: 'vIOMMU {viommu} has no queue for events of type {type}',
  remedy: 'make one with IOMMU_VEVENTQ_ALLOC',
}

export const VEVENTQ_READ_TOO_SHORT: RefusalSite = {
  id: 'VEVENTQ_READ_TOO_SHORT',
  errno: EINVAL,
  spec: 'L13',
  operands: { length: 'u32' },
  sentence: '{length} bytes are less than the header of an event',
  remedy: 'give room for struct iommufd_vevent_header and the event',
}

export const VEVENT_TOO_LONG: RefusalSite = {
  id: 'VEVENT_TOO_LONG',
  errno: EINVAL,
  spec: 'L13',
  operands: { bytes: 'u32', room: 'u32' },
  sentence: 'the next event has {bytes} bytes with its header, and there is room for {room}',
  remedy: 'give room for the header and the largest event of this type',
}

export const HW_QUEUE_FLAGS_OR_TYPE: RefusalSite = {
  id: 'HW_QUEUE_FLAGS_OR_TYPE',
  errno: EOPNOTSUPP,
  spec: 'L14',
  operands: { flags: 'flags', type: 'flags' },
  sentence: 'flags {flags} or type {type} of a hardware queue is not known',
  remedy: 'use flags 0 and a type of the vIOMMU',
}

export const HW_QUEUE_EMPTY: RefusalSite = {
  id: 'HW_QUEUE_EMPTY',
  errno: EINVAL,
  spec: 'L14',
  operands: {},
  sentence: 'a hardware queue of 0 bytes is none',
  remedy: 'give the length of the queue',
}

export const HW_QUEUE_WRAPS: RefusalSite = {
  id: 'HW_QUEUE_WRAPS',
  errno: EOVERFLOW,
  spec: 'L14',
  operands: { iova: 'u64', length: 'u64' },
  sentence: '{length} bytes from IOVA {iova} go beyond 2^64 - 1',
  remedy: 'give memory that ends below',
}

export const HW_QUEUE_UNSUPPORTED: RefusalSite = {
  id: 'HW_QUEUE_UNSUPPORTED',
  errno: EOPNOTSUPP,
  spec: 'L14',
  operands: { viommu: 'u32', type: 'flags' },
  sentence: 'vIOMMU {viommu} has no hardware queues of type {type}',
  remedy: 'leave hardware queues out for this vIOMMU',
}

export const HW_QUEUE_OUT_OF_RANGE: RefusalSite = {
  id: 'HW_QUEUE_OUT_OF_RANGE',
  errno: ERANGE,
  spec: 'L14',
  operands: { length: 'u64' },
  sentence: '{length} bytes are more than pages that a u64 counts',
  remedy: 'give the length of the queue',
}

export const HW_QUEUE_TOO_LONG: RefusalSite = {
  id: 'HW_QUEUE_TOO_LONG',
  errno: ENOMEM,
  spec: 'L14',
  operands: { length: 'u64' },
  sentence: '{length} bytes have more pages than a list of them can hold',
  remedy: 'give the length of the queue',
}

export const HW_QUEUE_NOT_CONTIGUOUS: RefusalSite = {
  id: 'HW_QUEUE_NOT_CONTIGUOUS',
  errno: EFAULT,
  spec: 'L14',
  operands: { page: 'u32' },
  sentence: 'page {page} of the queue does not follow the one before it in physical memory',
  remedy: 'use memory of one huge page, or a queue of one page',
}

export const HW_QUEUE_NEEDS_ITSELF: RefusalSite = {
  id: 'HW_QUEUE_NEEDS_ITSELF',
  errno: EINVAL,
  spec: 'section 5',
  operands: { queue: 'u32' },
  sentence: 'the driver lets hardware queue {queue} depend on itself',
  remedy: 'name another queue of the vIOMMU',
}
