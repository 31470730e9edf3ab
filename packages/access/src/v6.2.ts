// SPDX-License-Identifier: Apache-2.0
/**
 * The in-kernel access API in the form of Linux 6.2, the header that the charter of this project
 * quotes: an access is created attached to its IOAS and stays there.
 */
import type { IommufdCtx } from '@iommufd/core'
import {
  iommufd_access_create as create,
  type IommufdAccess,
  type IommufdAccessOps,
  iommufd_access_attach,
} from './index.js'

export {
  IOMMUFD_ACCESS_RW_KTHREAD,
  IOMMUFD_ACCESS_RW_READ,
  IOMMUFD_ACCESS_RW_WRITE,
  type IommufdAccess,
  type IommufdAccessOps,
  iommufd_access_destroy,
  iommufd_access_pin_pages,
  iommufd_access_rw,
  iommufd_access_unpin_pages,
  iommufd_ctx_from_file,
  iommufd_ctx_get,
  iommufd_ctx_put,
} from './index.js'

/** A new access, attached to the IOAS: the access, or -ENOENT, -EADDRINUSE, -EINVAL. */
export function iommufd_access_create<Data>(
  ictx: IommufdCtx,
  ioas_id: number,
  ops: IommufdAccessOps<Data>,
  data: Data,
): IommufdAccess<Data> | number {
  const access = create(ictx, ops, data)
  if (typeof access === 'number') return access
  const rc = iommufd_access_attach(access, ioas_id)
  if (rc === 0) return access
  access.close()
  return rc
}
