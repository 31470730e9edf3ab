// SPDX-License-Identifier: Apache-2.0
/**
 * Explaining what a driver has refused (SPEC section 8).
 *
 * Invariant: a driver's errno goes up unchanged. When the driver has recorded a site of its own, that
 * stays; otherwise one is recorded that names the driver.
 */
import type { Iommufd } from '@iommufd/core'
import type { IommuOps } from './driver.js'
import { DRIVER_REFUSED } from './refusals.js'

/** `rc`, the negative errno of a driver's function, with a refusal recorded for it. */
export function refuseForDriver(engine: Iommufd, ops: IommuOps, rc: number): number {
  const { refusals } = engine
  if (refusals.site?.errno === -rc) return rc
  const sentence = `the IOMMU driver ${ops.name} does not accept this`
  return refusals.refuse({ ...DRIVER_REFUSED, errno: -rc, sentence })
}
