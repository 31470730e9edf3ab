// SPDX-License-Identifier: Apache-2.0
/**
 * The mock IOMMU driver (SPEC sections 8 and 10).
 *
 * Invariant: each device is a group of its own, coherent and with isolated interrupts. Tables are
 * made with every flag of IOMMU_HWPT_ALLOC that a paging table can have.
 */
import type { Iommufd } from '@iommufd/core'
import {
  type AttachableDomain,
  type Device,
  type HwInfo,
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_CAP_DIRTY_TRACKING,
  type Iommu,
  type IommufdViommu,
  IommuGroup,
  type IommuOps,
  IopfQueue,
  type NestedDomain,
  type PagingDomain,
  type UserData,
  type ViommuOps,
} from '@iommufd/hw-iommu'
import {
  ENODEV,
  IOMMU_HW_INFO_SELFTEST_REGVAL,
  IOMMU_HW_INFO_TYPE_DEFAULT,
  IOMMU_HW_INFO_TYPE_SELFTEST,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_VIOMMU_TYPE_SELFTEST,
  iommu_test_hw_info,
  MOCK_IOMMUPT_DEFAULT,
  MOCK_IOMMUPT_HUGE,
  writeStruct,
} from '@iommufd/uapi'
import { MockDevice } from './mock-device.js'
import { MockDomain } from './mock-domain.js'
import { readHwptData } from './mock-hwpt-data.js'
import { MockNestedDomain } from './mock-nested-domain.js'
import { MockViommu } from './mock-viommu.js'
import { MOCK_HW_INFO_TYPE, MOCK_NESTED_FLAGS, MOCK_TABLE_UNKNOWN } from './refusals.js'

export class MockDriver implements IommuOps {
  readonly name = 'mock'
  readonly blockedDomain: AttachableDomain = {
    type: 'blocked',
    owner: this,
    attachDev(dev, old) {
      return (dev as MockDevice).moveTo(undefined, this, old)
    },
    setDevPasid(dev, pasid, old) {
      ;(dev as MockDevice).blockPasid(pasid)
      return (dev as MockDevice).changeDomain(this, old)
    },
  }
  readonly userPasidTable = true
  readonly #iommu: Iommu
  readonly #engine: Iommufd
  readonly #iopfQueue: IopfQueue

  constructor(iommu: Iommu) {
    this.#iommu = iommu
    this.#engine = iommu.engine
    this.#iopfQueue = new IopfQueue(iommu.engine)
  }

  capable(dev: MockDevice, cap: number): boolean {
    if (cap === IOMMU_CAP_DIRTY_TRACKING) return dev.tracksDirty
    return cap === IOMMU_CAP_CACHE_COHERENCY
  }

  probeDevice(dev: Device): number {
    if (!(dev instanceof MockDevice)) return -ENODEV
    dev.iopfQueue = this.#iopfQueue
    return 0
  }

  /** A mock device has asked because a test said so, and does not wait for the answer. */
  pageResponse(): void {}

  hwInfo(_dev: Device, type: number): HwInfo | number {
    if (type !== IOMMU_HW_INFO_TYPE_DEFAULT && type !== IOMMU_HW_INFO_TYPE_SELFTEST) {
      return this.#engine.refusals.refuse(MOCK_HW_INFO_TYPE, type | 0)
    }
    const rc = this.#engine.allocate()
    if (rc < 0) return rc
    const data = writeStruct(iommu_test_hw_info, { test_reg: IOMMU_HW_INFO_SELFTEST_REGVAL })
    return { type: IOMMU_HW_INFO_TYPE_SELFTEST, data }
  }

  deviceGroup(): IommuGroup {
    return new IommuGroup(this.#iommu)
  }

  domainAllocPaging(): PagingDomain {
    return new MockDomain(this.#engine, this, false, false)
  }

  domainAllocPagingFlags(
    _dev: Device,
    flags: number,
    userData: UserData | undefined,
  ): PagingDomain | number {
    const data = this.#engine.allocate() || readHwptData(this.#engine, userData)
    if (typeof data === 'number') return data
    const type = data.pagetable_type
    if (type !== MOCK_IOMMUPT_DEFAULT && type !== MOCK_IOMMUPT_HUGE) {
      return this.#engine.refusals.refuse(MOCK_TABLE_UNKNOWN, type | 0)
    }
    const tracksDirty = (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0
    return new MockDomain(this.#engine, this, type === MOCK_IOMMUPT_HUGE, tracksDirty)
  }

  domainAllocNested(
    _dev: Device,
    _parent: PagingDomain,
    flags: number,
    userData: UserData,
  ): NestedDomain | number {
    const { refusals } = this.#engine
    if ((flags & ~IOMMU_HWPT_ALLOC_PASID) !== 0) return refusals.refuse(MOCK_NESTED_FLAGS, flags)
    const data = this.#engine.allocate() || readHwptData(this.#engine, userData)
    return typeof data === 'number' ? data : new MockNestedDomain(this.#engine, this, data.iotlb)
  }

  supportsViommu(_dev: Device, type: number): boolean {
    return type === IOMMU_VIOMMU_TYPE_SELFTEST
  }

  viommuInit(
    viommu: IommufdViommu,
    _parent: PagingDomain,
    userData: UserData | undefined,
  ): ViommuOps | number {
    return MockViommu.init(viommu, userData)
  }
}
