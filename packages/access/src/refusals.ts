// SPDX-License-Identifier: Apache-2.0
/** The refusals of the access layer: who may use an address space, and with which range. */
import type { RefusalSite } from '@iommufd/core'
import { EBADF, EBADFD, EBUSY, EINVAL, ENOENT, EOVERFLOW } from '@iommufd/uapi'

export const ACCESS_LENGTH_ZERO: RefusalSite = {
  id: 'ACCESS_LENGTH_ZERO',
  errno: EINVAL,
  spec: 'E7',
  operands: { iova: 'u64' },
  sentence: 'the access at {iova} has length 0',
  remedy: 'pass a length of at least 1 byte',
}

export const ACCESS_RANGE_WRAPS: RefusalSite = {
  id: 'ACCESS_RANGE_WRAPS',
  errno: EOVERFLOW,
  spec: 'E7',
  operands: { iova: 'u64', length: 'u64' },
  sentence: '{length} bytes at iova {iova} run past the end of the 64-bit space',
  remedy: 'check iova and length',
}

export const ACCESS_NOT_ATTACHED: RefusalSite = {
  id: 'ACCESS_NOT_ATTACHED',
  errno: ENOENT,
  spec: 'E7',
  operands: {},
  sentence: 'the access is not attached to an address space',
  remedy: 'attach it with iommufd_access_attach first',
}

export const ACCESS_ATTACHED_ALREADY: RefusalSite = {
  id: 'ACCESS_ATTACHED_ALREADY',
  errno: EINVAL,
  spec: 'E7',
  operands: {},
  sentence: 'the access is attached to an address space already',
  remedy: 'use iommufd_access_replace to change it',
}

export const ACCESS_LEAVING: RefusalSite = {
  id: 'ACCESS_LEAVING',
  errno: EBUSY,
  spec: 'section 5',
  operands: {},
  sentence: 'the access is leaving its address space at this moment',
  remedy: 'attach it when the unmap callback has returned',
}

export const ACCESS_WITHOUT_PINNING: RefusalSite = {
  id: 'ACCESS_WITHOUT_PINNING',
  errno: EINVAL,
  spec: 'E7',
  operands: {},
  sentence: 'pinning needs an access with needs_pin_pages and an unmap callback',
  remedy: 'give both in the ops when the access is created',
}

export const FILE_IS_NO_IOMMUFD: RefusalSite = {
  id: 'FILE_IS_NO_IOMMUFD',
  errno: EBADFD,
  spec: 'section 5',
  operands: {},
  sentence: 'the file is not an iommufd',
  remedy: 'pass a file that was opened as /dev/iommu or /dev/vfio/vfio',
}

export const FD_IS_NOT_OPEN: RefusalSite = {
  id: 'FD_IS_NOT_OPEN',
  errno: EBADF,
  spec: 'section 5',
  operands: { fd: 's32' },
  sentence: 'descriptor {fd} is not open',
  remedy: 'pass an open descriptor of an iommufd',
}
