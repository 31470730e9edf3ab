// SPDX-License-Identifier: Apache-2.0
/**
 * A paging domain on a WordTable: what iommufd maps, unmaps and translates.
 *
 * A refused map takes back what it has mapped; unmapping allocates nothing. The IOMMU remembers
 * translations in an Iotlb, which forgets what is unmapped in `iotlbSync`.
 */
import {
  type AttachableDomain,
  type IommuOps,
  Iotlb,
  type IotlbGather,
  type PagingDomain,
  type Translation,
} from '@iommufd/hw-iommu'
import { AREA_READ, AREA_WRITE } from '@iommufd/pages'
import { EADDRINUSE, ENOMEM, ERANGE, PAGE_SIZE } from '@iommufd/uapi'
import type { MeadowDevice } from './meadow-device.js'
import { ADDRESS_LG2, BLOCK_LG2, PAGE_LG2, READ, WORDS, WordTable, WRITE } from './word-table.js'

const PAGES = 2 ** (ADDRESS_LG2 - PAGE_LG2)

export class MeadowDomain implements PagingDomain {
  readonly type = 'paging'
  readonly owner: IommuOps
  readonly minPageSize = PAGE_SIZE
  readonly pageSizesHi = 0
  readonly pageSizesLo: number = (1 << PAGE_LG2) | (1 << BLOCK_LG2)
  readonly apertureStartHi = 0
  readonly apertureStartLo = 0
  readonly apertureLastHi: number = 2 ** (ADDRESS_LG2 - 32) - 1
  readonly apertureLastLo = -1
  readonly iotlb: Iotlb = new Iotlb(PAGE_SIZE)
  readonly table: WordTable = new WordTable()
  /** Asked before each leaf table: false says that there is no memory. */
  readonly #mayAllocate: () => boolean

  constructor(owner: IommuOps, mayAllocate: () => boolean) {
    this.owner = owner
    this.#mayAllocate = mayAllocate
  }

  attachDev(dev: MeadowDevice, _old: AttachableDomain | undefined): number {
    return dev.use(this)
  }

  map(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    _offset: number,
    bytes: number,
    prot: number,
    largePages: boolean,
  ): number {
    const first = pageOf(iovaHi, iovaLo)
    const count = bytes / PAGE_SIZE
    if (first + count > PAGES) return -ERANGE
    const bits = ((prot & AREA_READ) === 0 ? 0 : READ) | ((prot & AREA_WRITE) === 0 ? 0 : WRITE)
    for (let done = 0; done < count; ) {
      const most = largePages ? count - done : 1
      const n = this.#mapOne(first + done, frames, at + done, most, bits)
      if (n < 0) {
        this.#clear(first, done)
        return n
      }
      done += n
    }
    return 0
  }

  unmap(iovaHi: number, iovaLo: number, bytes: number, gather: IotlbGather): number {
    const cleared = this.#clear(pageOf(iovaHi, iovaLo), bytes / PAGE_SIZE) * PAGE_SIZE
    if (cleared > 0) gather.add(iovaHi, iovaLo, cleared)
    return cleared
  }

  translate(iovaHi: number, iovaLo: number, out: Translation): boolean {
    const page = pageOf(iovaHi, iovaLo)
    const word = page < PAGES ? this.table.find(page) : 0
    if (word === 0) return false
    const isBlock = this.table.isBlock(word)
    out.frame = this.table.frameOf(word) + (isBlock ? page & (WORDS - 1) : 0)
    out.offset = iovaLo & (PAGE_SIZE - 1)
    out.lg2 = isBlock ? BLOCK_LG2 : PAGE_LG2
    out.prot = ((word & READ) === 0 ? 0 : AREA_READ) | ((word & WRITE) === 0 ? 0 : AREA_WRITE)
    out.isDirty = true
    return true
  }

  iotlbSync(gather: IotlbGather): void {
    this.iotlb.flush(gather)
  }

  flushIotlbAll(): void {
    this.iotlb.flushAll()
  }

  /** Maps a block or a page: how many pages, or a negative errno. `most`: that are left. */
  #mapOne(page: number, frames: Uint32Array, at: number, most: number, bits: number): number {
    const { table } = this
    const frame = frames[at] as number
    if (frame >= 1 << 28) return -ERANGE
    if (isBlock(page, frames, at, most) && table.isFreeBlock(page)) {
      table.setBlock(page, frame, bits)
      return WORDS
    }
    if (table.find(page) !== 0) return -EADDRINUSE
    if (table.needsTable(page) && !this.#mayAllocate()) return -ENOMEM
    table.setPage(page, frame, bits)
    return 1
  }

  /** Unmaps until the end or the first hole: how many pages. */
  #clear(first: number, count: number): number {
    let done = 0
    while (done < count) {
      const n = this.table.clear(first + done)
      if (n === 0) break
      done += n
    }
    return done
  }
}

/** Whether 8 MiB of IOVAs begin here and lead to 8 MiB of memory. */
function isBlock(page: number, frames: Uint32Array, at: number, most: number): boolean {
  const frame = frames[at] as number
  if (most < WORDS || ((page | frame) & (WORDS - 1)) !== 0) return false
  for (let i = 1; i < WORDS; i++) if (frames[at + i] !== frame + i) return false
  return true
}

/** Number of the page that holds the IOVA, which is given as its two halves. */
function pageOf(iovaHi: number, iovaLo: number): number {
  return (iovaHi >>> 0) * 2 ** 20 + (iovaLo >>> PAGE_LG2)
}
