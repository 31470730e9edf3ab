// SPDX-License-Identifier: Apache-2.0
//
// An exporter of memory that is registers of a device: frames no host has. It throws where the page engine breaks the
// contract: attaching twice, detaching what is not attached, keeping the file longer or shorter than the attachment.

import type { Process } from '@iommufd/host'
import { type DmaBuf, type DmaBufImporter, File, type PhysRange } from '@iommufd/host'
import { must, PAGE } from './harness.js'

/** Frame numbers from here on are no memory. */
export const REGISTERS = 2 ** 31

export class Exporter implements DmaBuf {
  readonly size: number
  ranges: readonly PhysRange[]
  readonly importers = new Set<DmaBufImporter>()
  /** Nobody can attach. */
  isGone = false
  isReleased = false
  readonly file: File

  constructor(npages: number, frame: number = REGISTERS) {
    this.size = npages * PAGE
    this.ranges = [{ frame, npages }]
    this.file = new File('dmabuf', { dmaBuf: this, release: () => this.#release() })
  }

  /** A new one, and its descriptor in the process. */
  static open(
    process: Process,
    npages: number,
    frame?: number,
  ): { exporter: Exporter; fd: number } {
    const exporter = new Exporter(npages, frame)
    return { exporter, fd: must(process.installFile(exporter.file)) }
  }

  attach(importer: DmaBufImporter): boolean {
    if (this.isReleased || this.importers.has(importer)) throw new Error('attach')
    if (!this.isGone) this.importers.add(importer)
    return !this.isGone
  }

  detach(importer: DmaBufImporter): void {
    if (this.isReleased || !this.importers.delete(importer)) throw new Error('detach')
  }

  revoke(): void {
    this.isGone = true
    for (const importer of this.importers) importer.invalidate()
  }

  #release(): void {
    if (this.importers.size > 0) throw new Error('released while somebody is attached')
    this.isReleased = true
  }
}
