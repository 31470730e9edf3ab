// SPDX-License-Identifier: Apache-2.0
//
// iommufd.h, third part: virtual IOMMUs, their devices, events and hardware queues.
//
// Invariant: names, numbers and offsets are those of Linux 7.3 on x86-64, nothing else is exported.

// iommu_viommu_alloc.type
export const IOMMU_VIOMMU_TYPE_DEFAULT = 0
export const IOMMU_VIOMMU_TYPE_ARM_SMMUV3 = 1
/** With iommu_viommu_tegra241_cmdqv as data. */
export const IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV = 2

/** Tegra241 CMDQV: where the virtual interface's page can be mmap-ed on the iommufd; bytes. */
export const iommu_viommu_tegra241_cmdqv = {
  name: 'iommu_viommu_tegra241_cmdqv',
  size: 16,
  at: { out_vintf_mmap_offset: 0, out_vintf_mmap_length: 8 },
  type: { out_vintf_mmap_offset: 'u64', out_vintf_mmap_length: 'u64' },
} as const

/** Makes a virtual IOMMU: a slice of the physical one for a guest. Linux 6.13. */
export const IOMMU_VIOMMU_ALLOC = 0x3b90

/** Argument of IOMMU_VIOMMU_ALLOC. `type`: IOMMU_VIOMMU_TYPE_*. `hwpt_id`: a nesting parent. */
export const iommu_viommu_alloc = {
  name: 'iommu_viommu_alloc',
  size: 40,
  at: {
    size: 0,
    flags: 4,
    type: 8,
    dev_id: 12,
    hwpt_id: 16,
    out_viommu_id: 20,
    data_len: 24,
    __reserved: 28,
    data_uptr: 32,
  },
  type: {
    size: 'u32',
    flags: 'u32',
    type: 'u32',
    dev_id: 'u32',
    hwpt_id: 'u32',
    out_viommu_id: 'u32',
    data_len: 'u32',
    __reserved: 'u32',
    data_uptr: 'u64',
  },
} as const

/** Gives a device its number on a virtual IOMMU. Linux 6.13. */
export const IOMMU_VDEVICE_ALLOC = 0x3b91

/** Argument of IOMMU_VDEVICE_ALLOC. `virt_id`: what the guest calls it (e.g. a stream id). */
export const iommu_vdevice_alloc = {
  name: 'iommu_vdevice_alloc',
  size: 24,
  at: { size: 0, viommu_id: 4, dev_id: 8, out_vdevice_id: 12, virt_id: 16 },
  type: { size: 'u32', viommu_id: 'u32', dev_id: 'u32', out_vdevice_id: 'u32', virt_id: 'u64' },
} as const

// iommufd_vevent_header.flags
/** Events were lost; no event data follows this header. */
export const IOMMU_VEVENTQ_FLAG_LOST_EVENTS = 0x1

/** Before each event read from an event queue. `sequence` counts events, lost ones too. */
export const iommufd_vevent_header = {
  name: 'iommufd_vevent_header',
  size: 8,
  at: { flags: 0, sequence: 4 },
  type: { flags: 'u32', sequence: 'u32' },
} as const

// iommu_veventq_alloc.type
export const IOMMU_VEVENTQ_TYPE_DEFAULT = 0
/** iommu_vevent_arm_smmuv3 */
export const IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 = 1
/** iommu_vevent_tegra241_cmdqv */
export const IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV = 2

/** One SMMUv3 event record. */
export const iommu_vevent_arm_smmuv3 = {
  name: 'iommu_vevent_arm_smmuv3',
  size: 32,
  at: { evt: 0 },
  type: { evt: 'le64[4]' },
} as const

/** Tegra241 CMDQV: bitmap of virtual command queues in error. */
export const iommu_vevent_tegra241_cmdqv = {
  name: 'iommu_vevent_tegra241_cmdqv',
  size: 16,
  at: { lvcmdq_err_map: 0 },
  type: { lvcmdq_err_map: 'le64[2]' },
} as const

/** Makes a queue of a virtual IOMMU's events with a file to read them from. Linux 6.15. */
export const IOMMU_VEVENTQ_ALLOC = 0x3b93

/**
 * Argument of IOMMU_VEVENTQ_ALLOC. `type`: IOMMU_VEVENTQ_TYPE_*. `veventq_depth`: most events waiting.
 * `out_veventq_fd`: a new descriptor.
 */
export const iommu_veventq_alloc = {
  name: 'iommu_veventq_alloc',
  size: 32,
  at: {
    size: 0,
    flags: 4,
    viommu_id: 8,
    type: 12,
    veventq_depth: 16,
    out_veventq_id: 20,
    out_veventq_fd: 24,
    __reserved: 28,
  },
  type: {
    size: 'u32',
    flags: 'u32',
    viommu_id: 'u32',
    type: 'u32',
    veventq_depth: 'u32',
    out_veventq_id: 'u32',
    out_veventq_fd: 'u32',
    __reserved: 'u32',
  },
} as const

// iommu_hw_queue_alloc.type
export const IOMMU_HW_QUEUE_TYPE_DEFAULT = 0
export const IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV = 1

/** Gives guest memory to the hardware as a queue of a virtual IOMMU. Linux 6.17. */
export const IOMMU_HW_QUEUE_ALLOC = 0x3b94

/**
 * Argument of IOMMU_HW_QUEUE_ALLOC. `index`: which of the hardware's queues. `nesting_parent_iova`,
 * `length`: the queue's memory in the nesting parent's address space; bytes.
 */
export const iommu_hw_queue_alloc = {
  name: 'iommu_hw_queue_alloc',
  size: 40,
  at: {
    size: 0,
    flags: 4,
    viommu_id: 8,
    type: 12,
    index: 16,
    out_hw_queue_id: 20,
    nesting_parent_iova: 24,
    length: 32,
  },
  type: {
    size: 'u32',
    flags: 'u32',
    viommu_id: 'u32',
    type: 'u32',
    index: 'u32',
    out_hw_queue_id: 'u32',
    nesting_parent_iova: 'u64',
    length: 'u64',
  },
} as const
