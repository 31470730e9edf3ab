// SPDX-License-Identifier: Apache-2.0
//
// An IOMMU on paper, as a PC has one: pages of 4 KiB, 2 MiB and 1 GiB, 48 bits of IOVAs, interrupts written to the MiB
// at 0xfee00000. Its page tables are test domains, which throw when they are not used as SPEC section 8 asks.

import type { RefusalSite } from '@iommufd/core'
import {
  type AttachableDomain,
  Device,
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_CAP_ENFORCE_CACHE_COHERENCY,
  IOMMU_RESV_MSI,
  type Iommu,
  IommuGroup,
  type IommuOps,
  type IommuResvRegion,
  type IotlbGather,
  type PagingDomain,
  type Translation,
} from '@iommufd/hw-iommu'
import { EINVAL, ENODEV, PAGE_SIZE } from '@iommufd/uapi'

export interface PaperDeviceOptions {
  /** Its IOMMU makes all accesses coherent. */
  readonly enforces?: boolean
  readonly coherent?: boolean
  readonly isolatedMsi?: boolean
  /** Last IOVA that its tables translate, below 2^48. */
  readonly lastHi?: number
  /** Devices with the same group cannot be told apart. */
  readonly group?: string
  /** Devices with different tables cannot share one. */
  readonly table?: string
  /** Its DMA can be marked with PASIDs below this number. */
  readonly pasids?: number
}

export class PaperDevice extends Device {
  readonly options: PaperDeviceOptions
  /** What the next page tables of the device answer, negative. */
  refuses = 0
  /** What DMA with a PASID reaches. */
  readonly byPasid: Map<number, AttachableDomain> = new Map()

  constructor(name: string, options: PaperDeviceOptions = {}) {
    super(name, options)
    this.options = options
    this.maxPasids = options.pasids ?? 0
  }
}

const NO_PERMISSION: RefusalSite = {
  id: 'NO_PERMISSION',
  errno: EINVAL,
  spec: 'section 9',
  operands: {},
  sentence: 'a page table cannot map without permission',
  remedy: 'ask for one',
}

export class PaperDomain implements PagingDomain {
  readonly type = 'paging'
  readonly owner: PaperDriver
  readonly minPageSize: number = PAGE_SIZE
  readonly pageSizesHi: number = 0
  readonly pageSizesLo: number = 0x40201000
  readonly apertureStartHi: number = 0
  readonly apertureStartLo: number = 0
  readonly apertureLastHi: number
  readonly apertureLastLo: number = -1
  readonly frames = new Map<number, number>()
  readonly #options: PaperDeviceOptions
  isFree = false

  constructor(owner: PaperDriver, options: PaperDeviceOptions) {
    this.owner = owner
    this.#options = options
    this.apertureLastHi = options.lastHi ?? 0xffff
  }

  attachDev(dev: PaperDevice): number {
    return dev.options.table === this.#options.table ? 0 : -EINVAL
  }

  setDevPasid(dev: PaperDevice, pasid: number): number {
    dev.byPasid.set(pasid, this)
    return 0
  }

  enforceCacheCoherency(): boolean {
    return this.#options.enforces === true
  }

  map(
    hi: number,
    lo: number,
    frames: Uint32Array,
    at: number,
    _offset: number,
    bytes: number,
    prot: number,
  ): number {
    if (prot === 0) return this.owner.iommu.engine.refusals.refuse(NO_PERMISSION)
    const { mapRefuses } = this.owner
    if (mapRefuses !== 0) return -mapRefuses
    for (let i = 0; i < bytes / PAGE_SIZE; i++) {
      const page = pageOf(hi, lo) + i
      if (this.frames.has(page)) throw new Error(`page ${page} is mapped already`)
      this.frames.set(page, frames[at + i] as number)
    }
    return 0
  }

  unmap(hi: number, lo: number, bytes: number, gather: IotlbGather): number {
    for (let i = 0; i < bytes / PAGE_SIZE; i++) {
      if (!this.frames.delete(pageOf(hi, lo) + i)) throw new Error('unmap of what is not mapped')
    }
    gather.add(hi, lo, bytes)
    return bytes
  }

  translate(hi: number, lo: number, out: Translation): boolean {
    const frame = this.frames.get(pageOf(hi, lo))
    out.frame = frame ?? 0
    out.offset = lo & (PAGE_SIZE - 1)
    out.lg2 = 12
    return frame !== undefined
  }

  free(): void {
    if (this.isFree || this.frames.size > 0) throw new Error('a domain is freed with entries')
    this.isFree = true
  }
}

export class PaperDriver implements IommuOps {
  readonly name = 'paper'
  readonly iommu: Iommu
  readonly #groups = new Map<string, IommuGroup>()
  readonly blockedDomain: AttachableDomain = {
    type: 'blocked',
    owner: this,
    attachDev: () => 0,
    setDevPasid: (dev: PaperDevice, pasid: number) => (dev.byPasid.delete(pasid) ? 0 : -EINVAL),
  }
  /** Errno that page tables answer to map; 0 maps. */
  mapRefuses = 0
  /** Page tables that were made. */
  readonly tables: PaperDomain[] = []

  constructor(iommu: Iommu) {
    this.iommu = iommu
  }

  capable({ options }: PaperDevice, cap: number): boolean {
    if (cap === IOMMU_CAP_CACHE_COHERENCY) return options.coherent !== false
    return cap === IOMMU_CAP_ENFORCE_CACHE_COHERENCY && options.enforces === true
  }

  probeDevice(dev: Device): number {
    return dev instanceof PaperDevice ? 0 : -ENODEV
  }

  deviceGroup(dev: PaperDevice): IommuGroup {
    const name = dev.options.group ?? dev.name
    const group = this.#groups.get(name) ?? new IommuGroup(this.iommu)
    this.#groups.set(name, group)
    return group
  }

  getResvRegions(): readonly IommuResvRegion[] {
    return [{ start: 0xfee00000n, length: 0x100000n, type: IOMMU_RESV_MSI }]
  }

  domainAllocPagingFlags(dev: PaperDevice): PagingDomain | number {
    return this.domainAllocPaging(dev)
  }

  domainAllocPaging(dev: PaperDevice): PagingDomain | number {
    if (dev.refuses !== 0) return -dev.refuses
    const table = new PaperDomain(this, dev.options)
    this.tables.push(table)
    return table
  }
}

function pageOf(hi: number, lo: number): number {
  return (hi >>> 0) * 2 ** 20 + (lo >>> 12)
}
