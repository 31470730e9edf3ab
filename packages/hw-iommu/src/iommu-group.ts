// SPDX-License-Identifier: Apache-2.0
/**
 * A group: devices that use one domain together, and who may decide which (SPEC section 5, E8).
 *
 * Invariant: all devices of a group use `domain`. While nobody owns the group that is the default
 * domain; an owner begins and ends with the blocked one. Changing it is all or nothing: when one
 * device refuses, those before it go back.
 */
import type { Device } from './device.js'
import { mapDirect, requiresDirect } from './direct-regions.js'
import type { AttachableDomain, IommuOps } from './driver.js'
import { refuseForDriver } from './driver-refusal.js'
import { GroupPasids } from './group-pasids.js'
import type { Iommu } from './iommu.js'
import {
  DEVICE_NEEDS_DIRECT,
  DOMAIN_OF_OTHER_DRIVER,
  GROUP_ATTACHED,
  GROUP_OWNED,
  GROUP_USED_BY_HOST,
} from './refusals.js'

export class IommuGroup {
  readonly iommu: Iommu
  /** What the devices use for PASIDs; an owner's. */
  readonly pasids: GroupPasids
  readonly #devices: Device[] = []
  #domain: AttachableDomain | undefined
  #defaultDomain: AttachableDomain | undefined
  #blockedDomain: AttachableDomain | undefined
  #owner: object | undefined
  /** Devices for which the owner has claimed the group, or host drivers that use it. */
  #claims = 0

  constructor(iommu: Iommu) {
    this.iommu = iommu
    this.pasids = new GroupPasids(iommu.engine, this.#devices)
  }

  get devices(): readonly Device[] {
    return this.#devices
  }

  /** The domain that all devices use. */
  get domain(): AttachableDomain | undefined {
    return this.#domain
  }

  /** Who decides about the domain; undefined while that is the host. */
  get owner(): object | undefined {
    return this.#owner
  }

  /** Whether no device can raise an interrupt that was not set up for it. */
  get hasIsolatedMsi(): boolean {
    return this.#devices.every((dev) => dev.isolatedMsi)
  }

  /** A device joins and uses the group's domain: 0 or a negative errno. Called by `Iommu`. */
  add(dev: Device, ops: IommuOps): number {
    const { engine } = this.iommu
    if (this.#owner !== undefined && requiresDirect(dev)) {
      return engine.refusals.refuse(DEVICE_NEEDS_DIRECT)
    }
    const defaultDomain = this.#defaultDomain ?? this.#makeDefaultDomain(dev, ops)
    if (typeof defaultDomain === 'number') return defaultDomain
    const domain = this.#domain ?? defaultDomain
    const rc = mapDirect(defaultDomain, dev) || domain.attachDev(dev, undefined)
    if (rc < 0) return refuseForDriver(engine, ops, rc)
    this.#domain = domain
    this.#devices.push(dev)
    return 0
  }

  /** A device leaves; it must not be bound. Called by `Iommu`. */
  remove(dev: Device): void {
    this.#devices.splice(this.#devices.indexOf(dev), 1)
    if (this.#devices.length > 0) return
    this.#defaultDomain?.free?.()
    this.#defaultDomain = undefined
    this.#domain = undefined
  }

  /** A driver of the host does DMA with a device of the group: 0, or -EBUSY when it is owned. */
  useDefaultDomain(): number {
    if (this.#owner !== undefined) return this.iommu.engine.refusals.refuse(GROUP_OWNED)
    this.#claims++
    return 0
  }

  /** The driver of the host has stopped. */
  unuseDefaultDomain(): void {
    this.#claims--
  }

  /** `owner` takes the group for its device `dev`: 0, or -EBUSY when somebody else has it. */
  claimDmaOwner(dev: Device, owner: object): number {
    const { engine } = this.iommu
    if (this.#claims > 0 && this.#owner !== owner) {
      return engine.refusals.refuse(this.#owner === undefined ? GROUP_USED_BY_HOST : GROUP_OWNED)
    }
    if (this.#claims === 0) {
      if (this.#devices.some(requiresDirect)) return engine.refusals.refuse(DEVICE_NEEDS_DIRECT)
      const blocked = this.#makeBlockedDomain(dev)
      const rc = typeof blocked === 'number' ? blocked : this.#setDomain(blocked)
      if (rc < 0) {
        this.#freeBlockedDomain()
        return rc
      }
      this.#owner = owner
    }
    this.#claims++
    return 0
  }

  /** The owner gives up one device; with the last one the default domain is back. */
  releaseDmaOwner(): void {
    if (--this.#claims > 0) return
    this.#mustSetDomain(this.#defaultDomain)
    this.#freeBlockedDomain()
    this.#owner = undefined
  }

  /** Attaches an owned group, which must be blocked: 0, -EBUSY, or what the driver answers. */
  attach(domain: AttachableDomain): number {
    const { refusals } = this.iommu.engine
    if (this.#domain !== this.#blockedDomain) return refusals.refuse(GROUP_ATTACHED)
    return this.replace(domain)
  }

  /** Changes from one domain to another: 0, -EINVAL for another driver's, or the driver's answer. */
  replace(domain: AttachableDomain): number {
    const { refusals } = this.iommu.engine
    if (domain.owner !== this.#devices[0]?.ops) return refusals.refuse(DOMAIN_OF_OTHER_DRIVER)
    return this.#setDomain(domain)
  }

  /** Back to the blocked domain. */
  detach(): void {
    this.#mustSetDomain(this.#blockedDomain)
  }

  #setDomain(next: AttachableDomain): number {
    const { engine } = this.iommu
    const allocated = engine.allocate()
    if (allocated < 0) return allocated
    const old = this.#domain
    for (const [done, dev] of this.#devices.entries()) {
      const rc = next.attachDev(dev, old)
      if (rc === 0) continue
      for (const undone of this.#devices.slice(0, done).reverse()) {
        if (old?.attachDev(undone, next) !== 0)
          engine.warn('a device does not go back to its domain')
      }
      return refuseForDriver(engine, next.owner, rc)
    }
    this.#domain = next
    return 0
  }

  /** Taking a domain away cannot fail, and so allocates nothing. */
  #mustSetDomain(next: AttachableDomain | undefined): void {
    const old = this.#domain
    for (const dev of this.#devices) {
      if (next?.attachDev(dev, old) !== 0)
        this.iommu.engine.warn('a device does not let its domain go')
    }
    this.#domain = next
  }

  #makeDefaultDomain(dev: Device, ops: IommuOps): AttachableDomain | number {
    // A device with one-to-one regions cannot be blocked.
    const plain = requiresDirect(dev) ? undefined : ops.blockedDomain
    const domain = ops.defaultDomain ?? ops.identityDomain ?? plain
    this.#defaultDomain = domain
    if (domain !== undefined) return domain
    const paging = ops.domainAllocPaging(dev)
    if (typeof paging === 'number') return refuseForDriver(this.iommu.engine, ops, paging)
    this.#defaultDomain = paging
    return paging
  }

  #makeBlockedDomain(dev: Device): AttachableDomain | number {
    const ops = dev.ops as IommuOps
    const domain = ops.blockedDomain ?? ops.domainAllocPaging(dev)
    if (typeof domain === 'number') return refuseForDriver(this.iommu.engine, ops, domain)
    this.#blockedDomain = domain
    return domain
  }

  #freeBlockedDomain(): void {
    this.#blockedDomain?.free?.()
    this.#blockedDomain = undefined
  }
}
