// SPDX-License-Identifier: Apache-2.0
/**
 * What an address space needs of a hardware page table (SPEC section 8, E3).
 *
 * Invariant: a domain holds what was mapped into it, frame for frame, and gives it back when asked;
 * so the frames of memory that one domain maps are stored nowhere else. Unmapping takes exactly what
 * was mapped, never fails and never allocates. The layer above implements this; the page layer only
 * fills, reads and empties.
 */

export interface IommuDomain {
  /** Smallest page that the format can map, in bytes: a power of two. */
  readonly minPageSize: number
  /** First IOVA that can be mapped. */
  readonly apertureStartHi: number
  readonly apertureStartLo: number
  /** Last IOVA that can be mapped. */
  readonly apertureLastHi: number
  readonly apertureLastLo: number
  /**
   * Maps `bytes` bytes at the IOVA: from byte `offset` of `frames[at]` on, then `frames[at + 1]`, ….
   * `prot` is AREA_READ | AREA_WRITE. 0, or a negative errno and nothing of it is mapped.
   */
  map(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    offset: number,
    bytes: number,
    prot: number,
  ): number
  /** Unmaps `bytes` bytes at the IOVA, all of which are mapped. */
  unmap(iovaHi: number, iovaLo: number, bytes: number): void
  /** The frame mapped at the IOVA, which is mapped. */
  frameAt(iovaHi: number, iovaLo: number): number
}
