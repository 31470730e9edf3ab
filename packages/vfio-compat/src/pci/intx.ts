// SPDX-License-Identifier: Apache-2.0
/**
 * The interrupt pin of a device, as a program gets it (SPEC section 7).
 *
 * Invariant: a pin that is asserted is told once and masked by that (AUTOMASKED); it is told again
 * when it is unmasked while still asserted. While the command register has it disabled nothing is
 * told, and it stays masked. Who holds the eventfd puts it: `off` or the next one.
 */
import type { EventFd } from '@iommufd/host'

export class Intx {
  #trigger: EventFd | undefined
  #isOn = false
  #isMasked = false
  #isAsserted = false
  /** Disabled by the command register. */
  #isDisabled = false

  get isOn(): boolean {
    return this.#isOn
  }

  /** Switches delivery on; without a trigger interrupts mask themselves all the same. */
  on(trigger: EventFd | undefined): void {
    this.#isOn = true
    this.#isMasked = this.#isDisabled
    this.setTrigger(trigger)
    this.#deliver()
  }

  off(): void {
    this.setTrigger(undefined)
    this.#isOn = false
    this.#isMasked = false
  }

  /** Takes over the reference, and gives back the one it had. */
  setTrigger(trigger: EventFd | undefined): void {
    this.#trigger?.put()
    this.#trigger = trigger
  }

  /** The level of the pin. */
  set(isAsserted: boolean): void {
    this.#isAsserted = isAsserted
    this.#deliver()
  }

  mask(): void {
    this.#isMasked = true
  }

  unmask(): void {
    if (this.#isDisabled) return
    this.#isMasked = false
    this.#deliver()
  }

  /** Bit "interrupt disable" of the command register, as it is after a write. */
  setDisabled(isDisabled: boolean): void {
    if (isDisabled === this.#isDisabled) return
    this.#isDisabled = isDisabled
    if (isDisabled) this.mask()
    else this.unmask()
  }

  /** Tells the program, as a test of its eventfd: the pin itself is not looked at. */
  signal(): void {
    if (this.#isOn && !this.#isDisabled) this.#trigger?.signal()
  }

  #deliver(): void {
    if (!this.#isOn || this.#isMasked || !this.#isAsserted) return
    this.#isMasked = true
    this.signal()
  }
}
