// SPDX-License-Identifier: Apache-2.0
/**
 * An open device: what VFIO_GROUP_GET_DEVICE_FD gives a descriptor for.
 *
 * Invariant: while the file exists the device is open; closing the file closes the device, after the
 * operations behind it have been told.
 */
import type { FileOperations, Task } from '@iommufd/host'
import { EngineFile } from '../engine-file.js'
import type { VfioDevice } from './device.js'
import type { VfioGroup } from './group.js'
import { DEVICE_IOCTL_UNKNOWN } from './refusals.js'

/** What the operations behind a device may bring along beside ioctl and release. */
const OTHERS = ['read', 'write', 'poll', 'mmap'] as const

export class VfioDeviceFile extends EngineFile {
  readonly device: VfioDevice
  readonly #group: VfioGroup
  readonly #behind: FileOperations

  constructor(group: VfioGroup, device: VfioDevice, task: Task) {
    super(group.vfio.engine)
    this.device = device
    this.#group = group
    const behind = device.operations?.(device, task) ?? {}
    this.#behind = behind
    for (const name of OTHERS) {
      const operation = behind[name] as ((...args: never[]) => unknown) | undefined
      if (operation !== undefined) Object.assign(this, { [name]: operation.bind(behind) })
    }
  }

  protected serve(task: Task, cmd: number, argHi: number, argLo: number): number {
    const { ioctl } = this.#behind
    if (ioctl !== undefined) return ioctl.call(this.#behind, task, cmd, argHi, argLo)
    return this.engine.refusals.refuse(DEVICE_IOCTL_UNKNOWN, cmd | 0)
  }

  release(): void {
    this.#behind.release?.()
    this.#group.closeDevice(this.device)
  }
}
