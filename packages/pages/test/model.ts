// SPDX-License-Identifier: Apache-2.0
//
// The naive model that address spaces are held against: sorted lists of bigint ranges at byte granularity, every search
// linear, pins counted page by page in a map. It answers what SPEC C1-C8 and E2-E7 say, check by check, and knows what is
// pinned and charged. No trees, no columns, no sharing but by reference.

import {
  EADDRINUSE,
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOMEM,
  ENOSPC,
  EOVERFLOW,
  EPERM,
} from '@iommufd/uapi'
import { linearSearch } from './linear-search.js'
import {
  indexesOf,
  isBroken,
  type ModelArea,
  type ModelDomain,
  ModelIoas,
  type ModelMemory,
  ModelPages,
  type ModelPin,
  type ModelUser,
  type Part,
  partsOf,
  wholeOf,
} from './model-state.js'
import { gaps, lesser, overlap, type Range, U64_MAX } from './u64.js'

const PAGE = 4096n
const MOST_ALIGNMENT = 0x200000n
/** Bytes; no memory in one piece has as many. */
const MOST_MEMORY = 0x100000n
export const PROT_R = 1
const PROT_W = 2

export interface MapRequest {
  readonly isFixed: boolean
  readonly prot: number
  readonly iova: bigint
  readonly length: bigint
}

/** What an rw did: bytes of user memory or file, in order. */
export interface Copied {
  readonly isFile: boolean
  readonly address: bigint
  readonly length: number
}

export class Model {
  readonly memory: ModelMemory
  readonly ioases = new Map<number, ModelIoas>()
  /** Pages that the mapper's limit admits; infinite without a limit. */
  readonly limit: number
  /** Pages pinned over all address spaces: each (pages, index) once. */
  pinned = 0
  /** The IOVA of the last mapping. */
  iova = 0n
  /** Bytes that the last unmapping took away. */
  unmapped = 0n

  constructor(memory: ModelMemory, limit: number) {
    this.memory = memory
    this.limit = limit
  }

  alloc(): number {
    let id = 1
    while (this.ioases.has(id)) id++
    this.ioases.set(id, new ModelIoas())
    return id
  }

  destroy(id: number): number {
    const ioas = this.ioases.get(id)
    if (ioas === undefined) return -ENOENT
    if (ioas.user !== undefined || ioas.domains.length > 0) return -EBUSY
    this.ioases.delete(id)
    return 0
  }

  map(id: number, isFile: boolean, start: bigint, request: MapRequest): number {
    const { length } = request
    if (isTop(request.iova) || isTop(length)) return -EOVERFLOW
    if (request.prot === 0) return -EINVAL
    const ioas = this.ioases.get(id)
    if (ioas === undefined) return -ENOENT
    const end = isFile && length > 0n ? start + length - 1n : start + length
    if (end > U64_MAX) return -EOVERFLOW
    if (length === 0n || length > U64_MAX - PAGE) return -EINVAL
    const placed = this.#place(ioas, start, request)
    if (placed < 0) return placed
    const isWritable = (request.prot & PROT_W) !== 0
    const pages = new ModelPages(isFile, start - (start % PAGE), isWritable)
    return this.#insert(ioas, pages, start % PAGE, this.iova, length, request.prot)
  }

  copy(dstId: number, srcId: number, srcIova: bigint, request: MapRequest): number {
    const { length } = request
    if (isTop(request.iova) || isTop(length) || isTop(srcIova)) return -EOVERFLOW
    if (request.prot === 0) return -EINVAL
    const src = this.ioases.get(srcId)
    if (src === undefined) return -ENOENT
    if (length === 0n) return -EINVAL
    if (srcIova + length - 1n > U64_MAX) return -EOVERFLOW
    const { parts, hole } = partsOf(src, { start: srcIova, last: srcIova + length - 1n })
    if (hole !== undefined) return -ENOENT
    const dst = this.ioases.get(dstId)
    if (dst === undefined) return -ENOENT
    const first = parts[0] as Part
    const placed = this.#place(dst, first.area.pages.base + first.byte, request)
    if (placed < 0) return placed
    return this.#insertAll(dst, parts, request.prot)
  }

  unmap(id: number, iova: bigint, length: bigint): number {
    this.unmapped = 0n
    const ioas = this.ioases.get(id)
    if (ioas === undefined) return -ENOENT
    if (iova === 0n && isTop(length)) return this.#unmapRange(ioas, { start: 0n, last: U64_MAX })
    if (isTop(iova) || isTop(length)) return -EOVERFLOW
    if (length === 0n) return -EINVAL
    const last = iova + length - 1n
    if (last > U64_MAX) return -EOVERFLOW
    const rc = this.#unmapRange(ioas, { start: iova, last })
    return rc === 0 && this.unmapped === 0n ? -ENOENT : rc
  }

  allow(id: number, list: readonly Range[]): number {
    const ioas = this.ioases.get(id)
    if (ioas === undefined) return -ENOENT
    for (const [i, range] of list.entries()) {
      if (range.start >= range.last) return -EINVAL
      if (list.slice(0, i).some((other) => overlap(other, range))) return -EINVAL
    }
    if (list.some((range) => ioas.reserved.some((other) => overlap(other, range))))
      return -EADDRINUSE
    ioas.allowed = list
    return 0
  }

  reserve(id: number, range: Range): number {
    const ioas = this.ioases.get(id) as ModelIoas
    const inUse = [...ioas.areas, ...ioas.allowed]
    if (inUse.some((other) => overlap(other, range))) return -EADDRINUSE
    ioas.reserved.push(range)
    return 0
  }

  setSmallPages(id: number, on: boolean): number {
    const ioas = this.ioases.get(id)
    if (ioas === undefined) return -ENOENT
    if (on && !ioas.hasSmallPages) {
      if (ioas.domains.length > 0 && ioas.areas.length > 0) return -EINVAL
      if (!this.#admits(ioas, PAGE)) return -EADDRINUSE
    }
    ioas.hasSmallPages = on
    return 0
  }

  addDomain(id: number, domain: ModelDomain): number {
    const ioas = this.ioases.get(id) as ModelIoas
    if (!this.#admits(ioas, domain.granule)) return -EADDRINUSE
    const outside = gaps([domain.aperture])
    const inUse = [...ioas.areas, ...ioas.allowed]
    if (outside.some((range) => inUse.some((other) => overlap(other, range)))) return -EADDRINUSE
    const filled: Part[] = []
    for (const part of ioas.areas.map(wholeOf)) {
      const rc = isBroken(domain, part) ? -EADDRINUSE : 0
      const covered = ioas.domains.length > 0 ? rc : this.#cover(part, rc)
      if (covered < 0) {
        this.#release(filled)
        return covered
      }
      if (ioas.domains.length === 0) filled.push(part)
    }
    ioas.domains.push(domain)
    ioas.reserved.push(...outside)
    return 0
  }

  removeDomain(id: number, domain: ModelDomain): void {
    const ioas = this.ioases.get(id) as ModelIoas
    ioas.domains.splice(ioas.domains.indexOf(domain), 1)
    if (ioas.domains.length === 0) this.#release(ioas.areas.map(wholeOf))
    for (const { start, last } of gaps([domain.aperture])) {
      const at = ioas.reserved.findIndex((range) => range.start === start && range.last === last)
      ioas.reserved.splice(at, 1)
    }
  }

  attach(id: number, alignment: bigint): number {
    const ioas = this.ioases.get(id) as ModelIoas
    if (!this.#admits(ioas, alignment)) return -EADDRINUSE
    ioas.user = { alignment, pins: [] }
    return 0
  }

  detach(id: number): void {
    const ioas = this.ioases.get(id) as ModelIoas
    for (const pin of ioas.user?.pins ?? []) this.#release(pin.parts)
    ioas.user = undefined
  }

  pin(id: number, range: Range, write: boolean): number {
    const ioas = this.ioases.get(id) as ModelIoas
    const { parts, hole } = partsOf(ioas, range)
    const done: Part[] = []
    for (const part of parts) {
      const rc = this.#pinPart(part, part.last === range.last, write)
      if (rc < 0) {
        this.#release(done)
        return rc
      }
      done.push(part)
    }
    if (hole === undefined) {
      ioas.user?.pins.push({ ...range, parts })
      return 0
    }
    this.#release(done)
    return -ENOENT
  }

  unpin(id: number, range: Range): void {
    const { pins } = (this.ioases.get(id) as ModelIoas).user as ModelUser
    const at = pins.findIndex((pin) => pin.start === range.start && pin.last === range.last)
    this.#release((pins.splice(at, 1)[0] as ModelPin).parts)
  }

  /** What is copied before the end or the first refusal goes to `copied`. */
  rw(id: number, range: Range, write: boolean, copied: Copied[]): number {
    const { parts, hole } = partsOf(this.ioases.get(id) as ModelIoas, range)
    for (const part of parts) {
      if ((part.area.prot & (write ? PROT_W : PROT_R)) === 0) return -EPERM
      const rc = this.#rwPart(part, write, copied)
      if (rc < 0) return rc
    }
    return hole === undefined ? 0 : -ENOENT
  }

  /** The memory behind all areas. */
  pages(): Set<ModelPages> {
    const pages = new Set<ModelPages>()
    for (const ioas of this.ioases.values()) for (const area of ioas.areas) pages.add(area.pages)
    return pages
  }

  /** Pins by page: of user memory by address, of the file by offset. */
  pins(isFile: boolean): Map<bigint, number> {
    const pins = new Map<bigint, number>()
    for (const pages of this.pages()) {
      if (pages.isFile !== isFile) continue
      for (const index of pages.covered.keys()) {
        const page = pages.base + index * PAGE
        pins.set(page, (pins.get(page) ?? 0) + 1)
      }
    }
    return pins
  }

  #place(ioas: ModelIoas, start: bigint, { isFixed, iova, length }: MapRequest): number {
    const { alignment } = ioas
    if (length % alignment !== 0n) return -EINVAL
    if (!isFixed) return this.#placeAuto(ioas, start, length)
    if (iova % alignment !== 0n) return -EINVAL
    if (iova + length - 1n > U64_MAX) return -EOVERFLOW
    const range = { start: iova, last: iova + length - 1n }
    if (ioas.reserved.some((other) => overlap(other, range))) return -EINVAL
    if (ioas.areas.some((other) => overlap(other, range))) return -EEXIST
    this.iova = iova
    return 0
  }

  #placeAuto(ioas: ModelIoas, start: bigint, length: bigint): number {
    if (length >= U64_MAX / 2n) return -EOVERFLOW
    let alignment = 1n
    while (alignment < length && alignment < MOST_ALIGNMENT) alignment *= 2n
    while (start % alignment !== 0n) alignment /= 2n
    if (alignment < ioas.alignment) return -EINVAL
    const used = [...ioas.areas, ...ioas.reserved]
    const wanted = { length, alignment, pageOffset: start % PAGE }
    const iova = linearSearch(ioas.allowed, used, wanted)
    if (iova === undefined) return -ENOSPC
    this.iova = iova
    return 0
  }

  #insertAll(ioas: ModelIoas, parts: readonly Part[], prot: number): number {
    const before = ioas.areas
    ioas.areas = [...before]
    let { iova } = this
    for (const { area, byte, start, last } of parts) {
      const length = last - start + 1n
      const rc = this.#insert(ioas, area.pages, byte, iova, length, prot)
      if (rc < 0) {
        const inserted = ioas.areas.filter((candidate) => !before.includes(candidate))
        if (ioas.domains.length > 0) this.#release(inserted.map(wholeOf))
        ioas.areas = before
        return rc
      }
      iova += length
    }
    return 0
  }

  #insert(
    ioas: ModelIoas,
    pages: ModelPages,
    byte: bigint,
    iova: bigint,
    length: bigint,
    prot: number,
  ): number {
    if ((prot & PROT_W) !== 0 && !pages.isWritable) return -EPERM
    if ((byte % PAGE) % ioas.alignment !== 0n) return -EINVAL
    const area = { start: iova, last: iova + length - 1n, pages, byte, prot }
    if (ioas.domains.length > 0) {
      const isRefused = ioas.domains.some((domain) => isBroken(domain, area))
      const rc = this.#cover(wholeOf(area), isRefused ? -EADDRINUSE : 0)
      if (rc < 0) return rc
    }
    ioas.areas.push(area)
    ioas.areas.sort((a, b) => (a.start < b.start ? -1 : 1))
    return 0
  }

  /** Whether every area has this alignment; only a rise is looked at. */
  #admits(ioas: ModelIoas, alignment: bigint): boolean {
    if (alignment <= ioas.alignment) return true
    return ioas.areas.every(({ start, last, byte }) => {
      return start % alignment === 0n && (last + 1n) % alignment === 0n && byte % alignment === 0n
    })
  }

  #unmapRange(ioas: ModelIoas, range: Range): number {
    for (const area of ioas.areas.filter((candidate) => overlap(candidate, range))) {
      if (area.start < range.start || area.last > range.last) return -ENOENT
      this.#letGo(ioas, area)
      if (ioas.domains.length > 0) this.#release([wholeOf(area)])
      ioas.areas.splice(ioas.areas.indexOf(area), 1)
      this.unmapped += area.last - area.start + 1n
    }
    return 0
  }

  /** The user is asked only if the area is pinned, and lets go of all that lies in it. */
  #letGo({ user }: ModelIoas, area: ModelArea): void {
    const pins = user?.pins ?? []
    if (user === undefined || !pins.some((pin) => pin.parts.some((part) => part.area === area)))
      return
    for (const pin of pins) if (overlap(pin, area)) this.#release(pin.parts)
    user.pins = pins.filter((pin) => !overlap(pin, area))
  }

  #pinPart(part: Part, isLast: boolean, write: boolean): number {
    const { area, byte, start, last } = part
    const isAligned = byte % PAGE === 0n && (isLast || (last - start + 1n) % PAGE === 0n)
    if (!isAligned) return -EINVAL
    if ((area.prot & (write ? PROT_W : PROT_R)) === 0) return -EPERM
    return this.#cover(part, 0)
  }

  /** One more user of the part's pages: bad memory first, then the domains' refusal, then the limit. */
  #cover(part: Part, refused: number): number {
    const { pages } = part.area
    if (part.last - part.start > MOST_MEMORY) return pages.isFile ? -EINVAL : -EFAULT
    const missing = indexesOf(part).filter((index) => !pages.covered.has(index))
    if (!missing.every((index) => this.#canPin(pages, index)))
      return pages.isFile ? -EINVAL : -EFAULT
    if (refused < 0) return refused
    if (missing.length > 0 && this.pinned + missing.length > this.limit) return -ENOMEM
    for (const index of indexesOf(part))
      pages.covered.set(index, (pages.covered.get(index) ?? 0) + 1)
    this.pinned += missing.length
    return 0
  }

  #release(parts: readonly Part[]): void {
    for (const part of parts) {
      const { covered } = part.area.pages
      for (const index of indexesOf(part)) {
        const users = (covered.get(index) as number) - 1
        if (users > 0) covered.set(index, users)
        else if (covered.delete(index)) this.pinned--
      }
    }
  }

  #canPin(pages: ModelPages, index: bigint): boolean {
    const page = pages.base + index * PAGE
    if (pages.isFile) return page + PAGE <= this.memory.fileSize
    return this.memory.mayAccess(page, pages.isWritable)
  }

  #rwPart(part: Part, write: boolean, copied: Copied[]): number {
    const { pages } = part.area
    const length = Number(part.last - part.start + 1n)
    const isInsidePage = Number(part.byte % PAGE) + length <= Number(PAGE)
    const address = pages.base + part.byte
    if (pages.isFile || !isInsidePage) return this.#rwPinned(part, copied)
    if (!this.memory.mayAccess(address - (address % PAGE), write)) return -EFAULT
    copied.push({ isFile: false, address, length })
    return 0
  }

  /**
   * Frames are gathered, run by run of pinned and of unpinned pages, before a byte is copied. A run of unpinned pages that
   * ends early ends the gathering; one that cannot begin fails it.
   */
  #rwPinned(part: Part, copied: Copied[]): number {
    const { pages } = part.area
    const indexes = indexesOf(part)
    let done = 0
    while (done < indexes.length) {
      const gathered = this.#gather(pages, indexes.slice(done))
      if (gathered < 0) return gathered
      const first = indexes[done] as bigint
      const from = done === 0 ? part.byte : first * PAGE
      const end = (first + BigInt(gathered)) * PAGE
      const stop = part.byte + (part.last - part.start + 1n)
      const length = Number(lesser(end, stop) - from)
      copied.push({ isFile: pages.isFile, address: pages.base + from, length })
      done += gathered
    }
    return 0
  }

  /** Pages whose frames can be had at once, or the errno. */
  #gather(pages: ModelPages, indexes: readonly bigint[]): number {
    let n = 0
    while (n < indexes.length) {
      const isPinned = pages.covered.has(indexes[n] as bigint)
      let run = 1
      while (n + run < indexes.length && pages.covered.has(indexes[n + run] as bigint) === isPinned)
        run++
      const good = isPinned ? run : this.#pinnable(pages, indexes.slice(n, n + run))
      if (good === 0) return pages.isFile ? -EINVAL : -EFAULT
      n += good
      if (good < run) break
    }
    return n
  }

  /** How many of the pages can be pinned in one go: a file gives all or none. */
  #pinnable(pages: ModelPages, run: readonly bigint[]): number {
    const bad = run.findIndex((index) => !this.#canPin(pages, index))
    if (bad < 0) return run.length
    return pages.isFile ? 0 : bad
  }
}

function isTop(value: bigint): boolean {
  return value === U64_MAX
}
