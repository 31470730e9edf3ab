// SPDX-License-Identifier: Apache-2.0
/**
 * The in-kernel side of VFIO compatibility in the form of Linux 6.2, the header that the charter of
 * this project quotes: one function finds or makes the IOAS.
 */
import type { IommufdCtx } from '@iommufd/core'
import { iommufd_vfio_compat_ioas_create, iommufd_vfio_compat_ioas_get_id } from './index.js'

/** The id of the IOAS that container ioctls act on, made if need be; or -ENOMEM. */
export function iommufd_vfio_compat_ioas_id(ictx: IommufdCtx): number {
  const rc = iommufd_vfio_compat_ioas_create(ictx)
  return rc < 0 ? rc : iommufd_vfio_compat_ioas_get_id(ictx)
}
