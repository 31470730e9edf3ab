// SPDX-License-Identifier: Apache-2.0
/**
 * The domains that the devices of a group use for PASIDs, DMA that a device marks with a number
 * (SPEC E10, section 8).
 *
 * Invariant: for each PASID all devices of the group that can send it use one domain, or are blocked.
 * Changing it is all or nothing: when one device refuses, those before it go back.
 */
import type { Iommufd } from '@iommufd/core'
import type { Device } from './device.js'
import type { AttachableDomain } from './driver.js'
import { refuseForDriver } from './driver-refusal.js'
import { DOMAIN_OF_OTHER_DRIVER, PASID_OUT_OF_RANGE, PASID_UNSUPPORTED } from './refusals.js'

export class GroupPasids {
  readonly #engine: Iommufd
  /** Of the group, which changes it. */
  readonly #devices: readonly Device[]
  readonly #domains = new Map<number, AttachableDomain>()

  constructor(engine: Iommufd, devices: readonly Device[]) {
    this.#engine = engine
    this.#devices = devices
  }

  /** What the devices use for the PASID; undefined while it is blocked. */
  domain(pasid: number): AttachableDomain | undefined {
    return this.#domains.get(pasid)
  }

  /**
   * Attaches a domain to a PASID, from 1, for the device `asker` and all others of the group, or puts
   * it in the place of another one: 0, -EOPNOTSUPP (the driver knows no PASIDs), -EINVAL (another
   * driver's domain, a PASID that a device cannot send), -ENOMEM, or what the driver answers.
   */
  set(asker: Device, pasid: number, next: AttachableDomain): number {
    const rc = this.#check(asker, pasid, next) || this.#engine.allocate()
    if (rc < 0) return rc
    const old = this.#domains.get(pasid)
    if (old === next) return 0
    const devices = this.#senders()
    for (const [done, dev] of devices.entries()) {
      const refused = next.setDevPasid?.(dev, pasid, old) ?? 0
      if (refused === 0) continue
      for (const undone of devices.slice(0, done).reverse()) this.#mustSet(undone, pasid, old, next)
      return refuseForDriver(this.#engine, next.owner, refused)
    }
    this.#domains.set(pasid, next)
    return 0
  }

  /** Blocks the PASID again. */
  remove(pasid: number): void {
    const old = this.#domains.get(pasid)
    for (const dev of this.#senders()) this.#mustSet(dev, pasid, undefined, old)
    this.#domains.delete(pasid)
  }

  #check(asker: Device, pasid: number, domain: AttachableDomain): number {
    const { refusals } = this.#engine
    const { ops } = asker
    if (domain.setDevPasid === undefined || ops?.blockedDomain?.setDevPasid === undefined) {
      return refusals.refuse(PASID_UNSUPPORTED, pasid)
    }
    if (domain.owner !== ops) return refusals.refuse(DOMAIN_OF_OTHER_DRIVER)
    const limit = Math.min(...[asker, ...this.#senders()].map((dev) => dev.maxPasids))
    return pasid >= limit ? refusals.refuse(PASID_OUT_OF_RANGE, pasid, limit) : 0
  }

  /** The devices that can mark their DMA; to the others a PASID means nothing. */
  #senders(): Device[] {
    return this.#devices.filter(({ maxPasids }) => maxPasids > 0)
  }

  /** `to` undefined: blocked. Going back cannot fail. */
  #mustSet(
    dev: Device,
    pasid: number,
    to: AttachableDomain | undefined,
    from: AttachableDomain | undefined,
  ): void {
    const domain = to ?? dev.ops?.blockedDomain
    if (domain?.setDevPasid?.(dev, pasid, from) === 0) return
    this.#engine.warn(`${dev.name} does not let go of PASID ${pasid}`)
  }
}
