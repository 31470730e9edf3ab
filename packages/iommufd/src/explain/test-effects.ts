// SPDX-License-Identifier: Apache-2.0
// Effects of IOMMU_TEST_CMD, by its operation.

import {
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
  IOMMU_TEST_OP_PASID_DETACH,
  IOMMU_TEST_OP_PASID_REPLACE,
  IOMMU_TEST_OP_TRIGGER_IOPF,
  IOMMU_TEST_OP_TRIGGER_VEVENT,
  iommu_test_cmd,
  MOCK_ACCESS_RW_WRITE,
  type StructValue,
} from '@iommufd/uapi'
import { count, type Effect, effectOf, hex, range } from './effect.js'

type TestCmd = StructValue<typeof iommu_test_cmd>

/** The effect of IOMMU_TEST_CMD; operations that only check change nothing. */
export const testEffect: Effect = effectOf(iommu_test_cmd, (cmd) => tellers.get(cmd.op)?.(cmd))

const tellers: ReadonlyMap<number, (cmd: TestCmd) => string> = new Map([
  [
    IOMMU_TEST_OP_ADD_RESERVED,
    ({ id, add_reserved_start, add_reserved_length }: TestCmd) =>
      `ioas ${id}: ${range(add_reserved_start, add_reserved_length)} reserved`,
  ],
  [
    IOMMU_TEST_OP_MOCK_DOMAIN,
    (cmd: TestCmd) =>
      attached(
        cmd.id,
        cmd.mock_domain_out_idev_id,
        cmd.mock_domain_out_stdev_id,
        cmd.mock_domain_out_hwpt_id,
      ),
  ],
  [
    IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
    (cmd: TestCmd) =>
      attached(
        cmd.id,
        cmd.mock_domain_flags_out_idev_id,
        cmd.mock_domain_flags_out_stdev_id,
        cmd.mock_domain_flags_out_hwpt_id,
      ),
  ],
  [
    IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
    ({ id, mock_domain_replace_pt_id }: TestCmd) =>
      `mock device ${id} now uses page table ${mock_domain_replace_pt_id}`,
  ],
  [
    IOMMU_TEST_OP_MD_CHECK_MAP,
    ({ id, check_map_iova, check_map_length, check_map_uptr }: TestCmd) =>
      `hwpt ${id}: ${range(check_map_iova, check_map_length)} leads to user ${hex(check_map_uptr)}`,
  ],
  [
    IOMMU_TEST_OP_MD_CHECK_IOTLB,
    ({ id, check_iotlb_id, check_iotlb_iotlb }: TestCmd) =>
      `hwpt ${id}: entry ${check_iotlb_id} of the IOTLB holds ${hex(check_iotlb_iotlb)}`,
  ],
  [
    IOMMU_TEST_OP_DEV_CHECK_CACHE,
    ({ id, check_dev_cache_id, check_dev_cache_cache }: TestCmd) =>
      `device ${id}: entry ${check_dev_cache_id} of its cache holds ${hex(check_dev_cache_cache)}`,
  ],
  [
    IOMMU_TEST_OP_MD_CHECK_REFS,
    ({ check_refs_uptr, check_refs_length, check_refs_refs }: TestCmd) =>
      `user ${range(check_refs_uptr, check_refs_length)} is pinned ${count(check_refs_refs, 'time')}`,
  ],
  [
    IOMMU_TEST_OP_CREATE_ACCESS,
    ({ id, create_access_out_access_fd }: TestCmd) =>
      `access to ioas ${id} created on descriptor ${create_access_out_access_fd}`,
  ],
  [
    IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
    ({ id, access_replace_ioas_ioas_id }: TestCmd) =>
      access_replace_ioas_ioas_id === 0
        ? `access ${id} is detached`
        : `access ${id} now uses ioas ${access_replace_ioas_ioas_id}`,
  ],
  [
    IOMMU_TEST_OP_ACCESS_PAGES,
    (cmd: TestCmd) =>
      `access ${cmd.id}: ${range(cmd.access_pages_iova, cmd.access_pages_length)} pinned as ` +
      `item ${cmd.access_pages_out_access_pages_id}`,
  ],
  [
    IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
    ({ id, destroy_access_pages_access_pages_id }: TestCmd) =>
      `access ${id}: item ${destroy_access_pages_access_pages_id} unpinned`,
  ],
  [
    IOMMU_TEST_OP_ACCESS_RW,
    ({ id, access_rw_iova, access_rw_length, access_rw_uptr, access_rw_flags }: TestCmd) => {
      const writes = (access_rw_flags & MOCK_ACCESS_RW_WRITE) !== 0
      const user = `${writes ? 'from' : 'to'} user ${hex(access_rw_uptr)}`
      const done = `${count(access_rw_length, 'byte')} ${writes ? 'written' : 'read'}`
      return `access ${id}: ${done} at ${hex(access_rw_iova)} ${user}`
    },
  ],
  [
    IOMMU_TEST_OP_DIRTY,
    ({ id, dirty_iova, dirty_length, dirty_out_nr_dirty }: TestCmd) =>
      `hwpt ${id}: ${count(dirty_out_nr_dirty, 'page')} of ${range(dirty_iova, dirty_length)} now dirty`,
  ],
  [
    IOMMU_TEST_OP_TRIGGER_IOPF,
    ({ trigger_iopf_dev_id, trigger_iopf_addr }: TestCmd) =>
      `device ${trigger_iopf_dev_id} reported a page fault at ${hex(trigger_iopf_addr)}`,
  ],
  [
    IOMMU_TEST_OP_TRIGGER_VEVENT,
    ({ trigger_vevent_dev_id }: TestCmd) => `device ${trigger_vevent_dev_id} reported an event`,
  ],
  [
    IOMMU_TEST_OP_PASID_ATTACH,
    ({ id, pasid_attach_pasid, pasid_attach_pt_id }: TestCmd) =>
      `PASID ${pasid_attach_pasid} of device ${id} uses page table ${pasid_attach_pt_id}`,
  ],
  [
    IOMMU_TEST_OP_PASID_REPLACE,
    ({ id, pasid_replace_pasid, pasid_replace_pt_id }: TestCmd) =>
      `PASID ${pasid_replace_pasid} of device ${id} now uses page table ${pasid_replace_pt_id}`,
  ],
  [
    IOMMU_TEST_OP_PASID_DETACH,
    ({ id, pasid_detach_pasid }: TestCmd) => `PASID ${pasid_detach_pasid} of device ${id} detached`,
  ],
  [
    IOMMU_TEST_OP_DMABUF_GET,
    ({ dmabuf_get_length }: TestCmd) => `dma-buf of ${count(dmabuf_get_length, 'byte')} created`,
  ],
  [
    IOMMU_TEST_OP_DMABUF_REVOKE,
    ({ dmabuf_revoke_dmabuf_fd, dmabuf_revoke_revoked }: TestCmd) =>
      `dma-buf ${dmabuf_revoke_dmabuf_fd} unmapped everywhere, ` +
      `${dmabuf_revoke_revoked === 0 ? 'new mappings admitted' : 'new mappings refused'}`,
  ],
])

function attached(ptId: number, device: number, selftest: number, hwpt: number): string {
  return `mock device ${device} (handle ${selftest}) attached to object ${ptId} through hwpt ${hwpt}`
}
