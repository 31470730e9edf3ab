// SPDX-License-Identifier: Apache-2.0
/**
 * The type 1 IOMMU of one container: groups, page tables, mappings (SPEC V12, V13, V28 to V30).
 *
 * Invariant: every mapping is in every page table. Groups whose devices the same page table can serve
 * share it. Attaching a group is all or nothing; detaching never fails, and with the last group all
 * mappings go. Written from the uAPI and from memory of Linux, not from a recording.
 */
import type { Iommufd } from '@iommufd/core'
import type { Device, IommuGroup, PagingDomain } from '@iommufd/hw-iommu'
import { EINVAL, PAGE_SIZE } from '@iommufd/uapi'
import { EmulatedVfioDevice } from '../group/device.js'
import type { VfioGroup } from '../group/group.js'
import { type Mapping, Mappings } from './mapping.js'
import type { Type1Options } from './options.js'
import { mapInto, pinAndMap, refuseForTable, unmapAndUnpin, unmapFrom } from './pin-map.js'
import { TYPE1_ADDRESSES_GONE, TYPE1_MAPPINGS_OUTSIDE, TYPE1_MSI_NOT_ISOLATED } from './refusals.js'
import { Type1Table } from './table.js'
import {
  allows,
  apertureOf,
  type PageRange,
  reservedPages,
  within,
  without,
} from './usable-iovas.js'

/** dma_entry_limit, the module parameter. */
const DEFAULT_ENTRY_LIMIT = 65535

export class Type1Iommu {
  readonly engine: Iommufd
  readonly options: Type1Options
  /** VFIO_TYPE1v2_IOMMU: mappings are unmapped whole or not at all. */
  readonly isSecondVersion: boolean
  readonly mappings: Mappings = new Mappings()
  /** Where every group can be reached; empty: no limits. */
  usable: readonly PageRange[] = []
  /** Mappings that may still be made. */
  available: number
  tracksDirty = false
  /** Mappings whose address was given up. */
  addressesGone = 0
  readonly #tables: Type1Table[] = []
  readonly #emulated = new Set<VfioGroup>()

  constructor(engine: Iommufd, options: Type1Options, isSecondVersion: boolean) {
    this.engine = engine
    this.options = options
    this.isSecondVersion = isSecondVersion
    this.available = this.entryLimit
  }

  get entryLimit(): number {
    return this.options.dmaEntryLimit ?? DEFAULT_ENTRY_LIMIT
  }

  get log(): (message: string) => void {
    return this.options.log ?? (() => {})
  }

  get tables(): readonly Type1Table[] {
    return this.#tables
  }

  get hasEmulated(): boolean {
    return this.#emulated.size > 0
  }

  /** Whether every page table makes all accesses coherent; true without one. */
  get isCoherent(): boolean {
    return this.#tables.every((table) => table.enforcesCoherency)
  }

  /** Emulated devices that are open, and are asked to let go before something is unmapped. */
  get openEmulatedDevices(): EmulatedVfioDevice[] {
    return [...this.#emulated]
      .flatMap(({ devices }) => devices)
      .filter((device) => device instanceof EmulatedVfioDevice)
      .filter((device) => device.openCount > 0)
  }

  /** Page sizes that every page table can map, as bits; what is smaller than a page counts as one. */
  get pageSizes(): bigint {
    const page = BigInt(PAGE_SIZE)
    let sizes = 2n ** 64n - 1n
    for (const { domain } of this.#tables) {
      const { pageSizesHi, pageSizesLo } = domain
      sizes &= (BigInt(pageSizesHi >>> 0) << 32n) | BigInt(pageSizesLo >>> 0)
    }
    const small = sizes & (page - 1n)
    return small === 0n ? sizes : (sizes & -page) | page
  }

  /** The smallest of them, in bytes. */
  get pageSize(): number {
    const sizes = this.pageSizes
    return Number(sizes & -sizes)
  }

  attachGroup(group: VfioGroup): number {
    if (this.addressesGone > 0) {
      return this.engine.refusals.refuse(TYPE1_ADDRESSES_GONE, this.addressesGone)
    }
    const rc = this.engine.allocate()
    if (rc < 0) return rc
    if (group.iommuGroup !== undefined) return this.#attachIommuGroup(group, group.iommuGroup)
    this.#emulated.add(group)
    return 0
  }

  detachGroup(group: VfioGroup): void {
    if (!this.#emulated.delete(group)) this.#detachIommuGroup(group)
    if (this.#emulated.size === 0 && this.#tables.length === 0) this.removeAll()
  }

  /** Takes a mapping out; no emulated device may have pins in it. */
  remove(mapping: Mapping): void {
    if (mapping.isMapped) unmapAndUnpin(this, mapping, this.tables, mapping.pages, true)
    if (mapping.isAddressGone) this.addressesGone--
    this.mappings.remove(mapping)
    this.available++
  }

  removeAll(): void {
    for (const mapping of [...this.mappings]) this.remove(mapping)
  }

  #attachIommuGroup(group: VfioGroup, iommuGroup: IommuGroup): number {
    const [dev] = iommuGroup.devices as readonly [Device]
    const domain = this.#allocDomain(dev)
    if (typeof domain === 'number') return domain
    const attached = iommuGroup.attach(domain)
    const rc =
      attached < 0
        ? attached
        : this.#checkGroup(iommuGroup, domain) || this.#join(group, iommuGroup, domain)
    if (rc < 0) {
      if (attached === 0) iommuGroup.detach()
      domain.free?.()
    } else this.#recomputeUsable()
    return rc
  }

  #allocDomain(dev: Device): PagingDomain | number {
    const rc = this.engine.allocate()
    if (rc < 0) return rc
    const domain = dev.ops?.domainAllocPaging(dev) ?? -EINVAL
    return typeof domain === 'number' ? refuseForTable(this, domain) : domain
  }

  /** What speaks against the group: mappings it cannot reach, interrupts that are not isolated. */
  #checkGroup(iommuGroup: IommuGroup, domain: PagingDomain): number {
    const { refusals } = this.engine
    if (this.#conflicts(iommuGroup, domain)) return refusals.refuse(TYPE1_MAPPINGS_OUTSIDE)
    if (iommuGroup.hasIsolatedMsi || iommuGroup.iommu.allowUnsafeInterrupts) return 0
    return refusals.refuse(TYPE1_MSI_NOT_ISOLATED)
  }

  #conflicts(iommuGroup: IommuGroup, domain: PagingDomain): boolean {
    const aperture = apertureOf(domain)
    const reserved = reservedOf(iommuGroup)
    for (const { first, last } of this.mappings) {
      if (first < aperture.first || last > aperture.last) return true
      if (reserved.some((range) => first <= range.last && range.first <= last)) return true
    }
    return without(within(this.usable, aperture), reserved).length === 0
  }

  /** Lets the group share a page table, or fills the new one: 0 or a negative errno. */
  #join(group: VfioGroup, iommuGroup: IommuGroup, domain: PagingDomain): number {
    const table = new Type1Table(domain)
    for (const other of this.#tables) {
      const isAlike =
        other.domain.owner === domain.owner && other.enforcesCoherency === table.enforcesCoherency
      if (!isAlike || iommuGroup.replace(other.domain) < 0) continue
      other.groups.add(group)
      domain.free?.()
      return 0
    }
    const rc = this.#replay(table)
    if (rc < 0) return rc
    table.groups.add(group)
    this.#tables.push(table)
    return 0
  }

  /** Puts everything that is mapped into a new page table: 0, or a negative errno and it is empty. */
  #replay(table: Type1Table): number {
    const [from] = this.#tables
    const done: Mapping[] = []
    for (const mapping of this.mappings) {
      const rc =
        from === undefined ? pinAndMap(this, mapping, [table]) : mapInto(this, mapping, from, table)
      if (rc === 0) {
        done.push(mapping)
        continue
      }
      for (const undone of done.reverse()) {
        if (from === undefined) unmapAndUnpin(this, undone, [table], undone.pages, true)
        else unmapFrom(undone, table, undone.pages)
      }
      return rc
    }
    return 0
  }

  #detachIommuGroup(group: VfioGroup): void {
    const table = this.#tables.find(({ groups }) => groups.has(group)) as Type1Table
    table.groups.delete(group)
    if (table.groups.size === 0) this.#emptyTable(table)
    group.iommuGroup?.detach()
    if (table.groups.size === 0) {
      this.#tables.splice(this.#tables.indexOf(table), 1)
      table.domain.free?.()
    }
    this.#recomputeUsable()
  }

  /** The last page table's mappings stay for emulated devices, with what those have pinned. */
  #emptyTable(table: Type1Table): void {
    const isLast = this.#tables.length === 1
    if (isLast && this.#emulated.size === 0) {
      this.removeAll()
      return
    }
    for (const mapping of this.mappings) {
      if (isLast) unmapAndUnpin(this, mapping, [table], mapping.pages, true)
      else unmapFrom(mapping, table, mapping.pages)
    }
  }

  #recomputeUsable(): void {
    let usable: PageRange[] = []
    for (const { domain, groups } of this.#tables) {
      usable = within(usable, apertureOf(domain))
      for (const { iommuGroup } of groups) {
        if (iommuGroup !== undefined) usable = without(usable, reservedOf(iommuGroup))
      }
    }
    this.usable = usable
  }

  /** Whether a device of every group can use the pages. */
  allows(first: number, last: number): boolean {
    return allows(this.usable, first, last)
  }
}

function reservedOf(iommuGroup: IommuGroup): PageRange[] {
  return iommuGroup.devices.flatMap((dev) => reservedPages(dev.ops?.getResvRegions?.(dev) ?? []))
}
