// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO groups and the devices in them: /dev/vfio/GROUP, on an iommufd or a type 1 container, and
 * /dev/vfio/devices/vfioN, on an iommufd.
 */
export * as cdevRefusals from './cdev/refusals.js'
export { VfioContainer } from './group/container.js'
export {
  type DmaUnmap,
  EmulatedVfioDevice,
  NoIommuVfioDevice,
  PhysicalVfioDevice,
  VfioDevice,
  type VfioDeviceKind,
  type VfioDeviceOperations,
  type VfioDeviceOptions,
} from './group/device.js'
export { VfioGroup } from './group/group.js'
export { vfio_pin_pages, vfio_unpin_pages } from './group/pin-pages.js'
export * as groupRefusals from './group/refusals.js'
export { type DeviceRegistry, Vfio, type VfioOptions } from './group/vfio.js'
