// SPDX-License-Identifier: Apache-2.0
/**
 * The exporter that tests steer: a descriptor with memory of the kernel behind it (SPEC section 10).
 *
 * Invariant: its pages, one after the other, live until its last descriptor and its last importer are
 * gone. Whenever it is told to change its mind, revoking or not, those who have it attached lose it;
 * while it is revoked nobody can attach.
 */
import {
  type DmaBuf,
  type DmaBufImporter,
  File,
  type FileOperations,
  type Host,
  type PhysRange,
} from '@iommufd/host'
import { EINVAL, O_ACCMODE, PAGE_SIZE } from '@iommufd/uapi'

export class TestDmaBuf implements FileOperations, DmaBuf {
  readonly file: File
  readonly ranges: readonly PhysRange[]
  readonly #host: Host
  readonly #frames: Uint32Array
  readonly #importers = new Set<DmaBufImporter>()
  #isRevoked = false

  /** Exports pages that `host` has allocated. `openFlags`: O_RDONLY, O_WRONLY or O_RDWR, others do nothing. */
  constructor(host: Host, frames: Uint32Array, openFlags: number) {
    this.#host = host
    this.#frames = frames
    this.ranges = [{ frame: frames[0] as number, npages: frames.length }]
    this.file = new File('dmabuf', this, (openFlags + 1) & O_ACCMODE)
  }

  get dmaBuf(): DmaBuf {
    return this
  }

  get size(): number {
    return this.#frames.length * PAGE_SIZE
  }

  attach(importer: DmaBufImporter): boolean {
    if (this.#isRevoked) return false
    this.#importers.add(importer)
    return true
  }

  detach(importer: DmaBufImporter): void {
    this.#importers.delete(importer)
  }

  /** Takes the memory away from whoever has it, and refuses or admits new importers from now on. */
  revoke(isRevoked: boolean): void {
    this.#isRevoked = isRevoked
    for (const importer of this.#importers) importer.invalidate()
  }

  /** The memory is for devices: no process can map it. */
  mmap(): number {
    return -EINVAL
  }

  release(): void {
    this.#host.unpin(this.#frames, 0, this.#frames.length)
  }
}
