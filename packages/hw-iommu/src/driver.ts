// SPDX-License-Identifier: Apache-2.0
/**
 * What an IOMMU driver implements (SPEC section 8): types and numbers alone.
 *
 * Contract: every function returns 0 (or what it makes) or a negative errno, and a refused call has
 * changed nothing. Taking away never fails: detaching is attaching to a blocked or default domain,
 * which a driver must accept, and unmapping takes exactly what was mapped. A driver that wants its
 * refusals explained records a site with `refusals.refuse`; otherwise one is recorded for it.
 */
import type { IommuDomain } from '@iommufd/pages'
import type { Device } from './device.js'
import type { IommuGroup } from './iommu-group.js'
import type { UserData } from './user-data.js'

/** DMA of the device is coherent with the caches, as every mapping of iommufd asks. */
export const IOMMU_CAP_CACHE_COHERENCY = 0
/** The domain can forbid the device to fetch instructions. */
export const IOMMU_CAP_NOEXEC = 1
/** DMA was blocked already before the system started. */
export const IOMMU_CAP_PRE_BOOT_PROTECTION = 2
/** A domain can make accesses coherent that ask not to be. */
export const IOMMU_CAP_ENFORCE_CACHE_COHERENCY = 3
/** Cached translations can be flushed later, many at once. */
export const IOMMU_CAP_DEFERRED_FLUSH = 4
/** Domains can record which pages were written. */
export const IOMMU_CAP_DIRTY_TRACKING = 5

/** Must be mapped one to one. */
export const IOMMU_RESV_DIRECT = 0
/** Should be mapped one to one, but may be used for something else. */
export const IOMMU_RESV_DIRECT_RELAXABLE = 1
/** Must not be mapped. */
export const IOMMU_RESV_RESERVED = 2
/** Writes are interrupts, whatever is mapped. */
export const IOMMU_RESV_MSI = 3
/** Where software maps the page that interrupts are written to. */
export const IOMMU_RESV_SW_MSI = 4

/** IOVAs that a device reserves: `length` bytes, at least 1, from `start` on. */
export interface IommuResvRegion {
  readonly start: bigint
  readonly length: bigint
  /** IOMMU_RESV_* */
  readonly type: number
}

/** What a device, by way of its group, can be attached to. */
export interface AttachableDomain {
  readonly type: 'paging' | 'nested' | 'identity' | 'blocked'
  /** The driver that made it; only its devices can be attached. */
  readonly owner: IommuOps
  /**
   * Lets the device use this domain instead of `old` (undefined: the device is new): 0, or a
   * negative errno and it still uses `old`. -EINVAL says that domain and device do not fit.
   */
  attachDev(dev: Device, old: AttachableDomain | undefined): number
  /** Nobody uses the domain any more. */
  free?(): void
}

/** A page table that iommufd fills. */
export interface PagingDomain extends AttachableDomain, IommuDomain {
  readonly type: 'paging'
  /** Page sizes that the table can have, as bits: bit n for 2^n bytes. High and low word. */
  readonly pageSizesHi: number
  readonly pageSizesLo: number
  /**
   * Makes all accesses coherent, asked for before anything is mapped, of drivers with
   * IOMMU_CAP_ENFORCE_CACHE_COHERENCY: whether it can.
   */
  enforceCacheCoherency?(): boolean
  /** The physical address, in bytes, that the IOVA is mapped to; -1 when it is not mapped. */
  iovaToPhys(iovaHi: number, iovaLo: number): number
}

/** A page table of a guest, whose addresses are translated again by a paging domain. */
export interface NestedDomain extends AttachableDomain {
  readonly type: 'nested'
}

/** A driver. Its object is its identity. */
export interface IommuOps {
  readonly name: string
  /** Whether the IOMMU of the device has a capability, IOMMU_CAP_*. */
  capable(dev: Device, cap: number): boolean
  /** A new device: 0 when this driver serves it, -ENODEV when it does not. */
  probeDevice(dev: Device): number
  releaseDevice?(dev: Device): void
  /** The group of a probed device: one that exists, or a new one. */
  deviceGroup(dev: Device): IommuGroup
  getResvRegions?(dev: Device): readonly IommuResvRegion[]
  /** What devices use that nobody owns; `identityDomain` or `blockedDomain` when it is absent. */
  readonly defaultDomain?: AttachableDomain
  /** IOVAs are physical addresses. */
  readonly identityDomain?: AttachableDomain
  /** No DMA at all. Without it, an empty paging domain is used. */
  readonly blockedDomain?: AttachableDomain
  domainAllocPaging(dev: Device): PagingDomain | number
  /** As domainAllocPaging, with flags IOMMU_HWPT_ALLOC_* and the driver's own data. */
  domainAllocPagingFlags?(
    dev: Device,
    flags: number,
    userData: UserData | undefined,
  ): PagingDomain | number
  domainAllocNested?(
    dev: Device,
    parent: PagingDomain,
    flags: number,
    userData: UserData,
  ): NestedDomain | number
}
