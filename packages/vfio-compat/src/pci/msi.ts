// SPDX-License-Identifier: Apache-2.0
/**
 * Message signalled interrupts of a device, as a program gets them (SPEC section 7).
 *
 * Invariant: the number of vectors is fixed while they are on; each has an eventfd or none, and a
 * message without one is lost. `off` puts every eventfd.
 */
import type { EventFd } from '@iommufd/host'

export class Msi {
  #triggers: (EventFd | undefined)[] = []
  /** Whether the device sends; a program can stop it in configuration space. */
  sends = false

  /** Vectors that are on; 0: MSI is off. */
  get vectors(): number {
    return this.#triggers.length
  }

  on(vectors: number): void {
    this.#triggers = new Array<EventFd | undefined>(vectors).fill(undefined)
    this.sends = true
  }

  off(): void {
    for (const trigger of this.#triggers) trigger?.put()
    this.#triggers = []
    this.sends = false
  }

  /** Takes over the reference, and gives back the one that the vector had. */
  setTrigger(vector: number, trigger: EventFd | undefined): void {
    this.#triggers[vector]?.put()
    this.#triggers[vector] = trigger
  }

  /** The device sends a message: false when it cannot. */
  send(vector: number): boolean {
    if (!this.sends || vector >= this.vectors) return false
    this.signal(vector)
    return true
  }

  /** Tells the program, as a test of its eventfd. */
  signal(vector: number): void {
    this.#triggers[vector]?.signal()
  }
}
