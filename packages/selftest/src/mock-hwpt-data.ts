// SPDX-License-Identifier: Apache-2.0
/**
 * The data that comes with tables of the mock IOMMU (SPEC section 10).
 *
 * Invariant: a caller that knows less of the struct than the mock gives zeros for the rest.
 */
import type { Iommufd } from '@iommufd/core'
import type { UserData } from '@iommufd/hw-iommu'
import {
  IOMMU_HWPT_DATA_SELFTEST,
  iommu_hwpt_selftest,
  readStruct,
  type StructValue,
} from '@iommufd/uapi'
import { MOCK_DATA_TYPE } from './refusals.js'

/** Bytes of iommu_hwpt_selftest that must be given: the first field. */
const MIN_DATA_BYTES = 4

/** The caller's iommu_hwpt_selftest, all zero when there is none; or a negative errno. */
export function readHwptData(
  engine: Iommufd,
  userData: UserData | undefined,
): StructValue<typeof iommu_hwpt_selftest> | number {
  const bytes = new Uint8Array(iommu_hwpt_selftest.size)
  if (userData !== undefined) {
    const { type } = userData
    const known = IOMMU_HWPT_DATA_SELFTEST
    if (type !== known) return engine.refusals.refuse(MOCK_DATA_TYPE, type | 0, known)
    const rc = userData.read(known, bytes, MIN_DATA_BYTES)
    if (rc < 0) return rc
  }
  return readStruct(iommu_hwpt_selftest, bytes)
}
