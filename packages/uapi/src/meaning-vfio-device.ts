// SPDX-License-Identifier: Apache-2.0
//
// What the numbers in vfio.h's structs of devices mean, what their payloads are and which capabilities
// can follow them. A field that is not here is plain: an address or length (8 bytes, hex), or an id or
// count (decimal).

import type { FieldType, StructLayout } from './layout.js'
import type { Names, StructMeaning } from './meaning.js'
import { vfio_info_cap_header } from './vfio.js'
import {
  VFIO_DEVICE_ATTACH_PASID,
  VFIO_DEVICE_BIND_FLAG_TOKEN,
  VFIO_DEVICE_DETACH_PASID,
  VFIO_DEVICE_FLAGS_AMBA,
  VFIO_DEVICE_FLAGS_AP,
  VFIO_DEVICE_FLAGS_CAPS,
  VFIO_DEVICE_FLAGS_CCW,
  VFIO_DEVICE_FLAGS_CDX,
  VFIO_DEVICE_FLAGS_FSL_MC,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_PLATFORM,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_DEVICE_GFX_LINK_STATE_DOWN,
  VFIO_DEVICE_GFX_LINK_STATE_UP,
  VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP,
  VFIO_DEVICE_INFO_CAP_ZPCI_BASE,
  VFIO_DEVICE_INFO_CAP_ZPCI_GROUP,
  VFIO_DEVICE_INFO_CAP_ZPCI_PFIP,
  VFIO_DEVICE_INFO_CAP_ZPCI_UTIL,
  VFIO_DEVICE_IOEVENTFD_8,
  VFIO_DEVICE_IOEVENTFD_16,
  VFIO_DEVICE_IOEVENTFD_32,
  VFIO_DEVICE_IOEVENTFD_64,
  VFIO_GFX_PLANE_TYPE_DMABUF,
  VFIO_GFX_PLANE_TYPE_PROBE,
  VFIO_GFX_PLANE_TYPE_REGION,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_ATOMIC_COMP32,
  VFIO_PCI_ATOMIC_COMP64,
  VFIO_PCI_ATOMIC_COMP128,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED,
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD,
  VFIO_REGION_INFO_CAP_NVLINK2_SSATGT,
  VFIO_REGION_INFO_CAP_SPARSE_MMAP,
  VFIO_REGION_INFO_CAP_TYPE,
  VFIO_REGION_INFO_FLAG_CAPS,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  VFIO_REGION_TYPE_CCW,
  VFIO_REGION_TYPE_GFX,
  VFIO_REGION_TYPE_MIGRATION_DEPRECATED,
  vfio_device_info_cap_pci_atomic_comp,
  vfio_region_info_cap_nvlink2_lnkspd,
  vfio_region_info_cap_nvlink2_ssatgt,
  vfio_region_info_cap_sparse_mmap,
  vfio_region_info_cap_type,
} from './vfio-device.js'
import {
  VFIO_DEVICE_FEATURE_BUS_MASTER,
  VFIO_DEVICE_FEATURE_CLEAR_MASTER,
  VFIO_DEVICE_FEATURE_DMA_BUF,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
  VFIO_DEVICE_FEATURE_MIGRATION,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  VFIO_DEVICE_FEATURE_SET_MASTER,
  VFIO_DEVICE_FEATURE_ZPCI_ERROR,
  VFIO_DEVICE_STATE_ERROR,
  VFIO_DEVICE_STATE_PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P,
  VFIO_DEVICE_STATE_RESUMING,
  VFIO_DEVICE_STATE_RUNNING,
  VFIO_DEVICE_STATE_RUNNING_P2P,
  VFIO_DEVICE_STATE_STOP,
  VFIO_DEVICE_STATE_STOP_COPY,
  VFIO_DEVICE_STATE_V1_RESUMING,
  VFIO_DEVICE_STATE_V1_RUNNING,
  VFIO_DEVICE_STATE_V1_SAVING,
  VFIO_MIGRATION_P2P,
  VFIO_MIGRATION_PRE_COPY,
  VFIO_MIGRATION_STOP_COPY,
  VFIO_PRECOPY_INFO_REINIT,
  vfio_device_feature_bus_master,
  vfio_device_feature_dma_buf,
  vfio_device_feature_dma_logging_control,
  vfio_device_feature_dma_logging_report,
  vfio_device_feature_mig_data_size,
  vfio_device_feature_mig_state,
  vfio_device_feature_migration,
  vfio_device_feature_zpci_err,
  vfio_device_low_power_entry_with_wakeup,
} from './vfio-feature.js'

const features: Names = {
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_MIGRATION,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  VFIO_DEVICE_FEATURE_BUS_MASTER,
  VFIO_DEVICE_FEATURE_DMA_BUF,
  VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
  VFIO_DEVICE_FEATURE_ZPCI_ERROR,
}

/** What is in `data` of vfio_device_feature, by the feature's number; nothing for some. */
function featurePayload(feature: number): StructLayout | FieldType | undefined {
  switch (feature) {
    case VFIO_DEVICE_FEATURE_PCI_VF_TOKEN:
      return 'u8[16]'
    case VFIO_DEVICE_FEATURE_MIGRATION:
      return vfio_device_feature_migration
    case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
      return vfio_device_feature_mig_state
    case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
      return vfio_device_low_power_entry_with_wakeup
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
      return vfio_device_feature_dma_logging_control
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
      return vfio_device_feature_dma_logging_report
    case VFIO_DEVICE_FEATURE_MIG_DATA_SIZE:
      return vfio_device_feature_mig_data_size
    case VFIO_DEVICE_FEATURE_BUS_MASTER:
      return vfio_device_feature_bus_master
    case VFIO_DEVICE_FEATURE_DMA_BUF:
      return vfio_device_feature_dma_buf
    case VFIO_DEVICE_FEATURE_ZPCI_ERROR:
      return vfio_device_feature_zpci_err
    default:
      return undefined
  }
}

/** What is known of the structs of devices, by name. */
export const vfioDeviceMeanings: Readonly<Record<string, StructMeaning>> = {
  vfio_device_info: {
    fields: {
      flags: {
        flags: {
          VFIO_DEVICE_FLAGS_RESET,
          VFIO_DEVICE_FLAGS_PCI,
          VFIO_DEVICE_FLAGS_PLATFORM,
          VFIO_DEVICE_FLAGS_AMBA,
          VFIO_DEVICE_FLAGS_CCW,
          VFIO_DEVICE_FLAGS_AP,
          VFIO_DEVICE_FLAGS_FSL_MC,
          VFIO_DEVICE_FLAGS_CAPS,
          VFIO_DEVICE_FLAGS_CDX,
        },
        prefix: /^VFIO_DEVICE_FLAGS_/,
      },
    },
    capabilities: [
      { name: 'ZPCI_BASE', id: VFIO_DEVICE_INFO_CAP_ZPCI_BASE, struct: vfio_info_cap_header },
      { name: 'ZPCI_GROUP', id: VFIO_DEVICE_INFO_CAP_ZPCI_GROUP, struct: vfio_info_cap_header },
      { name: 'ZPCI_UTIL', id: VFIO_DEVICE_INFO_CAP_ZPCI_UTIL, struct: vfio_info_cap_header },
      { name: 'ZPCI_PFIP', id: VFIO_DEVICE_INFO_CAP_ZPCI_PFIP, struct: vfio_info_cap_header },
      {
        name: 'PCI_ATOMIC_COMP',
        id: VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP,
        struct: vfio_device_info_cap_pci_atomic_comp,
      },
    ],
  },
  vfio_device_info_cap_pci_atomic_comp: {
    fields: {
      flags: {
        flags: { VFIO_PCI_ATOMIC_COMP32, VFIO_PCI_ATOMIC_COMP64, VFIO_PCI_ATOMIC_COMP128 },
        prefix: /^VFIO_PCI_ATOMIC_/,
      },
    },
  },
  vfio_region_info: {
    fields: {
      flags: {
        flags: {
          VFIO_REGION_INFO_FLAG_READ,
          VFIO_REGION_INFO_FLAG_WRITE,
          VFIO_REGION_INFO_FLAG_MMAP,
          VFIO_REGION_INFO_FLAG_CAPS,
        },
        prefix: /^VFIO_REGION_INFO_FLAG_/,
      },
    },
    capabilities: [
      {
        name: 'SPARSE_MMAP',
        id: VFIO_REGION_INFO_CAP_SPARSE_MMAP,
        struct: vfio_region_info_cap_sparse_mmap,
      },
      { name: 'TYPE', id: VFIO_REGION_INFO_CAP_TYPE, struct: vfio_region_info_cap_type },
      {
        name: 'MSIX_MAPPABLE',
        id: VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
        struct: vfio_info_cap_header,
      },
      {
        name: 'NVLINK2_SSATGT',
        id: VFIO_REGION_INFO_CAP_NVLINK2_SSATGT,
        struct: vfio_region_info_cap_nvlink2_ssatgt,
      },
      {
        name: 'NVLINK2_LNKSPD',
        id: VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD,
        struct: vfio_region_info_cap_nvlink2_lnkspd,
      },
    ],
  },
  vfio_region_info_cap_type: {
    fields: {
      type: {
        values: {
          VFIO_REGION_TYPE_GFX,
          VFIO_REGION_TYPE_CCW,
          VFIO_REGION_TYPE_MIGRATION_DEPRECATED,
        },
        prefix: /^VFIO_REGION_TYPE_/,
      },
    },
  },
  vfio_region_gfx_edid: {
    fields: {
      link_state: {
        values: { VFIO_DEVICE_GFX_LINK_STATE_UP, VFIO_DEVICE_GFX_LINK_STATE_DOWN },
        prefix: /^VFIO_DEVICE_GFX_LINK_STATE_/,
      },
    },
  },
  vfio_irq_info: {
    fields: {
      flags: {
        flags: {
          VFIO_IRQ_INFO_EVENTFD,
          VFIO_IRQ_INFO_MASKABLE,
          VFIO_IRQ_INFO_AUTOMASKED,
          VFIO_IRQ_INFO_NORESIZE,
        },
        prefix: /^VFIO_IRQ_INFO_/,
      },
    },
  },
  vfio_irq_set: {
    fields: {
      flags: {
        flags: {
          VFIO_IRQ_SET_DATA_NONE,
          VFIO_IRQ_SET_DATA_BOOL,
          VFIO_IRQ_SET_DATA_EVENTFD,
          VFIO_IRQ_SET_ACTION_MASK,
          VFIO_IRQ_SET_ACTION_UNMASK,
          VFIO_IRQ_SET_ACTION_TRIGGER,
        },
        prefix: /^VFIO_IRQ_SET_/,
      },
    },
    payload: (get) => {
      if (get('flags') & VFIO_IRQ_SET_DATA_BOOL) return `u8[${get('count')}]`
      return get('flags') & VFIO_IRQ_SET_DATA_EVENTFD ? `s32[${get('count')}]` : undefined
    },
  },
  vfio_pci_dependent_device: { fields: { segment: 'hex', bus: 'hex', devfn: 'hex' } },
  vfio_pci_hot_reset_info: {
    fields: {
      flags: {
        flags: { VFIO_PCI_HOT_RESET_FLAG_DEV_ID, VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED },
        prefix: /^VFIO_PCI_HOT_RESET_FLAG_/,
      },
    },
  },
  vfio_pci_hot_reset: { fields: { flags: 'hex' } },
  vfio_device_gfx_plane_info: {
    fields: {
      flags: {
        flags: {
          VFIO_GFX_PLANE_TYPE_PROBE,
          VFIO_GFX_PLANE_TYPE_DMABUF,
          VFIO_GFX_PLANE_TYPE_REGION,
        },
        prefix: /^VFIO_GFX_PLANE_TYPE_/,
      },
      drm_format: 'hex',
      size: 'hex',
    },
    unused: (get) => (get('flags') & VFIO_GFX_PLANE_TYPE_DMABUF ? ['region_index'] : ['dmabuf_id']),
  },
  vfio_device_ioeventfd: {
    fields: {
      flags: {
        flags: {
          VFIO_DEVICE_IOEVENTFD_8,
          VFIO_DEVICE_IOEVENTFD_16,
          VFIO_DEVICE_IOEVENTFD_32,
          VFIO_DEVICE_IOEVENTFD_64,
        },
        prefix: /^VFIO_DEVICE_IOEVENTFD_/,
      },
    },
  },
  vfio_device_bind_iommufd: {
    fields: {
      flags: {
        flags: { VFIO_DEVICE_BIND_FLAG_TOKEN },
        prefix: /^VFIO_DEVICE_BIND_FLAG_/,
      },
    },
  },
  vfio_device_attach_iommufd_pt: {
    fields: {
      flags: { flags: { VFIO_DEVICE_ATTACH_PASID }, prefix: /^VFIO_DEVICE_ATTACH_/ },
    },
  },
  vfio_device_detach_iommufd_pt: {
    fields: {
      flags: { flags: { VFIO_DEVICE_DETACH_PASID }, prefix: /^VFIO_DEVICE_DETACH_/ },
    },
  },

  vfio_device_feature: {
    fields: {
      flags: {
        values: features,
        mask: VFIO_DEVICE_FEATURE_MASK,
        flags: {
          VFIO_DEVICE_FEATURE_GET,
          VFIO_DEVICE_FEATURE_SET,
          VFIO_DEVICE_FEATURE_PROBE,
        },
        prefix: /^VFIO_DEVICE_FEATURE_/,
      },
    },
    payload: (get) => featurePayload(get('flags') & VFIO_DEVICE_FEATURE_MASK),
  },
  vfio_device_feature_migration: {
    fields: {
      flags: {
        flags: { VFIO_MIGRATION_STOP_COPY, VFIO_MIGRATION_P2P, VFIO_MIGRATION_PRE_COPY },
        prefix: /^VFIO_MIGRATION_/,
      },
    },
  },
  vfio_device_feature_mig_state: {
    fields: {
      device_state: {
        values: {
          VFIO_DEVICE_STATE_ERROR,
          VFIO_DEVICE_STATE_STOP,
          VFIO_DEVICE_STATE_RUNNING,
          VFIO_DEVICE_STATE_STOP_COPY,
          VFIO_DEVICE_STATE_RESUMING,
          VFIO_DEVICE_STATE_RUNNING_P2P,
          VFIO_DEVICE_STATE_PRE_COPY,
          VFIO_DEVICE_STATE_PRE_COPY_P2P,
        },
        prefix: /^VFIO_DEVICE_STATE_/,
      },
    },
  },
  vfio_precopy_info: {
    fields: {
      flags: { flags: { VFIO_PRECOPY_INFO_REINIT }, prefix: /^VFIO_PRECOPY_INFO_/ },
    },
  },
  vfio_device_feature_bus_master: {
    fields: {
      op: {
        values: { VFIO_DEVICE_FEATURE_CLEAR_MASTER, VFIO_DEVICE_FEATURE_SET_MASTER },
        prefix: /^VFIO_DEVICE_FEATURE_/,
      },
    },
  },
  vfio_device_feature_dma_buf: { fields: { open_flags: 'hex', flags: 'hex' } },
  vfio_device_migration_info: {
    fields: {
      device_state: {
        flags: {
          VFIO_DEVICE_STATE_V1_RUNNING,
          VFIO_DEVICE_STATE_V1_SAVING,
          VFIO_DEVICE_STATE_V1_RESUMING,
        },
        prefix: /^VFIO_DEVICE_STATE_V1_/,
      },
    },
  },
}
