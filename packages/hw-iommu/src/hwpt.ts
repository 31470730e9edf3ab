// SPDX-License-Identifier: Apache-2.0
/**
 * Hardware page tables as objects (SPEC sections 1 and 8, E11, L1).
 *
 * Invariant: a paging table shows its address space whole, from `alloc` to its end, and is one of
 * the address space's users; `users` counts the devices attached and the nested tables on it. An
 * automatic one ends with its last user; others end by IOMMU_DESTROY.
 */
import { type IommufdCtx, IommufdObject, type ObjectType } from '@iommufd/core'
import { addDomain, type IommuDomain, type IommufdIoas, removeDomain } from '@iommufd/pages'
import type { Device } from './device.js'
import { DomainView } from './domain-view.js'
import type { NestedDomain, PagingDomain } from './driver.js'
import type { IommufdFaultQueue } from './fault-queue.js'
import type { IommufdViommu } from './viommu.js'

/** Paging tables of an address space, in the order in which they were added. */
const tables = new WeakMap<IommufdIoas, Set<IommufdHwptPaging>>()
const tableOf = new WeakMap<IommuDomain, IommufdHwptPaging>()

/** A hardware page table that devices can be attached to. */
export abstract class IommufdHwpt extends IommufdObject {
  abstract readonly domain: PagingDomain | NestedDomain
  /** The paging table whose address space the devices' IOVAs end up in. */
  abstract readonly paging: IommufdHwptPaging
  /** Whether it is made for devices that use PASIDs beside it, or is for a PASID itself. */
  allowsPasids = false
  #faultQueue: IommufdFaultQueue | undefined

  /** Names the queue for page faults of the table's devices; the table is now one of its users. */
  useFaultQueue(queue: IommufdFaultQueue): void {
    queue.users++
    this.#faultQueue = queue
    this.domain.iopfHandler = (group) => queue.add(group)
  }

  get handlesFaults(): boolean {
    return this.#faultQueue !== undefined
  }

  /** The device does not use the table for the PASID any more: its faults have got their answers. */
  dropFaults(dev: Device, pasid: number): void {
    this.#faultQueue?.drop(dev, pasid)
  }

  override destroy(): void {
    if (this.#faultQueue !== undefined) this.#faultQueue.users--
  }
}

/** A page table that shows an address space. */
export class IommufdHwptPaging extends IommufdHwpt {
  readonly typeName: string = 'HWPT'
  readonly ioas: IommufdIoas
  readonly domain: PagingDomain
  /** The domain as the address space sees it. */
  readonly view: DomainView
  /** Whether tables of a guest can stand on it. */
  readonly isNestParent: boolean
  /** Made by attaching to an IOAS: reused for other devices, ended with the last one. */
  isAuto = false
  /** Whether accesses are coherent whatever the device asks for. */
  enforcesCoherency = false
  #isAdded = false

  constructor(ioas: IommufdIoas, domain: PagingDomain, isNestParent: boolean) {
    super()
    this.ioas = ioas
    this.domain = domain
    this.isNestParent = isNestParent
    this.view = new DomainView(ioas.iopt.engine, domain)
    tableOf.set(this.view, this)
    ioas.users++
  }

  get paging(): IommufdHwptPaging {
    return this
  }

  /** Fills the table with what the address space holds: 0, or a negative errno and it is empty. */
  add(): number {
    const rc = addDomain(this.ioas.iopt, this.view)
    if (rc < 0) return rc
    this.#isAdded = true
    const ofIoas = tables.get(this.ioas) ?? new Set()
    tables.set(this.ioas, ofIoas.add(this))
    return 0
  }

  override destroy(): void {
    if (this.#isAdded) removeDomain(this.ioas.iopt, this.view)
    tables.get(this.ioas)?.delete(this)
    this.domain.free?.()
    this.ioas.users--
    super.destroy()
  }
}

/** A page table of a guest, on a paging table or on a vIOMMU, of which it is a user. */
export class IommufdHwptNested extends IommufdHwpt {
  readonly typeName: string = 'HWPT_NESTED'
  readonly domain: NestedDomain
  readonly paging: IommufdHwptPaging
  readonly #base: IommufdHwptPaging | IommufdViommu

  constructor(base: IommufdHwptPaging | IommufdViommu, domain: NestedDomain) {
    super()
    this.#base = base
    this.paging = base instanceof IommufdHwptPaging ? base : base.hwpt
    this.domain = domain
    base.users++
  }

  override destroy(): void {
    this.domain.free?.()
    this.#base.users--
    super.destroy()
  }
}

export const HWPT: ObjectType<IommufdHwptPaging> = {
  name: 'HWPT',
  is: (object): object is IommufdHwptPaging => object instanceof IommufdHwptPaging,
}

export const HWPT_NESTED: ObjectType<IommufdHwptNested> = {
  name: 'HWPT_NESTED',
  is: (object): object is IommufdHwptNested => object instanceof IommufdHwptNested,
}

/** What container ioctls tell about a domain. */
export interface DomainTraits {
  /** Page sizes that the domain can map, as bits: bit n for 2^n bytes. High and low word. */
  readonly pageSizesHi: number
  readonly pageSizesLo: number
  /** Whether DMA through the domain is coherent with the caches whatever a device asks for. */
  readonly enforcesCacheCoherency: boolean
}

/** The traits of a domain of an address space, all of which belong to a table. */
export function domainTraits(domain: IommuDomain): DomainTraits {
  const hwpt = tableOf.get(domain)
  if (hwpt === undefined) throw new Error('the domain belongs to no hardware page table')
  const { pageSizesHi, pageSizesLo } = hwpt.domain
  return { pageSizesHi, pageSizesLo, enforcesCacheCoherency: hwpt.enforcesCoherency }
}

/** The automatic tables of an address space, oldest first. */
export function autoTables(ioas: IommufdIoas): IommufdHwptPaging[] {
  return [...(tables.get(ioas) ?? [])].filter((hwpt) => hwpt.isAuto)
}

/** A user of the table is gone; an automatic table ends with the last. */
export function putHwpt(ctx: IommufdCtx, hwpt: IommufdHwpt): void {
  hwpt.users--
  if (hwpt.users === 0 && hwpt instanceof IommufdHwptPaging && hwpt.isAuto) {
    ctx.objects.remove(hwpt)
  }
}
