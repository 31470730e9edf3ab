// SPDX-License-Identifier: Apache-2.0
/** The refusals of the driver model: groups, bound devices, attaching, hardware page tables. */
import type { RefusalSite } from '@iommufd/core'
import {
  E2BIG,
  EBUSY,
  EINVAL,
  ENODEV,
  ENOENT,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  ERANGE,
} from '@iommufd/uapi'

export * from './refusals-of-commands.js'
export * from './refusals-of-viommu.js'

export const DEVICE_WITHOUT_IOMMU: RefusalSite = {
  id: 'DEVICE_WITHOUT_IOMMU',
  errno: ENODEV,
  spec: 'section 5',
  operands: {},
  sentence: 'no IOMMU driver serves the device, so it has no group',
  remedy: 'register a driver that takes the device, then add the device with Iommu.addDevice',
}

/** Its errno and sentence are the driver's. */
export const DRIVER_REFUSED: RefusalSite = {
  id: 'DRIVER_REFUSED',
  errno: EINVAL,
  spec: 'section 8',
  operands: {},
  sentence: 'the IOMMU driver does not accept this',
  remedy: 'see what the driver documents; a table made for one device need not fit another',
}

export const GROUP_OWNED: RefusalSite = {
  id: 'GROUP_OWNED',
  errno: EBUSY,
  spec: 'section 5',
  operands: {},
  sentence: "the device's group belongs to another context",
  remedy: 'bind all devices of a group to one context, or unbind them there first',
}

export const GROUP_USED_BY_HOST: RefusalSite = {
  id: 'GROUP_USED_BY_HOST',
  errno: EBUSY,
  spec: 'section 5',
  operands: {},
  sentence: "a driver of the host does DMA with a device of the device's group",
  remedy: 'unbind every device of the group from the drivers of the host first',
}

export const DEVICE_NEEDS_DIRECT: RefusalSite = {
  id: 'DEVICE_NEEDS_DIRECT',
  errno: EINVAL,
  spec: 'section 8',
  operands: {},
  sentence:
    'a device of the group must find a region mapped one to one at all times, so it cannot be blocked',
  remedy:
    'leave the device to the host; only a driver that reports IOMMU_RESV_DIRECT_RELAXABLE instead lets it go',
}

export const GROUP_ATTACHED: RefusalSite = {
  id: 'GROUP_ATTACHED',
  errno: EBUSY,
  spec: 'E8',
  operands: {},
  sentence: 'the group is attached to a domain already',
  remedy: 'detach it first, or replace the domain',
}

export const DOMAIN_OF_OTHER_DRIVER: RefusalSite = {
  id: 'DOMAIN_OF_OTHER_DRIVER',
  errno: EINVAL,
  spec: 'section 8',
  operands: {},
  sentence: "the domain was made by another driver than the device's",
  remedy: 'use a table that was made for a device of the same driver',
}

export const DEVICE_NOT_COHERENT: RefusalSite = {
  id: 'DEVICE_NOT_COHERENT',
  errno: EINVAL,
  spec: 'section 5',
  operands: {},
  sentence: 'the IOMMU of the device has no IOMMU_CAP_CACHE_COHERENCY',
  remedy: 'iommufd maps cache-coherent memory alone; the device cannot be used with it',
}

export const INTERRUPTS_NOT_ISOLATED: RefusalSite = {
  id: 'INTERRUPTS_NOT_ISOLATED',
  errno: EPERM,
  spec: 'section 5',
  operands: {},
  sentence: 'a device of the group could raise interrupts that were not set up for it',
  remedy: 'enable interrupt remapping, or accept the risk with allowUnsafeInterrupts',
}

export const PT_UNKNOWN: RefusalSite = {
  id: 'PT_UNKNOWN',
  errno: ENOENT,
  spec: 'E8',
  operands: { id: 'u32' },
  sentence: 'this context has no object with id {id} to attach to',
  remedy: 'attach to the id of an IOAS or of a hardware page table of the same context',
}

export const OBJECT_NOT_ATTACHABLE: RefusalSite = {
  id: 'OBJECT_NOT_ATTACHABLE',
  errno: EINVAL,
  spec: 'E8',
  operands: { id: 'u32' },
  sentence: 'object {id} is neither an IOAS nor a hardware page table',
  remedy: 'attach to the id of an IOAS or of a hardware page table',
}

export const DEVICE_ATTACHED_ALREADY: RefusalSite = {
  id: 'DEVICE_ATTACHED_ALREADY',
  errno: EBUSY,
  spec: 'E8',
  operands: {},
  sentence: 'the device is attached already',
  remedy: 'use iommufd_device_replace to change its table',
}

export const DEVICE_NOT_ATTACHED: RefusalSite = {
  id: 'DEVICE_NOT_ATTACHED',
  errno: EINVAL,
  spec: 'E10',
  operands: {},
  sentence: 'the device is not attached, so there is nothing to replace',
  remedy: 'use iommufd_device_attach first',
}

export const GROUP_HAS_OTHER_HWPT: RefusalSite = {
  id: 'GROUP_HAS_OTHER_HWPT',
  errno: EINVAL,
  spec: 'E8',
  operands: { hwpt: 'u32' },
  sentence: 'other devices of the group are attached to hwpt {hwpt}',
  remedy: 'attach to hwpt {hwpt}; a group can only use one table',
}

export const PASID_UNSUPPORTED: RefusalSite = {
  id: 'PASID_UNSUPPORTED',
  errno: EOPNOTSUPP,
  spec: 'E10',
  operands: { pasid: 'u32' },
  sentence: 'the IOMMU driver has no tables for PASIDs, and so none for PASID {pasid}',
  remedy: 'use IOMMU_NO_PASID (0)',
}

export const PASID_OUT_OF_RANGE: RefusalSite = {
  id: 'PASID_OUT_OF_RANGE',
  errno: EINVAL,
  spec: 'E10',
  operands: { pasid: 'u32', limit: 'u32' },
  sentence: 'a device of the group cannot send PASID {pasid}, only those below {limit} (0: none)',
  remedy: 'use a PASID below {limit}, or a device that has PASIDs',
}

export const HWPT_WITHOUT_PASID: RefusalSite = {
  id: 'HWPT_WITHOUT_PASID',
  errno: EINVAL,
  spec: 'E10',
  operands: { pasid: 'u32', hwpt: 'u32' },
  sentence: 'PASID {pasid} needs a table made for PASIDs, which hwpt {hwpt} is not',
  remedy:
    'make a table by IOMMU_HWPT_ALLOC with IOMMU_HWPT_ALLOC_PASID; one that attaching to an IOAS makes is never fit',
}

export const DEVICE_HWPT_WITHOUT_PASID: RefusalSite = {
  id: 'DEVICE_HWPT_WITHOUT_PASID',
  errno: EINVAL,
  spec: 'E10',
  operands: { pasid: 'u32', hwpt: 'u32' },
  sentence:
    'beside PASID {pasid} the device would use hwpt {hwpt} without a PASID, which is not made for that',
  remedy: 'move the device to a table made with IOMMU_HWPT_ALLOC_PASID first, or detach it',
}

export const GROUP_USES_PASIDS: RefusalSite = {
  id: 'GROUP_USES_PASIDS',
  errno: EINVAL,
  spec: 'E10',
  operands: { hwpt: 'u32' },
  sentence: 'PASIDs of the group are attached, and hwpt {hwpt} is not made for use beside PASIDs',
  remedy: 'use a table made with IOMMU_HWPT_ALLOC_PASID, or detach the PASIDs first',
}

export const FAULT_HWPT_FOR_VF: RefusalSite = {
  id: 'FAULT_HWPT_FOR_VF',
  errno: EINVAL,
  spec: 'E10',
  operands: { hwpt: 'u32' },
  sentence:
    'hwpt {hwpt} handles page faults, and the device is a virtual function that shares its page requests with others',
  remedy: 'use a table made without IOMMU_HWPT_FAULT_ID_VALID',
}

export const PAGE_RESPONSE_UNSUPPORTED: RefusalSite = {
  id: 'PAGE_RESPONSE_UNSUPPORTED',
  errno: ENODEV,
  spec: 'section 8',
  operands: {},
  sentence: 'the IOMMU driver of the device cannot tell it answers to page requests',
  remedy: 'give the driver the op pageResponse, or use a table without a fault queue',
}

export const FAULT_UNHANDLED: RefusalSite = {
  id: 'FAULT_UNHANDLED',
  errno: EINVAL,
  spec: 'section 8',
  operands: { pasid: 'u32' },
  sentence: 'no table that handles page faults is attached for PASID {pasid} of the device',
  remedy: 'attach a table made with IOMMU_HWPT_FAULT_ID_VALID',
}

export const MSI_PAGES_EXHAUSTED: RefusalSite = {
  id: 'MSI_PAGES_EXHAUSTED',
  errno: EOVERFLOW,
  spec: 'E9',
  operands: { limit: 'u32' },
  sentence: 'the context has mapped {limit} interrupt pages, as many as it can',
  remedy: 'spread the devices over several contexts',
}

export const MSI_PAGE_TOO_HIGH: RefusalSite = {
  id: 'MSI_PAGE_TOO_HIGH',
  errno: ERANGE,
  spec: 'E9',
  operands: { address: 'u64' },
  sentence: 'the interrupt page at {address} lies above what a table of 44-bit addresses can reach',
  remedy: 'give the physical address of the page that interrupts are written to, below 2^44',
}

export const MSI_REGIONS_CONTRADICT: RefusalSite = {
  id: 'MSI_REGIONS_CONTRADICT',
  errno: EINVAL,
  spec: 'E8',
  operands: {},
  sentence:
    'the device has two windows for interrupts mapped by software, or one beside a fixed one',
  remedy: 'the driver must report IOMMU_RESV_MSI regions or one IOMMU_RESV_SW_MSI region, not both',
}

export const HWPT_RESERVED_NOT_ZERO: RefusalSite = {
  id: 'HWPT_RESERVED_NOT_ZERO',
  errno: EOPNOTSUPP,
  spec: 'L1',
  operands: { reserved: 'flags' },
  sentence: '__reserved is {reserved}',
  remedy: 'zero the whole struct before setting fields',
}

export const HWPT_DATA_CONTRADICTS: RefusalSite = {
  id: 'HWPT_DATA_CONTRADICTS',
  errno: EINVAL,
  spec: 'L1',
  operands: { type: 'u32', length: 'u32' },
  sentence: 'data_type {type} and data_len {length} contradict each other',
  remedy: 'give a type and a length, or IOMMU_HWPT_DATA_NONE and 0',
}

export const PARENT_UNKNOWN: RefusalSite = {
  id: 'PARENT_UNKNOWN',
  errno: EINVAL,
  spec: 'L1',
  operands: { id: 'u32' },
  sentence: 'this context has no object with id {id} to make a table on',
  remedy: 'set pt_id to an IOAS, or to a table made with IOMMU_HWPT_ALLOC_NEST_PARENT',
}

export const PARENT_UNUSABLE: RefusalSite = {
  id: 'PARENT_UNUSABLE',
  errno: EINVAL,
  spec: 'L1',
  operands: { id: 'u32' },
  sentence: 'no table can be made on object {id}',
  remedy: 'set pt_id to an IOAS, or to a table made with IOMMU_HWPT_ALLOC_NEST_PARENT',
}

export const HWPT_FLAGS_UNSUPPORTED: RefusalSite = {
  id: 'HWPT_FLAGS_UNSUPPORTED',
  errno: EOPNOTSUPP,
  spec: 'L1',
  operands: { flags: 'flags', type: 'u32' },
  sentence: 'the IOMMU driver knows neither flags ({flags}) nor data (type {type}) of tables',
  remedy: 'use flags 0 and IOMMU_HWPT_DATA_NONE with this device',
}

export const HWPT_FLAGS_UNKNOWN: RefusalSite = {
  id: 'HWPT_FLAGS_UNKNOWN',
  errno: EOPNOTSUPP,
  spec: 'L1',
  operands: { flags: 'flags', known: 'flags' },
  sentence: 'flags {flags} has bits outside {known}',
  remedy: 'use only the flags that this kernel knows',
}

export const DIRTY_TRACKING_UNSUPPORTED: RefusalSite = {
  id: 'DIRTY_TRACKING_UNSUPPORTED',
  errno: EOPNOTSUPP,
  spec: 'L1',
  operands: { device: 'u32' },
  sentence: 'the IOMMU of device {device} does not record which pages were written',
  remedy: 'ask for IOMMU_HW_CAP_DIRTY_TRACKING with IOMMU_GET_HW_INFO before using the flag',
}

export const NEST_PARENT_WITH_FAULTS: RefusalSite = {
  id: 'NEST_PARENT_WITH_FAULTS',
  errno: EOPNOTSUPP,
  spec: 'L1',
  operands: {},
  sentence: 'a table cannot be a nesting parent and have a fault queue',
  remedy: 'give the fault queue to the nested table',
}

export const COHERENCY_NOT_ENFORCED: RefusalSite = {
  id: 'COHERENCY_NOT_ENFORCED',
  errno: EINVAL,
  spec: 'section 8',
  operands: {},
  sentence:
    'the driver reports IOMMU_CAP_ENFORCE_CACHE_COHERENCY, but its table does not enforce it',
  remedy: 'the driver must implement enforceCacheCoherency, or not report the capability',
}

export const NESTED_FLAGS_UNKNOWN: RefusalSite = {
  id: 'NESTED_FLAGS_UNKNOWN',
  errno: EOPNOTSUPP,
  spec: 'L1',
  operands: { flags: 'flags', known: 'flags' },
  sentence: 'flags {flags} of a nested table has bits outside {known}',
  remedy: 'nesting parents and dirty tracking are properties of the table below',
}

export const NESTED_WITHOUT_DATA: RefusalSite = {
  id: 'NESTED_WITHOUT_DATA',
  errno: EOPNOTSUPP,
  spec: 'L1',
  operands: {},
  sentence: 'a nested table needs data for the driver',
  remedy: "give data_type, data_len and data_uptr; or set pt_id to the parent's IOAS",
}

export const NESTED_UNSUPPORTED: RefusalSite = {
  id: 'NESTED_UNSUPPORTED',
  errno: EOPNOTSUPP,
  spec: 'L1',
  operands: {},
  sentence: 'the IOMMU driver of the device has no nested tables',
  remedy: 'use tables on an IOAS with this device',
}

export const NO_NEST_PARENT: RefusalSite = {
  id: 'NO_NEST_PARENT',
  errno: EINVAL,
  spec: 'L1',
  operands: { hwpt: 'u32' },
  sentence: 'hwpt {hwpt} was not made to be a nesting parent',
  remedy: 'make the parent with IOMMU_HWPT_ALLOC_NEST_PARENT',
}

export const PARENT_OF_OTHER_DRIVER: RefusalSite = {
  id: 'PARENT_OF_OTHER_DRIVER',
  errno: EINVAL,
  spec: 'L1',
  operands: { hwpt: 'u32' },
  sentence: 'hwpt {hwpt} belongs to another IOMMU driver than the device',
  remedy: 'make the parent for a device of the same driver',
}

export const FAULT_QUEUE_UNKNOWN: RefusalSite = {
  id: 'FAULT_QUEUE_UNKNOWN',
  errno: ENOENT,
  spec: 'L1',
  operands: { id: 'u32' },
  sentence: 'this context has no fault queue with id {id}',
  remedy: 'name one made by IOMMU_FAULT_QUEUE_ALLOC, or leave IOMMU_HWPT_FAULT_ID_VALID out',
}

export const USER_DATA_TYPE: RefusalSite = {
  id: 'USER_DATA_TYPE',
  errno: EINVAL,
  spec: 'L1',
  operands: { type: 'u32', known: 'u32' },
  sentence: 'the data has type {type}; the driver takes {known}',
  remedy: 'use the data type of the hardware, which IOMMU_GET_HW_INFO names',
}

export const USER_DATA_TOO_SHORT: RefusalSite = {
  id: 'USER_DATA_TOO_SHORT',
  errno: EINVAL,
  spec: 'L1',
  operands: { length: 'u32', minimum: 'u32' },
  sentence: 'the data has {length} bytes; the driver needs at least {minimum}',
  remedy: 'set the length to sizeof the struct of this data type',
}

export const USER_DATA_TOO_LONG: RefusalSite = {
  id: 'USER_DATA_TOO_LONG',
  errno: EINVAL,
  spec: 'L1',
  operands: { length: 'u32', known: 'u32' },
  sentence: 'the data has {length} bytes; the driver knows {known}',
  remedy: 'give the length of the struct that this driver knows',
}

export const USER_DATA_TAIL_NOT_ZERO: RefusalSite = {
  id: 'USER_DATA_TAIL_NOT_ZERO',
  errno: E2BIG,
  spec: 'L1',
  operands: { length: 'u32', known: 'u32' },
  sentence: 'of {length} bytes of data, those after the known {known} are not zero',
  remedy: 'zero what lies behind the fields this driver knows',
}
