// SPDX-License-Identifier: Apache-2.0
//
// vfio.h, first part: the container and its groups. The rest of the header is in vfio-type1.ts,
// vfio-device.ts, vfio-feature.ts and vfio-spapr.ts.
//
// Invariant: names, numbers and offsets are those of Linux 7.3 on x86-64, nothing else is exported.
// VFIO structs begin with `argsz`: the caller's size in bytes, often written back by the kernel as the
// size needed. The same ioctl number can mean different things on a container, a group and a device.

/** What VFIO_GET_API_VERSION answers. */
export const VFIO_API_VERSION = 0
/** The `type` byte of every VFIO ioctl number: ';', as iommufd's. */
export const VFIO_TYPE = 0x3b
/** The lowest `nr` byte. */
export const VFIO_BASE = 100

// Kinds of IOMMU (VFIO_SET_IOMMU) and what VFIO_CHECK_EXTENSION asks for.
export const VFIO_TYPE1_IOMMU = 1
export const VFIO_SPAPR_TCE_IOMMU = 2
export const VFIO_TYPE1v2_IOMMU = 3
/** Extension: DMA is coherent with the caches. */
export const VFIO_DMA_CC_IOMMU = 4
/** Extension: enhanced error handling (POWER). */
export const VFIO_EEH = 5
export const __VFIO_RESERVED_TYPE1_NESTING_IOMMU = 6
export const VFIO_SPAPR_TCE_v2_IOMMU = 7
export const VFIO_NOIOMMU_IOMMU = 8
/** Extension: VFIO_DMA_UNMAP_FLAG_ALL. */
export const VFIO_UNMAP_ALL = 9
/** Extension: VFIO_DMA_MAP_FLAG_VADDR and VFIO_DMA_UNMAP_FLAG_VADDR. */
export const VFIO_UPDATE_VADDR = 10

/** No argument; returns VFIO_API_VERSION. */
export const VFIO_GET_API_VERSION = 0x3b64
/** The argument is the number of an extension; returns 0 (absent) or more. */
export const VFIO_CHECK_EXTENSION = 0x3b65
/** The argument is the number of a kind of IOMMU. */
export const VFIO_SET_IOMMU = 0x3b66

/**
 * Begins each capability in the chain after an info struct. `id`: numbered per info struct. `next`: byte
 * offset of the next one from the beginning of the info struct, 0 for none.
 */
export const vfio_info_cap_header = {
  name: 'vfio_info_cap_header',
  size: 8,
  at: { id: 0, version: 2, next: 4 },
  type: { id: 'u16', version: 'u16', next: 'u32' },
} as const

// vfio_group_status.flags
/** Every device of the group is bound to a VFIO driver or to none. */
export const VFIO_GROUP_FLAGS_VIABLE = 0x1
export const VFIO_GROUP_FLAGS_CONTAINER_SET = 0x2

/** Argument of VFIO_GROUP_GET_STATUS. */
export const vfio_group_status = {
  name: 'vfio_group_status',
  size: 8,
  at: { argsz: 0, flags: 4 },
  type: { argsz: 'u32', flags: 'u32' },
} as const

export const VFIO_GROUP_GET_STATUS = 0x3b67
/** The argument is the address of an s32: descriptor of a container or an iommufd. */
export const VFIO_GROUP_SET_CONTAINER = 0x3b68
/** No argument. */
export const VFIO_GROUP_UNSET_CONTAINER = 0x3b69
/** The argument is the address of a device's name, ended by a zero byte; returns a descriptor. */
export const VFIO_GROUP_GET_DEVICE_FD = 0x3b6a
