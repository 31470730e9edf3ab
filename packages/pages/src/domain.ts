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
   * `prot` is AREA_READ | AREA_WRITE. Without `largePages` no page is larger than one of memory, so
   * that every page of memory can be unmapped alone. 0, or a negative errno and nothing of it is
   * mapped.
   */
  map(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    offset: number,
    bytes: number,
    prot: number,
    largePages: boolean,
  ): number
  /**
   * Unmaps `bytes` bytes at the IOVA: all that one or several calls of map have mapped there or,
   * where those had no large pages, any pages of it.
   */
  unmap(iovaHi: number, iovaLo: number, bytes: number): void
  /**
   * Writes the frames of `n` pages of memory to `frames[at…]`: of the one that byte `offset` of is
   * mapped at the IOVA, and of those mapped behind it. All are mapped.
   */
  framesAt(
    iovaHi: number,
    iovaLo: number,
    offset: number,
    frames: Uint32Array,
    at: number,
    n: number,
  ): void
}
