// SPDX-License-Identifier: Apache-2.0
/**
 * Records of areas: what is mapped at a range of IOVAs (SPEC E1).
 *
 * Invariant: an area shows the bytes of one `pages` from `startByte` on. Where it lies in the IOVA
 * space is known to the tree alone, which holds the area's number. Records are columns indexed by
 * that number, 17 bytes each, so that a million areas make no objects.
 */
export const AREA_READ = 1
export const AREA_WRITE = 2
/** No new access may pin: the area is being unmapped. */
export const AREA_PREVENT_ACCESS = 4

const INITIAL = 16

export class AreaTable {
  /** Number of the `pages` that the area shows. Links free records otherwise. */
  pages: Int32Array<ArrayBuffer> = new Int32Array(INITIAL)
  /** First byte of the area within its pages, high and low word. */
  startHi: Int32Array<ArrayBuffer> = new Int32Array(INITIAL)
  startLo: Int32Array<ArrayBuffer> = new Int32Array(INITIAL)
  /** AREA_READ, AREA_WRITE, AREA_PREVENT_ACCESS. */
  flags: Uint8Array<ArrayBuffer> = new Uint8Array(INITIAL)
  /** Pins that in-kernel users hold through the area. */
  accesses: Int32Array<ArrayBuffer> = new Int32Array(INITIAL)
  /** Locks by area: few areas have any, and those that have are pinned too. */
  readonly #locks = new Map<number, number>()
  #free = -1
  #used = 0
  #live = 0

  /** Areas that exist. */
  get count(): number {
    return this.#live
  }

  /** Bytes that the columns hold. */
  get bytes(): number {
    return this.flags.length * 17
  }

  create(pages: number, startHi: number, startLo: number, flags: number): number {
    const area = this.#take()
    this.pages[area] = pages
    this.startHi[area] = startHi
    this.startLo[area] = startLo
    this.flags[area] = flags
    this.accesses[area] = 0
    this.#live++
    return area
  }

  remove(area: number): void {
    this.pages[area] = this.#free
    this.#free = area
    this.#live--
  }

  /** Takes (1) or gives back (-1) a lock on an area. */
  countLock(area: number, by: number): void {
    const locks = (this.#locks.get(area) ?? 0) + by
    if (locks === 0) this.#locks.delete(area)
    else this.#locks.set(area, locks)
  }

  isLocked(area: number): boolean {
    return this.#locks.has(area)
  }

  #take(): number {
    const area = this.#free
    if (area >= 0) {
      this.#free = this.pages[area] as number
      return area
    }
    if (this.#used === this.flags.length) this.#grow()
    return this.#used++
  }

  #grow(): void {
    const length = grownLength(this.flags.length)
    this.pages = grown(this.pages, new Int32Array(length))
    this.startHi = grown(this.startHi, new Int32Array(length))
    this.startLo = grown(this.startLo, new Int32Array(length))
    this.flags = grown(this.flags, new Uint8Array(length))
    this.accesses = grown(this.accesses, new Int32Array(length))
  }
}

/** Next size of a column: by a quarter, so that little is spare. */
export function grownLength(length: number): number {
  return length + (length >> 2) + 16
}

/** The larger column with the contents of the smaller. */
export function grown<T extends Int32Array | Uint8Array | Float64Array | Uint16Array>(
  from: T,
  to: T,
): T {
  to.set(from)
  return to
}
