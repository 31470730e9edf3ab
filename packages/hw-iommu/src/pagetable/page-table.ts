// SPDX-License-Identifier: Apache-2.0
/**
 * One page table: its geometry, its tables in memory, and translation (SPEC section 9).
 *
 * Invariant: the words in the arena are the hardware's; nothing else is kept of what is mapped.
 * Addresses cross calls as two int32 words; results wider than an int32 are left in fields.
 */
import { ENOMEM } from '@iommufd/uapi'
import { TableArena } from './arena.js'
import { bitsAt, hasBitsFrom } from './bits.js'
import {
  levelLg2,
  type PageTableConfig,
  type PageTableFormat,
  PT_READ,
  PT_WRITE,
  type PtFeature,
} from './format.js'
import { Layout } from './layout.js'
import { readAndClearDirty, setDirty } from './pt-dirty.js'
import { readFrames } from './pt-frames.js'
import { mapRange } from './pt-map.js'
import { mapFrames } from './pt-map-frames.js'
import { unmapRange } from './pt-unmap.js'

/** What createPageTable has made of a configuration. */
export interface Geometry {
  readonly features: ReadonlySet<PtFeature>
  readonly maxVaszLg2: number
  readonly topLevel: number
  readonly pageSizes: bigint
}

/** Called for each page that was written: its first IOVA and the lg2 of its bytes. */
export type ReportDirty = (iovaHi: number, iovaLo: number, lg2: number) => void

/** 0, or -ENOMEM: there is no memory for another table. */
export type MayAllocate = () => number

export class PageTable {
  readonly format: PageTableFormat
  readonly config: PageTableConfig
  /** Those that are in force. */
  readonly features: readonly PtFeature[]
  readonly featureSet: ReadonlySet<PtFeature>
  /** Bits of input and of output addresses. */
  readonly maxVaszLg2: number
  readonly maxOaszLg2: number
  readonly arena: TableArena = new TableArena()
  /** The level of the top table, and its number in the arena. */
  topLevel: number
  top: number
  /** Bits of input addresses that the top table covers now. */
  vaszLg2 = 0
  /** Bits of an index of the top table, which can have fewer words than others. */
  topMask = 0
  /** The page sizes as two words, and whether addresses are sign extended. */
  pageSizesHi = 0
  pageSizesLo = 0
  /** Sizes of pages of level 0. */
  smallSizes = 0
  readonly isSignExtended: boolean
  readonly isGrowing: boolean
  /** What words look like. */
  readonly layout: Layout
  /** Bytes that the last map or unmap dealt with. */
  doneHi = 0
  doneLo = 0
  /** What the last walk that found a page found: the address and the lg2 of the page's bytes. */
  physHi = 0
  physLo = 0
  lg2 = 0
  #leafHi = 0
  #leafLo = 0
  /** Tables that were unlinked and may still be cached by the hardware, until releaseTables. */
  readonly unlinked: number[] = []
  readonly #mayAllocate: MayAllocate

  constructor(
    format: PageTableFormat,
    config: PageTableConfig,
    geometry: Geometry,
    mayAllocate: MayAllocate,
  ) {
    this.format = format
    this.config = config
    this.featureSet = geometry.features
    this.features = [...geometry.features]
    this.maxVaszLg2 = geometry.maxVaszLg2
    this.maxOaszLg2 = config.maxOaszLg2
    this.isSignExtended = geometry.features.has('SIGN_EXTEND')
    this.isGrowing = geometry.features.has('DYNAMIC_TOP')
    this.#mayAllocate = mayAllocate
    const encryptionHi = Number((config.encryptionMask ?? 0n) >> 32n)
    this.layout = new Layout(format, geometry.features, encryptionHi)
    this.narrowPageSizes(geometry.pageSizes)
    this.topLevel = geometry.topLevel
    this.top = this.arena.allocate()
    this.setTop(this.top, geometry.topLevel)
  }

  /** Page sizes in force: bit n for 2^n bytes. */
  get pageSizes(): bigint {
    return (BigInt(this.pageSizesHi) << 32n) | BigInt(this.pageSizesLo >>> 0)
  }

  get apertureStart(): bigint {
    return 0n
  }

  /** Last IOVA of the domain's geometry, which of sign extended tables is the lower half. */
  get apertureLast(): bigint {
    return (1n << BigInt(this.maxVaszLg2 - (this.isSignExtended ? 1 : 0))) - 1n
  }

  /** Physical address, in bytes, of the top table. */
  get topAddress(): bigint {
    return this.arena.base + BigInt(this.top) * 4096n
  }

  /** What a driver programs beside the address of the top table, by the kernel's names. */
  driverTop(): Readonly<Record<string, number>> {
    return this.format.driverTop(this.topLevel)
  }

  /** Leaves only these of the page sizes, as drivers do whose hardware cannot have all. */
  narrowPageSizes(bitmap: bigint): void {
    this.pageSizesHi = Number(BigInt.asIntN(32, bitmap >> 32n))
    this.pageSizesLo = Number(BigInt.asIntN(32, bitmap))
    this.smallSizes = this.pageSizesLo & ((1 << levelLg2(this.format, 1)) - 1)
  }

  /**
   * Maps `length` bytes at the IOVA to the physical address on, in the largest pages that fit; both
   * addresses and the length are multiples of the smallest. `prot` is PT_*. 0; -EINVAL (neither read
   * nor write, length 0, flags that the format cannot say), -ERANGE (an address too wide),
   * -EOVERFLOW (the IOVAs wrap), -ENXIO (no page size fits), -EADDRINUSE (a page is mapped already),
   * -ENOMEM. `doneHi`, `doneLo` are the bytes mapped, and they stay mapped on failure.
   */
  map(
    iovaHi: number,
    iovaLo: number,
    paddrHi: number,
    paddrLo: number,
    lengthHi: number,
    lengthLo: number,
    prot: number,
  ): number {
    return mapRange(this, iovaHi, iovaLo, paddrHi, paddrLo, lengthHi, lengthLo, prot)
  }

  /**
   * Maps `bytes` bytes, below 2^31 and a multiple of the smallest page, at the IOVA: from byte
   * `offset` of frame `frames[at]` on, then `frames[at + 1]`, …, each of 4 KiB. Frames that follow
   * one another are mapped in the largest pages that fit or, without `largePages`, frame by frame.
   * Else as map.
   */
  mapFrames(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    offset: number,
    bytes: number,
    prot: number,
    largePages = true,
  ): number {
    return mapFrames(this, iovaHi, iovaLo, frames, at, offset, bytes, prot, largePages)
  }

  /**
   * Takes out the pages of `length` bytes from the IOVA on, until the first hole; a page in which
   * the range ends goes whole, one in which it starts stops it. `doneHi`, `doneLo` are the bytes.
   */
  unmap(iovaHi: number, iovaLo: number, lengthHi: number, lengthLo: number): void {
    unmapRange(this, iovaHi, iovaLo, lengthHi, lengthLo)
  }

  /** Sets the dirty bit of the word that translates the IOVA: 0, -ENOENT (a hole), -ERANGE. */
  setDirty(iovaHi: number, iovaLo: number): number {
    return setDirty(this, iovaHi, iovaLo)
  }

  /**
   * Reports the pages of the range that were written, in order, and clears their dirty bits unless
   * `noClear`: 0, -EOPNOTSUPP (the format has none), -ERANGE, -EINVAL, -EOVERFLOW.
   */
  readAndClearDirty(
    iovaHi: number,
    iovaLo: number,
    lengthHi: number,
    lengthLo: number,
    noClear: boolean,
    report: ReportDirty,
  ): number {
    return readAndClearDirty(this, iovaHi, iovaLo, lengthHi, lengthLo, noClear, report)
  }

  /** Whether a page is mapped at the IOVA; then `physHi`, `physLo`, `lg2` and `prot` tell of it. */
  walk(iovaHi: number, iovaLo: number): boolean {
    if (!this.isInRange(iovaHi, iovaLo, iovaHi, iovaLo)) return false
    const { presentLo, tableMaskLo, granuleLg2, tableLo, fieldLg2, runHi, runLo } = this.layout
    const { words, baseFrame } = this.arena
    let table = this.top
    let mask = this.topMask
    for (let level = this.topLevel; ; level--) {
      const lg2 = granuleLg2 + 9 * level
      const bits = lg2 < 32 ? (iovaLo >>> lg2) | (iovaHi << (32 - lg2)) : iovaHi >>> (lg2 - 32)
      const at = (table << 10) | ((bits & mask) << 1)
      const lo = (words[at] as number) | 0
      if ((lo & presentLo) === 0) return false
      const hi = (words[at + 1] as number) | 0
      if (level === 0 || ((lo ^ (tableLo[level] as number)) & tableMaskLo) !== 0) {
        const isRun = ((lo & runLo) | (hi & runHi)) !== 0
        this.#found(iovaHi, iovaLo, isRun ? this.format.sizeOf(level, hi, lo) : lg2, hi, lo)
        return true
      }
      const granule = (lo >>> fieldLg2) | (hi << (32 - fieldLg2))
      table = ((granule >>> (12 - granuleLg2)) - baseFrame) | 0
      mask = 511
    }
  }

  /**
   * Writes the frames of `n` pages of memory to `frames[at…]`: of the one whose byte `offset` is
   * mapped at the IOVA, and of those mapped behind it: whether all are mapped.
   */
  framesAt(
    iovaHi: number,
    iovaLo: number,
    offset: number,
    frames: Uint32Array,
    at: number,
    n: number,
  ): boolean {
    return readFrames(this, iovaHi, iovaLo, offset, frames, at, n)
  }

  /** PT_READ and PT_WRITE of the page that the last walk found. */
  get prot(): number {
    const { readable, writable } = this.format
    const isReadable = ((this.#leafHi & readable.hi) | (this.#leafLo & readable.lo)) !== 0
    const isWritable = ((this.#leafHi & writable.hi) | (this.#leafLo & writable.lo)) !== 0
    return (isReadable ? PT_READ : 0) | (isWritable ? PT_WRITE : 0)
  }

  /** Whether the top table covers all of [iova, last]. */
  isInRange(iovaHi: number, iovaLo: number, lastHi: number, lastLo: number): boolean {
    const { vaszLg2 } = this
    if (!this.isSignExtended) return !hasBitsFrom(lastHi, lastLo, vaszLg2)
    // The bits above the address are copies of its first; of the last IOVA only they count.
    const isUpper = hasBitsFrom(iovaHi, iovaLo, vaszLg2 - 1)
    return isUpper ? !hasBitsFrom(~iovaHi, ~iovaLo, vaszLg2) : !hasBitsFrom(lastHi, lastLo, vaszLg2)
  }

  /** lg2 of the largest page size for addresses with these bits, ORed, and this many bytes; or -1. */
  bestPageSize(bitsHi: number, bitsLo: number, lengthHi: number, lengthLo: number): number {
    const aligned =
      bitsLo === 0
        ? bitsHi === 0
          ? 63
          : 63 - Math.clz32(bitsHi & -bitsHi)
        : 31 - Math.clz32(bitsLo & -bitsLo)
    const fits = lengthHi === 0 ? 31 - Math.clz32(lengthLo) : 63 - Math.clz32(lengthHi)
    const most = Math.min(aligned, fits)
    if (most >= 32) {
      const sizes = this.pageSizesHi & ((2 << (most - 32)) - 1)
      if (sizes !== 0) return 63 - Math.clz32(sizes)
    }
    const sizes = most >= 31 ? this.pageSizesLo : this.pageSizesLo & ((2 << most) - 1)
    return sizes === 0 ? -1 : 31 - Math.clz32(sizes)
  }

  /** Where in a table of `level` the word lies that translates the address. */
  indexIn(level: number, hi: number, lo: number): number {
    const mask = level === this.topLevel ? this.topMask : 511
    return bitsAt(hi, lo, this.layout.granuleLg2 + 9 * level) & mask
  }

  /** The number of the table that a word leads to. */
  tableOf(hi: number, lo: number): number {
    const { fieldLg2, granuleLg2 } = this.layout
    const granule = (lo >>> fieldLg2) | (hi << (32 - fieldLg2))
    return ((granule >>> (12 - granuleLg2)) - this.arena.baseFrame) | 0
  }

  /** Whether a word of `level` that is not empty leads to a table. */
  isTable(level: number, lo: number): boolean {
    const { tableLo, tableMaskLo } = this.layout
    return level > 0 && ((lo ^ (tableLo[level] as number)) & tableMaskLo) === 0
  }

  /** A new table, linked from the word at `at` of `level`: its number, or -ENOMEM. */
  addTable(at: number, level: number): number {
    if (this.#mayAllocate() < 0) return -ENOMEM
    const table = this.arena.allocate()
    this.linkTable(at, level, table)
    return table
  }

  /** A table that is not linked yet: its number, or -ENOMEM. */
  allocateTable(): number {
    return this.#mayAllocate() < 0 ? -ENOMEM : this.arena.allocate()
  }

  linkTable(at: number, level: number, table: number): void {
    const { fieldLg2, granuleLg2, tableHi, tableLo } = this.layout
    const granule = (this.arena.baseFrame + table) << (12 - granuleLg2)
    const { words } = this.arena
    words[at] = (granule << fieldLg2) | (tableLo[level] as number)
    words[at + 1] = (granule >>> (32 - fieldLg2)) | (tableHi[level] as number)
  }

  setTop(table: number, level: number): void {
    this.top = table
    this.topLevel = level
    this.vaszLg2 = Math.min(this.maxVaszLg2, levelLg2(this.format, level + 1))
    this.topMask = (1 << (this.vaszLg2 - levelLg2(this.format, level))) - 1
  }

  /** Ends the tables that were unlinked: no hardware caches anything of them any more. */
  releaseTables(): void {
    for (let table = this.unlinked.pop(); table !== undefined; table = this.unlinked.pop()) {
      this.arena.free(table)
    }
  }

  #found(iovaHi: number, iovaLo: number, lg2: number, hi: number, lo: number): void {
    const { shift, fieldHi, fieldLo } = this.layout
    const inPageHi = lg2 > 32 ? (1 << (lg2 - 32)) - 1 : 0
    const inPageLo = lg2 >= 32 ? -1 : (1 << lg2) - 1
    const highField = hi & fieldHi
    const lowField = lo & fieldLo
    const high = shift === 0 ? highField : addressHi(highField, lowField, shift)
    const low = shift === 0 ? lowField : addressLo(highField, lowField, shift)
    this.physHi = (high & ~inPageHi) | (iovaHi & inPageHi)
    this.physLo = (low & ~inPageLo) | (iovaLo & inPageLo)
    this.lg2 = lg2
    this.#leafHi = hi
    this.#leafLo = lo
  }
}

/** The address in the field of a word, whose bits stand `shift` places higher. */
function addressHi(hi: number, lo: number, shift: number): number {
  if (shift === 0) return hi
  return shift > 0 ? hi >>> shift : (hi << -shift) | (lo >>> (32 + shift))
}

function addressLo(hi: number, lo: number, shift: number): number {
  if (shift === 0) return lo
  return shift > 0 ? (lo >>> shift) | (hi << (32 - shift)) : lo << -shift
}
