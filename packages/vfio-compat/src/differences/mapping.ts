// SPDX-License-Identifier: Apache-2.0
/** Rows V7 to V17: MAP_DMA, and who is charged for it. */
import type { DifferenceRow } from './row.js'

export const mapping: readonly DifferenceRow[] = [
  {
    row: 'V7',
    situation: 'flags of MAP_DMA',
    change:
      'VADDR is unknown; neither READ nor WRITE is accepted while no device is open, and refused by the page table afterwards',
    remedy: 'always set READ, WRITE or both; do not use VADDR',
    cases: [
      { what: 'no flags, no device open', type1: 'EINVAL', iommufd: 'ok' },
      { what: 'no flags, a device open', type1: 'EINVAL', iommufd: 'EINVAL' },
      { what: 'VADDR with READ', type1: 'EINVAL', iommufd: 'EINVAL' },
      { what: 'VADDR for a mapping that gave its address up', type1: 'ok', iommufd: 'EINVAL' },
      { what: 'a flag that does not exist', type1: 'EINVAL', iommufd: 'EINVAL' },
    ],
  },
  {
    row: 'V8',
    situation: 'MAP_DMA past the end of the 64-bit space',
    change: 'nothing',
    remedy: 'nothing',
    cases: [
      { what: 'iova and size', type1: 'EOVERFLOW', iommufd: 'EOVERFLOW' },
      { what: 'vaddr and size', type1: 'EOVERFLOW', iommufd: 'EOVERFLOW' },
    ],
  },
  {
    row: 'V9',
    situation: 'MAP_DMA of size 0',
    change: 'nothing',
    remedy: 'nothing',
    cases: [{ what: 'size 0', type1: 'EINVAL', iommufd: 'EINVAL' }],
  },
  {
    row: 'V10',
    situation: 'alignment of MAP_DMA',
    change:
      'parts of pages can be mapped while no device is open; a device that needs whole pages then cannot be opened (EADDRINUSE). vaddr matters only by its offset in the page',
    remedy: 'align iova, vaddr and size to the smallest page of iova_pgsizes',
    cases: [
      { what: 'size 0x800, no device open', type1: 'EINVAL', iommufd: 'ok' },
      { what: 'opening the device then', type1: 'ok', iommufd: 'EADDRINUSE' },
      { what: 'size 0x800, a device open', type1: 'EINVAL', iommufd: 'EINVAL' },
      { what: 'iova + 0x800, a device open', type1: 'EINVAL', iommufd: 'EINVAL' },
      { what: 'vaddr + 0x800, a device open', type1: 'EINVAL', iommufd: 'EINVAL' },
    ],
  },
  {
    row: 'V11',
    situation: 'MAP_DMA over a mapping',
    change: 'nothing',
    remedy: 'nothing',
    cases: [{ what: 'the same IOVA twice', type1: 'EEXIST', iommufd: 'EEXIST' }],
  },
  {
    row: 'V12',
    situation: 'MAP_DMA where a device reserves IOVAs, or above what page tables reach',
    change: 'nothing, once a device is open',
    remedy: 'use the ranges of GET_INFO',
    cases: [
      { what: 'the interrupt window', type1: 'EINVAL', iommufd: 'EINVAL' },
      { what: 'above the aperture', type1: 'EINVAL', iommufd: 'EINVAL' },
      { what: 'the interrupt window, no device open', type1: 'EINVAL', iommufd: 'ok' },
    ],
  },
  {
    row: 'V13',
    situation: 'too many mappings',
    change:
      'no limit on their number: the kernel’s memory is bounded by accounting (cgroups) alone',
    remedy: 'drop code that counts mappings; do not rely on ENOSPC',
    cases: [
      { what: 'one more than dma_entry_limit', type1: 'ENOSPC', iommufd: 'ok' },
      { what: 'DMA_AVAIL of GET_INFO then', type1: '0', iommufd: '4294967295' },
    ],
  },
  {
    row: 'V14',
    situation: 'MAP_DMA of memory that is not there',
    change: 'accepted while no device is open; then opening a device fails with EFAULT',
    remedy: 'open the devices before mapping, or expect EFAULT there',
    cases: [
      { what: 'no device open', type1: 'EFAULT', iommufd: 'ok' },
      { what: 'opening the device then', type1: 'ok', iommufd: 'EFAULT' },
      { what: 'a device open', type1: 'EFAULT', iommufd: 'EFAULT' },
    ],
  },
  {
    row: 'V15',
    situation: 'RLIMIT_MEMLOCK is exceeded',
    change: 'ENOMEM as before, but nothing in the kernel’s log',
    remedy:
      'report ENOMEM with the limit yourself; iommufd explain names user, processes and limit',
    cases: [
      { what: 'one page more than the limit', type1: 'ENOMEM', iommufd: 'ENOMEM' },
      { what: 'lines in the kernel’s log', type1: '1', iommufd: '0' },
    ],
  },
  {
    row: 'V16',
    situation: 'who is charged for 4 pages',
    change:
      'VmPin counts everything pinned; through /dev/iommu the user is charged over all processes, through /dev/vfio/vfio (or RLIMIT_MODE 1) the process; a mapper with CAP_IPC_LOCK is charged nowhere',
    remedy:
      'raise limits per user rather than per process, or open /dev/vfio/vfio, or set IOMMU_OPTION_RLIMIT_MODE to 1; iommufd estimate computes them',
    cases: [
      {
        what: 'container /dev/vfio/vfio, uid 1000',
        type1: 'VmLck 16 kB, VmPin 0 kB, user 0 pages',
        iommufd: 'VmLck 16 kB, VmPin 16 kB, user 0 pages',
      },
      {
        what: 'container /dev/iommu, uid 1000',
        type1: 'no such container',
        iommufd: 'VmLck 0 kB, VmPin 16 kB, user 4 pages',
      },
      {
        what: 'container /dev/vfio/vfio, CAP_IPC_LOCK',
        type1: 'VmLck 16 kB, VmPin 0 kB, user 0 pages',
        iommufd: 'VmLck 0 kB, VmPin 16 kB, user 0 pages',
      },
    ],
  },
  {
    row: 'V17',
    situation: 'MAP_DMA of memory that a device has mapped into the process (a BAR)',
    change: 'EFAULT: devices cannot be made to reach each other this way',
    remedy:
      'export the BAR as a dma-buf and map that with IOMMU_IOAS_MAP_FILE; else live without P2P',
    cases: [
      { what: 'a page of a BAR', type1: 'ok', iommufd: 'EFAULT' },
      { what: 'what is charged for it', type1: '0 kB', iommufd: '0 kB' },
    ],
  },
]
