// SPDX-License-Identifier: Apache-2.0
//
// vfio.h, third part: the ioctls of a device file: information, regions, interrupts, reset, display,
// and the binding of a device to an iommufd (SPEC section 7).
//
// Invariant: names, numbers and offsets are those of Linux 7.3 on x86-64, nothing else is exported.

// Numbers of the regions of a PCI device
export const VFIO_PCI_BAR0_REGION_INDEX = 0
export const VFIO_PCI_BAR1_REGION_INDEX = 1
export const VFIO_PCI_BAR2_REGION_INDEX = 2
export const VFIO_PCI_BAR3_REGION_INDEX = 3
export const VFIO_PCI_BAR4_REGION_INDEX = 4
export const VFIO_PCI_BAR5_REGION_INDEX = 5
export const VFIO_PCI_ROM_REGION_INDEX = 6
export const VFIO_PCI_CONFIG_REGION_INDEX = 7
export const VFIO_PCI_VGA_REGION_INDEX = 8
/** Regions from this number on are device-specific. */
export const VFIO_PCI_NUM_REGIONS = 9

// Numbers of the interrupts of a PCI device
export const VFIO_PCI_INTX_IRQ_INDEX = 0
export const VFIO_PCI_MSI_IRQ_INDEX = 1
export const VFIO_PCI_MSIX_IRQ_INDEX = 2
export const VFIO_PCI_ERR_IRQ_INDEX = 3
export const VFIO_PCI_REQ_IRQ_INDEX = 4
export const VFIO_PCI_NUM_IRQS = 5

// Regions and interrupts of s390 channel (CCW) and crypto (AP) devices
export const VFIO_CCW_CONFIG_REGION_INDEX = 0
export const VFIO_CCW_NUM_REGIONS = 1
export const VFIO_CCW_IO_IRQ_INDEX = 0
export const VFIO_CCW_CRW_IRQ_INDEX = 1
export const VFIO_CCW_REQ_IRQ_INDEX = 2
export const VFIO_CCW_NUM_IRQS = 3
export const VFIO_AP_REQ_IRQ_INDEX = 0
export const VFIO_AP_CFG_CHG_IRQ_INDEX = 1
export const VFIO_AP_NUM_IRQS = 2

// vfio_device_info.flags
export const VFIO_DEVICE_FLAGS_RESET = 0x1
export const VFIO_DEVICE_FLAGS_PCI = 0x2
export const VFIO_DEVICE_FLAGS_PLATFORM = 0x4
export const VFIO_DEVICE_FLAGS_AMBA = 0x8
export const VFIO_DEVICE_FLAGS_CCW = 0x10
export const VFIO_DEVICE_FLAGS_AP = 0x20
export const VFIO_DEVICE_FLAGS_FSL_MC = 0x40
/** `cap_offset` is valid. */
export const VFIO_DEVICE_FLAGS_CAPS = 0x80
export const VFIO_DEVICE_FLAGS_CDX = 0x100

/** Argument of VFIO_DEVICE_GET_INFO. */
export const vfio_device_info = {
  name: 'vfio_device_info',
  size: 24,
  at: { argsz: 0, flags: 4, num_regions: 8, num_irqs: 12, cap_offset: 16, pad: 20 },
  type: {
    argsz: 'u32',
    flags: 'u32',
    num_regions: 'u32',
    num_irqs: 'u32',
    cap_offset: 'u32',
    pad: 'u32',
  },
} as const

export const VFIO_DEVICE_GET_INFO = 0x3b6b

// Names of the kinds of device, as mediated devices state them (device_api in sysfs)
export const VFIO_DEVICE_API_PCI_STRING = 'vfio-pci'
export const VFIO_DEVICE_API_PLATFORM_STRING = 'vfio-platform'
export const VFIO_DEVICE_API_AMBA_STRING = 'vfio-amba'
export const VFIO_DEVICE_API_CCW_STRING = 'vfio-ccw'
export const VFIO_DEVICE_API_AP_STRING = 'vfio-ap'

// Capability ids after vfio_device_info
export const VFIO_DEVICE_INFO_CAP_ZPCI_BASE = 1
export const VFIO_DEVICE_INFO_CAP_ZPCI_GROUP = 2
export const VFIO_DEVICE_INFO_CAP_ZPCI_UTIL = 3
export const VFIO_DEVICE_INFO_CAP_ZPCI_PFIP = 4
/** vfio_device_info_cap_pci_atomic_comp */
export const VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP = 5

// vfio_device_info_cap_pci_atomic_comp.flags
export const VFIO_PCI_ATOMIC_COMP32 = 0x1
export const VFIO_PCI_ATOMIC_COMP64 = 0x2
export const VFIO_PCI_ATOMIC_COMP128 = 0x4

/** Capability: sizes of atomic operation that the root port completes. */
export const vfio_device_info_cap_pci_atomic_comp = {
  name: 'vfio_device_info_cap_pci_atomic_comp',
  size: 16,
  at: { header: 0, flags: 8, reserved: 12 },
  type: { header: 'struct vfio_info_cap_header', flags: 'u32', reserved: 'u32' },
} as const

// vfio_region_info.flags
export const VFIO_REGION_INFO_FLAG_READ = 0x1
export const VFIO_REGION_INFO_FLAG_WRITE = 0x2
export const VFIO_REGION_INFO_FLAG_MMAP = 0x4
/** `cap_offset` is valid. */
export const VFIO_REGION_INFO_FLAG_CAPS = 0x8

/**
 * Argument of VFIO_DEVICE_GET_REGION_INFO. `index`: in. `size`, `offset`: bytes; where to read, write or
 * mmap the region on the device file.
 */
export const vfio_region_info = {
  name: 'vfio_region_info',
  size: 32,
  at: { argsz: 0, flags: 4, index: 8, cap_offset: 12, size: 16, offset: 24 },
  type: { argsz: 'u32', flags: 'u32', index: 'u32', cap_offset: 'u32', size: 'u64', offset: 'u64' },
} as const

export const VFIO_DEVICE_GET_REGION_INFO = 0x3b6c

// Capability ids after vfio_region_info
/** vfio_region_info_cap_sparse_mmap */
export const VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1
/** vfio_region_info_cap_type */
export const VFIO_REGION_INFO_CAP_TYPE = 2
/** Only the header: the MSI-X table may be mmap-ed. */
export const VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3
/** vfio_region_info_cap_nvlink2_ssatgt */
export const VFIO_REGION_INFO_CAP_NVLINK2_SSATGT = 4
/** vfio_region_info_cap_nvlink2_lnkspd */
export const VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD = 5

/** A part of a region that can be mmap-ed; bytes. */
export const vfio_region_sparse_mmap_area = {
  name: 'vfio_region_sparse_mmap_area',
  size: 16,
  at: { offset: 0, size: 8 },
  type: { offset: 'u64', size: 'u64' },
} as const

/** Capability: only these parts can be mmap-ed. `areas` has `nr_areas` elements. */
export const vfio_region_info_cap_sparse_mmap = {
  name: 'vfio_region_info_cap_sparse_mmap',
  size: 16,
  at: { header: 0, nr_areas: 8, reserved: 12, areas: 16 },
  type: {
    header: 'struct vfio_info_cap_header',
    nr_areas: 'u32',
    reserved: 'u32',
    areas: 'struct vfio_region_sparse_mmap_area[]',
  },
  count: { areas: 'nr_areas' },
} as const

/** Capability: what a device-specific region is. */
export const vfio_region_info_cap_type = {
  name: 'vfio_region_info_cap_type',
  size: 16,
  at: { header: 0, type: 8, subtype: 12 },
  type: { header: 'struct vfio_info_cap_header', type: 'u32', subtype: 'u32' },
} as const

// vfio_region_info_cap_type.type
/** With a PCI vendor id in the low 16 bits. */
export const VFIO_REGION_TYPE_PCI_VENDOR_TYPE = 0x80000000
export const VFIO_REGION_TYPE_PCI_VENDOR_MASK = 0xffff
export const VFIO_REGION_TYPE_GFX = 1
export const VFIO_REGION_TYPE_CCW = 2
export const VFIO_REGION_TYPE_MIGRATION_DEPRECATED = 3

// vfio_region_info_cap_type.subtype, per type
export const VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION = 1
export const VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG = 2
export const VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG = 3
export const VFIO_REGION_SUBTYPE_NVIDIA_NVLINK2_RAM = 1
export const VFIO_REGION_SUBTYPE_IBM_NVLINK2_ATSD = 1
export const VFIO_REGION_SUBTYPE_GFX_EDID = 1
export const VFIO_REGION_SUBTYPE_CCW_ASYNC_CMD = 1
export const VFIO_REGION_SUBTYPE_CCW_SCHIB = 2
export const VFIO_REGION_SUBTYPE_CCW_CRW = 3
export const VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED = 1

/** Begins a region of subtype GFX_EDID: where the monitor's description is. */
export const vfio_region_gfx_edid = {
  name: 'vfio_region_gfx_edid',
  size: 24,
  at: {
    edid_offset: 0,
    edid_max_size: 4,
    edid_size: 8,
    max_xres: 12,
    max_yres: 16,
    link_state: 20,
  },
  type: {
    edid_offset: 'u32',
    edid_max_size: 'u32',
    edid_size: 'u32',
    max_xres: 'u32',
    max_yres: 'u32',
    link_state: 'u32',
  },
} as const

// vfio_region_gfx_edid.link_state
export const VFIO_DEVICE_GFX_LINK_STATE_UP = 1
export const VFIO_DEVICE_GFX_LINK_STATE_DOWN = 2

/** Capability: address of a GPU's memory on NVLink. */
export const vfio_region_info_cap_nvlink2_ssatgt = {
  name: 'vfio_region_info_cap_nvlink2_ssatgt',
  size: 16,
  at: { header: 0, tgt: 8 },
  type: { header: 'struct vfio_info_cap_header', tgt: 'u64' },
} as const

/** Capability: speed of an NVLink. */
export const vfio_region_info_cap_nvlink2_lnkspd = {
  name: 'vfio_region_info_cap_nvlink2_lnkspd',
  size: 16,
  at: { header: 0, link_speed: 8, __pad: 12 },
  type: { header: 'struct vfio_info_cap_header', link_speed: 'u32', __pad: 'u32' },
} as const

// vfio_irq_info.flags
export const VFIO_IRQ_INFO_EVENTFD = 0x1
export const VFIO_IRQ_INFO_MASKABLE = 0x2
/** Masked by itself when it fires. */
export const VFIO_IRQ_INFO_AUTOMASKED = 0x4
/** The number in use cannot change without disabling all first. */
export const VFIO_IRQ_INFO_NORESIZE = 0x8

/** Argument of VFIO_DEVICE_GET_IRQ_INFO. `index`: in. `count`: interrupts in it. */
export const vfio_irq_info = {
  name: 'vfio_irq_info',
  size: 16,
  at: { argsz: 0, flags: 4, index: 8, count: 12 },
  type: { argsz: 'u32', flags: 'u32', index: 'u32', count: 'u32' },
} as const

export const VFIO_DEVICE_GET_IRQ_INFO = 0x3b6d

// vfio_irq_set.flags: one DATA and one ACTION
/** No `data`. */
export const VFIO_IRQ_SET_DATA_NONE = 0x1
/** `data`: u8[count] */
export const VFIO_IRQ_SET_DATA_BOOL = 0x2
/** `data`: s32[count], descriptors; -1 removes. */
export const VFIO_IRQ_SET_DATA_EVENTFD = 0x4
export const VFIO_IRQ_SET_ACTION_MASK = 0x8
export const VFIO_IRQ_SET_ACTION_UNMASK = 0x10
export const VFIO_IRQ_SET_ACTION_TRIGGER = 0x20
export const VFIO_IRQ_SET_DATA_TYPE_MASK = 0x7
export const VFIO_IRQ_SET_ACTION_TYPE_MASK = 0x38

/** Argument of VFIO_DEVICE_SET_IRQS: interrupts `start` to `start + count - 1` of `index`. */
export const vfio_irq_set = {
  name: 'vfio_irq_set',
  size: 20,
  at: { argsz: 0, flags: 4, index: 8, start: 12, count: 16, data: 20 },
  type: { argsz: 'u32', flags: 'u32', index: 'u32', start: 'u32', count: 'u32', data: 'u8[]' },
} as const

export const VFIO_DEVICE_SET_IRQS = 0x3b6e

/** No argument. */
export const VFIO_DEVICE_RESET = 0x3b6f

// vfio_pci_dependent_device.devid with VFIO_PCI_HOT_RESET_FLAG_DEV_ID, when it is not an id
/** Not bound here, but the reset need not wait for it. */
export const VFIO_PCI_DEVID_OWNED = 0
/** In the way of a reset. As an s32; the u32 field reads 0xffffffff. */
export const VFIO_PCI_DEVID_NOT_OWNED = -1

/** A device that a hot reset resets too. `devid` in place of `group_id` with FLAG_DEV_ID. */
export const vfio_pci_dependent_device = {
  name: 'vfio_pci_dependent_device',
  size: 8,
  at: { group_id: 0, devid: 0, segment: 4, bus: 6, devfn: 7 },
  type: { group_id: 'u32', devid: 'u32', segment: 'u16', bus: 'u8', devfn: 'u8' },
} as const

// vfio_pci_hot_reset_info.flags
/** `devices` have `devid`s of this iommufd. */
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID = 0x1
/** All of them are the caller's: a reset is possible. */
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED = 0x2

/** Argument of VFIO_DEVICE_GET_PCI_HOT_RESET_INFO. `devices` has `count` elements. */
export const vfio_pci_hot_reset_info = {
  name: 'vfio_pci_hot_reset_info',
  size: 12,
  at: { argsz: 0, flags: 4, count: 8, devices: 12 },
  type: { argsz: 'u32', flags: 'u32', count: 'u32', devices: 'struct vfio_pci_dependent_device[]' },
  count: { devices: 'count' },
} as const

export const VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = 0x3b70

/** Argument of VFIO_DEVICE_PCI_HOT_RESET. `group_fds` has `count` elements; none with an iommufd. */
export const vfio_pci_hot_reset = {
  name: 'vfio_pci_hot_reset',
  size: 12,
  at: { argsz: 0, flags: 4, count: 8, group_fds: 12 },
  type: { argsz: 'u32', flags: 'u32', count: 'u32', group_fds: 's32[]' },
  count: { group_fds: 'count' },
} as const

export const VFIO_DEVICE_PCI_HOT_RESET = 0x3b71

// vfio_device_gfx_plane_info.flags
export const VFIO_GFX_PLANE_TYPE_PROBE = 0x1
export const VFIO_GFX_PLANE_TYPE_DMABUF = 0x2
export const VFIO_GFX_PLANE_TYPE_REGION = 0x4

/** Argument of VFIO_DEVICE_QUERY_GFX_PLANE: a picture in a region or (same word) a dma-buf. */
export const vfio_device_gfx_plane_info = {
  name: 'vfio_device_gfx_plane_info',
  size: 64,
  at: {
    argsz: 0,
    flags: 4,
    drm_plane_type: 8,
    drm_format: 12,
    drm_format_mod: 16,
    width: 24,
    height: 28,
    stride: 32,
    size: 36,
    x_pos: 40,
    y_pos: 44,
    x_hot: 48,
    y_hot: 52,
    region_index: 56,
    dmabuf_id: 56,
    reserved: 60,
  },
  type: {
    argsz: 'u32',
    flags: 'u32',
    drm_plane_type: 'u32',
    drm_format: 'u32',
    drm_format_mod: 'u64',
    width: 'u32',
    height: 'u32',
    stride: 'u32',
    size: 'u32',
    x_pos: 'u32',
    y_pos: 'u32',
    x_hot: 'u32',
    y_hot: 'u32',
    region_index: 'u32',
    dmabuf_id: 'u32',
    reserved: 'u32',
  },
} as const

export const VFIO_DEVICE_QUERY_GFX_PLANE = 0x3b72
/** The argument is the address of a u32: `dmabuf_id` of a plane; returns a descriptor. */
export const VFIO_DEVICE_GET_GFX_DMABUF = 0x3b73

// vfio_device_ioeventfd.flags: width of the write in bits
export const VFIO_DEVICE_IOEVENTFD_8 = 0x1
export const VFIO_DEVICE_IOEVENTFD_16 = 0x2
export const VFIO_DEVICE_IOEVENTFD_32 = 0x4
export const VFIO_DEVICE_IOEVENTFD_64 = 0x8
export const VFIO_DEVICE_IOEVENTFD_SIZE_MASK = 0xf

/** Argument of VFIO_DEVICE_IOEVENTFD: writes `data` at `offset` when the eventfd fires; -1 stops. */
export const vfio_device_ioeventfd = {
  name: 'vfio_device_ioeventfd',
  size: 32,
  at: { argsz: 0, flags: 4, offset: 8, data: 16, fd: 24, reserved: 28 },
  type: { argsz: 'u32', flags: 'u32', offset: 'u64', data: 'u64', fd: 's32', reserved: 'u32' },
} as const

export const VFIO_DEVICE_IOEVENTFD = 0x3b74

// vfio_device_bind_iommufd.flags
/** `token_uuid_ptr` is valid. Linux 6.17. */
export const VFIO_DEVICE_BIND_FLAG_TOKEN = 0x1

/** Argument of VFIO_DEVICE_BIND_IOMMUFD. `iommufd`: a descriptor. `token_uuid_ptr`: 16 bytes. */
export const vfio_device_bind_iommufd = {
  name: 'vfio_device_bind_iommufd',
  size: 24,
  at: { argsz: 0, flags: 4, iommufd: 8, out_devid: 12, token_uuid_ptr: 16 },
  type: { argsz: 'u32', flags: 'u32', iommufd: 's32', out_devid: 'u32', token_uuid_ptr: 'u64' },
} as const

/** Binds a device opened as /dev/vfio/devices/vfioN to an iommufd. Linux 6.6. */
export const VFIO_DEVICE_BIND_IOMMUFD = 0x3b76

// vfio_device_attach_iommufd_pt.flags and vfio_device_detach_iommufd_pt.flags
/** `pasid` is valid. */
export const VFIO_DEVICE_ATTACH_PASID = 0x1
/** `pasid` is valid. */
export const VFIO_DEVICE_DETACH_PASID = 0x1

/** Argument of VFIO_DEVICE_ATTACH_IOMMUFD_PT. `pt_id`: in, an IOAS or HWPT; out, the HWPT in use. */
export const vfio_device_attach_iommufd_pt = {
  name: 'vfio_device_attach_iommufd_pt',
  size: 16,
  at: { argsz: 0, flags: 4, pt_id: 8, pasid: 12 },
  type: { argsz: 'u32', flags: 'u32', pt_id: 'u32', pasid: 'u32' },
} as const

/** Attaches a bound device to an IOAS or HWPT, or replaces what it is attached to. Linux 6.6. */
export const VFIO_DEVICE_ATTACH_IOMMUFD_PT = 0x3b77

/** Argument of VFIO_DEVICE_DETACH_IOMMUFD_PT. */
export const vfio_device_detach_iommufd_pt = {
  name: 'vfio_device_detach_iommufd_pt',
  size: 12,
  at: { argsz: 0, flags: 4, pasid: 8 },
  type: { argsz: 'u32', flags: 'u32', pasid: 'u32' },
} as const

/** Detaches a device; nothing happens when it is not attached. Linux 6.6. */
export const VFIO_DEVICE_DETACH_IOMMUFD_PT = 0x3b78
