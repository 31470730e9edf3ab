// SPDX-License-Identifier: Apache-2.0
/** Rows V27 to V29: what GET_INFO tells. */
import type { DifferenceRow } from './row.js'

export const information: readonly DifferenceRow[] = [
  {
    row: 'V27',
    situation: 'capabilities of GET_INFO',
    change:
      'no MIGRATION; what fits is written even when the chain does not fit (cap_offset is 0 then); argsz always comes back as the full size',
    remedy: 'follow cap_offset only, and call again with the argsz that came back when it is 0',
    cases: [
      { what: 'ids in the chain, TYPE1v2', type1: '2 3 1', iommufd: '3 1' },
      { what: 'ids in the chain, TYPE1', type1: '3 1', iommufd: '3 1' },
      {
        what: 'room for the struct alone (TYPE1)',
        type1: 'argsz 88, cap_offset 0, 0 bytes behind',
        iommufd: 'argsz 88, cap_offset 0, 0 bytes behind',
      },
      {
        what: 'room for the first capability (TYPE1)',
        type1: 'argsz 88, cap_offset 0, 0 bytes behind',
        iommufd: 'argsz 88, cap_offset 0, 12 bytes behind',
      },
      {
        what: 'more room than needed (TYPE1)',
        type1: 'argsz 256, cap_offset 24, 64 bytes behind',
        iommufd: 'argsz 88, cap_offset 24, 64 bytes behind',
      },
    ],
  },
  {
    row: 'V28',
    situation: 'iova_pgsizes of GET_INFO',
    change:
      'page sizes of page tables appear when a device is open, not with SET_IOMMU; before, every size from a page on',
    remedy: 'ask again after the devices are open',
    cases: [
      {
        what: 'only an emulated device',
        type1: '0xfffffffffffff000',
        iommufd: '0xfffffffffffff000',
      },
      { what: 'a group, no device open', type1: '0x40201000', iommufd: '0xfffffffffffff000' },
      { what: 'a device open', type1: '0x40201000', iommufd: '0x40201000' },
    ],
  },
  {
    row: 'V29',
    situation: 'IOVA_RANGE of GET_INFO without a device behind an IOMMU',
    change: 'one range, the whole space; type 1 leaves the capability out',
    remedy: 'handle both: no capability means no limits',
    cases: [
      {
        what: 'only an emulated device',
        type1: 'absent',
        iommufd: '0x0-0xffffffffffffffff',
      },
      {
        what: 'a device open',
        type1: '0x0-0xfedfffff 0xfef00000-0xffffffffffff',
        iommufd: '0x0-0xfedfffff 0xfef00000-0xffffffffffff',
      },
    ],
  },
]
