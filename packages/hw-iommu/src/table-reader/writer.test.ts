// SPDX-License-Identifier: Apache-2.0
//
// The tables that this package writes, read by the reader, which knows nothing of the writer, against a plain list of pages.

import { EADDRINUSE } from '@iommufd/uapi'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import {
  createPageTable,
  type PageTable,
  type PageTableConfig,
  PT_READ,
  PT_WRITE,
  pageTableFormats,
} from '../pagetable/index.js'
import {
  decodeWord,
  formatFinding,
  readTable,
  type TableFormatName,
  type TableMemory,
  translate,
  walkTable,
} from './index.js'

// hundreds of runs: a busy machine needs its time
vi.setConfig({ testTimeout: 60_000 })

const amd: PageTableConfig['features'] = [
  'DYNAMIC_TOP',
  'AMDV1_ENCRYPT_TABLES',
  'AMDV1_FORCE_COHERENCE',
]
const riscv: PageTableConfig['features'] = ['SIGN_EXTEND', 'DETAILED_GATHER', 'RISCV_SVNAPOT_64K']
const bits = (maxVaszLg2: number, maxOaszLg2: number) => ({ maxVaszLg2, maxOaszLg2 })

const tables: readonly [string, TableFormatName, PageTableConfig][] = [
  ['of 64 bits', 'amdv1', { features: amd, topLevel: 2, ...bits(64, 52) }],
  [
    'encrypted',
    'amdv1',
    { features: amd, topLevel: 2, ...bits(48, 52), encryptionMask: 1n << 47n },
  ],
  ['of half pages', 'amdv1_mock', { features: [], topLevel: 2, ...bits(56, 51) }],
  ['of 4 levels', 'x86_64', { features: ['SIGN_EXTEND'], topLevel: 3, ...bits(48, 52) }],
  ['of 5 levels, unsigned', 'x86_64', { features: [], topLevel: 4, ...bits(56, 52) }],
  ['of 3 levels', 'vtdss', { features: [], topLevel: 2, ...bits(39, 52) }],
  ['of 5 levels', 'vtdss', { features: ['DMA_INCOHERENT'], topLevel: 4, ...bits(57, 52) }],
  ['Sv39', 'riscv64', { features: riscv, ...bits(39, 56) }],
  ['Sv57', 'riscv64', { features: riscv, ...bits(57, 56) }],
]

function make(format: TableFormatName, config: PageTableConfig): PageTable {
  const table = createPageTable(pageTableFormats[format], config)
  if (typeof table === 'number') throw new Error(`no table: ${table}`)
  return table
}

function memoryOf(table: PageTable, format: TableFormatName): TableMemory {
  return {
    format,
    topLevel: table.topLevel,
    topAddress: table.topAddress,
    vaBits: table.maxVaszLg2,
    signExtended: table.features.includes('SIGN_EXTEND'),
    encryptionMask: table.config.encryptionMask ?? 0n,
    base: table.arena.base,
    bytes: table.arena.bytes(),
  }
}

const hi = (value: bigint) => Number(BigInt.asIntN(32, value >> 32n))
const lo = (value: bigint) => Number(BigInt.asIntN(32, value))
const done = ({ doneHi, doneLo }: PageTable) => (BigInt(doneHi >>> 0) << 32n) | BigInt(doneLo >>> 0)

interface Page {
  readonly va: bigint
  readonly bytes: bigint
  readonly pa: bigint
  readonly read: boolean
  readonly write: boolean
}

/** A list of pages, and the rules of mapping and unmapping on it. */
class PageList {
  readonly pages = new Map<bigint, Page>()
  readonly #sizes: readonly bigint[]

  constructor(pageSizes: bigint) {
    const all = Array.from({ length: 64 }, (_, lg2) => 1n << BigInt(lg2))
    this.#sizes = all.filter((size) => (pageSizes & size) !== 0n).reverse()
  }

  /** The largest page at each place, until one is taken. Returns the bytes mapped. */
  map(
    iova: bigint,
    paddr: bigint,
    length: bigint,
    permissions: Pick<Page, 'read' | 'write'>,
  ): bigint {
    for (let at = 0n; at < length; ) {
      const fits = (size: bigint) =>
        (iova + at) % size === 0n && (paddr + at) % size === 0n && size <= length - at
      const bytes = this.#sizes.find(fits) as bigint
      if (this.isTaken(iova + at, bytes)) return at
      this.pages.set(iova + at, { va: iova + at, bytes, pa: paddr + at, ...permissions })
      at += bytes
    }
    return length
  }

  /** Whole pages from `iova` on until the range ends or a hole comes. Returns the bytes unmapped. */
  unmap(iova: bigint, length: bigint): bigint {
    let at = 0n
    while (at < length) {
      const page = this.pages.get(iova + at)
      if (page === undefined) break
      this.pages.delete(page.va)
      at += page.bytes
    }
    return at
  }

  isTaken(va: bigint, bytes: bigint): boolean {
    for (const page of this.pages.values()) {
      if (page.va < va + bytes && va < page.va + page.bytes) return true
    }
    return false
  }

  sorted(): Page[] {
    return [...this.pages.values()].sort((a, b) => (a.va < b.va ? -1 : 1))
  }
}

/** What the reader sees: every page once, and the number of tables. */
function readPages(memory: TableMemory): { pages: Page[]; tables: number } {
  const { entries, findings } = readTable(memory)
  expect(findings).toEqual([])
  const pages = new Map<bigint, Page>()
  let tables = 1
  for (const { level, va, word, kind, lg2 } of entries) {
    if (kind === 'table') tables++
    else {
      const { address, read, write } = decodeWord(memory.format, level, word, memory.encryptionMask)
      const first = va - (va % (1n << BigInt(lg2)))
      pages.set(first, { va: first, bytes: 1n << BigInt(lg2), pa: address, read, write })
    }
  }
  return { pages: [...pages.values()].sort((a, b) => (a.va < b.va ? -1 : 1)), tables }
}

interface Step {
  readonly isMap: boolean
  /** which of a few places, so that steps meet */
  readonly place: number
  readonly unit: number
  readonly offset: number
  readonly count: number
  readonly paddr: bigint
  readonly prot: number
}

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    isMap: fc.integer({ min: 0, max: 2 }).map((value) => value > 0),
    place: fc.nat(3),
    unit: fc.nat(),
    offset: fc.nat(40),
    count: fc.integer({ min: 1, max: 40 }),
    // below the bit that marks encrypted memory
    paddr: fc.bigInt({ min: 0n, max: 2n ** 46n }),
    prot: fc.constantFrom(PT_READ, PT_WRITE, PT_READ | PT_WRITE),
  }),
  { minLength: 1, maxLength: 25 },
)
const places = fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { minLength: 2, maxLength: 2 })

describe.each(tables)('section 9: a table %s in %s', (_, format, config) => {
  /** What a leaf permits that was asked for `prot`. */
  const permissionsOf = (prot: number) => {
    const write = (prot & PT_WRITE) !== 0
    const readsAnyway = format === 'x86_64' || (format === 'riscv64' && write)
    return { read: readsAnyway || (prot & PT_READ) !== 0, write }
  }

  test('any sequence of maps and unmaps is read as the list of its pages', () => {
    fc.assert(
      fc.property(steps, places, (sequence, anywhere) => {
        const table = make(format, config)
        const list = new PageList(table.pageSizes)
        const space = new Space(table)
        const all = Array.from({ length: 52 }, (_, lg2) => 1n << BigInt(lg2))
        const sizes = all.filter((size) => (table.pageSizes & size) !== 0n && size < 1n << 32n)
        for (const step of sequence) {
          const unit = sizes[step.unit % sizes.length] as bigint
          const length = unit * BigInt(step.count)
          const place = [0n, space.last, ...anywhere][step.place] as bigint
          const iova = space.place(place, unit, BigInt(step.offset), length)
          if (step.isMap) {
            const paddr = step.paddr - (step.paddr % unit)
            const words = [
              hi(iova),
              lo(iova),
              hi(paddr),
              lo(paddr),
              hi(length),
              lo(length),
            ] as const
            const ret = table.map(...words, step.prot)
            const mapped = list.map(iova, paddr, length, permissionsOf(step.prot))
            expect(ret).toBe(mapped === length ? 0 : -EADDRINUSE)
            expect(done(table)).toBe(mapped)
          } else {
            table.unmap(hi(iova), lo(iova), hi(length), lo(length))
            const isInside = space.isTranslated(iova + length - 1n)
            expect(done(table)).toBe(isInside ? list.unmap(iova, length) : 0n)
          }
          table.releaseTables()
        }
        const memory = memoryOf(table, format)
        const { pages, tables } = readPages(memory)
        expect(pages).toEqual(list.sorted())
        expect(tables).toBe(table.arena.tables)
        for (const { va, bytes, pa, read, write } of pages) {
          const found = { phys: pa + bytes - 1n, read, write }
          expect(translate(memory, va + bytes - 1n)).toMatchObject(found)
        }
      }),
      { numRuns: 40 },
    )
  })

  test.each([false, true])(
    'bytes of tables for each page of 4 KiB; scattered: %s',
    (isScattered) => {
      const table = make(format, config)
      const base = 16n * GIGABYTE
      if (isScattered) mapScattered(table, base)
      else {
        table.narrowPageSizes(4096n)
        table.map(hi(base), lo(base), 1, 0, hi(GIGABYTE), lo(GIGABYTE), PT_READ)
      }
      let words = 0
      const memory = memoryOf(table, format)
      walkTable(
        memory,
        ({ kind }) => {
          if (kind === 'leaf') words++
        },
        (finding) => expect.fail(formatFinding(finding)),
      )
      // the mock has two words for 4 KiB
      const wordsEach = format === 'amdv1_mock' ? 2 : 1
      expect(words).toBe(PAGES * wordsEach)
      expect(memory.bytes.length / PAGES).toBeLessThanOrEqual(8.1 * wordsEach)
    },
  )
})

const GIGABYTE = 1n << 30n
const PAGES = 1 << 18

/** Maps a gigabyte, page by page in a wild order, on frames that are never next to each other. */
function mapScattered(table: PageTable, base: bigint): void {
  const [baseHi, baseLo] = [hi(base), lo(base)]
  for (let at = 0; at < PAGES; at++) {
    const page = (at * 40503) % PAGES
    const ret = table.map(baseHi, baseLo | (page << 12), 1, (at * 3) << 12, 0, 4096, PT_READ)
    if (ret !== 0) throw new Error(`not mapped: ${ret}`)
  }
}

/** The addresses that a table can have. */
class Space {
  readonly #table: PageTable
  /** bits below the sign, if there is one */
  readonly #bits: bigint
  readonly #isSigned: boolean

  constructor(table: PageTable) {
    this.#table = table
    this.#isSigned = table.features.includes('SIGN_EXTEND')
    this.#bits = BigInt(table.maxVaszLg2 - (this.#isSigned ? 1 : 0))
  }

  get last(): bigint {
    return (1n << this.#bits) - 1n
  }

  /** A multiple of `unit` near `where`, from which `length` bytes are within the space, or its upper half. */
  place(where: bigint, unit: bigint, offset: bigint, length: bigint): bigint {
    const size = 1n << this.#bits
    const inside = where % size
    const first = inside - (inside % unit) + unit * offset
    const start = first + length > size ? size - length : first
    const isUpper = this.#isSigned && where >> 63n === 1n
    return isUpper ? start + 2n ** 64n - size : start
  }

  /** Whether the present top table covers the address. */
  isTranslated(address: bigint): boolean {
    if (this.#isSigned) return true
    const { topLevel, format } = this.#table
    return address >> BigInt(format.granuleLg2 + 9 * (topLevel + 1)) === 0n
  }
}
