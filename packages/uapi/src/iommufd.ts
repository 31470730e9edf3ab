// SPDX-License-Identifier: Apache-2.0
//
// iommufd.h, first part: the ioctl numbers, and the commands on objects, address spaces (IOAS) and
// options. The rest of the header is in iommufd-hwpt.ts and iommufd-viommu.ts.
//
// Invariant: names, numbers and offsets are those of Linux 7.3 on x86-64, nothing else is exported.
// Every command struct begins with its own size in bytes: the caller states how much of it it knows
// (SPEC F3). `__reserved` is zero. A field named out_* is written by the kernel.

/** The `type` byte of every iommufd ioctl number: ';'. VFIO uses the same. */
export const IOMMUFD_TYPE = 0x3b

// The `nr` byte of each command. The number given to ioctl() is IOMMUFD_TYPE << 8 | nr: no size and
// no direction is encoded (SPEC F2).
export const IOMMUFD_CMD_BASE = 0x80
export const IOMMUFD_CMD_DESTROY = 0x80
export const IOMMUFD_CMD_IOAS_ALLOC = 0x81
export const IOMMUFD_CMD_IOAS_ALLOW_IOVAS = 0x82
export const IOMMUFD_CMD_IOAS_COPY = 0x83
export const IOMMUFD_CMD_IOAS_IOVA_RANGES = 0x84
export const IOMMUFD_CMD_IOAS_MAP = 0x85
export const IOMMUFD_CMD_IOAS_UNMAP = 0x86
export const IOMMUFD_CMD_OPTION = 0x87
export const IOMMUFD_CMD_VFIO_IOAS = 0x88
export const IOMMUFD_CMD_HWPT_ALLOC = 0x89
export const IOMMUFD_CMD_GET_HW_INFO = 0x8a
export const IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING = 0x8b
export const IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP = 0x8c
export const IOMMUFD_CMD_HWPT_INVALIDATE = 0x8d
export const IOMMUFD_CMD_FAULT_QUEUE_ALLOC = 0x8e
export const IOMMUFD_CMD_IOAS_MAP_FILE = 0x8f
export const IOMMUFD_CMD_VIOMMU_ALLOC = 0x90
export const IOMMUFD_CMD_VDEVICE_ALLOC = 0x91
export const IOMMUFD_CMD_IOAS_CHANGE_PROCESS = 0x92
export const IOMMUFD_CMD_VEVENTQ_ALLOC = 0x93
export const IOMMUFD_CMD_HW_QUEUE_ALLOC = 0x94
export const IOMMUFD_CMD_IOAS_NOIOMMU_GET_PA = 0x95

/** Destroys any object by its id. Linux 6.2. */
export const IOMMU_DESTROY = 0x3b80

/** Argument of IOMMU_DESTROY. `id`: an object of any type. */
export const iommu_destroy = {
  name: 'iommu_destroy',
  size: 8,
  at: { size: 0, id: 4 },
  type: { size: 'u32', id: 'u32' },
} as const

/** Makes an empty I/O address space. Linux 6.2. */
export const IOMMU_IOAS_ALLOC = 0x3b81

/** Argument of IOMMU_IOAS_ALLOC. `flags`: 0. */
export const iommu_ioas_alloc = {
  name: 'iommu_ioas_alloc',
  size: 12,
  at: { size: 0, flags: 4, out_ioas_id: 8 },
  type: { size: 'u32', flags: 'u32', out_ioas_id: 'u32' },
} as const

/** Lists the IOVAs that a mapping may use: everything but the reserved ranges. Linux 6.2. */
export const IOMMU_IOAS_IOVA_RANGES = 0x3b84

/** A range of IOVAs in bytes; `last` is inclusive. */
export const iommu_iova_range = {
  name: 'iommu_iova_range',
  size: 16,
  at: { start: 0, last: 8 },
  type: { start: 'u64', last: 'u64' },
} as const

/**
 * Argument of IOMMU_IOAS_IOVA_RANGES. `num_iovas`: in, room at `allowed_iovas`; out, how many there
 * are (EMSGSIZE when that is more). `allowed_iovas`: address of iommu_iova_range[]; the name is the
 * header's, the list is of usable ranges. `out_iova_alignment`: bytes that iova and length of a map
 * must be multiples of.
 */
export const iommu_ioas_iova_ranges = {
  name: 'iommu_ioas_iova_ranges',
  size: 32,
  at: {
    size: 0,
    ioas_id: 4,
    num_iovas: 8,
    __reserved: 12,
    allowed_iovas: 16,
    out_iova_alignment: 24,
  },
  type: {
    size: 'u32',
    ioas_id: 'u32',
    num_iovas: 'u32',
    __reserved: 'u32',
    allowed_iovas: 'u64',
    out_iova_alignment: 'u64',
  },
} as const

/** Restricts automatically chosen IOVAs to a list of ranges. Linux 6.2. */
export const IOMMU_IOAS_ALLOW_IOVAS = 0x3b82

/**
 * Argument of IOMMU_IOAS_ALLOW_IOVAS. `allowed_iovas`: address of iommu_iova_range[num_iovas], sorted
 * or not; 0 ranges lift the restriction.
 */
export const iommu_ioas_allow_iovas = {
  name: 'iommu_ioas_allow_iovas',
  size: 24,
  at: { size: 0, ioas_id: 4, num_iovas: 8, __reserved: 12, allowed_iovas: 16 },
  type: { size: 'u32', ioas_id: 'u32', num_iovas: 'u32', __reserved: 'u32', allowed_iovas: 'u64' },
} as const

// Flags of IOMMU_IOAS_MAP, IOMMU_IOAS_MAP_FILE and IOMMU_IOAS_COPY.
/** `iova` is an input; otherwise the kernel chooses and writes it. */
export const IOMMU_IOAS_MAP_FIXED_IOVA = 0x1
/** Devices may write. At least one of this and READABLE is needed. */
export const IOMMU_IOAS_MAP_WRITEABLE = 0x2
/** Devices may read. */
export const IOMMU_IOAS_MAP_READABLE = 0x4

/** Maps memory of the calling process at an IOVA. Linux 6.2. */
export const IOMMU_IOAS_MAP = 0x3b85

/**
 * Argument of IOMMU_IOAS_MAP. `flags`: IOMMU_IOAS_MAP_*. `user_va`: address in the calling process.
 * `length`: bytes. `iova`: in with FIXED_IOVA, else out.
 */
export const iommu_ioas_map = {
  name: 'iommu_ioas_map',
  size: 40,
  at: { size: 0, flags: 4, ioas_id: 8, __reserved: 12, user_va: 16, length: 24, iova: 32 },
  type: {
    size: 'u32',
    flags: 'u32',
    ioas_id: 'u32',
    __reserved: 'u32',
    user_va: 'u64',
    length: 'u64',
    iova: 'u64',
  },
} as const

/** Maps a range of a memfd or a dma-buf at an IOVA. Linux 6.13; dma-buf 6.19. */
export const IOMMU_IOAS_MAP_FILE = 0x3b8f

/** Argument of IOMMU_IOAS_MAP_FILE. `start`: byte offset in the file; the rest as iommu_ioas_map. */
export const iommu_ioas_map_file = {
  name: 'iommu_ioas_map_file',
  size: 40,
  at: { size: 0, flags: 4, ioas_id: 8, fd: 12, start: 16, length: 24, iova: 32 },
  type: {
    size: 'u32',
    flags: 'u32',
    ioas_id: 'u32',
    fd: 's32',
    start: 'u64',
    length: 'u64',
    iova: 'u64',
  },
} as const

/** Maps again, in the same or another IOAS, what an IOAS already maps. Linux 6.2. */
export const IOMMU_IOAS_COPY = 0x3b83

/** Argument of IOMMU_IOAS_COPY. `flags`: IOMMU_IOAS_MAP_*. `dst_iova`: in with FIXED_IOVA, else out. */
export const iommu_ioas_copy = {
  name: 'iommu_ioas_copy',
  size: 40,
  at: {
    size: 0,
    flags: 4,
    dst_ioas_id: 8,
    src_ioas_id: 12,
    length: 16,
    dst_iova: 24,
    src_iova: 32,
  },
  type: {
    size: 'u32',
    flags: 'u32',
    dst_ioas_id: 'u32',
    src_ioas_id: 'u32',
    length: 'u64',
    dst_iova: 'u64',
    src_iova: 'u64',
  },
} as const

/** Removes the mappings inside a range of IOVAs. Linux 6.2. */
export const IOMMU_IOAS_UNMAP = 0x3b86

/**
 * Argument of IOMMU_IOAS_UNMAP. `iova` 0 with `length` 2^64-1 means everything. `length`: in, bytes to
 * unmap; out, bytes unmapped.
 */
export const iommu_ioas_unmap = {
  name: 'iommu_ioas_unmap',
  size: 24,
  at: { size: 0, ioas_id: 4, iova: 8, length: 16 },
  type: { size: 'u32', ioas_id: 'u32', iova: 'u64', length: 'u64' },
} as const

/** Physical address behind an IOVA of a device that has no IOMMU. Linux 7.x. */
export const IOMMU_IOAS_NOIOMMU_GET_PA = 0x3b95

/**
 * Argument of IOMMU_IOAS_NOIOMMU_GET_PA. `length`: in, the most bytes of interest; out, bytes that are
 * physically contiguous from `out_phys` on.
 */
export const iommu_ioas_noiommu_get_pa = {
  name: 'iommu_ioas_noiommu_get_pa',
  size: 40,
  at: { size: 0, flags: 4, ioas_id: 8, __reserved: 12, iova: 16, length: 24, out_phys: 32 },
  type: {
    size: 'u32',
    flags: 'u32',
    ioas_id: 'u32',
    __reserved: 'u32',
    iova: 'u64',
    length: 'u64',
    out_phys: 'u64',
  },
} as const

// iommu_option.option_id
/** Of the context (object_id 0): 0 counts pinned pages per user, 1 per process (mm). */
export const IOMMU_OPTION_RLIMIT_MODE = 0
/** Of one IOAS: 0 never uses pages larger than PAGE_SIZE, 1 (the default) does. */
export const IOMMU_OPTION_HUGE_PAGES = 1

// iommu_option.op
export const IOMMU_OPTION_OP_SET = 0
export const IOMMU_OPTION_OP_GET = 1

/** Reads or sets an option. Linux 6.2. */
export const IOMMU_OPTION = 0x3b87

/** Argument of IOMMU_OPTION. `object_id`: what the option belongs to. `val64`: in for SET, out for GET. */
export const iommu_option = {
  name: 'iommu_option',
  size: 24,
  at: { size: 0, option_id: 4, op: 8, __reserved: 10, object_id: 12, val64: 16 },
  type: {
    size: 'u32',
    option_id: 'u32',
    op: 'u16',
    __reserved: 'u16',
    object_id: 'u32',
    val64: 'u64',
  },
} as const

// iommu_vfio_ioas.op
export const IOMMU_VFIO_IOAS_GET = 0
export const IOMMU_VFIO_IOAS_SET = 1
export const IOMMU_VFIO_IOAS_CLEAR = 2

/** Reads or changes the IOAS that the VFIO container ioctls act on. Linux 6.2. */
export const IOMMU_VFIO_IOAS = 0x3b88

/** Argument of IOMMU_VFIO_IOAS. `ioas_id`: out for GET, in for SET. */
export const iommu_vfio_ioas = {
  name: 'iommu_vfio_ioas',
  size: 12,
  at: { size: 0, ioas_id: 4, op: 8, __reserved: 10 },
  type: { size: 'u32', ioas_id: 'u32', op: 'u16', __reserved: 'u16' },
} as const

/** Moves the charge for pinned file pages to the calling process. Linux 6.13. */
export const IOMMU_IOAS_CHANGE_PROCESS = 0x3b92

/** Argument of IOMMU_IOAS_CHANGE_PROCESS: the whole context is meant. */
export const iommu_ioas_change_process = {
  name: 'iommu_ioas_change_process',
  size: 8,
  at: { size: 0, __reserved: 4 },
  type: { size: 'u32', __reserved: 'u32' },
} as const
