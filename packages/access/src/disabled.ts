// SPDX-License-Identifier: Apache-2.0
/**
 * The access API of a kernel without iommufd: the second half of the header (SPEC section 5).
 *
 * Invariant: the same names and types as `@iommufd/access/v6.2`, so that a consumer can be built
 * without the engine; this file imports types alone. Whatever returns answers -EOPNOTSUPP, whatever
 * returns nothing does nothing.
 */
import type { IommufdCtx } from '@iommufd/core'
import { EOPNOTSUPP } from '@iommufd/uapi'
import type * as enabled from './v6.2.js'

export {
  IOMMUFD_ACCESS_RW_KTHREAD,
  IOMMUFD_ACCESS_RW_READ,
  IOMMUFD_ACCESS_RW_WRITE,
  type IommufdAccessOps,
} from './api.js'

export const iommufd_ctx_from_file: typeof enabled.iommufd_ctx_from_file = () => -EOPNOTSUPP

export const iommufd_ctx_put: typeof enabled.iommufd_ctx_put = () => {}

export const iommufd_access_pin_pages: typeof enabled.iommufd_access_pin_pages = () => -EOPNOTSUPP

export const iommufd_access_unpin_pages: typeof enabled.iommufd_access_unpin_pages = () => {}

export const iommufd_access_rw: typeof enabled.iommufd_access_rw = () => -EOPNOTSUPP

/** The IOAS that VFIO compatibility made: there is none. */
export function iommufd_vfio_compat_ioas_id(_ictx: IommufdCtx): number {
  return -EOPNOTSUPP
}
