// SPDX-License-Identifier: Apache-2.0
// SPEC C1-C8, E1-E7: random sequences of calls and in-kernel uses over several address spaces against the naive model of
// test/model.ts: every answer, every area, usable ranges, which page is pinned how often, what is charged, every byte that
// is read or written, and that nothing is left in the end.

import { errnoName } from '@iommufd/uapi'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Access } from '../test/access.js'
import { TestDomain } from '../test/domain.js'
import {
  boot,
  CONSTANT,
  FILE,
  FIXED,
  MEMORY,
  NOTHING,
  PAGE,
  PAGES,
  Program,
  SHARED,
  type World,
} from '../test/harness.js'
import {
  type Copied,
  Model,
  type ModelArea,
  type ModelDomain,
  type ModelIoas,
  type ModelMemory,
  PROT_R,
} from '../test/model.js'
import { clamp, gaps, hi, lo, type Range, U64_MAX, u64 } from '../test/u64.js'
import { addDomain, removeDomain } from './iopt-domains.js'
import { RW_WRITE } from './pages-rw.js'

const MAX_IOASES = 3
const MAX_DOMAINS = 3
const PAGE_N = BigInt(PAGE)
const REGIONS = [MEMORY, SHARED, CONSTANT, FILE]
const REGION_BYTES = PAGES * PAGE
const FILE_REGION = 'file'

/** Bytes that tell where they lie. */
const PATTERN = new Uint8Array(2 * REGION_BYTES).map((_, i) => i * 31 + (i >> 8))

/** A range that lies on areas that exist: from the i-th to the j-th, its ends moved; or one of the window. */
interface Pick {
  readonly from: number
  readonly to: number
  readonly moveStart: number
  readonly moveLast: number
  readonly free: Range
  readonly useFree: boolean
}

type Memory = { readonly region: number | typeof FILE_REGION; readonly offset: number }

type Step =
  | { do: 'alloc' }
  | { do: 'destroy'; id: number }
  | {
      do: 'map'
      id: number
      fixed: boolean
      prot: number
      memory: Memory
      /** Right behind an area, if there is one. */
      behind: number | undefined
      iova: bigint
      length: bigint
    }
  | { do: 'copy'; id: number; src: number; fixed: boolean; prot: number; iova: bigint; pick: Pick }
  | { do: 'unmap'; id: number; pick: Pick; all: boolean }
  | { do: 'allow'; id: number; list: Range[] }
  | { do: 'reserve'; id: number; range: Range }
  | { do: 'small pages'; id: number; on: boolean }
  | { do: 'attach'; id: number; alignment: number }
  | { do: 'detach'; id: number }
  | { do: 'add domain'; id: number; granule: number; aperture: number; broken: bigint | undefined }
  | { do: 'remove domain'; id: number; which: number }
  | { do: 'pin'; id: number; pick: Pick; write: boolean }
  | { do: 'unpin'; id: number; which: number }
  | { do: 'rw'; id: number; pick: Pick; write: boolean }

/** The first two address spaces always exist at first; the last id never does. */
const APERTURES: Range[] = [
  { start: 0n, last: U64_MAX },
  { start: 0n, last: U64_MAX },
  { start: 0x1000n, last: U64_MAX },
  { start: 0n, last: 2n ** 48n - 1n },
  { start: 2n ** 31n, last: 2n ** 33n - 1n },
]

const id = fc.constantFrom(1, 1, 1, 1, 1, 2, 2, 2, 2, MAX_IOASES, MAX_IOASES + 1)
const sub = fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.constantFrom(1, 0x800, 0xfff))
const window = fc.constantFrom(0n, 2n ** 32n - 0x8000n, 2n ** 64n - 0x10000n)
const iova = fc
  .tuple(window, fc.nat(PAGES - 1), sub)
  .map(([base, page, offset]) => clamp(base + BigInt(page * PAGE + offset)))
const length = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 1, max: 5 }).map((pages) => BigInt(pages * PAGE)) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 3 * PAGE }).map(BigInt) },
  fc.constantFrom(U64_MAX, U64_MAX - 4096n, U64_MAX - 4095n, 2n ** 62n, 2n ** 63n - 1n),
)
const range = fc.tuple(iova, length).map(([start, bytes]): Range => {
  return { start, last: clamp(start + (bytes === 0n ? 0n : bytes - 1n)) }
})
const move = fc.oneof(
  { weight: 12, arbitrary: fc.constant(0) },
  fc.constantFrom(-PAGE, PAGE, 2 * PAGE, -1, 1, 0x800, 0x10),
)
const pick: fc.Arbitrary<Pick> = fc.record({
  from: fc.nat(7),
  to: fc.constantFrom(0, 0, 0, 1, 2),
  moveStart: move,
  moveLast: move,
  free: range,
  useFree: fc.nat(9).map((n) => n === 0),
})
const memory: fc.Arbitrary<Memory> = fc
  .tuple(
    fc.constantFrom(MEMORY, MEMORY, MEMORY, SHARED, CONSTANT, NOTHING, FILE_REGION, FILE_REGION),
    fc.nat(PAGES - 1),
    sub,
  )
  .map(([region, page, offset]) => ({
    region: region as Memory['region'],
    offset: page * PAGE + offset,
  }))
const behind = fc.option(fc.nat(7), { nil: undefined })
const prot = fc.oneof({ weight: 6, arbitrary: fc.constant(3) }, fc.integer({ min: 0, max: 2 }))
const boolean = fc.boolean()

function step<const T extends string, M extends object>(
  name: T,
  members: { [K in keyof M]: fc.Arbitrary<M[K]> },
) {
  return fc.record({ do: fc.constant(name), ...members }) as unknown as fc.Arbitrary<{ do: T } & M>
}

function weighted(weight: number, arbitrary: fc.Arbitrary<unknown>): fc.WeightedArbitrary<Step> {
  return { weight, arbitrary: arbitrary as fc.Arbitrary<Step> }
}

const mapStep = step('map', { id, fixed: boolean, prot, memory, behind, iova, length })
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  weighted(1, step('alloc', {})),
  weighted(1, step('destroy', { id })),
  weighted(14, mapStep),
  weighted(6, step('copy', { id, src: id, fixed: boolean, prot, iova, pick })),
  weighted(3, step('unmap', { id, pick, all: fc.nat(9).map((n) => n === 0) })),
  weighted(1, step('allow', { id, list: fc.array(range, { maxLength: 3 }) })),
  weighted(1, step('reserve', { id, range })),
  weighted(1, step('small pages', { id, on: boolean })),
  weighted(
    3,
    step('add domain', {
      id,
      granule: fc.constantFrom(PAGE, PAGE, PAGE / 2),
      aperture: fc.nat(APERTURES.length - 1),
      broken: fc.option(
        iova.map((at) => at - (at % BigInt(PAGE))),
        { freq: 4, nil: undefined },
      ),
    }),
  ),
  weighted(2, step('remove domain', { id, which: fc.nat() })),
  weighted(2, step('attach', { id, alignment: fc.constantFrom(PAGE, PAGE, 1) })),
  weighted(1, step('detach', { id })),
  weighted(10, step('pin', { id, pick, write: boolean })),
  weighted(4, step('unpin', { id, which: fc.nat() })),
  weighted(6, step('rw', { id, pick, write: boolean })),
)

/** Some memory first, then anything. */
const anySteps = fc
  .tuple(
    fc.array(mapStep as fc.Arbitrary<Step>, { minLength: 4, maxLength: 8 }),
    fc.array(anyStep, { minLength: 15, maxLength: 50, size: 'max' }),
  )
  .map((both) => both.flat())
/** Two address spaces with a user each. */
const begin: Step[] = [
  { do: 'alloc' },
  { do: 'alloc' },
  { do: 'attach', id: 1, alignment: PAGE },
  { do: 'attach', id: 2, alignment: 1 },
]

const memoryRules: ModelMemory = {
  fileSize: BigInt(REGION_BYTES),
  mayAccess(address, write) {
    const region = REGIONS.find((start) => start <= address && address < start + REGION_BYTES)
    return region !== undefined && !(write && region === CONSTANT)
  },
}

/** The engine and the model, side by side. */
class Pair {
  readonly world: World
  readonly program: Program
  readonly model: Model
  readonly accesses = new Map<number, Access>()
  readonly #mode: Mode
  readonly #domains = new Map<ModelDomain, TestDomain>()
  /** What memory must hold, by its first address. */
  readonly #bytes = new Map<number, Uint8Array>()
  /** Frames of the memory, by region; they stay the same, as nothing is mapped anew. */
  readonly #frames = new Map<number, number[]>()

  constructor(mode: Mode) {
    this.world = boot()
    this.program = Program.start(this.world, mode.spawn, mode.path)
    const limit = mode.name === 'none' ? Number.POSITIVE_INFINITY : mode.spawn.rlimitMemlock / PAGE
    this.model = new Model(memoryRules, limit)
    this.#mode = mode
    for (const region of REGIONS) {
      this.#bytes.set(region, this.#fill(region))
      this.#frames.set(region, this.#framesOf(region))
    }
  }

  /** Makes the step in both; throws where they differ. */
  run(next: Step): void {
    switch (next.do) {
      case 'alloc':
        if (this.model.ioases.size < MAX_IOASES) {
          expect(this.program.alloc()).toBe(this.model.alloc())
        }
        return
      case 'destroy':
        this.#same(this.program.destroy(next.id).ret, this.model.destroy(next.id))
        return
      case 'map':
        this.#map(next)
        return
      case 'copy':
        this.#copy(next)
        return
      case 'unmap':
        this.#unmap(next)
        return
      case 'allow':
        this.#same(this.program.allow(next.id, next.list).ret, this.model.allow(next.id, next.list))
        return
      case 'small pages':
        this.#smallPages(next.id, next.on)
        return
      default:
        this.#inKernel(next)
    }
  }

  /** Compares all that can be seen. */
  compare(): void {
    const { model, program, world } = this
    for (const [number, ioas] of model.ioases) {
      const [seen, expected] = [areasOf(program, number), modelAreas(ioas)]
      if (seen !== expected) expect(seen).toBe(expected)
      this.#compareDomains(ioas)
    }
    const { mm, user } = program.process
    const locked = model.pinned
    const expected = [model.pages().size, locked, this.#mode.name === 'mm' ? locked : 0]
    const seen = [world.tables.pages.count, mm.pinnedVm, mm.lockedVm]
    if (String(seen) !== String(expected)) expect(seen).toEqual(expected)
    expect(user.lockedVm).toBe(this.#mode.name === 'user' ? locked : 0)
    this.#comparePins()
  }

  /** The usable ranges of each address space. */
  compareRanges(): void {
    for (const [number, ioas] of this.model.ioases) {
      const answer = this.program.ranges(number)
      expect(answer.ranges).toEqual(gaps(ioas.reserved))
      expect(answer.out_iova_alignment).toBe(ioas.alignment)
    }
  }

  /** Everything goes; nothing may be left. */
  finish(): void {
    const { machine, tables } = this.world
    const { process } = this.program
    for (const [region, bytes] of this.#bytes) {
      const seen = process.load(region, REGION_BYTES) as Uint8Array
      expect(isSame(seen, bytes)).toBe(true)
    }
    for (const access of this.accesses.values()) access.detach()
    for (const [number, ioas] of this.model.ioases) {
      for (const domain of [...ioas.domains]) this.#removeDomain(number, domain)
    }
    for (const number of this.model.ioases.keys()) expect(this.program.destroy(number).ret).toBe(0)
    const { mm, user } = process
    expect([mm.pinnedVm, mm.lockedVm, user.lockedVm, machine.pinnedFrames]).toEqual([0, 0, 0, 0])
    expect([tables.areas.count, tables.pages.count, tables.pages.pinnedCount]).toEqual([0, 0, 0])
    process.exit()
    expect(machine.framesInUse).toBe(0)
  }

  #map({ id: ioas_id, fixed, prot: flags, memory: where, length: bytes, ...at }: MapStep): void {
    const areas = this.model.ioases.get(ioas_id)?.areas ?? []
    const before = at.behind === undefined ? undefined : areas[at.behind % areas.length]
    const wanted = before === undefined ? at.iova : clamp(before.last + 1n)
    const isFile = where.region === FILE_REGION
    const start = BigInt(isFile ? where.offset : (where.region as number) + where.offset)
    const common = { flags: uapiFlags(fixed, flags), ioas_id, length: bytes, iova: wanted }
    const answer = isFile
      ? this.program.mapFile({ ...common, fd: this.program.memfd, start })
      : this.program.map({ ...common, user_va: start })
    const request = { isFixed: fixed, prot: flags, iova: wanted, length: bytes }
    this.#same(answer.ret, this.model.map(ioas_id, isFile, start, request))
    expect(answer.iova).toBe(answer.ret === 0 ? this.model.iova : wanted)
  }

  #copy({ id: dst, src, fixed, prot: flags, iova: wanted, pick: chosen }: CopyStep): void {
    const { start, last } = this.#resolve(src, chosen)
    const bytes = BigInt.asUintN(64, last - start + 1n)
    const answer = this.program.copy({
      flags: uapiFlags(fixed, flags),
      dst_ioas_id: dst,
      src_ioas_id: src,
      length: bytes,
      src_iova: start,
      dst_iova: wanted,
    })
    const request = { isFixed: fixed, prot: flags, iova: wanted, length: bytes }
    this.#same(answer.ret, this.model.copy(dst, src, start, request))
    expect(answer.dst_iova).toBe(answer.ret === 0 ? this.model.iova : wanted)
  }

  #unmap({ id: number, pick: chosen, all }: UnmapStep): void {
    const { start, last } = all ? { start: 0n, last: U64_MAX - 1n } : this.#resolve(number, chosen)
    const bytes = BigInt.asUintN(64, last - start + 1n)
    const answer = this.program.unmap(number, start, bytes)
    this.#same(answer.ret, this.model.unmap(number, start, bytes))
    expect(answer.length).toBe(answer.ret === 0 ? this.model.unmapped : bytes)
  }

  #smallPages(object_id: number, on: boolean): void {
    const answer = this.program.option({ option_id: 1, op: 0, object_id, val64: on ? 0 : 1 })
    this.#same(answer.ret, this.model.setSmallPages(object_id, on))
  }

  /** What is no ioctl: the address space must exist, and for most a user be attached. */
  #inKernel(next: InKernelStep): void {
    const ioas = this.model.ioases.get(next.id)
    if (ioas === undefined) return
    if (next.do === 'reserve') {
      const { start, last } = next.range
      const { iopt } = this.program.ioas(next.id)
      const rc = iopt.reserve(hi(start), lo(start), hi(last), lo(last))
      this.#same(rc, this.model.reserve(next.id, next.range))
      return
    }
    if (next.do === 'add domain' || next.do === 'remove domain') {
      this.#changeDomains(next, ioas)
      return
    }
    const access = this.accesses.get(next.id)
    if (next.do === 'attach') {
      if (access === undefined) this.#attach(next.id, next.alignment)
    } else if (access !== undefined) {
      this.#use(next, ioas, access)
    }
  }

  #changeDomains(next: DomainStep, ioas: ModelIoas): void {
    if (next.do === 'add domain') {
      if (ioas.domains.length < MAX_DOMAINS) this.#addDomain(next)
      return
    }
    const model = ioas.domains[next.which % ioas.domains.length]
    if (model !== undefined) this.#removeDomain(next.id, model)
  }

  #addDomain({ id: number, granule, aperture, broken }: AddDomainStep): void {
    const range = APERTURES[aperture] as Range
    const domain = new TestDomain(this.world, granule, range)
    domain.broken = broken
    const ioas = this.program.ioas(number)
    const rc = addDomain(ioas.iopt, domain)
    const model: ModelDomain = { granule: BigInt(granule), aperture: range, broken }
    this.#same(rc, this.model.addDomain(number, model))
    if (rc < 0) {
      expect(domain.entries.size).toBe(0)
      return
    }
    ioas.users++
    this.#domains.set(model, domain)
  }

  #removeDomain(number: number, model: ModelDomain): void {
    const domain = this.#domains.get(model) as TestDomain
    const ioas = this.program.ioas(number)
    removeDomain(ioas.iopt, domain)
    ioas.users--
    expect(domain.entries.size).toBe(0)
    this.model.removeDomain(number, model)
    this.#domains.delete(model)
  }

  /** Each domain must hold every area of its address space, granule by granule, and nothing else. */
  #compareDomains(ioas: ModelIoas): void {
    for (const model of ioas.domains) {
      const { entries, minPageSize } = this.#domains.get(model) as TestDomain
      let granules = 0
      for (const area of ioas.areas) {
        for (let iova = area.start; iova <= area.last; iova += BigInt(minPageSize)) {
          const expected = this.#physical(area, area.byte + (iova - area.start))
          if (entries.get(iova) !== expected)
            expect([iova, entries.get(iova)]).toEqual([iova, expected])
          granules++
        }
      }
      expect(entries.size).toBe(granules)
    }
  }

  /** Where a byte of an area lies in the machine's memory. */
  #physical({ pages }: ModelArea, byte: bigint): number {
    const address = Number(pages.base + byte) + (pages.isFile ? FILE : 0)
    const region = REGIONS.find((start) => start <= address && address < start + REGION_BYTES)
    const frames = this.#frames.get(region as number) as number[]
    const offset = address - (region as number)
    return (frames[Math.floor(offset / PAGE)] as number) * PAGE + (offset % PAGE)
  }

  #attach(number: number, alignment: number): void {
    const access = new Access(this.world, this.program.ioas(number), alignment)
    const rc = access.attach()
    this.#same(rc, this.model.attach(number, BigInt(alignment)))
    if (rc === 0) this.accesses.set(number, access)
  }

  #use(next: UseStep, ioas: ModelIoas, access: Access): void {
    if (next.do === 'detach') {
      access.detach()
      this.accesses.delete(next.id)
      this.model.detach(next.id)
    } else if (next.do === 'unpin') {
      const held = access.held[next.which % access.held.length]
      if (held === undefined) return
      access.unpin(held)
      this.model.unpin(next.id, held)
      expect(access.held.length).toBe(ioas.user?.pins.length)
    } else {
      const chosen = this.#resolve(next.id, next.pick)
      if (chosen.start > chosen.last || chosen.last - chosen.start > BigInt(REGION_BYTES / 2))
        return
      if (next.do === 'rw') this.#rw(next.id, access, chosen, next.write)
      else this.#pin(next.id, access, chosen, next.write)
    }
  }

  #pin(number: number, access: Access, chosen: Range, write: boolean): void {
    const pinned = access.pin(chosen, write)
    const rc = typeof pinned === 'number' ? pinned : 0
    this.#same(rc, this.model.pin(number, chosen, write))
    if (typeof pinned === 'number') return
    const parts = this.model.ioases.get(number)?.user?.pins.at(-1)?.parts ?? []
    const expected = parts.flatMap(({ area, byte, start, last }) =>
      Array.from({ length: Number((byte + (last - start)) / PAGE_N - byte / PAGE_N) + 1 }, (_, i) =>
        Math.floor(this.#physical(area, byte + BigInt(i * PAGE)) / PAGE),
      ),
    )
    expect(pinned.join()).toBe(expected.join())
  }

  #rw(number: number, access: Access, chosen: Range, write: boolean): void {
    const bytes = Number(chosen.last - chosen.start) + 1
    const data = write ? PATTERN.slice(bytes, 2 * bytes) : new Uint8Array(bytes)
    const copied: Copied[] = []
    const expected = this.model.rw(number, chosen, write, copied)
    this.#same(access.rw(chosen.start, data, write ? RW_WRITE : 0), expected)
    let at = 0
    for (const part of copied) {
      const memoryBytes = this.#bytesAt(part)
      if (write) memoryBytes.set(data.subarray(at, at + part.length))
      else expect(isSame(data.subarray(at, at + part.length), memoryBytes)).toBe(true)
      at += part.length
    }
  }

  #bytesAt({ isFile, address, length: bytes }: Copied): Uint8Array {
    const at = Number(address) + (isFile ? FILE : 0)
    const region = REGIONS.find((start) => start <= at && at < start + REGION_BYTES) as number
    return (this.#bytes.get(region) as Uint8Array).subarray(at - region, at - region + bytes)
  }

  #resolve(number: number, { from, to, moveStart, moveLast, free, useFree }: Pick): Range {
    const areas = this.model.ioases.get(number)?.areas ?? []
    const first = areas[from % areas.length]
    if (useFree || first === undefined) return free
    const last = areas[Math.min((from % areas.length) + to, areas.length - 1)] as Range
    return {
      start: clamp(first.start + BigInt(moveStart)),
      last: clamp(last.last + BigInt(moveLast)),
    }
  }

  #comparePins(): void {
    for (const [region, frames] of this.#frames) {
      const isFile = region === FILE
      const expected = this.model.pins(isFile)
      for (const [page, frame] of frames.entries()) {
        const pins = this.world.machine.pins(frame)
        const wanted = expected.get(BigInt((isFile ? 0 : region) + page * PAGE)) ?? 0
        if (pins !== wanted) expect({ region, page, pins }).toEqual({ region, page, pins: wanted })
      }
    }
  }

  #framesOf(region: number): number[] {
    const { mm } = this.program.process
    return Array.from({ length: PAGES }, (_, page) => {
      const address = BigInt(region + page * PAGE)
      return mm.lookup(hi(address), lo(address))
    })
  }

  #same(seen: number, expected: number): void {
    if (seen !== expected) expect(nameOf(seen)).toBe(nameOf(expected))
  }

  /** In memory that cannot be written, what is there. */
  #fill(region: number): Uint8Array {
    const { process } = this.program
    const at = REGIONS.indexOf(region) * PAGE
    process.store(region, PATTERN.subarray(at, at + REGION_BYTES))
    return process.load(region, REGION_BYTES) as Uint8Array
  }
}

type AddDomainStep = Extract<Step, { do: 'add domain' }>
type MapStep = Extract<Step, { do: 'map' }>
type CopyStep = Extract<Step, { do: 'copy' }>
type UnmapStep = Extract<Step, { do: 'unmap' }>
type DomainStep = Extract<Step, { do: 'add domain' | 'remove domain' }>
type UseStep = Extract<Step, { do: 'detach' | 'pin' | 'unpin' | 'rw' }>
type InKernelStep = UseStep | DomainStep | Extract<Step, { do: 'reserve' | 'attach' }>

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) return false
  return a.length === b.length
}

function nameOf(ret: number): string {
  return ret < 0 ? errnoName(ret) : 'ok'
}

function uapiFlags(fixed: boolean, flags: number): number {
  return (fixed ? FIXED : 0) | ((flags & PROT_R) << 2) | (flags & 2)
}

/** Areas as text, one a line: range, first byte, permissions. */
function modelAreas(ioas: ModelIoas): string {
  return ioas.areas
    .map(({ start, last, byte, prot: flags }) => `${start} ${last} ${byte} ${flags}`)
    .join('\n')
}

function areasOf(program: Program, number: number): string {
  const { areas, tables } = program.ioas(number).iopt
  const lines: string[] = []
  for (let pos = areas.first(); pos >= 0; pos = areas.next(pos)) {
    const area = areas.value(pos)
    const start = u64(areas.startHi(pos), areas.startLo(pos))
    const last = u64(areas.lastHi(pos), areas.lastLo(pos))
    const byte = u64(tables.areas.startHi[area] as number, tables.areas.startLo[area] as number)
    lines.push(`${start} ${last} ${byte} ${(tables.areas.flags[area] as number) & 3}`)
  }
  return lines.join('\n')
}

interface Mode {
  readonly name: 'none' | 'user' | 'mm'
  readonly spawn: { readonly uid: number; readonly rlimitMemlock: number }
  readonly path: string
}

const MODES: Mode[] = [
  { name: 'none', spawn: { uid: 0, rlimitMemlock: 0 }, path: '/dev/iommu' },
  { name: 'user', spawn: { uid: 1000, rlimitMemlock: 4 * PAGE }, path: '/dev/iommu' },
  { name: 'mm', spawn: { uid: 1000, rlimitMemlock: 4 * PAGE }, path: '/dev/vfio/vfio' },
]

describe.each(MODES)('address spaces against the model, accounting mode $name', (mode) => {
  test('same answers, same areas, each page pinned once and charged, nothing left', () => {
    fc.assert(
      fc.property(anySteps, (steps) => {
        const pair = new Pair(mode)
        for (const next of [...begin, ...steps]) {
          pair.run(next)
          pair.compare()
        }
        pair.compareRanges()
        pair.finish()
      }),
      { numRuns: 60 },
    )
  })
})
