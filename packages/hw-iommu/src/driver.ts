// SPDX-License-Identifier: Apache-2.0
/**
 * What an IOMMU driver implements (SPEC section 8): types and numbers alone.
 *
 * Contract: every function returns 0 (or what it makes) or a negative errno, and a refused call has
 * changed nothing. Taking away never fails: detaching is attaching to a blocked or default domain,
 * which a driver must accept, and unmapping takes exactly what was mapped. A driver that wants its
 * refusals explained records a site with `refusals.refuse`; otherwise one is recorded for it.
 */
import type { Device } from './device.js'
import type { IommuGroup } from './iommu-group.js'
import type { IopfHandler, PageRequest } from './iopf.js'
import type { Iotlb } from './iotlb.js'
import type { IotlbGather } from './iotlb-gather.js'
import type { Translation } from './translation.js'
import type { UserData } from './user-data.js'
import type { UserDataArray } from './user-data-array.js'
import type { IommufdViommu } from './viommu.js'
import type { ViommuOps } from './viommu-driver.js'

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
/** The device may keep translations itself (ATS). */
export const IOMMU_CAP_PCI_ATS_SUPPORTED = 6

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
  /**
   * As attachDev, for the DMA that the device marks with `pasid`, which is at least 1 and below the
   * device's `maxPasids`; `old` undefined: it was blocked. On the blocked domain, whose part it is to
   * detach, it must succeed. Where it or the blocked domain's is missing, PASIDs are refused.
   */
  setDevPasid?(dev: Device, pasid: number, old: AttachableDomain | undefined): number
  /**
   * Set by iommufd, before any device uses the domain: takes the page requests of its devices. A
   * driver whose devices can ask for pages tells its `IopfQueue` of every change (`IopfQueue.move`).
   */
  iopfHandler?: IopfHandler
  /** Nobody uses the domain any more; one-to-one and interrupt pages may be mapped still. */
  free?(): void
}

/** Which pages were written, for domains that can tell (IOMMU_CAP_DIRTY_TRACKING). */
export interface DirtyOps {
  /** Begins or ends recording: 0 or a negative errno. */
  setDirtyTracking(enable: boolean): number
  /**
   * Reports the pages of `bytes` bytes from the IOVA on that were written since they were last
   * cleared, each with its first IOVA and the lg2 of its bytes, and clears them unless `noClear`;
   * what is cleared is added to the gather. 0 or a negative errno.
   */
  readAndClearDirty(
    iovaHi: number,
    iovaLo: number,
    bytes: number,
    noClear: boolean,
    gather: IotlbGather,
    report: (iovaHi: number, iovaLo: number, lg2: number) => void,
  ): number
}

/** A page table that iommufd fills. */
export interface PagingDomain extends AttachableDomain {
  readonly type: 'paging'
  /** Smallest page that the table can map, in bytes: a power of two. */
  readonly minPageSize: number
  /** Page sizes that the table can have, as bits: bit n for 2^n bytes. High and low word. */
  readonly pageSizesHi: number
  readonly pageSizesLo: number
  /** First IOVA that can be mapped. */
  readonly apertureStartHi: number
  readonly apertureStartLo: number
  /** Last IOVA that can be mapped. */
  readonly apertureLastHi: number
  readonly apertureLastLo: number
  /**
   * Maps `bytes` bytes, below 2^31, at the IOVA: from byte `offset` of frame `frames[at]` on, then of
   * `frames[at + 1]`, …, 4 KiB each. `prot` is AREA_READ | AREA_WRITE. Without `largePages` no page
   * is larger than 4 KiB. 0, or a negative errno and nothing of it is mapped.
   */
  map(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    offset: number,
    bytes: number,
    prot: number,
    largePages: boolean,
  ): number
  /**
   * Unmaps `bytes` bytes at the IOVA, which begin and end where pages do and are all mapped, without
   * allocating, and adds what IOTLBs may remember to the gather: the bytes unmapped, all of them.
   */
  unmap(iovaHi: number, iovaLo: number, bytes: number, gather: IotlbGather): number
  /** Whether the IOVA is mapped; then `out` says where to. As the hardware walks, without IOTLB. */
  translate(iovaHi: number, iovaLo: number, out: Translation): boolean
  /**
   * Writes the frames of `n` pages of memory to `frames[at…]`: of the one whose byte `offset` is
   * mapped at the IOVA, and of those mapped behind it; all are mapped. Faster than translating each.
   */
  framesAt?(
    iovaHi: number,
    iovaLo: number,
    offset: number,
    frames: Uint32Array,
    at: number,
    n: number,
  ): void
  /** Makes the hardware see what was mapped, where it may remember that nothing was. */
  iotlbSyncMap?(iovaHi: number, iovaLo: number, bytes: number): void
  /** Makes the IOTLBs forget what was gathered; memory is given back after this. */
  iotlbSync?(gather: IotlbGather): void
  /** Makes the IOTLBs forget the domain. */
  flushIotlbAll?(): void
  /** What the IOMMU remembers of the domain; without it, every access of a device walks. */
  readonly iotlb?: Iotlb
  readonly dirtyOps?: DirtyOps
  /** A device writes to the IOVA, which is mapped: the hardware marks the page, where it tracks. */
  markDirty?(iovaHi: number, iovaLo: number): void
  /**
   * Makes all accesses coherent, asked for before anything is mapped, of drivers with
   * IOMMU_CAP_ENFORCE_CACHE_COHERENCY: whether it can.
   */
  enforceCacheCoherency?(): boolean
}

/** A page table of a guest, whose addresses are translated again by a paging domain. */
export interface NestedDomain extends AttachableDomain {
  readonly type: 'nested'
  /**
   * What the guest says is stale is forgotten. `entries.handled` counts those done, also of a refused
   * call.
   */
  cacheInvalidateUser?(entries: UserDataArray): number
}

/** What a driver tells programs about an IOMMU. */
export interface HwInfo {
  /** IOMMU_HW_INFO_TYPE_*, not NONE. */
  readonly type: number
  /** The struct of this type. */
  readonly data: Uint8Array
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
  /**
   * Describes the device's IOMMU as `type`, or as what it is for IOMMU_HW_INFO_TYPE_DEFAULT;
   * -EOPNOTSUPP for a type that it is not. Without it the type is IOMMU_HW_INFO_TYPE_NONE.
   */
  hwInfo?(dev: Device, type: number): HwInfo | number
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
  /**
   * Tells the device the answer, IOMMU_PAGE_RESP_*, to the group of requests that ends with `lastPage`.
   * Called once for each group that was reported, at times before the report returns.
   */
  pageResponse?(dev: Device, lastPage: PageRequest, code: number): void
  /** Guests have tables of PASIDs of their own: page requests for any PASID go to a nested domain. */
  readonly userPasidTable?: boolean
  /** Whether the device's IOMMU has vIOMMUs of this type, IOMMU_VIOMMU_TYPE_*. */
  supportsViommu?(dev: Device, type: number): boolean
  /** A vIOMMU comes to be on a nesting parent: what the driver does for it. */
  viommuInit?(
    viommu: IommufdViommu,
    parent: PagingDomain,
    userData: UserData | undefined,
  ): ViommuOps | number
}
