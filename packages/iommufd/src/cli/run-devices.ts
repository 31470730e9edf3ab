// SPDX-License-Identifier: Apache-2.0
// `iommufd run --devices N`: VFIO groups /dev/vfio/0, 1, …, each with one device behind an IOMMU like a PC's.

import type { Iommufd } from '@iommufd/core'
import type { DeviceHost } from '@iommufd/host'
import { Iommu } from '@iommufd/hw-iommu'
import { PhysicalVfioDevice, Vfio } from '@iommufd/vfio-compat/group'
import { PlainDevice, PlainDriver } from '../compat/plain-iommu.js'

/** Puts `count` devices, at most the 32 of one bus, on the machine. */
export function addDevices(engine: Iommufd, machine: DeviceHost, count: number): void {
  const vfio = new Vfio(engine, machine)
  const iommu = new Iommu(engine)
  iommu.registerDriver(new PlainDriver(iommu))
  for (let i = 0; i < count; i++) {
    const device = new PlainDevice(`0000:01:${i.toString(16).padStart(2, '0')}.0`)
    iommu.addDevice(device)
    vfio.addDevice(new PhysicalVfioDevice(device))
  }
}
