// SPDX-License-Identifier: Apache-2.0
//
// iommufd.h, second part: hardware page tables (HWPT), hardware information, dirty tracking,
// invalidation and page faults.
//
// Invariant: names, numbers and offsets are those of Linux 7.3 on x86-64, nothing else is exported.
// Driver-specific data is passed by address and length (`data_uptr`, `data_len`) with a type that says
// which struct is there. Fields of type le64 are in the hardware's byte order.

// iommu_hwpt_alloc.flags
/** Can be the parent of nested tables. */
export const IOMMU_HWPT_ALLOC_NEST_PARENT = 0x1
/** Dirty tracking can be switched on; the device must support it. */
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 0x2
/** `fault_id` names a fault queue that gets the device's page faults. Linux 6.11. */
export const IOMMU_HWPT_FAULT_ID_VALID = 0x4
/** Can be attached to a PASID of a device. Linux 6.15. */
export const IOMMU_HWPT_ALLOC_PASID = 0x8

// iommu_hwpt_alloc.data_type
/** No driver data: a table managed by the kernel. */
export const IOMMU_HWPT_DATA_NONE = 0
/** iommu_hwpt_vtd_s1 */
export const IOMMU_HWPT_DATA_VTD_S1 = 1
/** iommu_hwpt_arm_smmuv3 */
export const IOMMU_HWPT_DATA_ARM_SMMUV3 = 2
/** iommu_hwpt_amd_guest */
export const IOMMU_HWPT_DATA_AMD_GUEST = 3

// iommu_hwpt_vtd_s1.flags
/** Supervisor requests. */
export const IOMMU_VTD_S1_SRE = 0x1
/** Extended access flag. */
export const IOMMU_VTD_S1_EAFE = 0x2
/** Write protection. */
export const IOMMU_VTD_S1_WPE = 0x4

/** Intel VT-d first-stage table of a guest. `pgtbl_addr`: guest physical. `addr_width`: bits. */
export const iommu_hwpt_vtd_s1 = {
  name: 'iommu_hwpt_vtd_s1',
  size: 24,
  at: { flags: 0, pgtbl_addr: 8, addr_width: 16, __reserved: 20 },
  type: { flags: 'u64', pgtbl_addr: 'u64', addr_width: 'u32', __reserved: 'u32' },
} as const

/** Arm SMMUv3 stage-1 table of a guest: the first two words of its stream table entry. */
export const iommu_hwpt_arm_smmuv3 = {
  name: 'iommu_hwpt_arm_smmuv3',
  size: 16,
  at: { ste: 0 },
  type: { ste: 'le64[2]' },
} as const

/** AMD guest table: the guest's device table entry. Linux 7.x. */
export const iommu_hwpt_amd_guest = {
  name: 'iommu_hwpt_amd_guest',
  size: 32,
  at: { dte: 0 },
  type: { dte: 'u64[4]' },
} as const

/** Makes a hardware page table for a device. Linux 6.6. */
export const IOMMU_HWPT_ALLOC = 0x3b89

/**
 * Argument of IOMMU_HWPT_ALLOC. `flags`: IOMMU_HWPT_ALLOC_*, IOMMU_HWPT_FAULT_ID_VALID. `pt_id`: an
 * IOAS, a parent HWPT or a vIOMMU. `data_type`: IOMMU_HWPT_DATA_*.
 */
export const iommu_hwpt_alloc = {
  name: 'iommu_hwpt_alloc',
  size: 48,
  at: {
    size: 0,
    flags: 4,
    dev_id: 8,
    pt_id: 12,
    out_hwpt_id: 16,
    __reserved: 20,
    data_type: 24,
    data_len: 28,
    data_uptr: 32,
    fault_id: 40,
    __reserved2: 44,
  },
  type: {
    size: 'u32',
    flags: 'u32',
    dev_id: 'u32',
    pt_id: 'u32',
    out_hwpt_id: 'u32',
    __reserved: 'u32',
    data_type: 'u32',
    data_len: 'u32',
    data_uptr: 'u64',
    fault_id: 'u32',
    __reserved2: 'u32',
  },
} as const

// iommu_hw_info_vtd.flags
/** Sapphire Rapids erratum 772415: read-only mappings cannot be used below a nested table. */
export const IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 = 0x1

/** Intel VT-d: the capability and extended capability registers. */
export const iommu_hw_info_vtd = {
  name: 'iommu_hw_info_vtd',
  size: 24,
  at: { flags: 0, __reserved: 4, cap_reg: 8, ecap_reg: 16 },
  type: { flags: 'u32', __reserved: 'u32', cap_reg: 'u64', ecap_reg: 'u64' },
} as const

// iommu_hw_info_arm_smmuv3.flags
/** Erratum: TLB and configuration invalidations must be issued twice. */
export const IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI = 0x1

/** Arm SMMUv3: registers IDR0 to IDR5, IIDR and AIDR. */
export const iommu_hw_info_arm_smmuv3 = {
  name: 'iommu_hw_info_arm_smmuv3',
  size: 40,
  at: { flags: 0, __reserved: 4, idr: 8, iidr: 32, aidr: 36 },
  type: { flags: 'u32', __reserved: 'u32', idr: 'u32[6]', iidr: 'u32', aidr: 'u32' },
} as const

/** NVIDIA Tegra241 CMDQV: version and log2 of the numbers of command queues and stream ids. */
export const iommu_hw_info_tegra241_cmdqv = {
  name: 'iommu_hw_info_tegra241_cmdqv',
  size: 8,
  at: { flags: 0, version: 4, log2vcmdqs: 5, log2vsids: 6, __reserved: 7 },
  type: { flags: 'u32', version: 'u8', log2vcmdqs: 'u8', log2vsids: 'u8', __reserved: 'u8' },
} as const

/** AMD: the extended feature registers. */
export const iommu_hw_info_amd = {
  name: 'iommu_hw_info_amd',
  size: 16,
  at: { efr: 0, efr2: 8 },
  type: { efr: 'u64', efr2: 'u64' },
} as const

// iommu_hw_info.in_data_type and out_data_type
export const IOMMU_HW_INFO_TYPE_NONE = 0
/** In `in_data_type`: whatever the device's IOMMU is. */
export const IOMMU_HW_INFO_TYPE_DEFAULT = 0
/** iommu_hw_info_vtd */
export const IOMMU_HW_INFO_TYPE_INTEL_VTD = 1
/** iommu_hw_info_arm_smmuv3 */
export const IOMMU_HW_INFO_TYPE_ARM_SMMUV3 = 2
/** iommu_hw_info_tegra241_cmdqv */
export const IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV = 3
/** iommu_hw_info_amd */
export const IOMMU_HW_INFO_TYPE_AMD = 4

// iommu_hw_info.out_capabilities
/** IOMMU_HWPT_ALLOC_DIRTY_TRACKING is possible. */
export const IOMMU_HW_CAP_DIRTY_TRACKING = 0x1
/** The PASID capability has execute permission. */
export const IOMMU_HW_CAP_PCI_PASID_EXEC = 0x2
/** The PASID capability has privileged mode. */
export const IOMMU_HW_CAP_PCI_PASID_PRIV = 0x4
/** The device cannot use address translation services (ATS). Linux 7.x. */
export const IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED = 0x8

// iommu_hw_info.flags
/** `in_data_type` asks for one type of information. Linux 6.17. */
export const IOMMU_HW_INFO_FLAG_INPUT_TYPE = 0x1

/** Describes the IOMMU in front of a device. Linux 6.6. */
export const IOMMU_GET_HW_INFO = 0x3b8a

/**
 * Argument of IOMMU_GET_HW_INFO. `data_len`: in, bytes of room at `data_uptr`; out, bytes the kernel
 * has. in_data_type and out_data_type are one word. `out_max_pasid_log2`: width in bits, 0 without
 * PASIDs. `out_capabilities`: IOMMU_HW_CAP_*.
 */
export const iommu_hw_info = {
  name: 'iommu_hw_info',
  size: 40,
  at: {
    size: 0,
    flags: 4,
    dev_id: 8,
    data_len: 12,
    data_uptr: 16,
    in_data_type: 24,
    out_data_type: 24,
    out_max_pasid_log2: 28,
    __reserved: 29,
    out_capabilities: 32,
  },
  type: {
    size: 'u32',
    flags: 'u32',
    dev_id: 'u32',
    data_len: 'u32',
    data_uptr: 'u64',
    in_data_type: 'u32',
    out_data_type: 'u32',
    out_max_pasid_log2: 'u8',
    __reserved: 'u8[3]',
    out_capabilities: 'u64',
  },
} as const

// iommu_hwpt_set_dirty_tracking.flags
export const IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 0x1

/** Starts (ENABLE) or stops dirty tracking. Linux 6.7. */
export const IOMMU_HWPT_SET_DIRTY_TRACKING = 0x3b8b

/** Argument of IOMMU_HWPT_SET_DIRTY_TRACKING. */
export const iommu_hwpt_set_dirty_tracking = {
  name: 'iommu_hwpt_set_dirty_tracking',
  size: 16,
  at: { size: 0, flags: 4, hwpt_id: 8, __reserved: 12 },
  type: { size: 'u32', flags: 'u32', hwpt_id: 'u32', __reserved: 'u32' },
} as const

// iommu_hwpt_get_dirty_bitmap.flags
/** Leaves the dirty bits as they are. */
export const IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 0x1

/** Collects and clears dirty bits of a range of IOVAs. Linux 6.7. */
export const IOMMU_HWPT_GET_DIRTY_BITMAP = 0x3b8c

/**
 * Argument of IOMMU_HWPT_GET_DIRTY_BITMAP. `iova`, `length`: bytes. `page_size`: bytes per bit. `data`:
 * address of a bitmap of 64-bit words, bit 0 for `iova`.
 */
export const iommu_hwpt_get_dirty_bitmap = {
  name: 'iommu_hwpt_get_dirty_bitmap',
  size: 48,
  at: {
    size: 0,
    hwpt_id: 4,
    flags: 8,
    __reserved: 12,
    iova: 16,
    length: 24,
    page_size: 32,
    data: 40,
  },
  type: {
    size: 'u32',
    hwpt_id: 'u32',
    flags: 'u32',
    __reserved: 'u32',
    iova: 'u64',
    length: 'u64',
    page_size: 'u64',
    data: 'u64',
  },
} as const

// iommu_hwpt_invalidate.data_type
/** iommu_hwpt_vtd_s1_invalidate */
export const IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 = 0
/** iommu_viommu_arm_smmuv3_invalidate */
export const IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 = 1

// iommu_hwpt_vtd_s1_invalidate.flags
/** Only the leaf entries changed. */
export const IOMMU_VTD_INV_FLAGS_LEAF = 0x1

/** One VT-d first-stage invalidation. `npages`: pages of 4096 bytes; 2^64-1 with `addr` 0: all. */
export const iommu_hwpt_vtd_s1_invalidate = {
  name: 'iommu_hwpt_vtd_s1_invalidate',
  size: 24,
  at: { addr: 0, npages: 8, flags: 16, __reserved: 20 },
  type: { addr: 'u64', npages: 'u64', flags: 'u32', __reserved: 'u32' },
} as const

/** One SMMUv3 command, as the guest would queue it. */
export const iommu_viommu_arm_smmuv3_invalidate = {
  name: 'iommu_viommu_arm_smmuv3_invalidate',
  size: 16,
  at: { cmd: 0 },
  type: { cmd: 'le64[2]' },
} as const

/** Passes a guest's cache invalidations to the hardware. Linux 6.8. */
export const IOMMU_HWPT_INVALIDATE = 0x3b8d

/**
 * Argument of IOMMU_HWPT_INVALIDATE. `hwpt_id`: a nested HWPT or a vIOMMU. `data_uptr`: address of the
 * entries, `entry_len` bytes each. `entry_num`: in, how many; out, how many were done, also on failure.
 */
export const iommu_hwpt_invalidate = {
  name: 'iommu_hwpt_invalidate',
  size: 32,
  at: {
    size: 0,
    hwpt_id: 4,
    data_uptr: 8,
    data_type: 16,
    entry_len: 20,
    entry_num: 24,
    __reserved: 28,
  },
  type: {
    size: 'u32',
    hwpt_id: 'u32',
    data_uptr: 'u64',
    data_type: 'u32',
    entry_len: 'u32',
    entry_num: 'u32',
    __reserved: 'u32',
  },
} as const

// iommu_hwpt_pgfault.flags
export const IOMMU_PGFAULT_FLAGS_PASID_VALID = 0x1
/** The last request of its group: the group awaits one response. */
export const IOMMU_PGFAULT_FLAGS_LAST_PAGE = 0x2

// iommu_hwpt_pgfault.perm: the access that was wanted
export const IOMMU_PGFAULT_PERM_READ = 0x1
export const IOMMU_PGFAULT_PERM_WRITE = 0x2
export const IOMMU_PGFAULT_PERM_EXEC = 0x4
export const IOMMU_PGFAULT_PERM_PRIV = 0x8

/**
 * A page request read from a fault queue. `grpid`: the device's group of requests. `length`: bytes that
 * it hints at. `cookie`: to be put in the response.
 */
export const iommu_hwpt_pgfault = {
  name: 'iommu_hwpt_pgfault',
  size: 40,
  at: {
    flags: 0,
    dev_id: 4,
    pasid: 8,
    grpid: 12,
    perm: 16,
    __reserved: 20,
    addr: 24,
    length: 32,
    cookie: 36,
  },
  type: {
    flags: 'u32',
    dev_id: 'u32',
    pasid: 'u32',
    grpid: 'u32',
    perm: 'u32',
    __reserved: 'u32',
    addr: 'u64',
    length: 'u32',
    cookie: 'u32',
  },
} as const

// iommu_hwpt_page_response.code
/** The fault is handled: try again. */
export const IOMMUFD_PAGE_RESP_SUCCESS = 0
/** The access must fail. */
export const IOMMUFD_PAGE_RESP_INVALID = 1

/** The answer to a group of page requests, written to the fault queue. */
export const iommu_hwpt_page_response = {
  name: 'iommu_hwpt_page_response',
  size: 8,
  at: { cookie: 0, code: 4 },
  type: { cookie: 'u32', code: 'u32' },
} as const

/** Makes a queue of page faults with a file to read them from. Linux 6.11. */
export const IOMMU_FAULT_QUEUE_ALLOC = 0x3b8e

/** Argument of IOMMU_FAULT_QUEUE_ALLOC. `flags`: 0. `out_fault_fd`: a new descriptor. */
export const iommu_fault_alloc = {
  name: 'iommu_fault_alloc',
  size: 16,
  at: { size: 0, flags: 4, out_fault_id: 8, out_fault_fd: 12 },
  type: { size: 'u32', flags: 'u32', out_fault_id: 'u32', out_fault_fd: 'u32' },
} as const
