// SPDX-License-Identifier: Apache-2.0
/**
 * A device that does nothing but be attached and, when told to, ask for a page (SPEC section 10).
 *
 * Invariant: for IOMMU_TEST_PASID_RESERVED every second table is refused, so that undoing can be
 * tested; blocking it never is. Its page requests are taken while one of its tables handles them. It is on
 * the vIOMMU whose nested table it uses, with the number that it had there when it came.
 */
import {
  type AttachableDomain,
  Device,
  type IommufdViommu,
  type IopfQueue,
  iommufd_viommu_get_vdev_id,
} from '@iommufd/hw-iommu'
import {
  IOMMU_TEST_DEV_CACHE_DEFAULT,
  IOMMU_TEST_PASID_RESERVED,
  MOCK_DEV_CACHE_NUM,
  MOCK_FLAGS_DEVICE_NO_DIRTY,
  MOCK_FLAGS_DEVICE_PASID,
  MOCK_PASID_WIDTH,
} from '@iommufd/uapi'

export class MockDevice extends Device {
  /** Whether its IOMMU can record which pages it writes. */
  readonly tracksDirty: boolean
  /** Where its page requests go; its driver's. */
  iopfQueue: IopfQueue | undefined
  readonly cache: Uint32Array = new Uint32Array(MOCK_DEV_CACHE_NUM)
  #viommu: IommufdViommu | undefined
  #vdevId = 0n
  #refusesNext = false

  /** `flags`: MOCK_FLAGS_DEVICE_*. */
  constructor(name: string, flags: number) {
    super(name)
    this.tracksDirty = (flags & MOCK_FLAGS_DEVICE_NO_DIRTY) === 0
    this.cache.fill(IOMMU_TEST_DEV_CACHE_DEFAULT)
    if ((flags & MOCK_FLAGS_DEVICE_PASID) !== 0) this.maxPasids = 2 ** MOCK_PASID_WIDTH
  }

  /** The vIOMMU that it is on. */
  get viommu(): IommufdViommu | undefined {
    return this.#viommu
  }

  /** Its number there. */
  get vdevId(): bigint {
    return this.#vdevId
  }

  /**
   * Uses `next`, a table of this vIOMMU or of none, in place of `old`: 0, -ENOMEM, or -ENOENT when it
   * has no number there.
   */
  moveTo(
    viommu: IommufdViommu | undefined,
    next: AttachableDomain,
    old: AttachableDomain | undefined,
  ): number {
    const vdevId = viommu === undefined ? 0n : iommufd_viommu_get_vdev_id(viommu, this)
    if (typeof vdevId === 'number') return vdevId
    const rc = this.changeDomain(next, old)
    if (rc < 0 || viommu === this.#viommu) return rc
    this.#viommu = viommu
    this.#vdevId = vdevId
    return 0
  }

  /** Whether a table for the PASID is taken now. */
  takesTable(pasid: number): boolean {
    if (pasid !== IOMMU_TEST_PASID_RESERVED) return true
    this.#refusesNext = !this.#refusesNext
    return this.#refusesNext
  }

  /** Uses `next` in place of `old`, with or without a PASID: 0, or -ENOMEM. */
  changeDomain(next: AttachableDomain, old: AttachableDomain | undefined): number {
    return this.iopfQueue?.move(this, next, old) ?? 0
  }

  /** The PASID is blocked. */
  blockPasid(pasid: number): void {
    if (pasid === IOMMU_TEST_PASID_RESERVED) this.#refusesNext = false
  }
}
