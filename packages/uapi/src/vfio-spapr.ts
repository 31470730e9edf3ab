// SPDX-License-Identifier: Apache-2.0
//
// vfio.h, fifth part: containers on POWER (sPAPR TCE) and its enhanced error handling (EEH). Nothing
// on x86-64 answers to these; they are here because the header is.
//
// Invariant: names, numbers and offsets are those of Linux 7.3 on x86-64, nothing else is exported.

// vfio_iommu_spapr_tce_info.flags
/** `ddw` is valid. */
export const VFIO_IOMMU_SPAPR_INFO_DDW = 0x1

/** Dynamic DMA windows: page sizes (bitmap), how many windows, levels of table. */
export const vfio_iommu_spapr_tce_ddw_info = {
  name: 'vfio_iommu_spapr_tce_ddw_info',
  size: 16,
  at: { pgsizes: 0, max_dynamic_windows_supported: 8, levels: 12 },
  type: { pgsizes: 'u64', max_dynamic_windows_supported: 'u32', levels: 'u32' },
} as const

/** Argument of VFIO_IOMMU_SPAPR_TCE_GET_INFO. The window's start and size are in bytes. */
export const vfio_iommu_spapr_tce_info = {
  name: 'vfio_iommu_spapr_tce_info',
  size: 32,
  at: { argsz: 0, flags: 4, dma32_window_start: 8, dma32_window_size: 12, ddw: 16 },
  type: {
    argsz: 'u32',
    flags: 'u32',
    dma32_window_start: 'u32',
    dma32_window_size: 'u32',
    ddw: 'struct vfio_iommu_spapr_tce_ddw_info',
  },
} as const

export const VFIO_IOMMU_SPAPR_TCE_GET_INFO = 0x3b70

/** An error to be injected. */
export const vfio_eeh_pe_err = {
  name: 'vfio_eeh_pe_err',
  size: 24,
  at: { type: 0, func: 4, addr: 8, mask: 16 },
  type: { type: 'u32', func: 'u32', addr: 'u64', mask: 'u64' },
} as const

/** Argument of VFIO_EEH_PE_OP. `err`: with VFIO_EEH_PE_INJECT_ERR. */
export const vfio_eeh_pe_op = {
  name: 'vfio_eeh_pe_op',
  size: 40,
  at: { argsz: 0, flags: 4, op: 8, err: 16 },
  type: { argsz: 'u32', flags: 'u32', op: 'u32', err: 'struct vfio_eeh_pe_err' },
} as const

// vfio_eeh_pe_op.op
export const VFIO_EEH_PE_DISABLE = 0
export const VFIO_EEH_PE_ENABLE = 1
export const VFIO_EEH_PE_UNFREEZE_IO = 2
export const VFIO_EEH_PE_UNFREEZE_DMA = 3
/** Returns one of VFIO_EEH_PE_STATE_*. */
export const VFIO_EEH_PE_GET_STATE = 4
export const VFIO_EEH_PE_RESET_DEACTIVATE = 5
export const VFIO_EEH_PE_RESET_HOT = 6
export const VFIO_EEH_PE_RESET_FUNDAMENTAL = 7
export const VFIO_EEH_PE_CONFIGURE = 8
export const VFIO_EEH_PE_INJECT_ERR = 9

// What VFIO_EEH_PE_GET_STATE returns
export const VFIO_EEH_PE_STATE_NORMAL = 0
export const VFIO_EEH_PE_STATE_RESET = 1
export const VFIO_EEH_PE_STATE_STOPPED = 2
export const VFIO_EEH_PE_STATE_STOPPED_DMA = 4
export const VFIO_EEH_PE_STATE_UNAVAIL = 5

export const VFIO_EEH_PE_OP = 0x3b79

/** Argument of VFIO_IOMMU_SPAPR_(UN)REGISTER_MEMORY. `size`: bytes. */
export const vfio_iommu_spapr_register_memory = {
  name: 'vfio_iommu_spapr_register_memory',
  size: 24,
  at: { argsz: 0, flags: 4, vaddr: 8, size: 16 },
  type: { argsz: 'u32', flags: 'u32', vaddr: 'u64', size: 'u64' },
} as const

export const VFIO_IOMMU_SPAPR_REGISTER_MEMORY = 0x3b75
export const VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY = 0x3b76

/** Argument of VFIO_IOMMU_SPAPR_TCE_CREATE. `window_size`: bytes. `start_addr`: out, bus address. */
export const vfio_iommu_spapr_tce_create = {
  name: 'vfio_iommu_spapr_tce_create',
  size: 40,
  at: {
    argsz: 0,
    flags: 4,
    page_shift: 8,
    __resv1: 12,
    window_size: 16,
    levels: 24,
    __resv2: 28,
    start_addr: 32,
  },
  type: {
    argsz: 'u32',
    flags: 'u32',
    page_shift: 'u32',
    __resv1: 'u32',
    window_size: 'u64',
    levels: 'u32',
    __resv2: 'u32',
    start_addr: 'u64',
  },
} as const

export const VFIO_IOMMU_SPAPR_TCE_CREATE = 0x3b77

/** Argument of VFIO_IOMMU_SPAPR_TCE_REMOVE. */
export const vfio_iommu_spapr_tce_remove = {
  name: 'vfio_iommu_spapr_tce_remove',
  size: 16,
  at: { argsz: 0, flags: 4, start_addr: 8 },
  type: { argsz: 'u32', flags: 'u32', start_addr: 'u64' },
} as const

export const VFIO_IOMMU_SPAPR_TCE_REMOVE = 0x3b78
