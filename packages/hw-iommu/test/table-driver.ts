// SPDX-License-Identifier: Apache-2.0
//
// A driver whose domains are page tables of a real format, as most drivers are; devices record which domain they use, and
// can be made to refuse others.

import { EIO, ENODEV, IOMMU_HWPT_ALLOC_DIRTY_TRACKING } from '@iommufd/uapi'
import {
  type AttachableDomain,
  Device,
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_CAP_DIRTY_TRACKING,
  IOMMU_CAP_ENFORCE_CACHE_COHERENCY,
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_MSI,
  IOMMU_RESV_RESERVED,
  type Iommu,
  IommuGroup,
  type IommuOps,
  type IommuResvRegion,
  IopfQueue,
  PageTableDomain,
} from '../src/index.js'
import {
  createPageTable,
  type PageTable,
  type PageTableConfig,
  pageTableFormats,
} from '../src/pagetable/index.js'
import type { DriverUnderTest } from '../src/testing/index.js'

export type FormatName = keyof typeof configs

const configs = {
  amdv1: {
    features: ['DYNAMIC_TOP', 'FLUSH_RANGE', 'AMDV1_ENCRYPT_TABLES', 'AMDV1_FORCE_COHERENCE'],
    maxVaszLg2: 64,
    maxOaszLg2: 52,
    topLevel: 2,
  },
  amdv1_mock: { features: [], maxVaszLg2: 56, maxOaszLg2: 51, topLevel: 2 },
  riscv64: {
    features: ['DETAILED_GATHER', 'FLUSH_RANGE', 'RISCV_SVNAPOT_64K', 'SIGN_EXTEND'],
    maxVaszLg2: 39,
    maxOaszLg2: 56,
  },
  vtdss: { features: ['FLUSH_RANGE'], maxVaszLg2: 39, maxOaszLg2: 52, topLevel: 2 },
  x86_64: { features: ['FLUSH_RANGE', 'SIGN_EXTEND'], maxVaszLg2: 48, maxOaszLg2: 52, topLevel: 3 },
} as const satisfies Record<string, PageTableConfig>

const REGIONS: readonly IommuResvRegion[] = [
  { start: 0x10_0000n, length: 0x1000n, type: IOMMU_RESV_RESERVED },
  { start: 0x20_0000n, length: 0x4000n, type: IOMMU_RESV_DIRECT_RELAXABLE },
  { start: 0xfee0_0000n, length: 0x10_0000n, type: IOMMU_RESV_MSI },
]

export class TableDevice extends Device {
  readonly regions: readonly IommuResvRegion[]
  readonly groupNumber: number
  current: AttachableDomain | undefined
  isRefusing = false
  /** Where its page requests go. */
  iopfQueue: IopfQueue | undefined

  constructor(name: string, groupNumber: number, isDirect: boolean) {
    super(name)
    this.groupNumber = groupNumber
    const direct = { start: 0x30_0000n, length: 0x2000n, type: IOMMU_RESV_DIRECT }
    this.regions = isDirect ? [...REGIONS, direct] : REGIONS
    this.maxPasids = 16
  }

  use(domain: AttachableDomain): number {
    const isOther = domain.type === 'paging' && domain !== this.current
    const rc = this.isRefusing && isOther ? -EIO : this.move(domain, this.current)
    if (rc === 0) this.current = domain
    return rc
  }

  move(next: AttachableDomain, old: AttachableDomain | undefined): number {
    return this.iopfQueue?.move(this, next, old) ?? 0
  }
}

export class TableDomain extends PageTableDomain {
  override attachDev(dev: TableDevice, _old: AttachableDomain | undefined): number {
    return dev.use(this)
  }

  setDevPasid(dev: TableDevice, _pasid: number, old: AttachableDomain | undefined): number {
    return dev.move(this, old)
  }

  enforceCacheCoherency(): boolean {
    return true
  }
}

export class TableDriver implements IommuOps {
  readonly name = 'table'
  readonly format: FormatName
  readonly iommu: Iommu
  readonly #iopfQueue: IopfQueue
  readonly #groups = new Map<number, IommuGroup>()
  readonly blockedDomain: AttachableDomain = this.#plain('blocked')
  readonly identityDomain: AttachableDomain = this.#plain('identity')

  constructor(iommu: Iommu, format: FormatName) {
    this.iommu = iommu
    this.#iopfQueue = new IopfQueue(iommu.engine)
    this.format = format
  }

  capable(_dev: Device, cap: number): boolean {
    if (cap === IOMMU_CAP_DIRTY_TRACKING) return pageTableFormats[this.format].dirtyLo !== 0
    return cap === IOMMU_CAP_CACHE_COHERENCY || cap === IOMMU_CAP_ENFORCE_CACHE_COHERENCY
  }

  probeDevice(dev: Device): number {
    if (!(dev instanceof TableDevice)) return -ENODEV
    dev.iopfQueue = this.#iopfQueue
    return 0
  }

  pageResponse(): void {}

  /** Groups last as long as the driver. */
  deviceGroup(dev: TableDevice): IommuGroup {
    const group = this.#groups.get(dev.groupNumber) ?? new IommuGroup(this.iommu)
    this.#groups.set(dev.groupNumber, group)
    return group
  }

  getResvRegions(dev: TableDevice): readonly IommuResvRegion[] {
    return dev.regions
  }

  domainAllocPaging(): PageTableDomain | number {
    return this.makeDomain(this.makeTable(), false)
  }

  domainAllocPagingFlags(_dev: Device, flags: number): PageTableDomain | number {
    const tracksDirty = (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0
    return this.makeDomain(this.makeTable(), tracksDirty)
  }

  makeDomain(table: PageTable, tracksDirty: boolean): PageTableDomain {
    return new TableDomain(this, table, undefined, tracksDirty)
  }

  makeTable(): PageTable {
    const allocate = (): number => this.iommu.engine.allocate()
    const table = createPageTable(pageTableFormats[this.format], configs[this.format], allocate)
    if (typeof table === 'number') throw new Error(`${this.format}: ${table}`)
    return table
  }

  #plain(type: 'blocked' | 'identity'): AttachableDomain {
    const domain: AttachableDomain = {
      type,
      owner: this,
      attachDev: (dev) => (dev as TableDevice).use(domain),
      setDevPasid: (dev, _pasid, old) => (dev as TableDevice).move(domain, old),
    }
    return domain
  }
}

/** The driver with a format, as the checks want it; `Driver` is it or one that is broken. */
export function tableDriver(
  format: FormatName,
  Driver: typeof TableDriver = TableDriver,
): DriverUnderTest {
  return {
    makeDriver: (iommu) => new Driver(iommu, format),
    makeDevice: (name, group) => new TableDevice(name, group, false),
    sharesGroups: true,
    domainOf: (dev) => (dev as TableDevice).current,
    setRefusing(dev, refuses) {
      ;(dev as TableDevice).isRefusing = refuses
    },
    makeDirectDevice: (name) => new TableDevice(name, -1, true),
  }
}
