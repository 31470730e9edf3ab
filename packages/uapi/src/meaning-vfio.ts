// SPDX-License-Identifier: Apache-2.0
//
// What the numbers in vfio.h's structs of containers and groups mean, and what can follow them. A field
// that is not here is plain: an address or length (8 bytes, hex), or an id or count (decimal).

import type { Meaning, StructMeaning } from './meaning.js'
import {
  __VFIO_RESERVED_TYPE1_NESTING_IOMMU,
  VFIO_DMA_CC_IOMMU,
  VFIO_EEH,
  VFIO_GROUP_FLAGS_CONTAINER_SET,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_SPAPR_TCE_v2_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  VFIO_UPDATE_VADDR,
} from './vfio.js'
import {
  VFIO_EEH_PE_CONFIGURE,
  VFIO_EEH_PE_DISABLE,
  VFIO_EEH_PE_ENABLE,
  VFIO_EEH_PE_GET_STATE,
  VFIO_EEH_PE_INJECT_ERR,
  VFIO_EEH_PE_RESET_DEACTIVATE,
  VFIO_EEH_PE_RESET_FUNDAMENTAL,
  VFIO_EEH_PE_RESET_HOT,
  VFIO_EEH_PE_UNFREEZE_DMA,
  VFIO_EEH_PE_UNFREEZE_IO,
  VFIO_IOMMU_SPAPR_INFO_DDW,
} from './vfio-spapr.js'
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_bitmap,
  vfio_iommu_type1_dirty_bitmap_get,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iommu_type1_info_cap_migration,
  vfio_iommu_type1_info_dma_avail,
} from './vfio-type1.js'

/** How VFIO_CHECK_EXTENSION's and VFIO_SET_IOMMU's argument is printed. */
export const vfioArgument: Meaning = {
  values: {
    VFIO_TYPE1_IOMMU,
    VFIO_SPAPR_TCE_IOMMU,
    VFIO_TYPE1v2_IOMMU,
    VFIO_DMA_CC_IOMMU,
    VFIO_EEH,
    __VFIO_RESERVED_TYPE1_NESTING_IOMMU,
    VFIO_SPAPR_TCE_v2_IOMMU,
    VFIO_NOIOMMU_IOMMU,
    VFIO_UNMAP_ALL,
    VFIO_UPDATE_VADDR,
  },
  prefix: /^VFIO_/,
}

/** What is known of the structs of containers and groups, by name. */
export const vfioMeanings: Readonly<Record<string, StructMeaning>> = {
  vfio_info_cap_header: { fields: { next: 'hex' } },
  vfio_group_status: {
    fields: {
      flags: {
        flags: { VFIO_GROUP_FLAGS_VIABLE, VFIO_GROUP_FLAGS_CONTAINER_SET },
        prefix: /^VFIO_GROUP_FLAGS_/,
      },
    },
  },

  vfio_iommu_type1_info: {
    fields: {
      flags: {
        flags: { VFIO_IOMMU_INFO_PGSIZES, VFIO_IOMMU_INFO_CAPS },
        prefix: /^VFIO_IOMMU_INFO_/,
      },
    },
    capabilities: [
      {
        name: 'IOVA_RANGE',
        id: VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
        struct: vfio_iommu_type1_info_cap_iova_range,
      },
      {
        name: 'MIGRATION',
        id: VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
        struct: vfio_iommu_type1_info_cap_migration,
      },
      {
        name: 'DMA_AVAIL',
        id: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
        struct: vfio_iommu_type1_info_dma_avail,
      },
    ],
  },
  vfio_iommu_type1_info_cap_migration: { fields: { flags: 'hex' } },
  vfio_iommu_type1_dma_map: {
    fields: {
      flags: {
        flags: { VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE, VFIO_DMA_MAP_FLAG_VADDR },
        prefix: /^VFIO_DMA_MAP_FLAG_/,
      },
    },
  },
  vfio_iommu_type1_dma_unmap: {
    fields: {
      flags: {
        flags: {
          VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
          VFIO_DMA_UNMAP_FLAG_ALL,
          VFIO_DMA_UNMAP_FLAG_VADDR,
        },
        prefix: /^VFIO_DMA_UNMAP_FLAG_/,
      },
    },
    payload: (get) =>
      get('flags') & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP ? vfio_bitmap : undefined,
  },
  vfio_iommu_type1_dirty_bitmap: {
    fields: {
      flags: {
        flags: {
          VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
          VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
          VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
        },
        prefix: /^VFIO_IOMMU_DIRTY_PAGES_FLAG_/,
      },
    },
    payload: (get) =>
      get('flags') & VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP
        ? vfio_iommu_type1_dirty_bitmap_get
        : undefined,
  },

  vfio_iommu_spapr_tce_info: {
    fields: {
      flags: { flags: { VFIO_IOMMU_SPAPR_INFO_DDW }, prefix: /^VFIO_IOMMU_SPAPR_INFO_/ },
      dma32_window_start: 'hex',
      dma32_window_size: 'hex',
    },
  },
  vfio_eeh_pe_op: {
    fields: {
      flags: 'hex',
      op: {
        values: {
          VFIO_EEH_PE_DISABLE,
          VFIO_EEH_PE_ENABLE,
          VFIO_EEH_PE_UNFREEZE_IO,
          VFIO_EEH_PE_UNFREEZE_DMA,
          VFIO_EEH_PE_GET_STATE,
          VFIO_EEH_PE_RESET_DEACTIVATE,
          VFIO_EEH_PE_RESET_HOT,
          VFIO_EEH_PE_RESET_FUNDAMENTAL,
          VFIO_EEH_PE_CONFIGURE,
          VFIO_EEH_PE_INJECT_ERR,
        },
        prefix: /^VFIO_EEH_PE_/,
      },
    },
  },
  vfio_iommu_spapr_register_memory: { fields: { flags: 'hex' } },
  vfio_iommu_spapr_tce_create: { fields: { flags: 'hex' } },
  vfio_iommu_spapr_tce_remove: { fields: { flags: 'hex' } },
}
