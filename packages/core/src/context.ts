// SPDX-License-Identifier: Apache-2.0
/**
 * A context: what one open of /dev/iommu (or /dev/vfio/vfio) made (SPEC F1, F7).
 *
 * Invariant: a context lives as long as its file: `get` and `put` count references to the file, and
 * with the last one every object is destroyed. Objects that a reference cycle keeps (a context
 * mapped into itself) are never destroyed, as in Linux.
 */
import type { DeviceMapping, File, FileOperations, Task } from '@iommufd/host'
import { PAGE_SIZE, PROT_EXEC } from '@iommufd/uapi'
import type { Iommufd } from './iommufd.js'
import { MmapRegions } from './mmap-regions.js'
import type { IommufdObject, ObjectType } from './object.js'
import { ObjectTable } from './object-table.js'
import {
  MMAP_EXECUTABLE,
  MMAP_NOT_SHARED,
  MMAP_REGION_UNKNOWN,
  OBJECT_BUSY,
  OBJECT_UNKNOWN,
} from './refusals.js'
import { pageHi, pageLo } from './u64.js'

/** Who is charged for pinned memory: the user over all its processes, or the process alone. */
export type AccountMode = 'user' | 'mm'

export class IommufdCtx implements FileOperations {
  readonly engine: Iommufd
  readonly objects: ObjectTable = new ObjectTable()
  /** What drivers let the program map. */
  readonly mmaps: MmapRegions = new MmapRegions()
  #file: File | undefined
  accountMode: AccountMode
  /** Whether the last reference is gone and everything is destroyed. */
  released = false

  constructor(engine: Iommufd, accountMode: AccountMode) {
    this.engine = engine
    this.accountMode = accountMode
  }

  /** The host has made the open file of this context. */
  opened(file: File): void {
    this.#file = file
  }

  /** Answers one ioctl of `task` on this context. */
  ioctl(task: Task, cmd: number, argHi: number, argLo: number): number {
    return this.engine.ioctl(this, task, cmd, argHi, argLo)
  }

  /**
   * mmap of the context (SPEC F8): pages of a driver, -EINVAL (not MAP_SHARED), -EPERM (PROT_EXEC),
   * or -ENXIO (no region begins there and has this length).
   */
  mmap(
    _task: Task,
    length: number,
    prot: number,
    shared: boolean,
    offsetPage: number,
  ): DeviceMapping | number {
    const { refusals } = this.engine
    refusals.clear()
    if (!shared) return refusals.refuse(MMAP_NOT_SHARED)
    if ((prot & PROT_EXEC) !== 0) return refusals.refuse(MMAP_EXECUTABLE)
    const region = this.mmaps.find(offsetPage, length / PAGE_SIZE)
    if (region !== undefined) return region.mapping()
    return refusals.refuse(
      MMAP_REGION_UNKNOWN,
      pageHi(offsetPage),
      pageLo(offsetPage),
      Math.floor(length / 2 ** 32),
      length | 0,
    )
  }

  /** The visible object of this kind, or undefined with the refusal OBJECT_UNKNOWN recorded. */
  find<T extends IommufdObject>(id: number, type: ObjectType<T>): T | undefined {
    const object = this.objects.get(id)
    if (object !== undefined && type.is(object)) return object
    this.engine.refusals.refuse(OBJECT_UNKNOWN, id)
    return undefined
  }

  /** IOMMU_DESTROY: ENOENT for an id that does not exist, EBUSY for an object with users. */
  destroyId(id: number): number {
    const object = this.objects.get(id)
    if (object === undefined) return this.engine.refusals.refuse(OBJECT_UNKNOWN, id)
    if (object.users !== 0) {
      return this.engine.refusals.refuse(OBJECT_BUSY, id, object.users)
    }
    this.objects.remove(object)
    return 0
  }

  /** Takes a reference to the context. */
  get(): this {
    this.#file?.get()
    return this
  }

  /** Gives a reference back; the last one destroys everything. */
  put(): void {
    this.#file?.put()
  }

  /** The file's last reference is gone. */
  release(): void {
    if (!this.objects.removeAll()) this.engine.warn('objects of a closed context hold each other')
    this.released = true
    this.engine.contextReleased(this)
  }
}
