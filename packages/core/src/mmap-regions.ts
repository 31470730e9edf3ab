// SPDX-License-Identifier: Apache-2.0
/**
 * Pages of drivers that a program can map by mmap of its context (SPEC F8).
 *
 * Invariant: regions do not overlap, and none has the first page, so an offset of 0 is nobody's. A
 * region is mapped whole or not at all. Each mapping of it is a user of the object that it belongs to,
 * which therefore outlives the mappings.
 */
import type { DeviceMapping } from '@iommufd/host'
import type { IommufdObject } from './object.js'

const FIRST_PAGE = 1

/** Pages that a driver offers. */
export class MmapRegion {
  /** The object that must live as long as the pages are mapped. */
  readonly owner: IommufdObject
  /** One frame per page. */
  readonly frames: Uint32Array
  /** Offset for mmap, in pages. */
  readonly page: number

  constructor(owner: IommufdObject, frames: Uint32Array, page: number) {
    this.owner = owner
    this.frames = frames
    this.page = page
  }

  /** The offset behind the region, in pages. */
  get end(): number {
    return this.page + this.frames.length
  }

  /** One mapping of the region, as the host keeps it. */
  mapping(): DeviceMapping {
    const { frames, owner } = this
    return {
      frames,
      open: () => {
        owner.users++
      },
      close: () => {
        owner.users--
      },
    }
  }
}

export class MmapRegions {
  /** By offset, ascending. */
  readonly #regions: MmapRegion[] = []

  /** Offers these frames, at least one, at the lowest offset with room for them. */
  add(owner: IommufdObject, frames: Uint32Array): MmapRegion {
    const regions = this.#regions
    let page = FIRST_PAGE
    let index = 0
    for (const region of regions) {
      if (page + frames.length <= region.page) break
      page = region.end
      index++
    }
    const added = new MmapRegion(owner, frames, page)
    regions.splice(index, 0, added)
    return added
  }

  /** The pages are offered no more; nothing may be mapped of them. */
  remove(region: MmapRegion): void {
    this.#regions.splice(this.#regions.indexOf(region), 1)
  }

  /** The region that these pages are, all of it. */
  find(page: number, pages: number): MmapRegion | undefined {
    return this.#regions.find((region) => region.page === page && region.frames.length === pages)
  }
}
