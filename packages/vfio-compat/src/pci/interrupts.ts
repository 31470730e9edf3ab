// SPDX-License-Identifier: Apache-2.0
/**
 * The interrupts of an open device: pin, messages, and the request to give the device back.
 *
 * Invariant: pin and messages are not on at the same time; what is on is switched off before the
 * other can be. `close` leaves no eventfd behind.
 */
import type { EventFd } from '@iommufd/host'
import { VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX } from '@iommufd/uapi'
import { Intx } from './intx.js'
import { Msi } from './msi.js'

export class Interrupts {
  readonly intx: Intx = new Intx()
  readonly msi: Msi = new Msi()
  #request: EventFd | undefined

  /** VFIO_PCI_*_IRQ_INDEX of what is on, undefined for nothing. */
  get active(): number | undefined {
    if (this.intx.isOn) return VFIO_PCI_INTX_IRQ_INDEX
    return this.msi.vectors > 0 ? VFIO_PCI_MSI_IRQ_INDEX : undefined
  }

  /** Told when the device is wanted back. */
  get request(): EventFd | undefined {
    return this.#request
  }

  /** Takes over the reference, and gives back the one it had. */
  setRequest(trigger: EventFd | undefined): void {
    this.#request?.put()
    this.#request = trigger
  }

  close(): void {
    this.intx.off()
    this.msi.off()
    this.setRequest(undefined)
  }
}
