// SPDX-License-Identifier: Apache-2.0
/**
 * A domain beside a naive map of what it should hold.
 *
 * Invariant: every map and unmap goes to both, and each answer of the domain is compared with what
 * the map says, byte for byte; the frames are numbers, no memory stands behind them.
 */
import { hiOf, loOf } from '@iommufd/core'
import { AREA_READ, AREA_WRITE } from '@iommufd/pages'
import { PAGE_SIZE } from '@iommufd/uapi'
import { IotlbGather, type PagingDomain, Translation } from '../index.js'
import { broken } from './broken.js'
import { nameOf } from './rig.js'

const RW = AREA_READ | AREA_WRITE
/** Frames in the list before those that are to be mapped. */
const BEFORE = 3
/** What stands around them: mapped by mistake, it would be noticed. */
const OTHER_FRAME = 0xbad

type FramesAt = NonNullable<PagingDomain['framesAt']>

export interface MapOptions {
  /** First byte of the first frame. Default 0. */
  readonly offset?: number
  /** Default: all to the end of the last frame. */
  readonly bytes?: number
  /** Default: read and write. */
  readonly prot?: number
  /** Default true. */
  readonly largePages?: boolean
}

export class TrackedDomain {
  readonly domain: PagingDomain
  readonly granule: number
  readonly apertureStart: bigint
  readonly apertureLast: bigint
  /** Physical address and permissions by number of the granule of IOVAs. */
  readonly #held = new Map<number, { readonly phys: number; readonly prot: number }>()
  readonly #found = new Translation()
  readonly #gather = new IotlbGather()

  constructor(domain: PagingDomain) {
    this.domain = domain
    this.granule = domain.minPageSize
    this.apertureStart = u64(domain.apertureStartHi, domain.apertureStartLo)
    this.apertureLast = u64(domain.apertureLastHi, domain.apertureLastLo)
  }

  /** Page sizes as numbers of bits, smallest first. */
  get sizes(): number[] {
    const bitmap = u64(this.domain.pageSizesHi, this.domain.pageSizesLo)
    return Array.from({ length: 64 }, (_, lg2) => lg2).filter(
      (lg2) => ((bitmap >> BigInt(lg2)) & 1n) === 1n,
    )
  }

  /**
   * The first IOVA of the aperture, from `from` on, that is a multiple of `bytes` and has `bytes`
   * behind it; undefined when there is none.
   */
  spot(bytes: number, from: bigint = this.apertureStart): bigint | undefined {
    const size = BigInt(bytes)
    const low = from > this.apertureStart ? from : this.apertureStart
    const iova = ((low + size - 1n) / size) * size
    return iova + size - 1n <= this.apertureLast ? iova : undefined
  }

  /** Asks the domain to map the frames: its answer, which the map believes. */
  map(iova: bigint, frames: readonly number[], options: MapOptions = {}): number {
    const { offset = 0, prot = RW, largePages = true } = options
    const bytes = options.bytes ?? frames.length * PAGE_SIZE - offset
    const list = new Uint32Array(frames.length + BEFORE + 1).fill(OTHER_FRAME)
    list.set(frames, BEFORE)
    const hi = hiOf(iova)
    const rc = this.domain.map(hi, loOf(iova), list, BEFORE, offset, bytes, prot, largePages)
    if (rc > 0) broken(`map answers ${rc}, which is neither 0 nor a negative errno`)
    if (rc < 0) return rc
    this.domain.iotlbSyncMap?.(hi, loOf(iova), bytes)
    for (let done = 0; done < bytes; done += this.granule) {
      const at = offset + done
      const phys = (frames[Math.floor(at / PAGE_SIZE)] as number) * PAGE_SIZE + (at % PAGE_SIZE)
      this.#held.set(this.#index(iova) + done / this.granule, { phys, prot })
    }
    return 0
  }

  /** As map, for what a driver must be able to map. */
  mustMap(iova: bigint, frames: readonly number[], options: MapOptions = {}): void {
    const rc = this.map(iova, frames, options)
    if (rc < 0) {
      broken(`map of ${frames.length} frames at ${hex(iova)} answers ${nameOf(rc)}`)
    }
  }

  /**
   * Unmaps what is mapped there, and looks at what the domain says about it. The frames are asked for
   * first, as iommufd does, which unpins them afterwards.
   */
  unmap(iova: bigint, bytes: number): void {
    const { domain } = this
    if (domain.framesAt !== undefined) this.#checkFrames(domain.framesAt.bind(domain), iova, bytes)
    const gather = this.#gather
    gather.clear()
    const unmapped = domain.unmap(hiOf(iova), loOf(iova), bytes, gather)
    if (unmapped !== bytes) {
      broken(`unmap of ${bytes} bytes at ${hex(iova)} answers ${unmapped}, which should be all`)
    }
    if (domain.iotlbSync !== undefined) {
      checkGather(gather, iova, iova + BigInt(bytes) - 1n)
      domain.iotlbSync(gather)
    }
    const first = this.#index(iova)
    for (let i = 0; i < bytes / this.granule; i++) this.#held.delete(first + i)
  }

  /** Whether anything is mapped in the range. */
  isFree(iova: bigint, bytes: number): boolean {
    const first = this.#index(iova)
    for (let i = 0; i < bytes / this.granule; i++) if (this.#held.has(first + i)) return false
    return true
  }

  /** Compares each granule of the range, at its first and last byte. */
  check(iova: bigint, bytes: number): void {
    for (let at = 0; at < bytes; at += this.granule) {
      this.checkAt(iova + BigInt(at))
      this.checkAt(iova + BigInt(at + this.granule - 1))
    }
  }

  /** Compares what the domain and the map say of one IOVA; outside the aperture nothing is looked at. */
  checkAt(iova: bigint): void {
    if (iova < this.apertureStart || iova > this.apertureLast) return
    const found = this.#found
    const isMapped = this.domain.translate(hiOf(iova), loOf(iova), found)
    const wanted = this.#held.get(this.#index(iova))
    if (wanted === undefined) {
      if (isMapped) broken(`${hex(iova)} is translated to ${addressOf(found)}, but not mapped`)
      return
    }
    if (!isMapped) broken(`${hex(iova)} is mapped, but translate says that it is not`)
    const phys = wanted.phys + Number(iova % BigInt(this.granule))
    if (found.frame * PAGE_SIZE + found.offset !== phys) {
      broken(
        `${hex(iova)} is translated to ${addressOf(found)}, but mapped to 0x${phys.toString(16)}`,
      )
    }
    checkProt(iova, found.prot, wanted.prot)
    this.#checkPage(iova, phys, found.lg2)
  }

  #checkFrames(framesAt: FramesAt, iova: bigint, bytes: number): void {
    const first = this.#index(iova)
    const physOf = (i: number): number => this.#held.get(first + i)?.phys ?? 0
    const offset = physOf(0) % PAGE_SIZE
    const n = Math.ceil((offset + bytes) / PAGE_SIZE)
    const frames = new Uint32Array(n + BEFORE).fill(OTHER_FRAME)
    framesAt(hiOf(iova), loOf(iova), offset, frames, BEFORE, n)
    for (let i = 0; i < n; i++) {
      const at = Math.max(i * PAGE_SIZE - offset, 0)
      const wanted = Math.floor(physOf(at / this.granule) / PAGE_SIZE)
      if (frames[BEFORE + i] === wanted) continue
      broken(
        `framesAt tells frame ${frames[BEFORE + i]} for ${hex(iova + BigInt(at))}, which is mapped to frame ${wanted}`,
      )
    }
  }

  /** What translate says of the page around the IOVA must be true of all of it. */
  #checkPage(iova: bigint, phys: number, lg2: number): void {
    if (!this.sizes.includes(lg2)) {
      broken(`translate of ${hex(iova)} tells a page of 2^${lg2} bytes, no size of the domain`)
    }
    const bytes = 2 ** lg2
    const inPage = Number(iova % BigInt(bytes))
    for (const edge of [0, bytes - this.granule]) {
      const at = iova - BigInt(inPage) + BigInt(edge)
      const wanted = phys - inPage + edge
      if (this.#held.get(this.#index(at))?.phys === wanted) continue
      broken(
        `translate of ${hex(iova)} tells a page of 2^${lg2} bytes, but ${hex(at)} is not mapped to 0x${wanted.toString(16)}`,
      )
    }
  }

  #index(iova: bigint): number {
    return Number(iova / BigInt(this.granule))
  }
}

/** The last page that `translate` was asked for, as lg2 of its bytes; the IOVA is mapped. */
export function pageLg2(domain: PagingDomain, iova: bigint): number {
  const found = new Translation()
  if (!domain.translate(hiOf(iova), loOf(iova), found)) broken(`${hex(iova)} is not mapped`)
  return found.lg2
}

/** Frame numbers that follow one another. */
export function run(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i)
}

export function hex(value: bigint): string {
  return `0x${value.toString(16)}`
}

function u64(hi: number, lo: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
}

function addressOf({ frame, offset }: Translation): string {
  return `0x${(frame * PAGE_SIZE + offset).toString(16)}`
}

/** More than asked may be readable, as hardware has it that cannot forbid it; never writable. */
function checkProt(iova: bigint, prot: number, wanted: number): void {
  if ((prot & wanted) !== wanted) {
    broken(`${hex(iova)} is mapped with permissions ${wanted}, but translate tells ${prot}`)
  }
  if ((prot & ~wanted & AREA_WRITE) !== 0) {
    broken(`${hex(iova)} is mapped for reading, but translate tells that it can be written`)
  }
}

function checkGather(gather: IotlbGather, iova: bigint, last: bigint): void {
  if (gather.isEmpty) broken(`unmap of ${hex(iova)} has added nothing to the gather`)
  const gatherFirst = u64(gather.startHi, gather.startLo)
  const gatherLast = u64(gather.lastHi, gather.lastLo)
  if (gatherFirst <= iova && gatherLast >= last) return
  broken(
    `unmap has taken [${hex(iova)}, ${hex(last)}], but gathered [${hex(gatherFirst)}, ${hex(gatherLast)}]`,
  )
}
