// SPDX-License-Identifier: Apache-2.0
/** The driver as the published checks want it. */
import type { DriverUnderTest } from '@iommufd/hw-iommu/testing'
import { MeadowDevice } from './meadow-device.js'
import { MeadowDriver } from './meadow-driver.js'

export const meadow: DriverUnderTest = {
  makeDriver: (iommu) => new MeadowDriver(iommu),
  makeDevice: (name, group) => new MeadowDevice(name, group),
  sharesGroups: true,
  domainOf: (dev) => (dev as MeadowDevice).domain,
  setRefusing(dev, refuses) {
    ;(dev as MeadowDevice).isStuck = refuses
  },
}
