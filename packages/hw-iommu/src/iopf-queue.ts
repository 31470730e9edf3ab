// SPDX-License-Identifier: Apache-2.0
/**
 * Devices whose page requests are taken, and what each has under way (SPEC section 8, IOPF).
 *
 * Invariant: requests are taken from a device while it uses, with or without PASIDs, a domain that
 * handles them. When the last such domain goes, what is incomplete is forgotten and what has no
 * answer is answered INVALID: no device waits for somebody who is gone.
 */
import type { Iommufd } from '@iommufd/core'
import type { Device } from './device.js'
import type { AttachableDomain } from './driver.js'
import { IOMMU_PAGE_RESP_INVALID, IopfGroup, type PageRequest } from './iopf.js'
import { PAGE_RESPONSE_UNSUPPORTED } from './refusals.js'

/** The requests that one device has under way. */
export class DeviceIopf {
  readonly #dev: Device
  /** Uses of domains that handle requests. */
  #uses = 0
  /** Requests of groups whose last page has not come yet, oldest first. */
  #partial: PageRequest[] = []
  /** Groups that await an answer. */
  readonly #pending = new Set<IopfGroup>()

  constructor(dev: Device) {
    this.#dev = dev
  }

  /** Whether its requests are taken. */
  get isEnabled(): boolean {
    return this.#uses > 0
  }

  enable(): void {
    this.#uses++
  }

  disable(): void {
    this.#uses--
    if (this.#uses > 0) return
    this.#partial = []
    for (const group of [...this.#pending]) this.answer(group, IOMMU_PAGE_RESP_INVALID)
  }

  addPartial(request: PageRequest): void {
    this.#partial.push(request)
  }

  discardPartial(): void {
    this.#partial = []
  }

  /** The group that the last page completes. Of what came before, Linux tells the newest first. */
  complete(lastPage: PageRequest, attachedPasid: number): IopfGroup {
    const isOfGroup = ({ grpid }: PageRequest): boolean => grpid === lastPage.grpid
    const before = this.#partial.filter(isOfGroup).reverse()
    this.#partial = this.#partial.filter((request) => !isOfGroup(request))
    const group = new IopfGroup(this.#dev, [...before, lastPage], attachedPasid)
    this.#pending.add(group)
    return group
  }

  answer(group: IopfGroup, code: number): void {
    if (!this.#pending.delete(group)) return
    this.#dev.ops?.pageResponse?.(this.#dev, group.lastPage, code)
  }
}

/** The devices of a driver whose requests go one way, as those of one IOMMU. */
export class IopfQueue {
  readonly #engine: Iommufd
  readonly #devices = new Set<Device>()

  constructor(engine: Iommufd) {
    this.#engine = engine
  }

  /**
   * Called by a driver whose device comes to use `next` instead of `old`, as the last step that can
   * refuse: 0, -ENODEV (the driver has no `pageResponse`), -ENOMEM. Without a handler in `next`, and
   * for a device that has had a domain with one, it does not fail: so undoing is possible.
   */
  move(dev: Device, next: AttachableDomain, old: AttachableDomain | undefined): number {
    const rc = next.iopfHandler === undefined ? 0 : this.#enable(dev)
    if (rc < 0) return rc
    if (old?.iopfHandler !== undefined) this.#disable(dev)
    return 0
  }

  /** Forgets requests of incomplete groups: the hardware has lost some, so they cannot be told. */
  discardPartial(): void {
    for (const dev of this.#devices) dev.iopf?.discardPartial()
  }

  #enable(dev: Device): number {
    if (dev.ops?.pageResponse === undefined) {
      return this.#engine.refusals.refuse(PAGE_RESPONSE_UNSUPPORTED)
    }
    if (dev.iopf === undefined) {
      const rc = this.#engine.allocate()
      if (rc < 0) return rc
      dev.iopf = new DeviceIopf(dev)
    }
    dev.iopf.enable()
    this.#devices.add(dev)
    return 0
  }

  #disable(dev: Device): void {
    dev.iopf?.disable()
    if (!dev.iopf?.isEnabled) this.#devices.delete(dev)
  }
}
