// SPDX-License-Identifier: Apache-2.0
//
// The structs that occur inside other structs: what `struct x` in a field's type stands for.

import type { ElementType, ScalarType, StructLayout } from './layout.js'
import { scalarSize } from './layout.js'
import { vfio_info_cap_header } from './vfio.js'
import { vfio_pci_dependent_device, vfio_region_sparse_mmap_area } from './vfio-device.js'
import { vfio_region_dma_range } from './vfio-feature.js'
import { vfio_eeh_pe_err, vfio_iommu_spapr_tce_ddw_info } from './vfio-spapr.js'
import { vfio_bitmap, vfio_iova_range } from './vfio-type1.js'

/** Every struct that another one contains, by name. */
export interface NestedStructs {
  readonly vfio_bitmap: typeof vfio_bitmap
  readonly vfio_eeh_pe_err: typeof vfio_eeh_pe_err
  readonly vfio_info_cap_header: typeof vfio_info_cap_header
  readonly vfio_iommu_spapr_tce_ddw_info: typeof vfio_iommu_spapr_tce_ddw_info
  readonly vfio_iova_range: typeof vfio_iova_range
  readonly vfio_pci_dependent_device: typeof vfio_pci_dependent_device
  readonly vfio_region_dma_range: typeof vfio_region_dma_range
  readonly vfio_region_sparse_mmap_area: typeof vfio_region_sparse_mmap_area
}

const nested: NestedStructs = {
  vfio_bitmap,
  vfio_eeh_pe_err,
  vfio_info_cap_header,
  vfio_iommu_spapr_tce_ddw_info,
  vfio_iova_range,
  vfio_pci_dependent_device,
  vfio_region_dma_range,
  vfio_region_sparse_mmap_area,
}

/** The struct that an element is, or undefined for a number. */
export function nestedStruct(element: ElementType): StructLayout | undefined {
  if (!element.startsWith('struct ')) return undefined
  const layout: StructLayout | undefined = nested[element.slice(7) as keyof NestedStructs]
  if (layout === undefined) throw new TypeError(`no layout is known for ${element}`)
  return layout
}

/** Bytes of an element. */
export function elementSize(element: ElementType): number {
  return nestedStruct(element)?.size ?? scalarSize[element as ScalarType]
}
