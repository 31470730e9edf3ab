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
  IommuGroup,
  type IommuOps,
  IopfQueue,
  type NestedDomain,
  type PagingDomain,
  type UserData,
} from '@iommufd/hw-iommu'
import {
  ENODEV,
  IOMMU_HW_INFO_SELFTEST_REGVAL,
  IOMMU_HW_INFO_TYPE_DEFAULT,
  IOMMU_HW_INFO_TYPE_SELFTEST,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_DATA_SELFTEST,
  iommu_hwpt_selftest,
  iommu_test_hw_info,
  MOCK_IOMMUPT_DEFAULT,
  MOCK_IOMMUPT_HUGE,
  writeStruct,
} from '@iommufd/uapi'
import { MockDevice } from './mock-device.js'
import { MockDomain, MockNestedDomain } from './mock-domain.js'
import {
  MOCK_DATA_TYPE,
  MOCK_HW_INFO_TYPE,
  MOCK_NESTED_FLAGS,
  MOCK_TABLE_UNKNOWN,
} from './refusals.js'

/** Bytes of iommu_hwpt_selftest that must be given: the first field. */
const MIN_DATA_BYTES = 4

export class MockDriver implements IommuOps {
  readonly name = 'mock'
  readonly blockedDomain: AttachableDomain = {
    type: 'blocked',
    owner: this,
    attachDev(dev, old) {
      return (dev as MockDevice).changeDomain(this, old)
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
  readonly #words = new Uint32Array(iommu_hwpt_selftest.size / 4)

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
    const rc = this.#engine.allocate() || this.#readData(userData)
    if (rc < 0) return rc
    const type = this.#words[iommu_hwpt_selftest.at.pagetable_type / 4] as number
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
    const rc = this.#engine.allocate() || this.#readData(userData)
    return rc < 0 ? rc : new MockNestedDomain(this.#engine, this)
  }

  /** Reads the caller's iommu_hwpt_selftest, all zero when there is none. */
  #readData(userData: UserData | undefined): number {
    this.#words.fill(0)
    if (userData === undefined) return 0
    const { type } = userData
    const known = IOMMU_HWPT_DATA_SELFTEST
    if (type !== known) return this.#engine.refusals.refuse(MOCK_DATA_TYPE, type | 0, known)
    return userData.read(known, new Uint8Array(this.#words.buffer), MIN_DATA_BYTES)
  }
}
