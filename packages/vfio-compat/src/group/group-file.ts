// SPDX-License-Identifier: Apache-2.0
/**
 * The open file of a group: its four ioctls (SPEC section 6, group side).
 *
 * Invariant: everything else is ENOTTY, whatever its argument. What a call is asked for is read from
 * the caller before the group is looked at.
 */
import type { Iommufd } from '@iommufd/core'
import { coreRefusals, sumHi } from '@iommufd/core'
import { File, type Task } from '@iommufd/host'
import {
  PAGE_SIZE,
  VFIO_GROUP_FLAGS_CONTAINER_SET,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  vfio_group_status,
} from '@iommufd/uapi'
import { ContainerArg } from '../container-arg.js'
import { EngineFile } from '../engine-file.js'
import { VfioDeviceFile } from './device-file.js'
import type { VfioGroup } from './group.js'
import {
  CONTAINER_FD_NOT_OPEN,
  DEVICE_NAME_TOO_LONG,
  DEVICE_UNKNOWN,
  GROUP_IOCTL_UNKNOWN,
  GROUP_WITHOUT_IOMMU_GROUP,
  NO_DESCRIPTOR_FREE,
  STATUS_ARGSZ_TOO_SMALL,
} from './refusals.js'

const { at: STATUS, size: STATUS_SIZE } = vfio_group_status
const INT_SIZE = 4

export class VfioGroupFile extends EngineFile {
  readonly #group: VfioGroup
  readonly #arg: ContainerArg
  #file: File | undefined

  constructor(group: VfioGroup) {
    super(group.vfio.engine)
    this.#group = group
    this.#arg = new ContainerArg(this.engine, STATUS_SIZE)
  }

  opened(file: File): void {
    this.#file = file
  }

  /** The file is kept open from inside the kernel. */
  get(): void {
    this.#file?.get()
  }

  put(): void {
    this.#file?.put()
  }

  release(): void {
    this.#group.closed()
  }

  protected serve(task: Task, cmd: number, argHi: number, argLo: number): number {
    switch (cmd) {
      case VFIO_GROUP_GET_DEVICE_FD:
        return this.#getDeviceFd(task, argHi, argLo)
      case VFIO_GROUP_GET_STATUS:
        return this.#getStatus(task, argHi, argLo)
      case VFIO_GROUP_SET_CONTAINER:
        return this.#setContainer(task, argHi, argLo)
      case VFIO_GROUP_UNSET_CONTAINER:
        return this.#group.unsetContainer()
      default:
        return this.engine.refusals.refuse(GROUP_IOCTL_UNKNOWN, cmd | 0)
    }
  }

  /** On an iommufd a group can be viable and its devices belong to somebody else all the same. */
  #getStatus(task: Task, argHi: number, argLo: number): number {
    const { refusals } = this.engine
    const arg = this.#arg
    const rc = arg.read(task, argHi, argLo, STATUS_SIZE)
    if (rc < 0) return rc
    const argsz = arg.lo(STATUS.argsz)
    if (argsz >>> 0 < STATUS_SIZE)
      return refusals.refuse(STATUS_ARGSZ_TOO_SMALL, argsz, STATUS_SIZE)
    const group = this.#group
    if (group.devices.length === 0) {
      return refusals.refuse(GROUP_WITHOUT_IOMMU_GROUP, group.number)
    }
    const viable = group.hasIommu || !group.isClaimed ? VFIO_GROUP_FLAGS_VIABLE : 0
    arg.setWord(STATUS.flags, viable | (group.hasIommu ? VFIO_GROUP_FLAGS_CONTAINER_SET : 0))
    return arg.write(STATUS_SIZE)
  }

  #setContainer(task: Task, argHi: number, argLo: number): number {
    const arg = this.#arg
    const rc = arg.read(task, argHi, argLo, INT_SIZE)
    if (rc < 0) return rc
    const fd = arg.lo(0)
    const file = task.file(fd)
    if (file === undefined) return this.engine.refusals.refuse(CONTAINER_FD_NOT_OPEN, fd)
    return this.#group.setContainer(task, file, fd)
  }

  #getDeviceFd(task: Task, argHi: number, argLo: number): number {
    const { refusals } = this.engine
    const name = readName(this.engine, task, argHi, argLo)
    if (typeof name === 'number') return name
    const group = this.#group
    const device = group.devices.find((candidate) => candidate.name === name)
    if (device === undefined) return refusals.refuse(DEVICE_UNKNOWN, group.number)
    if (task.unusedFd() < 0) return refusals.refuse(NO_DESCRIPTOR_FREE)
    const allocated = this.engine.allocate()
    const rc = allocated < 0 ? allocated : group.openDevice(task, device)
    if (rc < 0) return rc
    return task.installFile(new File('[vfio-device]', new VfioDeviceFile(group, device, task)))
  }
}

/** The zero-terminated name at (hi, lo), of less than a page: or -EFAULT, -EINVAL. */
function readName(engine: Iommufd, task: Task, hi: number, lo: number): string | number {
  const bytes = new Uint8Array(PAGE_SIZE)
  for (let at = 0; at < PAGE_SIZE; at++) {
    // One copy as far as fault points go: the first byte passes it.
    const rc =
      at === 0
        ? engine.copyFromUser(task, hi, lo, bytes, 0, 1)
        : task.mm.copyFromUser(sumHi(hi, lo, 0, at), (lo + at) | 0, bytes, at, 1)
    if (rc < 0)
      return at === 0 ? rc : engine.refusals.refuse(coreRefusals.USER_UNREADABLE, hi, lo, at + 1)
    if (bytes[at] === 0) return String.fromCharCode(...bytes.subarray(0, at))
  }
  return engine.refusals.refuse(DEVICE_NAME_TOO_LONG, PAGE_SIZE)
}
