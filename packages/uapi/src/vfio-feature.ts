// SPDX-License-Identifier: Apache-2.0
//
// vfio.h, fourth part: VFIO_DEVICE_FEATURE with its payloads, and migration.
//
// Invariant: names, numbers and offsets are those of Linux 7.3 on x86-64, nothing else is exported.
// `data` of vfio_device_feature holds the struct of the feature named by the low bits of `flags`.

// vfio_device_feature.flags: a feature's number and what to do with it
export const VFIO_DEVICE_FEATURE_MASK = 0xffff
export const VFIO_DEVICE_FEATURE_GET = 0x10000
export const VFIO_DEVICE_FEATURE_SET = 0x20000
/** Only asks whether the feature (with GET, SET) is there. */
export const VFIO_DEVICE_FEATURE_PROBE = 0x40000

/** Argument of VFIO_DEVICE_FEATURE. */
export const vfio_device_feature = {
  name: 'vfio_device_feature',
  size: 8,
  at: { argsz: 0, flags: 4, data: 8 },
  type: { argsz: 'u32', flags: 'u32', data: 'u8[]' },
} as const

export const VFIO_DEVICE_FEATURE = 0x3b75

// Numbers of the features, with their payloads
/** 16 bytes: the token that users of virtual functions must show. */
export const VFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0
/** vfio_device_feature_migration */
export const VFIO_DEVICE_FEATURE_MIGRATION = 1
/** vfio_device_feature_mig_state */
export const VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE = 2
/** No payload. */
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3
/** vfio_device_low_power_entry_with_wakeup */
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4
/** No payload. */
export const VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5
/** vfio_device_feature_dma_logging_control */
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6
/** No payload. */
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7
/** vfio_device_feature_dma_logging_report */
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 8
/** vfio_device_feature_mig_data_size */
export const VFIO_DEVICE_FEATURE_MIG_DATA_SIZE = 9
/** vfio_device_feature_bus_master */
export const VFIO_DEVICE_FEATURE_BUS_MASTER = 10
/** vfio_device_feature_dma_buf */
export const VFIO_DEVICE_FEATURE_DMA_BUF = 11
/** No payload: after it `flags` of vfio_precopy_info is valid. */
export const VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 = 12
/** vfio_device_feature_zpci_err */
export const VFIO_DEVICE_FEATURE_ZPCI_ERROR = 13

// vfio_device_feature_migration.flags
export const VFIO_MIGRATION_STOP_COPY = 0x1
export const VFIO_MIGRATION_P2P = 0x2
export const VFIO_MIGRATION_PRE_COPY = 0x4

/** What the device can do for migration. */
export const vfio_device_feature_migration = {
  name: 'vfio_device_feature_migration',
  size: 8,
  at: { flags: 0 },
  type: { flags: 'u64' },
} as const

// vfio_device_feature_mig_state.device_state
export const VFIO_DEVICE_STATE_ERROR = 0
export const VFIO_DEVICE_STATE_STOP = 1
export const VFIO_DEVICE_STATE_RUNNING = 2
export const VFIO_DEVICE_STATE_STOP_COPY = 3
export const VFIO_DEVICE_STATE_RESUMING = 4
export const VFIO_DEVICE_STATE_RUNNING_P2P = 5
export const VFIO_DEVICE_STATE_PRE_COPY = 6
export const VFIO_DEVICE_STATE_PRE_COPY_P2P = 7
/** How many states there are. */
export const VFIO_DEVICE_STATE_NR = 8

/** The device's state, got or set. `data_fd`: a new descriptor for states that move data, else -1. */
export const vfio_device_feature_mig_state = {
  name: 'vfio_device_feature_mig_state',
  size: 8,
  at: { device_state: 0, data_fd: 4 },
  type: { device_state: 'u32', data_fd: 's32' },
} as const

// vfio_precopy_info.flags
/** New initial data is in the stream: `initial_bytes` begins anew. */
export const VFIO_PRECOPY_INFO_REINIT = 0x1

/** Argument of VFIO_MIG_GET_PRECOPY_INFO: estimates in bytes. */
export const vfio_precopy_info = {
  name: 'vfio_precopy_info',
  size: 24,
  at: { argsz: 0, flags: 4, initial_bytes: 8, dirty_bytes: 16 },
  type: { argsz: 'u32', flags: 'u32', initial_bytes: 'u64', dirty_bytes: 'u64' },
} as const

/** On the data descriptor of a migration. */
export const VFIO_MIG_GET_PRECOPY_INFO = 0x3b79

/** The size in bytes of the data that STOP_COPY will yield. */
export const vfio_device_feature_mig_data_size = {
  name: 'vfio_device_feature_mig_data_size',
  size: 8,
  at: { stop_copy_length: 0 },
  type: { stop_copy_length: 'u64' },
} as const

/** `wakeup_eventfd`: told when the device wakes up. */
export const vfio_device_low_power_entry_with_wakeup = {
  name: 'vfio_device_low_power_entry_with_wakeup',
  size: 8,
  at: { wakeup_eventfd: 0, reserved: 4 },
  type: { wakeup_eventfd: 's32', reserved: 'u32' },
} as const

/** A range of IOVAs in bytes. */
export const vfio_device_feature_dma_logging_range = {
  name: 'vfio_device_feature_dma_logging_range',
  size: 16,
  at: { iova: 0, length: 8 },
  type: { iova: 'u64', length: 'u64' },
} as const

/**
 * Starts dirty tracking by the device. `page_size`: bytes, a wish in, what is used out. `ranges`: address
 * of vfio_device_feature_dma_logging_range[num_ranges].
 */
export const vfio_device_feature_dma_logging_control = {
  name: 'vfio_device_feature_dma_logging_control',
  size: 24,
  at: { page_size: 0, num_ranges: 8, __reserved: 12, ranges: 16 },
  type: { page_size: 'u64', num_ranges: 'u32', __reserved: 'u32', ranges: 'u64' },
} as const

/** Gets and clears dirty bits. `bitmap`: address; one bit per `page_size` bytes, bit 0 for `iova`. */
export const vfio_device_feature_dma_logging_report = {
  name: 'vfio_device_feature_dma_logging_report',
  size: 32,
  at: { iova: 0, length: 8, page_size: 16, bitmap: 24 },
  type: { iova: 'u64', length: 'u64', page_size: 'u64', bitmap: 'u64' },
} as const

// vfio_device_feature_bus_master.op
export const VFIO_DEVICE_FEATURE_CLEAR_MASTER = 0
export const VFIO_DEVICE_FEATURE_SET_MASTER = 1

/** Lets the device master the bus, or not. */
export const vfio_device_feature_bus_master = {
  name: 'vfio_device_feature_bus_master',
  size: 4,
  at: { op: 0 },
  type: { op: 'u32' },
} as const

/** A part of a region; bytes. */
export const vfio_region_dma_range = {
  name: 'vfio_region_dma_range',
  size: 16,
  at: { offset: 0, length: 8 },
  type: { offset: 'u64', length: 'u64' },
} as const

/** Exports parts of a region as a dma-buf. `open_flags`: O_*. `dma_ranges` has `nr_ranges` elements. */
export const vfio_device_feature_dma_buf = {
  name: 'vfio_device_feature_dma_buf',
  size: 16,
  at: { region_index: 0, open_flags: 4, flags: 8, nr_ranges: 12, dma_ranges: 16 },
  type: {
    region_index: 'u32',
    open_flags: 'u32',
    flags: 'u32',
    nr_ranges: 'u32',
    dma_ranges: 'struct vfio_region_dma_range[]',
  },
  count: { dma_ranges: 'nr_ranges' },
} as const

/** s390: an error that the platform reported for the device. */
export const vfio_device_feature_zpci_err = {
  name: 'vfio_device_feature_zpci_err',
  size: 8,
  at: { data: 0 },
  type: { data: 'u64' },
} as const

// The first migration protocol, no longer served by Linux.
// vfio_device_migration_info.device_state
export const VFIO_DEVICE_STATE_V1_STOP = 0
export const VFIO_DEVICE_STATE_V1_RUNNING = 0x1
export const VFIO_DEVICE_STATE_V1_SAVING = 0x2
export const VFIO_DEVICE_STATE_V1_RESUMING = 0x4
export const VFIO_DEVICE_STATE_MASK = 0x7

/** Begins the migration region of the first protocol. */
export const vfio_device_migration_info = {
  name: 'vfio_device_migration_info',
  size: 32,
  at: { device_state: 0, reserved: 4, pending_bytes: 8, data_offset: 16, data_size: 24 },
  type: {
    device_state: 'u32',
    reserved: 'u32',
    pending_bytes: 'u64',
    data_offset: 'u64',
    data_size: 'u64',
  },
} as const
