// SPDX-License-Identifier: Apache-2.0
//
// Every ioctl of the three headers: its number, what its argument is, and how much of a struct the
// kernel insists on (SPEC F4): up to and with the field that stands last in each row here.

import {
  IOMMU_DESTROY,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_NOIOMMU_GET_PA,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  IOMMU_VFIO_IOAS,
  iommu_destroy,
  iommu_ioas_alloc,
  iommu_ioas_allow_iovas,
  iommu_ioas_change_process,
  iommu_ioas_copy,
  iommu_ioas_iova_ranges,
  iommu_ioas_map,
  iommu_ioas_map_file,
  iommu_ioas_noiommu_get_pa,
  iommu_ioas_unmap,
  iommu_option,
  iommu_vfio_ioas,
} from './iommufd.js'
import {
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_GET_HW_INFO,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  iommu_fault_alloc,
  iommu_hw_info,
  iommu_hwpt_alloc,
  iommu_hwpt_get_dirty_bitmap,
  iommu_hwpt_invalidate,
  iommu_hwpt_set_dirty_tracking,
} from './iommufd-hwpt.js'
import { IOMMU_TEST_CMD, iommu_test_cmd } from './iommufd-test.js'
import {
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VIOMMU_ALLOC,
  iommu_hw_queue_alloc,
  iommu_vdevice_alloc,
  iommu_veventq_alloc,
  iommu_viommu_alloc,
} from './iommufd-viommu.js'
import type { FieldType, StructLayout } from './layout.js'
import { parseType } from './layout.js'
import { elementSize } from './nested.js'
import {
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_SET_IOMMU,
  vfio_group_status,
} from './vfio.js'
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_DEVICE_GET_GFX_DMABUF,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_IOEVENTFD,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_QUERY_GFX_PLANE,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
  vfio_device_detach_iommufd_pt,
  vfio_device_gfx_plane_info,
  vfio_device_info,
  vfio_device_ioeventfd,
  vfio_irq_info,
  vfio_irq_set,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
  vfio_region_info,
} from './vfio-device.js'
import {
  VFIO_DEVICE_FEATURE,
  VFIO_MIG_GET_PRECOPY_INFO,
  vfio_device_feature,
  vfio_precopy_info,
} from './vfio-feature.js'
import {
  VFIO_EEH_PE_OP,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
  VFIO_IOMMU_SPAPR_TCE_CREATE,
  VFIO_IOMMU_SPAPR_TCE_GET_INFO,
  VFIO_IOMMU_SPAPR_TCE_REMOVE,
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
  vfio_eeh_pe_op,
  vfio_iommu_spapr_register_memory,
  vfio_iommu_spapr_tce_create,
  vfio_iommu_spapr_tce_info,
  vfio_iommu_spapr_tce_remove,
} from './vfio-spapr.js'
import {
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_DISABLE,
  VFIO_IOMMU_ENABLE,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
} from './vfio-type1.js'

/** An ioctl of an iommufd. */
export interface CommandInfo {
  /** The number given to ioctl(). */
  readonly cmd: number
  readonly name: string
  /** What the argument points to. */
  readonly struct: StructLayout
  /** The least `size` that is not EINVAL, in bytes. */
  readonly minSize: number
}

/** The kind of file an ioctl is made on; one number can mean a different thing on each. */
export type FileKind =
  /** An iommufd, or a VFIO container. */
  | 'iommu'
  | 'group'
  | 'device'
  /** `data_fd` of a migration. */
  | 'migration'
  /** A VFIO container on POWER. */
  | 'spapr'

/** What an argument is: nothing, a number, or the address of a struct, a number or a string. */
export type ArgumentKind = 'none' | 'number' | 'struct' | 's32 *' | 'u32 *' | 'char *'

/** An ioctl of VFIO. */
export interface VfioCommandInfo {
  /** The number given to ioctl(). */
  readonly cmd: number
  readonly name: string
  readonly file: FileKind
  readonly argument: ArgumentKind
  /** What an argument that is not a struct stands for; '' for none. */
  readonly argumentName: string
  readonly struct: StructLayout | undefined
  /** The least `argsz` that is not EINVAL, in bytes; 0 without a struct. */
  readonly minSize: number
}

/** A constant with its name, written { NAME }. */
type Named = Readonly<Record<string, number>>
type StructRow = readonly [Named, StructLayout, string]
type PlainRow = readonly [Named, Exclude<ArgumentKind, 'struct'>, string]

const iommufdTable: readonly StructRow[] = [
  [{ IOMMU_DESTROY }, iommu_destroy, 'id'],
  [{ IOMMU_IOAS_ALLOC }, iommu_ioas_alloc, 'out_ioas_id'],
  [{ IOMMU_IOAS_ALLOW_IOVAS }, iommu_ioas_allow_iovas, 'allowed_iovas'],
  [{ IOMMU_IOAS_COPY }, iommu_ioas_copy, 'src_iova'],
  [{ IOMMU_IOAS_IOVA_RANGES }, iommu_ioas_iova_ranges, 'out_iova_alignment'],
  [{ IOMMU_IOAS_MAP }, iommu_ioas_map, 'iova'],
  [{ IOMMU_IOAS_UNMAP }, iommu_ioas_unmap, 'length'],
  [{ IOMMU_OPTION }, iommu_option, 'val64'],
  [{ IOMMU_VFIO_IOAS }, iommu_vfio_ioas, '__reserved'],
  [{ IOMMU_HWPT_ALLOC }, iommu_hwpt_alloc, '__reserved'],
  [{ IOMMU_GET_HW_INFO }, iommu_hw_info, '__reserved'],
  [{ IOMMU_HWPT_SET_DIRTY_TRACKING }, iommu_hwpt_set_dirty_tracking, '__reserved'],
  [{ IOMMU_HWPT_GET_DIRTY_BITMAP }, iommu_hwpt_get_dirty_bitmap, 'data'],
  [{ IOMMU_HWPT_INVALIDATE }, iommu_hwpt_invalidate, '__reserved'],
  [{ IOMMU_FAULT_QUEUE_ALLOC }, iommu_fault_alloc, 'out_fault_fd'],
  [{ IOMMU_IOAS_MAP_FILE }, iommu_ioas_map_file, 'iova'],
  [{ IOMMU_VIOMMU_ALLOC }, iommu_viommu_alloc, 'out_viommu_id'],
  [{ IOMMU_VDEVICE_ALLOC }, iommu_vdevice_alloc, 'virt_id'],
  [{ IOMMU_IOAS_CHANGE_PROCESS }, iommu_ioas_change_process, '__reserved'],
  [{ IOMMU_VEVENTQ_ALLOC }, iommu_veventq_alloc, 'out_veventq_fd'],
  [{ IOMMU_HW_QUEUE_ALLOC }, iommu_hw_queue_alloc, 'length'],
  [{ IOMMU_IOAS_NOIOMMU_GET_PA }, iommu_ioas_noiommu_get_pa, 'out_phys'],
  [{ IOMMU_TEST_CMD }, iommu_test_cmd, 'last'],
]

const vfioTable: Readonly<Record<FileKind, readonly (StructRow | PlainRow)[]>> = {
  iommu: [
    [{ VFIO_GET_API_VERSION }, 'none', ''],
    [{ VFIO_CHECK_EXTENSION }, 'number', 'extension'],
    [{ VFIO_SET_IOMMU }, 'number', 'iommu_type'],
    [{ VFIO_IOMMU_GET_INFO }, vfio_iommu_type1_info, 'iova_pgsizes'],
    [{ VFIO_IOMMU_MAP_DMA }, vfio_iommu_type1_dma_map, 'size'],
    [{ VFIO_IOMMU_UNMAP_DMA }, vfio_iommu_type1_dma_unmap, 'size'],
    [{ VFIO_IOMMU_ENABLE }, 'none', ''],
    [{ VFIO_IOMMU_DISABLE }, 'none', ''],
    [{ VFIO_IOMMU_DIRTY_PAGES }, vfio_iommu_type1_dirty_bitmap, 'flags'],
  ],
  group: [
    [{ VFIO_GROUP_GET_STATUS }, vfio_group_status, 'flags'],
    [{ VFIO_GROUP_SET_CONTAINER }, 's32 *', 'container_fd'],
    [{ VFIO_GROUP_UNSET_CONTAINER }, 'none', ''],
    [{ VFIO_GROUP_GET_DEVICE_FD }, 'char *', 'name'],
  ],
  device: [
    [{ VFIO_DEVICE_GET_INFO }, vfio_device_info, 'num_irqs'],
    [{ VFIO_DEVICE_GET_REGION_INFO }, vfio_region_info, 'offset'],
    [{ VFIO_DEVICE_GET_IRQ_INFO }, vfio_irq_info, 'count'],
    [{ VFIO_DEVICE_SET_IRQS }, vfio_irq_set, 'count'],
    [{ VFIO_DEVICE_RESET }, 'none', ''],
    [{ VFIO_DEVICE_GET_PCI_HOT_RESET_INFO }, vfio_pci_hot_reset_info, 'count'],
    [{ VFIO_DEVICE_PCI_HOT_RESET }, vfio_pci_hot_reset, 'count'],
    [{ VFIO_DEVICE_QUERY_GFX_PLANE }, vfio_device_gfx_plane_info, 'dmabuf_id'],
    [{ VFIO_DEVICE_GET_GFX_DMABUF }, 'u32 *', 'dmabuf_id'],
    [{ VFIO_DEVICE_IOEVENTFD }, vfio_device_ioeventfd, 'fd'],
    [{ VFIO_DEVICE_FEATURE }, vfio_device_feature, 'flags'],
    [{ VFIO_DEVICE_BIND_IOMMUFD }, vfio_device_bind_iommufd, 'out_devid'],
    [{ VFIO_DEVICE_ATTACH_IOMMUFD_PT }, vfio_device_attach_iommufd_pt, 'pt_id'],
    [{ VFIO_DEVICE_DETACH_IOMMUFD_PT }, vfio_device_detach_iommufd_pt, 'flags'],
  ],
  migration: [[{ VFIO_MIG_GET_PRECOPY_INFO }, vfio_precopy_info, 'dirty_bytes']],
  spapr: [
    [{ VFIO_IOMMU_SPAPR_TCE_GET_INFO }, vfio_iommu_spapr_tce_info, 'dma32_window_size'],
    [{ VFIO_IOMMU_SPAPR_REGISTER_MEMORY }, vfio_iommu_spapr_register_memory, 'size'],
    [{ VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY }, vfio_iommu_spapr_register_memory, 'size'],
    [{ VFIO_IOMMU_SPAPR_TCE_CREATE }, vfio_iommu_spapr_tce_create, 'start_addr'],
    [{ VFIO_IOMMU_SPAPR_TCE_REMOVE }, vfio_iommu_spapr_tce_remove, 'start_addr'],
    [{ VFIO_EEH_PE_OP }, vfio_eeh_pe_op, 'op'],
  ],
}

/** The ioctls of an iommufd, in the order of their numbers. */
export const commands: readonly CommandInfo[] = /* @__PURE__ */ iommufdTable.map(structCommand)

/** The ioctls of VFIO, by kind of file. */
export const vfioCommands: readonly VfioCommandInfo[] = /* @__PURE__ */ Object.entries(
  vfioTable,
).flatMap(([file, rows]) => rows.map((row) => vfioCommand(file as FileKind, row)))

function structCommand([named, struct, lastField]: StructRow): CommandInfo {
  return { ...nameAndNumber(named), struct, minSize: endOf(struct, lastField) }
}

function vfioCommand(file: FileKind, row: StructRow | PlainRow): VfioCommandInfo {
  const [named, argument, text] = row
  if (typeof argument === 'object') {
    const info = structCommand([named, argument, text])
    return { ...info, file, argument: 'struct', argumentName: '' }
  }
  const identity = nameAndNumber(named)
  return { ...identity, file, argument, argumentName: text, struct: undefined, minSize: 0 }
}

function nameAndNumber(named: Named): { name: string; cmd: number } {
  const [name, cmd] = Object.entries(named)[0] as [string, number]
  return { name, cmd }
}

/** The byte behind a field. */
function endOf(layout: StructLayout, field: string): number {
  const { element, count } = parseType(layout.type[field] as FieldType)
  return (layout.at[field] as number) + elementSize(element) * count
}
