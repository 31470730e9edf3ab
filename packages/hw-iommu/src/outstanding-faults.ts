// SPDX-License-Identifier: Apache-2.0
/**
 * Page faults that a program has to answer (SPEC L7).
 *
 * Invariant: a group is queued, oldest first, or delivered under a cookie, the lowest free number from
 * 1. It leaves with its answer, never without. All are of devices that are attached to tables of the
 * queue; a device that is detached takes its groups along.
 */
import { IdAllocator } from '@iommufd/core'
import type { Device } from './device.js'
import { IOMMU_PAGE_RESP_INVALID, type IopfGroup } from './iopf.js'

/** A group, and the id by which the program knows the device. */
export interface OutstandingGroup {
  readonly group: IopfGroup
  readonly deviceId: number
}

export class OutstandingFaults {
  readonly #queued = new Set<OutstandingGroup>()
  readonly #delivered = new Map<number, OutstandingGroup>()
  readonly #cookies = new IdAllocator()

  /** The group to be read next. */
  get first(): OutstandingGroup | undefined {
    for (const outstanding of this.#queued) return outstanding
    return undefined
  }

  add(outstanding: OutstandingGroup): void {
    this.#queued.add(outstanding)
  }

  /** A cookie for a group that is about to be delivered. */
  takeCookie(): number {
    return this.#cookies.allocate()
  }

  /** The group with this cookie is not delivered after all. */
  giveCookieBack(cookie: number): void {
    this.#cookies.release(cookie)
  }

  /** A queued group has been read. */
  delivered(outstanding: OutstandingGroup, cookie: number): void {
    this.#queued.delete(outstanding)
    this.#delivered.set(cookie, outstanding)
  }

  /** Answers a delivered group, IOMMU_PAGE_RESP_*: false when no group has this cookie. */
  answer(cookie: number, code: number): boolean {
    const outstanding = this.#delivered.get(cookie)
    if (outstanding === undefined) return false
    this.#delivered.delete(cookie)
    this.#cookies.release(cookie)
    outstanding.group.respond(code)
    return true
  }

  /** Answers INVALID for all groups of the device and its attachment, delivered or not. */
  drop(dev: Device, attachedPasid: number): void {
    const isMeant = ({ group }: OutstandingGroup): boolean =>
      group.dev === dev && group.attachedPasid === attachedPasid
    for (const outstanding of this.#queued) {
      if (!isMeant(outstanding)) continue
      this.#queued.delete(outstanding)
      outstanding.group.respond(IOMMU_PAGE_RESP_INVALID)
    }
    for (const [cookie, outstanding] of this.#delivered) {
      if (isMeant(outstanding)) this.answer(cookie, IOMMU_PAGE_RESP_INVALID)
    }
  }
}
