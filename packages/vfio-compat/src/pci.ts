// SPDX-License-Identifier: Apache-2.0
/** PCI functions behind VFIO devices: information, regions, interrupts, as of vfio-pci. */
export type { AccessWidth, PciBar, PciFunction, PciPort } from './pci/function.js'
export * as pciRefusals from './pci/refusals.js'
export { VfioPci } from './pci/vfio-pci.js'
