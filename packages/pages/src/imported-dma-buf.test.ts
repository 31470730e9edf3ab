// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { Access } from '../test/access.js'
import { Exporter, REGISTERS } from '../test/dma-buf.js'
import { TestDomain } from '../test/domain.js'
import {
  boot,
  FIXED,
  MEMORY,
  must,
  outcomeOf,
  PAGE,
  Program,
  READ,
  RW,
  RW_FIXED,
  type World,
  WRITE,
} from '../test/harness.js'
import { snapshot } from '../test/snapshot.js'
import { hi, lo, U64_MAX } from '../test/u64.js'
import { splitAfter } from './area-split.js'
import { addDomain, removeDomain } from './iopt-domains.js'
import { RW_WRITE } from './pages-rw.js'

const IOVA = 0x10_0000n
const NPAGES = 4
const page = (n: number): bigint => IOVA + BigInt(n * PAGE)

/** Two address spaces, and a dma-buf of four pages in a program that may pin nothing. */
class Scene {
  readonly world: World = boot()
  readonly program: Program
  readonly exporter: Exporter
  readonly fd: number
  readonly id: number
  readonly other: number

  constructor(rlimitMemlock = 0) {
    this.program = Program.start(this.world, { uid: 1000, rlimitMemlock })
    const { exporter, fd } = Exporter.open(this.program.process, NPAGES)
    this.exporter = exporter
    this.fd = fd
    this.id = this.program.alloc()
    this.other = this.program.alloc()
  }

  map(
    iova = IOVA,
    length: number | bigint = NPAGES * PAGE,
    start: number | bigint = 0,
    flags = RW,
  ) {
    const values = { ioas_id: this.id, fd: this.fd, length, start, iova }
    return this.program.mapFile({ ...values, flags: flags | FIXED }).outcome
  }

  /** All of the first address space's dma-buf also in the other. */
  copy(iova = IOVA, flags = RW): string {
    const ids = { src_ioas_id: this.id, dst_ioas_id: this.other }
    const range = { src_iova: IOVA, dst_iova: iova, length: NPAGES * PAGE }
    return this.program.copy({ ...ids, ...range, flags: flags | FIXED }).outcome
  }

  domain(id = this.id, granule = PAGE): TestDomain {
    const domain = new TestDomain(this.world, granule)
    must(addDomain(this.program.ioas(id).iopt, domain))
    return domain
  }

  removeDomain(domain: TestDomain, id = this.id): void {
    removeDomain(this.program.ioas(id).iopt, domain)
    expect(domain.entries.size).toBe(0)
  }

  /** The areas of the first address space, in pages from IOVA on. */
  areas(id = this.id): string {
    const { areas } = this.program.ioas(id).iopt
    const parts: string[] = []
    const base = Number(IOVA) / PAGE
    for (let pos = areas.first(); pos >= 0; pos = areas.next(pos)) {
      parts.push(`${areas.startPage(pos) - base}-${areas.lastPage(pos) + 1 - base}`)
    }
    return parts.join(' ')
  }

  /** Nothing is pinned or charged, whatever is mapped. */
  expectNoPins(): void {
    const { mm, user } = this.program.process
    expect([this.world.machine.pinnedFrames, mm.pinnedVm, mm.lockedVm, user.lockedVm]).toEqual(
      Array(4).fill(0),
    )
    expect(this.world.tables.pages.pinnedCount).toBe(0)
  }
}

/** The frames that a domain maps, from the first IOVA on. */
function framesOf(domain: TestDomain): number[] {
  const iovas = [...domain.entries.keys()].sort((a, b) => (a < b ? -1 : 1))
  return iovas.map((iova) => domain.frameAt(iova) - REGISTERS)
}

describe('L8: a dma-buf is mapped', () => {
  test('domains map where the exporter has it; nothing is pinned or charged', () => {
    const s = new Scene()
    const early = s.domain()
    expect(s.map(IOVA, 2 * PAGE, PAGE)).toBe('ok')
    const late = s.domain()
    expect([framesOf(early), framesOf(late)]).toEqual([
      [1, 2],
      [1, 2],
    ])
    s.expectNoPins()
    s.removeDomain(early)
    expect(framesOf(late)).toEqual([1, 2])
    s.removeDomain(late)
    const again = s.domain()
    expect(framesOf(again)).toEqual([1, 2])
    expect(s.program.unmap(s.id, IOVA, 2 * PAGE).outcome).toBe('ok')
    expect(again.entries.size).toBe(0)
    expect(s.exporter.importers.size).toBe(0)
  })

  test('parts of pages', () => {
    const s = new Scene()
    const domain = s.domain(s.id, 1024)
    expect(s.map(IOVA + 0x400n, PAGE, 0xc00)).toBe('ok')
    expect([...domain.entries.keys()]).toEqual(
      [0x400n, 0x800n, 0xc00n, 0x1000n].map((o) => IOVA + o),
    )
    expect([...domain.entries.values()].map((at) => at - REGISTERS * PAGE)).toEqual([
      0xc00, 0x1000, 0x1400, 0x1800,
    ])
  })

  test('more pages than a batch has', () => {
    const s = new Scene()
    const { exporter, fd } = Exporter.open(s.program.process, 20_000)
    const values = { flags: RW_FIXED, ioas_id: s.id, iova: IOVA, length: 20_000 * PAGE, fd }
    const domain = s.domain()
    expect(s.program.mapFile(values).outcome).toBe('ok')
    expect([domain.entries.size, domain.frameAt(page(19_999))]).toEqual([
      20_000,
      REGISTERS + 19_999,
    ])
    exporter.revoke()
    expect(domain.entries.size).toBe(0)
  })

  test('anywhere, at an IOVA that suits the offset', () => {
    const s = new Scene()
    const values = { flags: RW, ioas_id: s.id, fd: s.fd, start: 0x1800, length: 0x1000 }
    expect(s.program.mapFile(values).iova).toBe(0x1800n)
  })

  test('the file lives as long as something is mapped, and the attachment too', () => {
    const s = new Scene()
    expect([s.map(), s.copy()]).toEqual(['ok', 'ok'])
    expect(s.exporter.importers.size).toBe(1)
    must(s.program.process.close(s.fd))
    expect(s.program.unmap(s.id, 0, U64_MAX).outcome).toBe('ok')
    expect([s.exporter.importers.size, s.exporter.isReleased]).toEqual([1, false])
    s.program.close()
    expect([s.exporter.importers.size, s.exporter.isReleased]).toEqual([0, true])
  })

  test('a domain maps it also after the process that mapped it has ended', () => {
    const s = new Scene()
    const heir = s.program.fork()
    expect(s.map()).toBe('ok')
    s.program.process.exit()
    const domain = new TestDomain(s.world)
    must(addDomain(heir.ioas(s.id).iopt, domain))
    expect(framesOf(domain)).toEqual([0, 1, 2, 3])
    expect(heir.unmap(s.id, 0, U64_MAX).outcome).toBe('ok')
    expect([domain.entries.size, s.exporter.importers.size]).toEqual([0, 0])
  })

  test('what is refused leaves no attachment and no file behind', () => {
    const s = new Scene()
    const second = s.domain(s.id, 2048)
    expect(s.map()).toBe('ok')
    const before = snapshot(s.world)
    expect(s.map(page(1))).toBe('EEXIST AREA_OVERLAPS')
    expect(s.map(page(8), 1)).toBe('EINVAL LENGTH_MISALIGNED')
    second.broken = page(10)
    expect(s.map(page(8))).toBe('EADDRINUSE TEST_ENTRY_IN_USE')
    expect(snapshot(s.world)).toEqual(before)
    expect(s.exporter.importers.size).toBe(1)
    must(s.program.process.close(s.fd))
    expect(s.program.unmap(s.id, 0, U64_MAX).outcome).toBe('ok')
    expect(s.exporter.isReleased).toBe(true)
  })

  test('what the second domain refuses is taken out of the first', () => {
    const s = new Scene()
    const [first, second] = [s.domain(), s.domain()]
    second.broken = page(2)
    expect(s.map()).toBe('EADDRINUSE TEST_ENTRY_IN_USE')
    expect([first.entries.size, second.entries.size]).toEqual([0, 0])
  })
})

test('L8: a page that cannot be mapped takes those of the batches before it out again', () => {
  const s = new Scene()
  const { exporter, fd } = Exporter.open(s.program.process, 20_000)
  const domain = s.domain()
  domain.broken = page(19_999)
  const values = { flags: RW_FIXED, ioas_id: s.id, iova: IOVA, length: 20_000 * PAGE, fd }
  expect(s.program.mapFile(values).outcome).toBe('EADDRINUSE TEST_ENTRY_IN_USE')
  expect([domain.entries.size, exporter.importers.size]).toEqual([0, 0])
})

describe('L8: the size of a dma-buf', () => {
  test.each([
    ['its last byte', 4 * PAGE - 1, 1, 'ok'],
    ['one byte behind it', 4 * PAGE, 1, 'EINVAL DMABUF_TOO_SHORT'],
    ['one byte too many', 0, 4 * PAGE + 1, 'EINVAL DMABUF_TOO_SHORT'],
    ['an offset whose low word would do', 2n ** 32n, PAGE, 'EINVAL DMABUF_TOO_SHORT'],
    ['nothing', 0, 0, 'EINVAL LENGTH_UNUSABLE'],
    ['nothing behind the end', 5 * PAGE, 0, 'EINVAL LENGTH_UNUSABLE'],
    ['past the end of the 64-bit space', U64_MAX, 2, 'EOVERFLOW USER_RANGE_WRAPS'],
  ])('%s', (_what, start, length, outcome) => {
    const s = new Scene()
    expect(s.map(IOVA, length, start)).toBe(outcome)
  })

  test('more than 2^32 bytes', () => {
    const s = new Scene()
    const { fd } = Exporter.open(s.program.process, 2 ** 20 + 1)
    const values = { flags: RW_FIXED, ioas_id: s.id, fd, start: 2n ** 32n, length: PAGE }
    expect(s.program.mapFile({ ...values, iova: IOVA }).outcome).toBe('ok')
    expect(s.program.mapFile({ ...values, iova: page(1), length: PAGE + 1 }).outcome).toBe(
      'EINVAL DMABUF_TOO_SHORT',
    )
    expect(s.domain().frameAt(IOVA)).toBe(REGISTERS + 2 ** 20)
  })
})

describe('L8: a dma-buf is revoked', () => {
  test('every domain of every address space loses it, for good; the areas stay', () => {
    const s = new Scene()
    expect([s.map(), s.map(page(8), PAGE), s.copy(page(2))]).toEqual(['ok', 'ok', 'ok'])
    const domains = [s.domain(), s.domain(), s.domain(s.other, 2048)]
    expect(domains.map(({ entries }) => entries.size)).toEqual([5, 5, 8])
    s.exporter.revoke()
    expect(domains.map(({ entries }) => entries.size)).toEqual([0, 0, 0])
    expect([s.areas(), s.areas(s.other)]).toEqual(['0-4 8-9', '2-6'])
    s.exporter.isGone = false
    s.exporter.revoke()
    expect(s.copy(page(12))).toBe('ok')
    for (const domain of domains.slice(0, 2)) s.removeDomain(domain)
    expect(s.domain().entries.size).toBe(0)
    expect(s.domain().entries.size).toBe(0)
    expect(s.program.unmap(s.id, 0, U64_MAX).length).toBe(BigInt(5 * PAGE))
    expect(s.program.unmap(s.other, 0, U64_MAX).length).toBe(BigInt(8 * PAGE))
    expect(s.exporter.importers.size).toBe(0)
  })

  test('of two areas in one address space the one that is left is unmapped', () => {
    const s = new Scene()
    const domain = s.domain()
    expect(s.map()).toBe('ok')
    const ids = { src_ioas_id: s.id, dst_ioas_id: s.id }
    const range = { src_iova: IOVA, dst_iova: page(8), length: NPAGES * PAGE }
    expect(s.program.copy({ ...ids, ...range, flags: RW_FIXED }).outcome).toBe('ok')
    expect(s.program.unmap(s.id, IOVA, NPAGES * PAGE).outcome).toBe('ok')
    expect(framesOf(domain)).toEqual([0, 1, 2, 3])
    s.exporter.revoke()
    expect(domain.entries.size).toBe(0)
  })

  test('nothing else of the address space is touched', () => {
    const s = new Scene()
    const { fd } = Exporter.open(s.program.process, 1, REGISTERS + 100)
    const values = { flags: RW_FIXED, ioas_id: s.id, fd, length: PAGE }
    expect(s.map()).toBe('ok')
    expect(s.program.mapFile({ ...values, iova: page(8) }).outcome).toBe('ok')
    const domain = s.domain()
    s.exporter.revoke()
    expect(framesOf(domain)).toEqual([100])
  })

  test('while it is gone, it cannot be mapped; then it can, anew', () => {
    const s = new Scene()
    const domain = s.domain()
    expect(s.map(IOVA, PAGE)).toBe('ok')
    s.exporter.revoke()
    expect(s.map(page(8))).toBe('ENODEV DMABUF_GONE')
    s.exporter.isGone = false
    expect(s.map(page(8), PAGE)).toBe('ok')
    expect([...domain.entries.keys()]).toEqual([page(8)])
    expect(s.program.unmap(s.id, 0, U64_MAX).outcome).toBe('ok')
    expect([domain.entries.size, s.exporter.importers.size]).toEqual([0, 0])
  })

  test('its size is looked at first', () => {
    const s = new Scene()
    s.exporter.revoke()
    expect(s.map(IOVA, 5 * PAGE)).toBe('EINVAL DMABUF_TOO_SHORT')
  })
})

test('L8: memory in several places is not mapped', () => {
  const s = new Scene()
  const range = { frame: REGISTERS, npages: 2 }
  for (const ranges of [[], [range, { ...range, frame: REGISTERS + 8 }]]) {
    s.exporter.ranges = ranges
    expect(s.map()).toBe('EOPNOTSUPP DMABUF_SCATTERED')
    expect(s.world.engine.refusals.last?.sentence).toContain(`is ${ranges.length} physical`)
    expect([s.exporter.importers.size, s.world.tables.pages.count]).toEqual([0, 0])
  }
})

describe('L8: in-kernel users', () => {
  const data = new Uint8Array(2 * PAGE)

  test('neither pin it nor read or write it, revoked or not', () => {
    const s = new Scene()
    expect(s.map()).toBe('ok')
    const access = Access.attached(s.world, s.program.ioas(s.id))
    for (const step of [() => {}, () => s.exporter.revoke()]) {
      step()
      expect(access.tryPin({ start: IOVA, last: page(1) - 1n })).toBe('EINVAL DMABUF_NOT_FOR_CPU')
      expect(access.tryRw(IOVA + 5n, data)).toBe('EINVAL DMABUF_NOT_FOR_CPU')
      expect(access.tryRw(IOVA + 5n, data, RW_WRITE)).toBe('EINVAL DMABUF_NOT_FOR_CPU')
    }
    s.expectNoPins()
    access.detach()
  })

  test('permissions are looked at first', () => {
    const s = new Scene()
    expect(s.map(IOVA, PAGE, 0, READ)).toBe('ok')
    expect(s.map(page(1), PAGE, 0, WRITE)).toBe('ok')
    const access = Access.attached(s.world, s.program.ioas(s.id))
    expect(access.tryRw(IOVA, data, RW_WRITE)).toBe('EPERM ACCESS_FORBIDDEN')
    expect(access.tryPin({ start: page(1), last: page(2) - 1n }, false)).toBe(
      'EPERM ACCESS_FORBIDDEN',
    )
    access.detach()
  })

  test('what comes before it is not left pinned, and is written', () => {
    const s = new Scene(PAGE)
    must(s.program.mapAt(s.id, IOVA, PAGE, MEMORY).ret)
    expect(s.map(page(1), PAGE)).toBe('ok')
    const access = Access.attached(s.world, s.program.ioas(s.id))
    expect(access.tryPin({ start: IOVA, last: page(2) - 1n })).toBe('EINVAL DMABUF_NOT_FOR_CPU')
    s.expectNoPins()
    expect(access.tryRw(IOVA, data.fill(9), RW_WRITE)).toBe('EINVAL DMABUF_NOT_FOR_CPU')
    expect(access.read(IOVA, 2)).toEqual([9, 9])
    access.detach()
  })
})

test('E6: an area of a dma-buf is not split, not even where the cut is misaligned', () => {
  const s = new Scene()
  expect(s.map()).toBe('ok')
  must(s.program.option({ option_id: 1, object_id: s.id, val64: 0 }).ret)
  const { iopt } = s.program.ioas(s.id)
  for (const iova of [page(1) - 1n, page(1)]) {
    s.world.engine.refusals.clear()
    expect(outcomeOf(s.world, splitAfter(iopt, hi(iova), lo(iova)))).toBe('EOPNOTSUPP SPLIT_DMABUF')
  }
  expect(s.areas()).toBe('0-4')
  for (const iova of [IOVA, page(4) - 1n]) expect(splitAfter(iopt, hi(iova), lo(iova))).toBe(0)
})

test('L11: a dma-buf cannot change process', () => {
  const s = new Scene()
  expect(s.map()).toBe('ok')
  expect(s.program.changeProcess().outcome).toBe('EINVAL AREA_OF_DMABUF')
})

describe('C4: copies of a dma-buf', () => {
  test('share the attachment, part by part', () => {
    const s = new Scene()
    expect(s.map()).toBe('ok')
    const ids = { src_ioas_id: s.id, dst_ioas_id: s.other }
    const part = { src_iova: page(1), dst_iova: page(9), length: 2 * PAGE, flags: RW_FIXED }
    const domain = s.domain(s.other)
    expect(s.program.copy({ ...ids, ...part }).outcome).toBe('ok')
    expect(framesOf(domain)).toEqual([1, 2])
    expect(s.program.unmap(s.id, 0, U64_MAX).outcome).toBe('ok')
    s.exporter.revoke()
    expect(domain.entries.size).toBe(0)
  })

  test('cannot be written where the first was not', () => {
    const s = new Scene()
    expect(s.map(IOVA, NPAGES * PAGE, 0, READ)).toBe('ok')
    expect([s.copy(), s.copy(IOVA, READ)]).toEqual(['EPERM PAGES_READ_ONLY', 'ok'])
  })
})
