// SPDX-License-Identifier: Apache-2.0
/** The refusals of this layer: framework, ids, the RLIMIT option, injected faults. */
import {
  E2BIG,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOMEM,
  ENOTTY,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
} from '@iommufd/uapi'
import type { RefusalSite } from './refusal.js'

export const COMMAND_UNKNOWN: RefusalSite = {
  id: 'COMMAND_UNKNOWN',
  errno: ENOTTY,
  spec: 'F2',
  operands: { cmd: 'flags' },
  sentence: 'no command of this file has the number {cmd}',
  remedy:
    'the whole number must match: type 0x3b, direction and size 0; check that this kernel has the command',
}

export const STRUCT_UNREADABLE: RefusalSite = {
  id: 'STRUCT_UNREADABLE',
  errno: EFAULT,
  spec: 'F3',
  operands: { address: 'u64', length: 'u32' },
  sentence: 'the {length} bytes of the argument at {address} cannot be read',
  remedy: 'pass a pointer to mapped, readable memory that holds the whole struct',
}

export const STRUCT_TOO_SMALL: RefusalSite = {
  id: 'STRUCT_TOO_SMALL',
  errno: EINVAL,
  spec: 'F3',
  operands: { size: 'u32', minSize: 'u32' },
  sentence: 'the struct says size {size}; the command needs at least {minSize}',
  remedy: 'set the first u32 to sizeof the struct',
}

export const STRUCT_TAIL_NOT_ZERO: RefusalSite = {
  id: 'STRUCT_TAIL_NOT_ZERO',
  errno: E2BIG,
  spec: 'F3',
  operands: { size: 'u32', known: 'u32' },
  sentence: 'the struct says size {size}; bytes after the known {known} are not zero',
  remedy: 'zero what lies behind the fields this kernel knows, or set size to {known}',
}

export const STRUCT_UNWRITABLE: RefusalSite = {
  id: 'STRUCT_UNWRITABLE',
  errno: EFAULT,
  spec: 'F3',
  operands: { address: 'u64', length: 'u32' },
  sentence: 'the answer ({length} bytes at {address}) cannot be written back',
  remedy:
    'pass writable memory; what the command had done may stay done (a mapping does, a new object does not)',
}

export const USER_UNREADABLE: RefusalSite = {
  id: 'USER_UNREADABLE',
  errno: EFAULT,
  spec: 'F3',
  operands: { address: 'u64', length: 'u32' },
  sentence: '{length} bytes of user memory at {address} cannot be read',
  remedy: 'check the pointer inside the struct: mapped, readable, long enough',
}

export const USER_UNWRITABLE: RefusalSite = {
  id: 'USER_UNWRITABLE',
  errno: EFAULT,
  spec: 'F3',
  operands: { address: 'u64', length: 'u32' },
  sentence: '{length} bytes of user memory at {address} cannot be written',
  remedy: 'check the pointer inside the struct: mapped, writable, long enough',
}

export const OBJECT_UNKNOWN: RefusalSite = {
  id: 'OBJECT_UNKNOWN',
  errno: ENOENT,
  spec: 'F6',
  operands: { id: 'u32' },
  sentence: 'this context has no object of the wanted kind with id {id}',
  remedy:
    'use the id that the allocating call gave; ids belong to one context and are reused after DESTROY',
}

export const OBJECT_BUSY: RefusalSite = {
  id: 'OBJECT_BUSY',
  errno: EBUSY,
  spec: 'C1',
  operands: { id: 'u32', users: 'u32' },
  sentence: 'object {id} is in use {users} times',
  remedy: 'destroy or detach what depends on it first',
}

export const MMAP_NOT_SHARED: RefusalSite = {
  id: 'MMAP_NOT_SHARED',
  errno: EINVAL,
  spec: 'F8',
  operands: {},
  sentence: 'pages of a driver can be mapped with MAP_SHARED alone',
  remedy: 'use MAP_SHARED',
}

export const MMAP_EXECUTABLE: RefusalSite = {
  id: 'MMAP_EXECUTABLE',
  errno: EPERM,
  spec: 'F8',
  operands: {},
  sentence: 'pages of a driver cannot be mapped with PROT_EXEC',
  remedy: 'leave PROT_EXEC out',
}

export const MMAP_REGION_UNKNOWN: RefusalSite = {
  id: 'MMAP_REGION_UNKNOWN',
  errno: ENXIO,
  spec: 'F8',
  operands: { offset: 'u64', length: 'u64' },
  sentence: 'no driver offers {length} bytes at offset {offset} of this context',
  remedy: 'map the offset and the whole length that the allocating call gave',
}

export const OPTION_RESERVED: RefusalSite = {
  id: 'OPTION_RESERVED',
  errno: EOPNOTSUPP,
  spec: 'C9',
  operands: { reserved: 'flags' },
  sentence: 'IOMMU_OPTION has __reserved={reserved}',
  remedy: 'set __reserved to 0',
}

export const OPTION_UNKNOWN: RefusalSite = {
  id: 'OPTION_UNKNOWN',
  errno: EOPNOTSUPP,
  spec: 'C9',
  operands: { option: 'u32' },
  sentence: 'there is no option {option}',
  remedy: 'options are IOMMU_OPTION_RLIMIT_MODE (0) and IOMMU_OPTION_HUGE_PAGES (1)',
}

export const OPTION_OP_UNKNOWN: RefusalSite = {
  id: 'OPTION_OP_UNKNOWN',
  errno: EOPNOTSUPP,
  spec: 'C9',
  operands: { option: 'u32', op: 'u32' },
  sentence: 'option {option} has no operation {op}',
  remedy: 'use IOMMU_OPTION_OP_SET (0) or IOMMU_OPTION_OP_GET (1)',
}

export const RLIMIT_OBJECT_ID: RefusalSite = {
  id: 'RLIMIT_OBJECT_ID',
  errno: EOPNOTSUPP,
  spec: 'C9',
  operands: { id: 'u32' },
  sentence: 'IOMMU_OPTION_RLIMIT_MODE is of the whole context; object_id is {id}',
  remedy: 'set object_id to 0',
}

export const RLIMIT_NOT_PRIVILEGED: RefusalSite = {
  id: 'RLIMIT_NOT_PRIVILEGED',
  errno: EPERM,
  spec: 'C9',
  operands: {},
  sentence: 'setting IOMMU_OPTION_RLIMIT_MODE needs CAP_SYS_RESOURCE',
  remedy: 'set it before dropping privileges, or open /dev/vfio/vfio, which starts in mode 1',
}

export const RLIMIT_HAS_OBJECTS: RefusalSite = {
  id: 'RLIMIT_HAS_OBJECTS',
  errno: EBUSY,
  spec: 'C9',
  operands: {},
  sentence: 'the context has objects already; the accounting mode is fixed',
  remedy: 'set IOMMU_OPTION_RLIMIT_MODE right after opening the context',
}

export const RLIMIT_VALUE: RefusalSite = {
  id: 'RLIMIT_VALUE',
  errno: EINVAL,
  spec: 'C9',
  operands: { value: 'u64' },
  sentence: 'IOMMU_OPTION_RLIMIT_MODE has the value {value}',
  remedy: 'use 0 (count per user) or 1 (count per process)',
}

export const INJECTED_ENOMEM: RefusalSite = {
  id: 'INJECTED_ENOMEM',
  errno: ENOMEM,
  spec: 'F5',
  operands: { point: 'u32' },
  sentence: 'fault point {point} was armed and failed an allocation',
  remedy: 'disarm the fault points, or handle ENOMEM',
}

export const INJECTED_EFAULT: RefusalSite = {
  id: 'INJECTED_EFAULT',
  errno: EFAULT,
  spec: 'F5',
  operands: { point: 'u32' },
  sentence: 'fault point {point} was armed and failed a user copy or a pin',
  remedy: 'disarm the fault points, or handle EFAULT',
}
