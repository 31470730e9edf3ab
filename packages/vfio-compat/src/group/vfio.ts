// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO's side of a machine: its groups and the devices in them, one file in /dev/vfio per group, and
 * one in /dev/vfio/devices per device that an iommufd can have.
 *
 * Invariant: the devices of an IOMMU group share one VFIO group; emulated devices and those without
 * an IOMMU have a group each. Numbers, of groups and of devices, are given once.
 */
import type { Iommufd } from '@iommufd/core'
import type { DeviceHost } from '@iommufd/host'
import { IOMMU_CAP_CACHE_COHERENCY } from '@iommufd/hw-iommu'
import { VfioCdevFile } from '../cdev/cdev-file.js'
import { CDEV_DEVICE_GONE } from '../cdev/refusals.js'
import { PhysicalVfioDevice, type VfioDevice } from './device.js'
import { VfioGroup } from './group.js'
import { DEVICE_NOT_USABLE } from './refusals.js'

/** Where files in /dev are made: the machine. */
export type DeviceRegistry = Pick<DeviceHost, 'registerDevice'>

export interface VfioOptions {
  /** Serve devices without an IOMMU, as a kernel with CONFIG_VFIO_NOIOMMU that was told so does. */
  readonly noiommu?: boolean
  /** Make files of devices, as a kernel with CONFIG_VFIO_DEVICE_CDEV does (Linux 6.6). Default: true. */
  readonly deviceFiles?: boolean
}

export class Vfio {
  readonly engine: Iommufd
  readonly options: VfioOptions
  readonly #registry: DeviceRegistry
  readonly #groups: VfioGroup[] = []
  /** Devices that have got a number so far. */
  #devices = 0

  constructor(engine: Iommufd, registry: DeviceRegistry, options: VfioOptions = {}) {
    this.engine = engine
    this.options = options
    this.#registry = registry
  }

  get groups(): readonly VfioGroup[] {
    return this.#groups
  }

  /**
   * Binds a device to its VFIO driver: the number of its group, or -EINVAL for a device that no IOMMU
   * keeps apart or whose DMA is not coherent. `number`: of a group that is new; default the lowest
   * that was never used.
   */
  addDevice(device: VfioDevice, number?: number): number {
    const { refusals } = this.engine
    if (!this.#isUsable(device)) return refusals.refuse(DEVICE_NOT_USABLE)
    const group = this.#existingGroup(device) ?? this.#makeGroup(device, number)
    group.devices.push(device)
    device.group = group
    const hasFile = device.kind !== 'noiommu' && this.options.deviceFiles !== false
    if (hasFile) this.#makeCdev(device)
    return group.number
  }

  /** The driver is unbound from the device, which must not be open. */
  removeDevice(device: VfioDevice): void {
    if (device.openCount > 0) throw new Error(`${device.name} is open`)
    const devices = device.group?.devices ?? []
    devices.splice(devices.indexOf(device), 1)
    device.group = undefined
  }

  #makeCdev(device: VfioDevice): void {
    const number = this.#devices++
    this.#registry.registerDevice(`/dev/vfio/devices/vfio${number}`, () =>
      this.#openCdev(device, number),
    )
  }

  /** Any number of files; what a device can be had by is decided when one binds it. */
  #openCdev(device: VfioDevice, number: number): VfioCdevFile | number {
    const { refusals } = this.engine
    refusals.clear()
    if (device.group === undefined) return refusals.refuse(CDEV_DEVICE_GONE, number)
    const rc = this.engine.allocate()
    return rc < 0 ? rc : new VfioCdevFile(device.group, device, number)
  }

  #isUsable(device: VfioDevice): boolean {
    if (device.kind === 'noiommu') return this.options.noiommu === true
    if (!(device instanceof PhysicalVfioDevice)) return true
    const { device: dev } = device
    return dev.group !== undefined && dev.iommuCapable(IOMMU_CAP_CACHE_COHERENCY)
  }

  #existingGroup(device: VfioDevice): VfioGroup | undefined {
    if (!(device instanceof PhysicalVfioDevice)) return undefined
    return this.#groups.find(({ iommuGroup }) => iommuGroup === device.device.group)
  }

  #makeGroup(device: VfioDevice, wanted?: number): VfioGroup {
    const number = wanted ?? 1 + Math.max(-1, ...this.#groups.map((group) => group.number))
    const iommuGroup = device instanceof PhysicalVfioDevice ? device.device.group : undefined
    const group = new VfioGroup(this, number, device.kind, iommuGroup)
    const prefix = device.kind === 'noiommu' ? 'noiommu-' : ''
    this.#registry.registerDevice(`/dev/vfio/${prefix}${number}`, (task) => group.open(task))
    this.#groups.push(group)
    return group
  }
}
