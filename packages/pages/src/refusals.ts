// SPDX-License-Identifier: Apache-2.0
/** The refusals of the page layer: address spaces, areas, automatic IOVAs, pins, charges. */

import type { RefusalSite } from '@iommufd/core'
import {
  EADDRINUSE,
  EBADF,
  EBUSY,
  EDEADLOCK,
  EEXIST,
  EFAULT,
  EINVAL,
  EMSGSIZE,
  ENOENT,
  ENOMEM,
  ENOSPC,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
} from '@iommufd/uapi'

export const FLAGS_UNKNOWN: RefusalSite = {
  id: 'FLAGS_UNKNOWN',
  errno: EOPNOTSUPP,
  spec: 'F5',
  operands: { flags: 'flags', known: 'flags' },
  sentence: 'flags {flags} has bits outside {known}',
  remedy: 'use only the flags that this kernel knows',
}

export const RESERVED_NOT_ZERO: RefusalSite = {
  id: 'RESERVED_NOT_ZERO',
  errno: EOPNOTSUPP,
  spec: 'F5',
  operands: { reserved: 'flags' },
  sentence: '__reserved is {reserved}',
  remedy: 'zero the whole struct before setting fields',
}

export const RANGE_AT_TOP: RefusalSite = {
  id: 'RANGE_AT_TOP',
  errno: EOVERFLOW,
  spec: 'C6',
  operands: { iova: 'u64', length: 'u64' },
  sentence: 'iova {iova} or length {length} is 2^64-1, which no mapping can have',
  remedy: 'initialise both fields, also when the kernel chooses the IOVA',
}

export const NO_PERMISSION_ASKED: RefusalSite = {
  id: 'NO_PERMISSION_ASKED',
  errno: EINVAL,
  spec: 'C6',
  operands: {},
  sentence: 'the mapping is neither readable nor writeable',
  remedy: 'set IOMMU_IOAS_MAP_READABLE, IOMMU_IOAS_MAP_WRITEABLE or both',
}

export const USER_RANGE_WRAPS: RefusalSite = {
  id: 'USER_RANGE_WRAPS',
  errno: EOVERFLOW,
  spec: 'C6',
  operands: { start: 'u64', length: 'u64' },
  sentence: '{length} bytes from {start} run past the end of the 64-bit space',
  remedy: 'check the start (user_va, or the offset in the file) and the length',
}

export const LENGTH_UNUSABLE: RefusalSite = {
  id: 'LENGTH_UNUSABLE',
  errno: EINVAL,
  spec: 'C6',
  operands: { length: 'u64' },
  sentence: 'nothing can be mapped with length {length}',
  remedy: 'use a length from 1 to 2^64-4097 bytes',
}

export const LENGTH_ZERO: RefusalSite = {
  id: 'LENGTH_ZERO',
  errno: EINVAL,
  spec: 'C8',
  operands: { iova: 'u64' },
  sentence: 'the range at {iova} has length 0',
  remedy: 'pass the length in bytes; iova 0 with length 2^64-1 means everything',
}

export const LENGTH_MISALIGNED: RefusalSite = {
  id: 'LENGTH_MISALIGNED',
  errno: EINVAL,
  spec: 'C6',
  operands: { length: 'u64', alignment: 'u32' },
  sentence: "length {length} is not a multiple of the address space's alignment {alignment}",
  remedy: 'round to out_iova_alignment of IOMMU_IOAS_IOVA_RANGES',
}

export const IOVA_MISALIGNED: RefusalSite = {
  id: 'IOVA_MISALIGNED',
  errno: EINVAL,
  spec: 'C6',
  operands: { iova: 'u64', alignment: 'u32' },
  sentence: "iova {iova} is not a multiple of the address space's alignment {alignment}",
  remedy: 'round to out_iova_alignment of IOMMU_IOAS_IOVA_RANGES',
}

export const OFFSET_MISALIGNED: RefusalSite = {
  id: 'OFFSET_MISALIGNED',
  errno: EINVAL,
  spec: 'C6',
  operands: { offset: 'flags', alignment: 'u32' },
  sentence:
    'the memory begins at byte {offset} of its page; the address space is aligned to {alignment}',
  remedy: 'align user_va (or the file offset) to out_iova_alignment of IOMMU_IOAS_IOVA_RANGES',
}

export const IOVA_WRAPS: RefusalSite = {
  id: 'IOVA_WRAPS',
  errno: EOVERFLOW,
  spec: 'C6',
  operands: { iova: 'u64', length: 'u64' },
  sentence: '{length} bytes at iova {iova} run past the end of the 64-bit space',
  remedy: 'check iova and length',
}

export const IOVA_RESERVED: RefusalSite = {
  id: 'IOVA_RESERVED',
  errno: EINVAL,
  spec: 'C6',
  operands: { iova: 'u64', last: 'u64', reservedIova: 'u64', reservedLast: 'u64' },
  sentence: '[{iova}, {last}] touches the reserved range [{reservedIova}, {reservedLast}]',
  remedy: 'map inside the ranges that IOMMU_IOAS_IOVA_RANGES gives',
}

export const AREA_OVERLAPS: RefusalSite = {
  id: 'AREA_OVERLAPS',
  errno: EEXIST,
  spec: 'C6',
  operands: { iova: 'u64', last: 'u64', areaIova: 'u64', areaLast: 'u64' },
  sentence: '[{iova}, {last}] overlaps the area mapped at [{areaIova}, {areaLast}]',
  remedy: 'unmap that area first, or choose another iova',
}

export const AUTO_LENGTH_TOO_LARGE: RefusalSite = {
  id: 'AUTO_LENGTH_TOO_LARGE',
  errno: EOVERFLOW,
  spec: 'C7',
  operands: { length: 'u64' },
  sentence: 'the kernel chooses no IOVA for length {length}, half of the space or more',
  remedy: 'map less at once, or choose the IOVA with IOMMU_IOAS_MAP_FIXED_IOVA',
}

export const AUTO_ALIGNMENT_TOO_SMALL: RefusalSite = {
  id: 'AUTO_ALIGNMENT_TOO_SMALL',
  errno: EINVAL,
  spec: 'C7',
  operands: { start: 'u64', alignment: 'u32' },
  sentence:
    "memory at {start} allows a less aligned IOVA than the address space's alignment {alignment}",
  remedy: 'align the memory to out_iova_alignment of IOMMU_IOAS_IOVA_RANGES',
}

export const IOVA_SPACE_FULL: RefusalSite = {
  id: 'IOVA_SPACE_FULL',
  errno: ENOSPC,
  spec: 'C7',
  operands: { length: 'u64', alignment: 'u32' },
  sentence: 'no free, allowed range holds {length} bytes aligned to {alignment}',
  remedy: 'allow more with IOMMU_IOAS_ALLOW_IOVAS, unmap something, or choose the IOVA yourself',
}

export const PAGES_READ_ONLY: RefusalSite = {
  id: 'PAGES_READ_ONLY',
  errno: EPERM,
  spec: 'C4',
  operands: {},
  sentence: 'the memory was mapped without IOMMU_IOAS_MAP_WRITEABLE and is pinned for reading only',
  remedy: 'map the source writeable, or ask for reading only',
}

export const SOURCE_NOT_MAPPED: RefusalSite = {
  id: 'SOURCE_NOT_MAPPED',
  errno: ENOENT,
  spec: 'C4',
  operands: { iova: 'u64', length: 'u64', missing: 'u64' },
  sentence: 'the source range of {length} bytes at {iova} is not mapped at {missing}',
  remedy: 'copy only what is mapped without a hole',
}

export const AREA_PARTLY_COVERED: RefusalSite = {
  id: 'AREA_PARTLY_COVERED',
  errno: ENOENT,
  spec: 'C8',
  operands: { iova: 'u64', last: 'u64', areaIova: 'u64', areaLast: 'u64' },
  sentence:
    '[{iova}, {last}] covers only a part of the area [{areaIova}, {areaLast}]; areas before it are unmapped already',
  remedy: 'unmap whole areas, with the iova and length of their mapping',
}

export const NOTHING_MAPPED: RefusalSite = {
  id: 'NOTHING_MAPPED',
  errno: ENOENT,
  spec: 'C8',
  operands: { iova: 'u64', length: 'u64' },
  sentence: 'nothing is mapped in the {length} bytes at {iova}',
  remedy: 'check the iova; use iova 0 and length 2^64-1 to unmap whatever there is',
}

export const AREA_LOCKED: RefusalSite = {
  id: 'AREA_LOCKED',
  errno: EBUSY,
  spec: 'C8',
  operands: { iova: 'u64', last: 'u64' },
  sentence: 'hardware uses memory in the area [{iova}, {last}] as a queue',
  remedy: 'destroy the hardware queue of the vIOMMU first',
}

export const ACCESS_HOLDS_AREA: RefusalSite = {
  id: 'ACCESS_HOLDS_AREA',
  errno: EDEADLOCK,
  spec: 'C8',
  operands: { iova: 'u64', last: 'u64', accesses: 'u32' },
  sentence:
    'in-kernel users still hold {accesses} pins in [{iova}, {last}] after 100 calls of their unmap callback',
  remedy: 'the unmap callback of an access must unpin what lies in the range before it returns',
}

export const SPACE_IN_USE: RefusalSite = {
  id: 'SPACE_IN_USE',
  errno: EADDRINUSE,
  spec: 'C3',
  operands: { iova: 'u64', last: 'u64' },
  sentence:
    '[{iova}, {last}] cannot be reserved: it is mapped, or promised by IOMMU_IOAS_ALLOW_IOVAS',
  remedy: 'unmap or disallow the range first',
}

export const ALLOWED_IS_RESERVED: RefusalSite = {
  id: 'ALLOWED_IS_RESERVED',
  errno: EADDRINUSE,
  spec: 'C3',
  operands: { iova: 'u64', last: 'u64' },
  sentence:
    'the allowed range [{iova}, {last}] touches a reserved one; the list is as it was before',
  remedy: 'allow only what IOMMU_IOAS_IOVA_RANGES gives',
}

export const ALLOWED_RANGE_EMPTY: RefusalSite = {
  id: 'ALLOWED_RANGE_EMPTY',
  errno: EINVAL,
  spec: 'C3',
  operands: { start: 'u64', last: 'u64', index: 'u32' },
  sentence: 'entry {index} of the list is [{start}, {last}]; last must be above start',
  remedy: 'a range has at least two bytes; last is inclusive',
}

export const ALLOWED_RANGES_OVERLAP: RefusalSite = {
  id: 'ALLOWED_RANGES_OVERLAP',
  errno: EINVAL,
  spec: 'C3',
  operands: { start: 'u64', last: 'u64', index: 'u32' },
  sentence: 'entry {index} of the list, [{start}, {last}], overlaps one before it',
  remedy: 'merge overlapping ranges',
}

export const ALIGNMENT_BREAKS_AREA: RefusalSite = {
  id: 'ALIGNMENT_BREAKS_AREA',
  errno: EADDRINUSE,
  spec: 'E2',
  operands: { areaIova: 'u64', areaLast: 'u64', alignment: 'u32' },
  sentence:
    'the alignment would rise to {alignment}, but the area [{areaIova}, {areaLast}] is not aligned to it',
  remedy: 'attach before mapping with sub-page addresses, or unmap that area',
}

export const RANGES_DO_NOT_FIT: RefusalSite = {
  id: 'RANGES_DO_NOT_FIT',
  errno: EMSGSIZE,
  spec: 'C5',
  operands: { room: 'u32', count: 'u32' },
  sentence: 'the buffer holds {room} ranges, the address space has {count}',
  remedy: 'call again with num_iovas={count}',
}

export const FILE_DESCRIPTOR_UNKNOWN: RefusalSite = {
  id: 'FILE_DESCRIPTOR_UNKNOWN',
  errno: EBADF,
  spec: 'L8',
  operands: { fd: 's32' },
  sentence: 'descriptor {fd} is not open',
  remedy: 'pass an open memfd',
}

export const USER_PAGES_BAD: RefusalSite = {
  id: 'USER_PAGES_BAD',
  errno: EFAULT,
  spec: 'C6',
  operands: { address: 'u64', pages: 'u32', pid: 's32' },
  sentence:
    'of {pages} pages at {address} of process {pid} the first cannot be pinned: not mapped, no access, or the process is gone',
  remedy:
    'map memory that is there with the needed access; a mapping made earlier is only looked at when something pins it',
}

export const USER_RANGE_BAD: RefusalSite = {
  id: 'USER_RANGE_BAD',
  errno: EFAULT,
  spec: 'E7',
  operands: { address: 'u64', length: 'u32', write: 'u32' },
  sentence: '{length} bytes at {address} of the mapping process cannot be accessed (write={write})',
  remedy: 'the mapping process must keep the memory mapped with the needed access',
}

export const FILE_PAGES_BAD: RefusalSite = {
  id: 'FILE_PAGES_BAD',
  errno: EINVAL,
  spec: 'L8',
  operands: { offset: 'u64', pages: 'u32' },
  sentence:
    '{pages} pages at offset {offset} of the file cannot be pinned: no memfd, or beyond its end',
  remedy: 'map a memfd, within its size',
}

export const USER_LIMIT_EXCEEDED: RefusalSite = {
  id: 'USER_LIMIT_EXCEEDED',
  errno: ENOMEM,
  spec: 'E5',
  operands: { uid: 'u32', locked: 'u64', pages: 'u64', limit: 'u64' },
  sentence:
    'uid {uid} has {locked} pages locked over all its processes; {pages} more exceed RLIMIT_MEMLOCK of {limit} pages',
  remedy:
    'raise RLIMIT_MEMLOCK, or set IOMMU_OPTION_RLIMIT_MODE to 1 so that this process is counted alone',
}

export const PROCESS_LIMIT_EXCEEDED: RefusalSite = {
  id: 'PROCESS_LIMIT_EXCEEDED',
  errno: ENOMEM,
  spec: 'E5',
  operands: { pid: 's32', locked: 'u64', pages: 'u64', limit: 'u64' },
  sentence:
    'process {pid} has {locked} pages locked; {pages} more exceed RLIMIT_MEMLOCK of {limit} pages',
  remedy: 'raise RLIMIT_MEMLOCK of that process',
}

export const AREA_NOT_A_FILE: RefusalSite = {
  id: 'AREA_NOT_A_FILE',
  errno: EINVAL,
  spec: 'L11',
  operands: { ioas: 'u32', iova: 'u64' },
  sentence: 'the area at {iova} of ioas {ioas} is user memory, which belongs to its process',
  remedy: 'only mappings made with IOMMU_IOAS_MAP_FILE can change process',
}

export const NOIOMMU_ABSENT: RefusalSite = {
  id: 'NOIOMMU_ABSENT',
  errno: EOPNOTSUPP,
  spec: 'L15',
  operands: {},
  sentence: 'physical addresses are only given out for no-iommu devices, of which there are none',
  remedy: 'attach devices with an IOMMU; use the IOVA',
}

export const HUGE_PAGES_MAPPED: RefusalSite = {
  id: 'HUGE_PAGES_MAPPED',
  errno: EINVAL,
  spec: 'C9',
  operands: {},
  sentence: 'domains of this address space have areas mapped already, perhaps with large pages',
  remedy: 'set IOMMU_OPTION_HUGE_PAGES before mapping, or unmap everything first',
}

export const DOMAIN_PAGE_TOO_LARGE: RefusalSite = {
  id: 'DOMAIN_PAGE_TOO_LARGE',
  errno: EINVAL,
  spec: 'E2',
  operands: { pageSize: 'u32' },
  sentence: 'the smallest page of the domain is {pageSize} bytes, larger than a page of memory',
  remedy: 'use a format that can map pages of 4096 bytes',
}

export const HUGE_PAGES_VALUE: RefusalSite = {
  id: 'HUGE_PAGES_VALUE',
  errno: EINVAL,
  spec: 'C9',
  operands: { value: 'u64' },
  sentence: 'IOMMU_OPTION_HUGE_PAGES has the value {value}',
  remedy: 'use 0 (small pages only) or 1',
}

export const ACCESS_NOT_MAPPED: RefusalSite = {
  id: 'ACCESS_NOT_MAPPED',
  errno: ENOENT,
  spec: 'E7',
  operands: { iova: 'u64', last: 'u64', missing: 'u64' },
  sentence: 'nothing is mapped at {missing} of the range [{iova}, {last}]',
  remedy: 'map the range before using it',
}

export const ACCESS_FORBIDDEN: RefusalSite = {
  id: 'ACCESS_FORBIDDEN',
  errno: EPERM,
  spec: 'E7',
  operands: { iova: 'u64', write: 'u32' },
  sentence: 'the area at {iova} does not permit this access (write={write})',
  remedy: 'map it with IOMMU_IOAS_MAP_READABLE or IOMMU_IOAS_MAP_WRITEABLE as needed',
}

export const AREA_GOING_AWAY: RefusalSite = {
  id: 'AREA_GOING_AWAY',
  errno: EINVAL,
  spec: 'E7',
  operands: { iova: 'u64' },
  sentence: 'the area at {iova} is being unmapped',
  remedy: 'do not use a range from within the unmap callback that announces its end',
}

export const PIN_MISALIGNED: RefusalSite = {
  id: 'PIN_MISALIGNED',
  errno: EINVAL,
  spec: 'E7',
  operands: { iova: 'u64', last: 'u64' },
  sentence:
    'pinned pages would not line up with [{iova}, {last}]: it does not begin or go on at a page boundary of the memory',
  remedy: 'pin ranges that begin at page boundaries of the mapped memory, or use rw',
}
