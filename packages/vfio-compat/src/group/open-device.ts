// SPDX-License-Identifier: Apache-2.0
/**
 * The open file of a device, whichever way it was opened (SPEC section 7).
 *
 * Invariant: reading, writing and mmap go to what stands behind the device, and are -EINVAL where that
 * has no such operation or is not there yet. A read or write without an offset goes on where the last
 * one of this file ended.
 */
import type { DeviceMapping, FileOperations, Task } from '@iommufd/host'
import { EngineFile } from '../engine-file.js'
import { DEVICE_IOCTL_UNKNOWN, DEVICE_OPERATION_ABSENT } from './refusals.js'

export abstract class VfioOpenDevice extends EngineFile {
  /** Where the next read or write without an offset begins, in bytes. */
  #position = 0

  /** What stands behind the device, or why there is nothing: -EINVAL. */
  protected abstract behind(): FileOperations | number

  /** An ioctl of the device itself. */
  protected serveBehind(task: Task, cmd: number, argHi: number, argLo: number): number {
    const behind = this.behind()
    if (typeof behind === 'number') return behind
    const rc = behind.ioctl?.(task, cmd, argHi, argLo)
    return rc ?? this.engine.refusals.refuse(DEVICE_IOCTL_UNKNOWN, cmd | 0)
  }

  read(task: Task, hi: number, lo: number, length: number): number {
    return this.#call<never>(task, (behind) => {
      if (behind.read !== undefined) return behind.read(task, hi, lo, length)
      return this.#advance(behind.pread?.(task, hi, lo, length, ...this.#offset()))
    })
  }

  write(task: Task, hi: number, lo: number, length: number): number {
    return this.#call<never>(task, (behind) => {
      if (behind.write !== undefined) return behind.write(task, hi, lo, length)
      return this.#advance(behind.pwrite?.(task, hi, lo, length, ...this.#offset()))
    })
  }

  pread(task: Task, hi: number, lo: number, length: number, offHi: number, offLo: number): number {
    return this.#call<never>(task, (behind) => behind.pread?.(task, hi, lo, length, offHi, offLo))
  }

  pwrite(task: Task, hi: number, lo: number, length: number, offHi: number, offLo: number): number {
    return this.#call<never>(task, (behind) => behind.pwrite?.(task, hi, lo, length, offHi, offLo))
  }

  mmap(
    task: Task,
    length: number,
    prot: number,
    shared: boolean,
    offsetPage: number,
  ): DeviceMapping | number {
    return this.#call<DeviceMapping>(task, (behind) =>
      behind.mmap?.(task, length, prot, shared, offsetPage),
    )
  }

  /** What `operation` answers; undefined is that there is no such operation. */
  #call<T>(task: Task, operation: (behind: FileOperations) => T | number | undefined): T | number {
    return this.enter(task, () => {
      const behind = this.behind()
      if (typeof behind === 'number') return behind
      return operation(behind) ?? this.engine.refusals.refuse(DEVICE_OPERATION_ABSENT)
    })
  }

  #offset(): [number, number] {
    return [Math.floor(this.#position / 2 ** 32), this.#position | 0]
  }

  #advance(moved: number | undefined): number | undefined {
    if (moved !== undefined && moved > 0) this.#position += moved
    return moved
  }
}
