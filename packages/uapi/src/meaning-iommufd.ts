// SPDX-License-Identifier: Apache-2.0
//
// What the numbers in the structs of iommufd.h and iommufd_test.h mean. A field that is not here is
// plain: an address or length (8 bytes, hex), or an id or count (decimal).

import {
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  IOMMU_OPTION_RLIMIT_MODE,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
} from './iommufd.js'
import {
  IOMMU_HW_CAP_DIRTY_TRACKING,
  IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED,
  IOMMU_HW_CAP_PCI_PASID_EXEC,
  IOMMU_HW_CAP_PCI_PASID_PRIV,
  IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI,
  IOMMU_HW_INFO_FLAG_INPUT_TYPE,
  IOMMU_HW_INFO_TYPE_AMD,
  IOMMU_HW_INFO_TYPE_ARM_SMMUV3,
  IOMMU_HW_INFO_TYPE_DEFAULT,
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
  IOMMU_HW_INFO_TYPE_NONE,
  IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV,
  IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_DATA_AMD_GUEST,
  IOMMU_HWPT_DATA_ARM_SMMUV3,
  IOMMU_HWPT_DATA_NONE,
  IOMMU_HWPT_DATA_VTD_S1,
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
  IOMMU_PGFAULT_FLAGS_LAST_PAGE,
  IOMMU_PGFAULT_FLAGS_PASID_VALID,
  IOMMU_PGFAULT_PERM_EXEC,
  IOMMU_PGFAULT_PERM_PRIV,
  IOMMU_PGFAULT_PERM_READ,
  IOMMU_PGFAULT_PERM_WRITE,
  IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
  IOMMU_VTD_INV_FLAGS_LEAF,
  IOMMU_VTD_S1_EAFE,
  IOMMU_VTD_S1_SRE,
  IOMMU_VTD_S1_WPE,
  IOMMUFD_PAGE_RESP_INVALID,
  IOMMUFD_PAGE_RESP_SUCCESS,
} from './iommufd-hwpt.js'
import {
  IOMMU_HW_INFO_TYPE_SELFTEST,
  IOMMU_HW_QUEUE_TYPE_SELFTEST,
  IOMMU_HWPT_DATA_SELFTEST,
  IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
  IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID,
  IOMMU_TEST_INVALIDATE_FLAG_ALL,
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
  IOMMU_TEST_OP_ACCESS_RW,
  IOMMU_TEST_OP_ADD_RESERVED,
  IOMMU_TEST_OP_CREATE_ACCESS,
  IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
  IOMMU_TEST_OP_DEV_CHECK_CACHE,
  IOMMU_TEST_OP_DIRTY,
  IOMMU_TEST_OP_DMABUF_GET,
  IOMMU_TEST_OP_DMABUF_REVOKE,
  IOMMU_TEST_OP_MD_CHECK_IOTLB,
  IOMMU_TEST_OP_MD_CHECK_MAP,
  IOMMU_TEST_OP_MD_CHECK_REFS,
  IOMMU_TEST_OP_MOCK_DOMAIN,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  IOMMU_TEST_OP_PASID_ATTACH,
  IOMMU_TEST_OP_PASID_CHECK_HWPT,
  IOMMU_TEST_OP_PASID_DETACH,
  IOMMU_TEST_OP_PASID_REPLACE,
  IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT,
  IOMMU_TEST_OP_TRIGGER_IOPF,
  IOMMU_TEST_OP_TRIGGER_VEVENT,
  IOMMU_VEVENTQ_TYPE_SELFTEST,
  IOMMU_VIOMMU_TYPE_SELFTEST,
  iommu_test_cmd,
  MOCK_ACCESS_RW_SLOW_PATH,
  MOCK_ACCESS_RW_WRITE,
  MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES,
  MOCK_FLAGS_ACCESS_SYZ,
  MOCK_FLAGS_ACCESS_WRITE,
  MOCK_FLAGS_DEVICE_NO_DIRTY,
  MOCK_FLAGS_DEVICE_PASID,
  MOCK_IOMMUPT_DEFAULT,
  MOCK_IOMMUPT_HUGE,
} from './iommufd-test.js'
import {
  IOMMU_HW_QUEUE_TYPE_DEFAULT,
  IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV,
  IOMMU_VEVENTQ_FLAG_LOST_EVENTS,
  IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
  IOMMU_VEVENTQ_TYPE_DEFAULT,
  IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV,
  IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
  IOMMU_VIOMMU_TYPE_DEFAULT,
  IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV,
} from './iommufd-viommu.js'
import type { Meaning, Names, StructMeaning } from './meaning.js'

const testOps: Names = {
  IOMMU_TEST_OP_ADD_RESERVED,
  IOMMU_TEST_OP_MOCK_DOMAIN,
  IOMMU_TEST_OP_MD_CHECK_MAP,
  IOMMU_TEST_OP_MD_CHECK_REFS,
  IOMMU_TEST_OP_CREATE_ACCESS,
  IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_ACCESS_RW,
  IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  IOMMU_TEST_OP_DIRTY,
  IOMMU_TEST_OP_MD_CHECK_IOTLB,
  IOMMU_TEST_OP_TRIGGER_IOPF,
  IOMMU_TEST_OP_DEV_CHECK_CACHE,
  IOMMU_TEST_OP_TRIGGER_VEVENT,
  IOMMU_TEST_OP_PASID_ATTACH,
  IOMMU_TEST_OP_PASID_REPLACE,
  IOMMU_TEST_OP_PASID_DETACH,
  IOMMU_TEST_OP_PASID_CHECK_HWPT,
  IOMMU_TEST_OP_DMABUF_GET,
  IOMMU_TEST_OP_DMABUF_REVOKE,
}

/** Flags of MAP, MAP_FILE and COPY. */
const mapFlags: Meaning = {
  flags: { IOMMU_IOAS_MAP_FIXED_IOVA, IOMMU_IOAS_MAP_WRITEABLE, IOMMU_IOAS_MAP_READABLE },
  prefix: /^IOMMU_IOAS_MAP_/,
}

const faultPermissions: Meaning = {
  flags: {
    IOMMU_PGFAULT_PERM_READ,
    IOMMU_PGFAULT_PERM_WRITE,
    IOMMU_PGFAULT_PERM_EXEC,
    IOMMU_PGFAULT_PERM_PRIV,
  },
  prefix: /^IOMMU_PGFAULT_PERM_/,
}

const selftestInvalidateFlags: Meaning = {
  flags: { IOMMU_TEST_INVALIDATE_FLAG_ALL },
  prefix: /^IOMMU_TEST_INVALIDATE_FLAG_/,
}

/** What is known of the structs of iommufd.h and iommufd_test.h, by name. */
export const iommufdMeanings: Readonly<Record<string, StructMeaning>> = {
  iommu_ioas_alloc: { fields: { flags: 'hex' } },
  iommu_ioas_map: { fields: { flags: mapFlags } },
  iommu_ioas_map_file: { fields: { flags: mapFlags } },
  iommu_ioas_copy: { fields: { flags: mapFlags } },
  iommu_ioas_noiommu_get_pa: { fields: { flags: 'hex' } },
  iommu_option: {
    fields: {
      option_id: {
        values: { IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_HUGE_PAGES },
        prefix: /^IOMMU_OPTION_/,
      },
      op: {
        values: { IOMMU_OPTION_OP_SET, IOMMU_OPTION_OP_GET },
        prefix: /^IOMMU_OPTION_OP_/,
      },
      val64: 'decimal',
    },
  },
  iommu_vfio_ioas: {
    fields: {
      op: {
        values: { IOMMU_VFIO_IOAS_GET, IOMMU_VFIO_IOAS_SET, IOMMU_VFIO_IOAS_CLEAR },
        prefix: /^IOMMU_VFIO_IOAS_/,
      },
    },
  },

  iommu_hwpt_alloc: {
    fields: {
      flags: {
        flags: {
          IOMMU_HWPT_ALLOC_NEST_PARENT,
          IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
          IOMMU_HWPT_FAULT_ID_VALID,
          IOMMU_HWPT_ALLOC_PASID,
        },
        prefix: /^IOMMU_HWPT_(ALLOC_)?/,
      },
      data_type: {
        values: {
          IOMMU_HWPT_DATA_NONE,
          IOMMU_HWPT_DATA_VTD_S1,
          IOMMU_HWPT_DATA_ARM_SMMUV3,
          IOMMU_HWPT_DATA_AMD_GUEST,
          IOMMU_HWPT_DATA_SELFTEST,
        },
        prefix: /^IOMMU_HWPT_DATA_/,
      },
    },
  },
  iommu_hwpt_vtd_s1: {
    fields: {
      flags: {
        flags: { IOMMU_VTD_S1_SRE, IOMMU_VTD_S1_EAFE, IOMMU_VTD_S1_WPE },
        prefix: /^IOMMU_VTD_S1_/,
      },
    },
  },
  iommu_hw_info: {
    fields: {
      flags: {
        flags: { IOMMU_HW_INFO_FLAG_INPUT_TYPE },
        prefix: /^IOMMU_HW_INFO_FLAG_/,
      },
      in_data_type: {
        values: {
          IOMMU_HW_INFO_TYPE_DEFAULT,
          IOMMU_HW_INFO_TYPE_INTEL_VTD,
          IOMMU_HW_INFO_TYPE_ARM_SMMUV3,
          IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV,
          IOMMU_HW_INFO_TYPE_AMD,
          IOMMU_HW_INFO_TYPE_SELFTEST,
        },
        prefix: /^IOMMU_HW_INFO_TYPE_/,
      },
      out_data_type: {
        values: {
          IOMMU_HW_INFO_TYPE_NONE,
          IOMMU_HW_INFO_TYPE_INTEL_VTD,
          IOMMU_HW_INFO_TYPE_ARM_SMMUV3,
          IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV,
          IOMMU_HW_INFO_TYPE_AMD,
          IOMMU_HW_INFO_TYPE_SELFTEST,
        },
        prefix: /^IOMMU_HW_INFO_TYPE_/,
      },
      out_capabilities: {
        flags: {
          IOMMU_HW_CAP_DIRTY_TRACKING,
          IOMMU_HW_CAP_PCI_PASID_EXEC,
          IOMMU_HW_CAP_PCI_PASID_PRIV,
          IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED,
        },
        prefix: /^IOMMU_HW_CAP_/,
      },
    },
    unused: (get) => (get('flags') & IOMMU_HW_INFO_FLAG_INPUT_TYPE ? [] : ['in_data_type']),
  },
  iommu_hw_info_vtd: {
    fields: {
      flags: { flags: { IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 }, prefix: /^IOMMU_HW_INFO_VTD_/ },
    },
  },
  iommu_hw_info_arm_smmuv3: {
    fields: {
      flags: {
        flags: { IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI },
        prefix: /^IOMMU_HW_INFO_ARM_SMMUV3_/,
      },
      idr: 'hex',
      iidr: 'hex',
      aidr: 'hex',
    },
  },
  iommu_hw_info_tegra241_cmdqv: { fields: { flags: 'hex' } },
  iommu_hwpt_set_dirty_tracking: {
    fields: {
      flags: {
        flags: { IOMMU_HWPT_DIRTY_TRACKING_ENABLE },
        prefix: /^IOMMU_HWPT_DIRTY_TRACKING_/,
      },
    },
  },
  iommu_hwpt_get_dirty_bitmap: {
    fields: {
      flags: {
        flags: { IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR },
        prefix: /^IOMMU_HWPT_GET_DIRTY_BITMAP_/,
      },
    },
  },
  iommu_hwpt_vtd_s1_invalidate: {
    fields: {
      flags: { flags: { IOMMU_VTD_INV_FLAGS_LEAF }, prefix: /^IOMMU_VTD_INV_FLAGS_/ },
    },
  },
  iommu_hwpt_invalidate: {
    fields: {
      data_type: {
        values: {
          IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
          IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
          IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
          IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID,
        },
        prefix: /^IOMMU_(HWPT|VIOMMU)_INVALIDATE_DATA_/,
      },
    },
  },
  iommu_hwpt_pgfault: {
    fields: {
      flags: {
        flags: { IOMMU_PGFAULT_FLAGS_PASID_VALID, IOMMU_PGFAULT_FLAGS_LAST_PAGE },
        prefix: /^IOMMU_PGFAULT_FLAGS_/,
      },
      perm: faultPermissions,
      length: 'hex',
    },
  },
  iommu_hwpt_page_response: {
    fields: {
      code: {
        values: { IOMMUFD_PAGE_RESP_SUCCESS, IOMMUFD_PAGE_RESP_INVALID },
        prefix: /^IOMMUFD_PAGE_RESP_/,
      },
    },
  },
  iommu_fault_alloc: { fields: { flags: 'hex' } },

  iommu_viommu_alloc: {
    fields: {
      flags: 'hex',
      type: {
        values: {
          IOMMU_VIOMMU_TYPE_DEFAULT,
          IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
          IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV,
          IOMMU_VIOMMU_TYPE_SELFTEST,
        },
        prefix: /^IOMMU_VIOMMU_TYPE_/,
      },
    },
  },
  iommufd_vevent_header: {
    fields: {
      flags: { flags: { IOMMU_VEVENTQ_FLAG_LOST_EVENTS }, prefix: /^IOMMU_VEVENTQ_FLAG_/ },
    },
  },
  iommu_veventq_alloc: {
    fields: {
      flags: 'hex',
      type: {
        values: {
          IOMMU_VEVENTQ_TYPE_DEFAULT,
          IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
          IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV,
          IOMMU_VEVENTQ_TYPE_SELFTEST,
        },
        prefix: /^IOMMU_VEVENTQ_TYPE_/,
      },
    },
  },
  iommu_hw_queue_alloc: {
    fields: {
      flags: 'hex',
      type: {
        values: {
          IOMMU_HW_QUEUE_TYPE_DEFAULT,
          IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV,
          IOMMU_HW_QUEUE_TYPE_SELFTEST,
        },
        prefix: /^IOMMU_HW_QUEUE_TYPE_/,
      },
    },
  },

  iommu_test_hw_info: { fields: { flags: 'hex', test_reg: 'hex' } },
  iommu_hwpt_selftest: {
    fields: {
      iotlb: 'hex',
      pagetable_type: {
        values: { MOCK_IOMMUPT_DEFAULT, MOCK_IOMMUPT_HUGE },
        prefix: /^MOCK_IOMMUPT_/,
      },
    },
  },
  iommu_hwpt_invalidate_selftest: { fields: { flags: selftestInvalidateFlags } },
  iommu_viommu_invalidate_selftest: { fields: { flags: selftestInvalidateFlags } },
  iommu_viommu_selftest: { fields: { in_data: 'hex', out_data: 'hex' } },
  iommu_viommu_event_selftest: { fields: { virt_id: 'hex' } },
  iommu_test_cmd: {
    fields: {
      op: { values: testOps, prefix: /^IOMMU_TEST_OP_/ },
      mock_domain_flags_dev_flags: {
        flags: { MOCK_FLAGS_DEVICE_NO_DIRTY, MOCK_FLAGS_DEVICE_PASID },
        prefix: /^MOCK_FLAGS_DEVICE_/,
      },
      create_access_flags: {
        flags: { MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES },
        prefix: /^MOCK_FLAGS_ACCESS_CREATE_/,
      },
      access_pages_flags: {
        flags: { MOCK_FLAGS_ACCESS_WRITE, MOCK_FLAGS_ACCESS_SYZ },
        prefix: /^MOCK_FLAGS_ACCESS_/,
      },
      access_rw_flags: {
        flags: { MOCK_ACCESS_RW_WRITE, MOCK_ACCESS_RW_SLOW_PATH, MOCK_FLAGS_ACCESS_SYZ },
        prefix: /^MOCK_(ACCESS_RW|FLAGS_ACCESS)_/,
      },
      memory_limit_limit: 'hex',
      dirty_flags: 'hex',
      dirty_out_nr_dirty: 'decimal',
      check_iotlb_iotlb: 'hex',
      trigger_iopf_perm: faultPermissions,
      check_dev_cache_cache: 'hex',
      dmabuf_get_length: 'hex',
      dmabuf_get_open_flags: 'hex',
    },
    unused: (get) => unusedTestFields(get('op')),
    shownAs: (field, get) => testFieldName(field, get('op')),
  },
}

type TestMember = readonly [op: number, member: string, fields: readonly string[]]

/** The member of iommu_test_cmd's union that each operation uses, and the fields of that member. */
const testMembers: readonly TestMember[] = [
  [IOMMU_TEST_OP_ADD_RESERVED, 'add_reserved', ['start', 'length']],
  [IOMMU_TEST_OP_MOCK_DOMAIN, 'mock_domain', ['out_stdev_id', 'out_hwpt_id', 'out_idev_id']],
  [
    IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
    'mock_domain_flags',
    ['out_stdev_id', 'out_hwpt_id', 'out_idev_id', 'dev_flags'],
  ],
  [IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, 'mock_domain_replace', ['pt_id']],
  [IOMMU_TEST_OP_MD_CHECK_MAP, 'check_map', ['iova', 'length', 'uptr']],
  [IOMMU_TEST_OP_MD_CHECK_REFS, 'check_refs', ['length', 'uptr', 'refs']],
  [IOMMU_TEST_OP_CREATE_ACCESS, 'create_access', ['out_access_fd', 'flags']],
  [IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, 'destroy_access_pages', ['access_pages_id']],
  [
    IOMMU_TEST_OP_ACCESS_PAGES,
    'access_pages',
    ['flags', 'out_access_pages_id', 'iova', 'length', 'uptr'],
  ],
  [IOMMU_TEST_OP_ACCESS_RW, 'access_rw', ['iova', 'length', 'uptr', 'flags']],
  [IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, 'memory_limit', ['limit']],
  [IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, 'access_replace_ioas', ['ioas_id']],
  [IOMMU_TEST_OP_DIRTY, 'dirty', ['flags', 'iova', 'length', 'page_size', 'uptr', 'out_nr_dirty']],
  [IOMMU_TEST_OP_MD_CHECK_IOTLB, 'check_iotlb', ['id', 'iotlb']],
  [IOMMU_TEST_OP_TRIGGER_IOPF, 'trigger_iopf', ['dev_id', 'pasid', 'grpid', 'perm', 'addr']],
  [IOMMU_TEST_OP_DEV_CHECK_CACHE, 'check_dev_cache', ['id', 'cache']],
  [IOMMU_TEST_OP_TRIGGER_VEVENT, 'trigger_vevent', ['dev_id']],
  [IOMMU_TEST_OP_PASID_ATTACH, 'pasid_attach', ['pasid', 'pt_id']],
  [IOMMU_TEST_OP_PASID_REPLACE, 'pasid_replace', ['pasid', 'pt_id']],
  [IOMMU_TEST_OP_PASID_DETACH, 'pasid_detach', ['pasid']],
  [IOMMU_TEST_OP_PASID_CHECK_HWPT, 'pasid_check', ['pasid', 'hwpt_id']],
  [IOMMU_TEST_OP_DMABUF_GET, 'dmabuf_get', ['length', 'open_flags']],
  [IOMMU_TEST_OP_DMABUF_REVOKE, 'dmabuf_revoke', ['dmabuf_fd', 'revoked']],
]

const testHeader: readonly string[] = ['size', 'op', 'id', '__reserved']

/** The fields of iommu_test_cmd that belong to other operations; all but the header for an unknown one. */
function unusedTestFields(op: number): readonly string[] {
  const row = testMembers.find(([known]) => known === op)
  const used = row === undefined ? [] : row[2].map((field) => `${row[1]}_${field}`)
  return Object.keys(iommu_test_cmd.at).filter(
    (field) => !testHeader.includes(field) && !used.includes(field),
  )
}

/** `out_stdev_id` for `mock_domain_out_stdev_id`, but `check_iotlb.id`, as the header has an `id` too. */
function testFieldName(field: string, op: number): string {
  const row = testMembers.find(([known]) => known === op)
  if (row === undefined || testHeader.includes(field)) return field
  const name = field.slice(row[1].length + 1)
  return testHeader.includes(name) ? `${row[1]}.${name}` : name
}
