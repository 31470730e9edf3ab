// SPDX-License-Identifier: Apache-2.0
// `iommufd run --devices N`: copy engines behind an IOMMU like a PC's, each in a VFIO group of its own: /dev/vfio/0, 1, …
// and /dev/vfio/devices/vfio0, 1, …

import type { Iommufd } from '@iommufd/core'
import type { DeviceHost } from '@iommufd/host'
import { Iommu } from '@iommufd/hw-iommu'
import { PhysicalVfioDevice, Vfio } from '@iommufd/vfio-compat/group'
import { VfioPci } from '@iommufd/vfio-compat/pci'
import { PlainDevice, PlainDriver } from '../compat/plain-iommu.js'
import { CopyEngine } from './copy-engine.js'

/** Where firmware has put the registers of the first device; those of the others follow. */
const BARS = 0xfe00_0000
const BAR_STRIDE = 0x1000

/**
 * Puts `count` devices, at most the 32 of one bus, on the machine.
 * @param deviceFiles whether they have files of their own beside those of their groups
 */
export function addDevices(
  engine: Iommufd,
  machine: DeviceHost,
  count: number,
  deviceFiles = true,
): void {
  const vfio = new Vfio(engine, machine, { deviceFiles })
  const iommu = new Iommu(engine)
  iommu.registerDriver(new PlainDriver(iommu))
  for (let i = 0; i < count; i++) {
    const device = new PlainDevice(`0000:01:${i.toString(16).padStart(2, '0')}.0`)
    iommu.addDevice(device)
    const pci = new VfioPci(engine, new CopyEngine(device, machine, BARS + i * BAR_STRIDE))
    vfio.addDevice(new PhysicalVfioDevice(device, { operations: () => pci.open() }))
  }
}
