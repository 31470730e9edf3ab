// SPDX-License-Identifier: Apache-2.0
/**
 * An open device of a group: what VFIO_GROUP_GET_DEVICE_FD gives a descriptor for.
 *
 * Invariant: while the file exists the device is open; closing the file closes the device, after the
 * operations behind it have been told. Such a device is bound already, by its group.
 */
import type { FileOperations, Task } from '@iommufd/host'
import { VFIO_DEVICE_BIND_IOMMUFD } from '@iommufd/uapi'
import { BindArg } from '../cdev/bind-arg.js'
import { BIND_ON_GROUP_DEVICE } from '../cdev/refusals.js'
import type { VfioDevice } from './device.js'
import type { VfioGroup } from './group.js'
import { VfioOpenDevice } from './open-device.js'

export class VfioDeviceFile extends VfioOpenDevice {
  readonly device: VfioDevice
  readonly #group: VfioGroup
  readonly #behind: FileOperations

  constructor(group: VfioGroup, device: VfioDevice, task: Task) {
    super(group.vfio.engine)
    this.device = device
    this.#group = group
    this.#behind = device.operations?.(device, task) ?? {}
  }

  protected override behind(): FileOperations {
    return this.#behind
  }

  protected serve(task: Task, cmd: number, argHi: number, argLo: number): number {
    if (cmd !== VFIO_DEVICE_BIND_IOMMUFD) return this.serveBehind(task, cmd, argHi, argLo)
    const rc = new BindArg(this.engine).read(task, argHi, argLo)
    return rc < 0 ? rc : this.engine.refusals.refuse(BIND_ON_GROUP_DEVICE)
  }

  release(): void {
    this.#behind.release?.()
    this.#group.closeDevice(this.device)
  }
}
