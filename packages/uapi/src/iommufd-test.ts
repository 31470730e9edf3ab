// SPDX-License-Identifier: Apache-2.0
//
// iommufd_test.h: the ioctl of kernels built with CONFIG_IOMMUFD_TEST (SPEC section 10).
//
// Invariant: names, numbers and offsets are those of Linux 7.3 on x86-64. iommu_test_cmd is a header,
// one member of a union per operation, and `last`: its fields are named member_field here, so
// `add_reserved.start` is at.add_reserved_start, and fields of different members overlap.

/** Every test operation; `op` says which. */
export const IOMMU_TEST_CMD = 0x3ba0

// iommu_test_cmd.op
export const IOMMU_TEST_OP_ADD_RESERVED = 1
export const IOMMU_TEST_OP_MOCK_DOMAIN = 2
export const IOMMU_TEST_OP_MD_CHECK_MAP = 3
export const IOMMU_TEST_OP_MD_CHECK_REFS = 4
export const IOMMU_TEST_OP_CREATE_ACCESS = 5
export const IOMMU_TEST_OP_DESTROY_ACCESS_PAGES = 6
export const IOMMU_TEST_OP_ACCESS_PAGES = 7
export const IOMMU_TEST_OP_ACCESS_RW = 8
export const IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT = 9
export const IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE = 10
export const IOMMU_TEST_OP_ACCESS_REPLACE_IOAS = 11
export const IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS = 12
export const IOMMU_TEST_OP_DIRTY = 13
export const IOMMU_TEST_OP_MD_CHECK_IOTLB = 14
export const IOMMU_TEST_OP_TRIGGER_IOPF = 15
export const IOMMU_TEST_OP_DEV_CHECK_CACHE = 16
export const IOMMU_TEST_OP_TRIGGER_VEVENT = 17
export const IOMMU_TEST_OP_PASID_ATTACH = 18
export const IOMMU_TEST_OP_PASID_REPLACE = 19
export const IOMMU_TEST_OP_PASID_DETACH = 20
export const IOMMU_TEST_OP_PASID_CHECK_HWPT = 21
export const IOMMU_TEST_OP_DMABUF_GET = 22
export const IOMMU_TEST_OP_DMABUF_REVOKE = 23

// iommu_test_cmd.access_pages_flags and .access_rw_flags
/** ACCESS_PAGES: pin for writing. */
export const MOCK_FLAGS_ACCESS_WRITE = 0x1
/** ACCESS_PAGES, ACCESS_RW: `iova` is the number of an area (low u32) and an offset in it (high u32). */
export const MOCK_FLAGS_ACCESS_SYZ = 0x10000
/** ACCESS_RW: write instead of read. */
export const MOCK_ACCESS_RW_WRITE = 0x1
/** ACCESS_RW: copy through pinned pages even when a faster way exists. */
export const MOCK_ACCESS_RW_SLOW_PATH = 0x4

// iommu_test_cmd.create_access_flags
/** The access pins pages, so IOVAs must be page-aligned. */
export const MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES = 0x1

// iommu_test_cmd.mock_domain_flags_dev_flags
/** The device does not support dirty tracking. */
export const MOCK_FLAGS_DEVICE_NO_DIRTY = 0x1
/** The device supports PASIDs. */
export const MOCK_FLAGS_DEVICE_PASID = 0x4

// iommu_hwpt_selftest.pagetable_type
export const MOCK_IOMMUPT_DEFAULT = 0
export const MOCK_IOMMUPT_HUGE = 1

// What the mock hardware is like. Addresses and sizes in bytes.
export const MOCK_APERTURE_START = 0x1000000
/** Inclusive. */
export const MOCK_APERTURE_LAST = 0x7fffffff
export const MOCK_PAGE_SIZE = 2048
export const MOCK_HUGE_PAGE_SIZE = 1048576
export const MOCK_NESTED_DOMAIN_IOTLB_ID_MAX = 3
export const MOCK_NESTED_DOMAIN_IOTLB_NUM = 4
export const MOCK_DEV_CACHE_ID_MAX = 3
export const MOCK_DEV_CACHE_NUM = 4
/** Setting a second table for this PASID fails, so that undoing can be tested. */
export const IOMMU_TEST_PASID_RESERVED = 1024
/** Bits. */
export const MOCK_PASID_WIDTH = 20

/**
 * Argument of IOMMU_TEST_CMD. `id`: the object that the operation is about. The fields up to
 * `__reserved`, and `last`, belong to every operation.
 */
export const iommu_test_cmd = {
  name: 'iommu_test_cmd',
  size: 72,
  at: {
    size: 0,
    op: 4,
    id: 8,
    __reserved: 12,
    add_reserved_start: 16,
    add_reserved_length: 24,
    mock_domain_out_stdev_id: 16,
    mock_domain_out_hwpt_id: 20,
    mock_domain_out_idev_id: 24,
    mock_domain_flags_out_stdev_id: 16,
    mock_domain_flags_out_hwpt_id: 20,
    mock_domain_flags_out_idev_id: 24,
    mock_domain_flags_dev_flags: 28,
    mock_domain_replace_pt_id: 16,
    check_map_iova: 16,
    check_map_length: 24,
    check_map_uptr: 32,
    check_refs_length: 16,
    check_refs_uptr: 24,
    check_refs_refs: 32,
    create_access_out_access_fd: 16,
    create_access_flags: 20,
    destroy_access_pages_access_pages_id: 16,
    access_pages_flags: 16,
    access_pages_out_access_pages_id: 20,
    access_pages_iova: 24,
    access_pages_length: 32,
    access_pages_uptr: 40,
    access_rw_iova: 16,
    access_rw_length: 24,
    access_rw_uptr: 32,
    access_rw_flags: 40,
    memory_limit_limit: 16,
    access_replace_ioas_ioas_id: 16,
    dirty_flags: 16,
    dirty_iova: 24,
    dirty_length: 32,
    dirty_page_size: 40,
    dirty_uptr: 48,
    dirty_out_nr_dirty: 56,
    check_iotlb_id: 16,
    check_iotlb_iotlb: 20,
    trigger_iopf_dev_id: 16,
    trigger_iopf_pasid: 20,
    trigger_iopf_grpid: 24,
    trigger_iopf_perm: 28,
    trigger_iopf_addr: 32,
    check_dev_cache_id: 16,
    check_dev_cache_cache: 20,
    trigger_vevent_dev_id: 16,
    pasid_attach_pasid: 16,
    pasid_attach_pt_id: 20,
    pasid_replace_pasid: 16,
    pasid_replace_pt_id: 20,
    pasid_detach_pasid: 16,
    pasid_check_pasid: 16,
    pasid_check_hwpt_id: 20,
    dmabuf_get_length: 16,
    dmabuf_get_open_flags: 20,
    dmabuf_revoke_dmabuf_fd: 16,
    dmabuf_revoke_revoked: 20,
    last: 64,
  },
  type: {
    size: 'u32',
    op: 'u32',
    id: 'u32',
    __reserved: 'u32',
    add_reserved_start: 'u64',
    add_reserved_length: 'u64',
    mock_domain_out_stdev_id: 'u32',
    mock_domain_out_hwpt_id: 'u32',
    mock_domain_out_idev_id: 'u32',
    mock_domain_flags_out_stdev_id: 'u32',
    mock_domain_flags_out_hwpt_id: 'u32',
    mock_domain_flags_out_idev_id: 'u32',
    mock_domain_flags_dev_flags: 'u32',
    mock_domain_replace_pt_id: 'u32',
    check_map_iova: 'u64',
    check_map_length: 'u64',
    check_map_uptr: 'u64',
    check_refs_length: 'u64',
    check_refs_uptr: 'u64',
    check_refs_refs: 'u32',
    create_access_out_access_fd: 'u32',
    create_access_flags: 'u32',
    destroy_access_pages_access_pages_id: 'u32',
    access_pages_flags: 'u32',
    access_pages_out_access_pages_id: 'u32',
    access_pages_iova: 'u64',
    access_pages_length: 'u64',
    access_pages_uptr: 'u64',
    access_rw_iova: 'u64',
    access_rw_length: 'u64',
    access_rw_uptr: 'u64',
    access_rw_flags: 'u32',
    memory_limit_limit: 'u32',
    access_replace_ioas_ioas_id: 'u32',
    dirty_flags: 'u32',
    dirty_iova: 'u64',
    dirty_length: 'u64',
    dirty_page_size: 'u64',
    dirty_uptr: 'u64',
    dirty_out_nr_dirty: 'u64',
    check_iotlb_id: 'u32',
    check_iotlb_iotlb: 'u32',
    trigger_iopf_dev_id: 'u32',
    trigger_iopf_pasid: 'u32',
    trigger_iopf_grpid: 'u32',
    trigger_iopf_perm: 'u32',
    trigger_iopf_addr: 'u64',
    check_dev_cache_id: 'u32',
    check_dev_cache_cache: 'u32',
    trigger_vevent_dev_id: 'u32',
    pasid_attach_pasid: 'u32',
    pasid_attach_pt_id: 'u32',
    pasid_replace_pasid: 'u32',
    pasid_replace_pt_id: 'u32',
    pasid_detach_pasid: 'u32',
    pasid_check_pasid: 'u32',
    pasid_check_hwpt_id: 'u32',
    dmabuf_get_length: 'u32',
    dmabuf_get_open_flags: 'u32',
    dmabuf_revoke_dmabuf_fd: 's32',
    dmabuf_revoke_revoked: 'u32',
    last: 'u32',
  },
} as const

// Types and values of the mock driver's data.
export const IOMMU_HW_INFO_TYPE_SELFTEST = 0xfeedbeef
export const IOMMU_HW_INFO_SELFTEST_REGVAL = 0xdeadbeef

/** IOMMU_GET_HW_INFO data. `test_reg`: IOMMU_HW_INFO_SELFTEST_REGVAL. */
export const iommu_test_hw_info = {
  name: 'iommu_test_hw_info',
  size: 8,
  at: { flags: 0, test_reg: 4 },
  type: { flags: 'u32', test_reg: 'u32' },
} as const

export const IOMMU_HWPT_DATA_SELFTEST = 0xdead
/** What every cached translation of a nested HWPT holds at first, by default. */
export const IOMMU_TEST_IOTLB_DEFAULT = 0xbadbeef
/** What every device cache entry holds at first. */
export const IOMMU_TEST_DEV_CACHE_DEFAULT = 0xbaddad

/** IOMMU_HWPT_ALLOC data. `iotlb`: initial cache value. `pagetable_type`: MOCK_IOMMUPT_*. */
export const iommu_hwpt_selftest = {
  name: 'iommu_hwpt_selftest',
  size: 8,
  at: { iotlb: 0, pagetable_type: 4 },
  type: { iotlb: 'u32', pagetable_type: 'u32' },
} as const

export const IOMMU_HWPT_INVALIDATE_DATA_SELFTEST = 0xdeadbeef
export const IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID = 0xdadbeef
/** Every entry, not only the one named. */
export const IOMMU_TEST_INVALIDATE_FLAG_ALL = 0x1

/** IOMMU_HWPT_INVALIDATE entry on a nested HWPT. `iotlb_id`: 0 to MOCK_NESTED_DOMAIN_IOTLB_ID_MAX. */
export const iommu_hwpt_invalidate_selftest = {
  name: 'iommu_hwpt_invalidate_selftest',
  size: 8,
  at: { flags: 0, iotlb_id: 4 },
  type: { flags: 'u32', iotlb_id: 'u32' },
} as const

export const IOMMU_VIOMMU_TYPE_SELFTEST = 0xdeadbeef

/** IOMMU_VIOMMU_ALLOC data. `out_data` repeats `in_data`; the mmap offset and length are in bytes. */
export const iommu_viommu_selftest = {
  name: 'iommu_viommu_selftest',
  size: 24,
  at: { in_data: 0, out_data: 4, out_mmap_offset: 8, out_mmap_length: 16 },
  type: { in_data: 'u32', out_data: 'u32', out_mmap_offset: 'u64', out_mmap_length: 'u64' },
} as const

export const IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST = 0xdeadbeef
export const IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST_INVALID = 0xdadbeef

/** IOMMU_HWPT_INVALIDATE entry on a vIOMMU. `cache_id`: 0 to MOCK_DEV_CACHE_ID_MAX. */
export const iommu_viommu_invalidate_selftest = {
  name: 'iommu_viommu_invalidate_selftest',
  size: 12,
  at: { flags: 0, vdev_id: 4, cache_id: 8 },
  type: { flags: 'u32', vdev_id: 'u32', cache_id: 'u32' },
} as const

export const IOMMU_VEVENTQ_TYPE_SELFTEST = 0xbeefbeef

/** Event of a mock vIOMMU. `virt_id`: the device's virt_id. */
export const iommu_viommu_event_selftest = {
  name: 'iommu_viommu_event_selftest',
  size: 4,
  at: { virt_id: 0 },
  type: { virt_id: 'u32' },
} as const

export const IOMMU_HW_QUEUE_TYPE_SELFTEST = 0xdeadbeef
/** Hardware queues per vIOMMU. */
export const IOMMU_TEST_HW_QUEUE_MAX = 2
