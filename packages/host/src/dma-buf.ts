// SPDX-License-Identifier: Apache-2.0
//
// Memory that one driver exports as a file and another imports: what a dma-buf is between the two of them.
//
// The invariant both sides keep: an importer uses the frames from `attach` to `detach`, and not one of them after
// `invalidate` has returned. The exporter keeps them as long as somebody is attached or has the file open.
//
// Frames that are memory of the host (`Host.allocate`) stay pinned by the exporter, and devices read and write them.
// Registers of a device have numbers from 2^31 on, which no memory has: a device that gets there finds a bus error.

/** Frames one after the other. */
export interface PhysRange {
  readonly frame: number
  readonly npages: number
}

/** Who uses the memory of another driver. */
export interface DmaBufImporter {
  /** The memory goes away or moves: every use ends before this returns. It cannot fail. */
  invalidate(): void
}

/** What the operations of a file that exports memory offer. */
export interface DmaBuf {
  /** Bytes, a multiple of the page size. */
  readonly size: number
  /** Where the memory lies, from its first byte on; asked for by who is attached. */
  readonly ranges: readonly PhysRange[]
  /** @returns false when the memory is gone; the importer is not attached then */
  attach(importer: DmaBufImporter): boolean
  /** The importer, which has been attached, uses the memory no more. It cannot fail. */
  detach(importer: DmaBufImporter): void
}
