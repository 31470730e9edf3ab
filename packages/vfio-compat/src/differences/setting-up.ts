// SPDX-License-Identifier: Apache-2.0
/** Rows V1 to V6 and V30 to V32: containers, groups, attaching and leaving. */
import type { DifferenceRow } from './row.js'

export const settingUp: readonly DifferenceRow[] = [
  {
    row: 'V1',
    situation: 'MAP_DMA, UNMAP_DMA, GET_INFO before any group is in the container',
    change: 'ENODEV where type 1 says EINVAL; a struct that is too small is EINVAL on both',
    remedy: 'treat ENODEV like EINVAL here, or put a group into the container first',
    cases: [
      { what: 'MAP_DMA', type1: 'EINVAL', iommufd: 'ENODEV' },
      { what: 'UNMAP_DMA', type1: 'EINVAL', iommufd: 'ENODEV' },
      { what: 'GET_INFO', type1: 'EINVAL', iommufd: 'ENODEV' },
      { what: 'MAP_DMA with argsz 0', type1: 'EINVAL', iommufd: 'EINVAL' },
    ],
  },
  {
    row: 'V2',
    situation: 'the same after SET_CONTAINER, before SET_IOMMU',
    change: 'they work: the address space exists since SET_CONTAINER',
    remedy: 'nothing; do not take EINVAL here for a sign that SET_IOMMU is missing',
    cases: [
      { what: 'MAP_DMA', type1: 'EINVAL', iommufd: 'ok' },
      { what: 'GET_INFO', type1: 'EINVAL', iommufd: 'ok' },
      { what: 'UNMAP_DMA of the mapping', type1: 'EINVAL', iommufd: 'ok' },
    ],
  },
  {
    row: 'V3',
    situation: 'SET_IOMMU without a group',
    change: 'ENODEV for a type that exists, EINVAL for one that does not',
    remedy: 'accept both; ask CHECK_EXTENSION for what exists',
    cases: [
      { what: 'SET_IOMMU TYPE1v2', type1: 'EINVAL', iommufd: 'ENODEV' },
      { what: 'SET_IOMMU 99', type1: 'EINVAL', iommufd: 'EINVAL' },
    ],
  },
  {
    row: 'V4',
    situation: 'SET_IOMMU a second time',
    change: 'it is served; TYPE1 once leaves small pages and splitting on, also after TYPE1v2',
    remedy: 'make it once, with TYPE1v2 unless parts of mappings must be unmapped',
    cases: [
      { what: 'SET_IOMMU TYPE1v2 again', type1: 'EINVAL', iommufd: 'ok' },
      { what: 'SET_IOMMU TYPE1, then TYPE1v2', type1: 'EINVAL', iommufd: 'ok' },
      {
        what: 'then UNMAP_DMA of the second of 4 pages',
        type1: 'ok, 0x0 bytes',
        iommufd: 'ok, 0x1000 bytes',
      },
    ],
  },
  {
    row: 'V5',
    situation: 'SET_IOMMU with an unknown type',
    change: 'EINVAL where type 1 says ENODEV',
    remedy: 'treat both as "no such type"',
    cases: [{ what: 'SET_IOMMU 99 with a group', type1: 'ENODEV', iommufd: 'EINVAL' }],
  },
  {
    row: 'V6',
    situation: 'CHECK_EXTENSION',
    change:
      'no UPDATE_VADDR; DMA_CC_IOMMU is refused while there is no address space, and 1 while it has no page table; in a context for devices without an IOMMU nothing but NOIOMMU is offered',
    remedy:
      'look at DMA_CC_IOMMU again when devices are open; take a negative answer for 0; hand memory over with IOMMU_IOAS_CHANGE_PROCESS instead of VADDR',
    cases: [
      { what: 'TYPE1, TYPE1v2, UNMAP_ALL before a group', type1: '1 1 1', iommufd: '1 1 1' },
      { what: 'UPDATE_VADDR before a group', type1: '0', iommufd: '0' },
      { what: 'UPDATE_VADDR after SET_IOMMU', type1: '1', iommufd: '0' },
      { what: 'UPDATE_VADDR with an emulated device', type1: '0', iommufd: '0' },
      { what: 'DMA_CC_IOMMU before a group', type1: '0', iommufd: 'ENODEV' },
      { what: 'DMA_CC_IOMMU after SET_IOMMU, no device open', type1: '0', iommufd: '1' },
      { what: 'DMA_CC_IOMMU with a device open', type1: '0', iommufd: '0' },
      { what: 'DMA_CC_IOMMU, an IOMMU that enforces it', type1: '1', iommufd: '1' },
      { what: 'type 6 (nesting)', type1: '0', iommufd: '0' },
      { what: 'NOIOMMU, not configured', type1: '0', iommufd: '0' },
      { what: 'NOIOMMU, configured', type1: '1', iommufd: '1' },
      { what: 'TYPE1v2 with a group without an IOMMU', type1: '0', iommufd: '0' },
    ],
  },
  {
    row: 'V30',
    situation: 'a group joins, and something is mapped where it cannot translate',
    change:
      'EADDRINUSE, and only when a device is opened (GET_DEVICE_FD); type 1 refuses SET_CONTAINER with EINVAL',
    remedy:
      'open devices before mapping, or map only in the ranges of GET_INFO; handle both errnos',
    cases: [
      {
        what: 'a mapping in the interrupt window of the new device',
        type1: 'EINVAL at SET_CONTAINER',
        iommufd: 'EADDRINUSE at GET_DEVICE_FD',
      },
      {
        what: 'a mapping above what its page tables reach',
        type1: 'EINVAL at SET_CONTAINER',
        iommufd: 'EADDRINUSE at GET_DEVICE_FD',
      },
      { what: 'a mapping that is in nobody’s way', type1: 'ok', iommufd: 'ok' },
    ],
  },
  {
    row: 'V31',
    situation: 'SET_CONTAINER a second time; groups with and without an IOMMU together',
    change:
      'mixing is EINVAL where type 1 says EPERM; a device without an IOMMU cannot be opened on a context that has an address space',
    remedy: 'use a container of its own for devices without an IOMMU, with CAP_SYS_RAWIO',
    cases: [
      { what: 'SET_CONTAINER twice', type1: 'EINVAL', iommufd: 'EINVAL' },
      { what: 'a group without an IOMMU after one with', type1: 'EPERM', iommufd: 'EINVAL' },
      { what: 'a group with an IOMMU after one without', type1: 'EPERM', iommufd: 'EINVAL' },
      { what: 'opening such a group without CAP_SYS_RAWIO', type1: 'EPERM', iommufd: 'EPERM' },
      {
        what: 'opening its device after CAP_SYS_RAWIO is gone',
        type1: 'ok',
        iommufd: 'EPERM',
      },
      {
        what: 'opening its device where IOMMU_VFIO_IOAS has chosen an IOAS',
        type1: 'no such call',
        iommufd: 'EPERM',
      },
    ],
  },
  {
    row: 'V32',
    situation: 'the devices are closed and the group leaves the container',
    change:
      'mappings and pinned memory stay until the descriptor is closed or the IOAS is destroyed; type 1 drops them with the last group',
    remedy: 'unmap (UNMAP_DMA with ALL) or close the descriptor when done',
    cases: [
      { what: 'UNSET_CONTAINER while a device is open', type1: 'EBUSY', iommufd: 'ok' },
      { what: 'MAP_DMA at the same IOVA afterwards', type1: 'EINVAL', iommufd: 'EEXIST' },
      { what: 'mappings that are left', type1: 'none', iommufd: '1' },
    ],
  },
]
