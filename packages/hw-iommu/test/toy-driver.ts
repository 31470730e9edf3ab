// SPDX-License-Identifier: Apache-2.0
//
// An IOMMU driver for tests: page tables are maps, and every answer can be turned into a refusal.

import { EADDRINUSE, EINVAL, ENODEV, PAGE_SIZE } from '@iommufd/uapi'
import {
  type AttachableDomain,
  Device,
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_CAP_DIRTY_TRACKING,
  IOMMU_CAP_ENFORCE_CACHE_COHERENCY,
  type Iommu,
  type IommufdViommu,
  IommuGroup,
  type IommuOps,
  type IommuResvRegion,
  IopfQueue,
  type NestedDomain,
  type PageRequest,
  type PagingDomain,
  type Translation,
  type UserData,
} from '../src/index.js'

import { TOY_TYPE, ToyViommu } from './toy-viommu.js'

export interface ToyDeviceOptions {
  /** Devices with the same name of a group share it. */
  readonly group?: string
  readonly isolatedMsi?: boolean
  readonly coherent?: boolean
  readonly dirtyTracking?: boolean
  readonly enforces?: boolean
  readonly regions?: readonly IommuResvRegion[]
  readonly sharesPri?: boolean
  /** PASIDs below this number can be sent. */
  readonly pasids?: number
}

/** Frames of the machine's memory; what lies above is for devices. */
const MEMORY_FRAMES = 4096

export class ToyDevice extends Device {
  readonly options: ToyDeviceOptions
  /** What it uses now. */
  current: AttachableDomain | undefined
  /** What it uses for PASIDs. */
  readonly pasids: Map<number, AttachableDomain> = new Map()
  /** Whether it takes a domain: 0 or a negative errno. */
  accepts: (domain: AttachableDomain) => number = () => 0
  /** Where its page requests go. */
  iopfQueue: IopfQueue | undefined
  /** Answers to its page requests: `grpid:code`. */
  readonly answers: string[] = []

  constructor(name: string, options: ToyDeviceOptions = {}) {
    super(name, options)
    this.options = options
    this.maxPasids = options.pasids ?? 0
  }

  use(domain: AttachableDomain): number {
    const rc = this.accepts(domain) || this.#move(domain, this.current)
    if (rc === 0) this.current = domain
    return rc
  }

  usePasid(pasid: number, domain: AttachableDomain, old: AttachableDomain | undefined): number {
    if (this.pasids.get(pasid) !== old) throw new Error(`PASID ${pasid} was something else`)
    const rc = this.accepts(domain) || this.#move(domain, old)
    if (rc !== 0) return rc
    if (domain.type === 'blocked') this.pasids.delete(pasid)
    else this.pasids.set(pasid, domain)
    return 0
  }

  #move(next: AttachableDomain, old: AttachableDomain | undefined): number {
    return this.iopfQueue?.move(this, next, old) ?? 0
  }
}

export class ToyDomain implements PagingDomain {
  readonly type = 'paging'
  readonly owner: IommuOps
  readonly minPageSize: number = PAGE_SIZE
  readonly pageSizesHi: number = 0
  readonly pageSizesLo: number = PAGE_SIZE
  readonly apertureStartHi: number = 0
  readonly apertureStartLo: number = 0
  readonly apertureLastHi: number = 0xffff
  readonly apertureLastLo: number = -1
  /** Frame by page of IOVAs. */
  readonly entries: Map<number, number> = new Map()
  /** What devices may do, by page of IOVAs; of pages that are no longer mapped too. */
  readonly #prots = new Map<number, number>()
  readonly canEnforce: boolean
  isFree = false

  constructor(owner: IommuOps, canEnforce: boolean) {
    this.owner = owner
    this.canEnforce = canEnforce
  }

  attachDev(dev: ToyDevice): number {
    return dev.use(this)
  }

  setDevPasid(dev: ToyDevice, pasid: number, old: AttachableDomain | undefined): number {
    return dev.usePasid(pasid, this, old)
  }

  enforceCacheCoherency(): boolean {
    return this.canEnforce
  }

  map(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    _offset: number,
    bytes: number,
    prot: number,
  ): number {
    const first = pageOf(iovaHi, iovaLo)
    const pages = bytes / PAGE_SIZE
    for (let i = 0; i < pages; i++) if (this.entries.has(first + i)) return -EADDRINUSE
    for (let i = 0; i < pages; i++) {
      this.entries.set(first + i, frames[at + i] as number)
      this.#prots.set(first + i, prot)
    }
    return 0
  }

  unmap(iovaHi: number, iovaLo: number, bytes: number): number {
    const first = pageOf(iovaHi, iovaLo)
    for (let i = 0; i < bytes / PAGE_SIZE; i++) {
      if (!this.entries.delete(first + i)) throw new Error('an unmap of what is not mapped')
    }
    return bytes
  }

  translate(iovaHi: number, iovaLo: number, out: Translation): boolean {
    const frame = this.entries.get(pageOf(iovaHi, iovaLo))
    if (frame === undefined) return false
    out.frame = frame
    out.offset = iovaLo & (PAGE_SIZE - 1)
    out.lg2 = 12
    out.prot = this.#prots.get(pageOf(iovaHi, iovaLo)) ?? 0
    return true
  }

  free(): void {
    if (this.isFree) throw new Error('a domain is freed twice')
    for (const frame of this.entries.values()) {
      if (frame < MEMORY_FRAMES) throw new Error('a domain is freed with memory in it')
    }
    this.isFree = true
  }
}

/** A domain without a table. */
function plainDomain(owner: IommuOps, type: 'identity' | 'blocked'): AttachableDomain {
  const domain: AttachableDomain = {
    type,
    owner,
    attachDev: (dev) => (dev as ToyDevice).use(domain),
    setDevPasid: (dev, pasid, old) => (dev as ToyDevice).usePasid(pasid, domain, old),
  }
  return domain
}

/** Without a part, as drivers can be: it knows no flags, no nesting, no blocked domain. */
export class PlainDriver implements IommuOps {
  readonly name: string = 'plain'
  readonly iommu: Iommu
  readonly #groups = new Map<string, IommuGroup>()
  /** Domains made, in order. */
  readonly domains: ToyDomain[] = []
  /** What the next allocations of a domain answer. */
  refuses = 0

  constructor(iommu: Iommu) {
    this.iommu = iommu
  }

  capable(dev: ToyDevice, cap: number): boolean {
    const { coherent, dirtyTracking, enforces } = dev.options
    if (cap === IOMMU_CAP_CACHE_COHERENCY) return coherent !== false
    if (cap === IOMMU_CAP_DIRTY_TRACKING) return dirtyTracking === true
    return cap === IOMMU_CAP_ENFORCE_CACHE_COHERENCY && enforces !== undefined
  }

  probeDevice(dev: Device): number {
    return dev instanceof ToyDevice ? 0 : -ENODEV
  }

  deviceGroup(dev: ToyDevice): IommuGroup {
    const name = dev.options.group ?? dev.name
    const group = this.#groups.get(name) ?? new IommuGroup(this.iommu)
    this.#groups.set(name, group)
    return group
  }

  getResvRegions(dev: ToyDevice): readonly IommuResvRegion[] {
    return dev.options.regions ?? []
  }

  domainAllocPaging(dev: Device): ToyDomain | number {
    if (this.refuses !== 0) return -this.refuses
    const domain = new ToyDomain(this, (dev as ToyDevice).options.enforces === true)
    this.domains.push(domain)
    return domain
  }
}

/** With every part. */
export class ToyDriver extends PlainDriver {
  override readonly name: string = 'toy'
  readonly blockedDomain: AttachableDomain = plainDomain(this, 'blocked')
  readonly identityDomain: AttachableDomain = plainDomain(this, 'identity')
  /** Data that came with the last table. */
  data: Uint8Array | undefined
  readonly iopfQueue: IopfQueue = new IopfQueue(this.iommu.engine)
  /** Whether guests have tables of PASIDs of their own. */
  userPasidTable = false

  override probeDevice(dev: Device): number {
    const rc = super.probeDevice(dev)
    if (rc === 0) (dev as ToyDevice).iopfQueue = this.iopfQueue
    return rc
  }

  pageResponse(dev: Device, lastPage: PageRequest, code: number): void {
    ;(dev as ToyDevice).answers.push(`${lastPage.grpid}:${code}`)
  }

  domainAllocPagingFlags(
    dev: Device,
    _flags: number,
    userData: UserData | undefined,
  ): PagingDomain | number {
    const rc = this.#read(userData)
    return rc < 0 ? rc : this.domainAllocPaging(dev)
  }

  domainAllocNested(
    _dev: Device,
    _parent: PagingDomain,
    _flags: number,
    userData: UserData,
  ): NestedDomain | number {
    const rc = this.#read(userData)
    if (rc < 0) return rc
    const domain: NestedDomain = {
      type: 'nested',
      owner: this,
      attachDev: (dev) => (dev as ToyDevice).use(domain),
      setDevPasid: (dev, pasid, old) => (dev as ToyDevice).usePasid(pasid, domain, old),
    }
    return domain
  }

  /** Of the vIOMMUs. */
  readonly viommuLog: string[] = []
  readonly viommuRefuses: Map<string, number> = new Map()

  supportsViommu(_dev: Device, type: number): boolean {
    return type === TOY_TYPE
  }

  /** Answers data, 8 bytes, with 1 more than its first byte. */
  viommuInit(
    viommu: IommufdViommu,
    _parent: PagingDomain,
    userData: UserData | undefined,
  ): ToyViommu | number {
    const refused = this.viommuRefuses.get('viommuInit') ?? 0
    const rc = refused || this.#answer(userData)
    return rc < 0 ? rc : new ToyViommu(viommu, this.viommuLog, this.viommuRefuses)
  }

  #answer(userData: UserData | undefined): number {
    const rc = this.#read(userData)
    if (rc < 0 || userData === undefined) return rc
    const bytes = new Uint8Array(8)
    bytes[0] = (this.data?.[0] ?? 0) + 1
    return userData.write(bytes)
  }

  #read(userData: UserData | undefined): number {
    this.data = undefined
    if (userData === undefined) return 0
    if (userData.type === 99) return -EINVAL
    const bytes = new Uint8Array(8)
    const rc = userData.read(1, bytes, 4)
    if (rc === 0) this.data = bytes
    return rc
  }
}

function pageOf(iovaHi: number, iovaLo: number): number {
  return (iovaHi >>> 0) * 2 ** 20 + (iovaLo >>> 12)
}
