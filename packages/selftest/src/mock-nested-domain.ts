// SPDX-License-Identifier: Apache-2.0
/**
 * Page tables of a guest on the mock IOMMU (SPEC section 10, L5): nothing of them is walked.
 *
 * Invariant: an IOTLB of four entries begins with what the caller gives and forgets what it is told
 * to. A device that uses a table of a vIOMMU is on that vIOMMU, where it must have a number.
 */
import type { Iommufd } from '@iommufd/core'
import type {
  AttachableDomain,
  IommufdViommu,
  IommuOps,
  NestedDomain,
  UserDataArray,
} from '@iommufd/hw-iommu'
import {
  IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
  IOMMU_TEST_INVALIDATE_FLAG_ALL,
  iommu_hwpt_invalidate_selftest,
  MOCK_NESTED_DOMAIN_IOTLB_ID_MAX,
  MOCK_NESTED_DOMAIN_IOTLB_NUM,
  readStruct,
} from '@iommufd/uapi'
import type { MockDevice } from './mock-device.js'
import { setPasid } from './mock-domain.js'
import { MOCK_INVALIDATE_ENTRY, MOCK_INVALIDATE_FLAGS, MOCK_INVALIDATE_TYPE } from './refusals.js'

const TYPE = IOMMU_HWPT_INVALIDATE_DATA_SELFTEST
const ENTRY_BYTES = iommu_hwpt_invalidate_selftest.size

export class MockNestedDomain implements NestedDomain {
  readonly type = 'nested'
  readonly owner: IommuOps
  readonly iotlb: Uint32Array
  readonly #engine: Iommufd
  readonly #viommu: IommufdViommu | undefined

  /** `iotlb`: what every entry holds at first. `viommu`: the one that the table is made on. */
  constructor(engine: Iommufd, owner: IommuOps, iotlb: number, viommu?: IommufdViommu) {
    this.#engine = engine
    this.owner = owner
    this.iotlb = new Uint32Array(MOCK_NESTED_DOMAIN_IOTLB_NUM).fill(iotlb)
    this.#viommu = viommu
  }

  attachDev(dev: MockDevice, old: AttachableDomain | undefined): number {
    return dev.moveTo(this.#viommu, this, old)
  }

  setDevPasid(dev: MockDevice, pasid: number, old: AttachableDomain | undefined): number {
    return setPasid(this.#engine, dev, pasid, this, old)
  }

  cacheInvalidateUser(entries: UserDataArray): number {
    if (entries.type !== TYPE) {
      return this.#engine.refusals.refuse(MOCK_INVALIDATE_TYPE, entries.type | 0, TYPE | 0)
    }
    for (let i = 0; i < entries.count; i++) {
      const bytes = new Uint8Array(ENTRY_BYTES)
      const rc = entries.entry(i).read(TYPE, bytes, ENTRY_BYTES) || this.#forget(bytes)
      if (rc < 0) return rc
      entries.handled++
    }
    return 0
  }

  #forget(bytes: Uint8Array): number {
    const { refusals } = this.#engine
    const { flags, iotlb_id } = readStruct(iommu_hwpt_invalidate_selftest, bytes)
    if ((flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL) !== 0) {
      return refusals.refuse(MOCK_INVALIDATE_FLAGS, flags | 0)
    }
    if (iotlb_id > MOCK_NESTED_DOMAIN_IOTLB_ID_MAX) {
      return refusals.refuse(MOCK_INVALIDATE_ENTRY, iotlb_id | 0)
    }
    if (flags !== 0) this.iotlb.fill(0)
    else this.iotlb[iotlb_id] = 0
    return 0
  }
}
