// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO container ioctls on an iommufd, and the in-kernel side of VFIO compatibility in the form of
 * Linux 7.3 (SPEC section 5): where C returns an errno, these return a negative number; where C
 * fills in an id, these return it.
 */
import type { IommufdCtx } from '@iommufd/core'
import { ENODEV } from '@iommufd/uapi'
import { VfioCompat } from './compat-ioas.js'

export type { DomainTraits, VfioCompatOptions } from './compat-ioas.js'
export * as vfioCompatRefusals from './refusals.js'
export { registerVfioCompat } from './register.js'

/** The id of the IOAS that container ioctls of this context act on, or -ENODEV when there is none. */
export function iommufd_vfio_compat_ioas_get_id(ictx: IommufdCtx): number {
  ictx.engine.refusals.clear()
  return VfioCompat.of(ictx).find(ictx)?.id ?? -ENODEV
}

/**
 * Makes an IOAS for container ioctls unless the context has one: 0, -ENOMEM, or -EINVAL when the
 * context serves devices without an IOMMU. It is as if user space had made it: it lives until it is
 * destroyed by its id or the context ends.
 */
export function iommufd_vfio_compat_ioas_create(ictx: IommufdCtx): number {
  ictx.engine.refusals.clear()
  return VfioCompat.of(ictx).create(ictx)
}

/** Lets the context serve devices without an IOMMU: 0, or -EINVAL when it has a compatibility IOAS. */
export function iommufd_vfio_compat_set_no_iommu(ictx: IommufdCtx): number {
  ictx.engine.refusals.clear()
  return VfioCompat.of(ictx).setNoIommu(ictx)
}
