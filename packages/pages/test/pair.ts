// SPDX-License-Identifier: Apache-2.0
//
// The engine and the naive model side by side: makes steps in both and compares what they answer and all that can be seen.

import { errnoName } from '@iommufd/uapi'
import { expect } from 'vitest'
import { addDomain, removeDomain } from '../src/iopt-domains.js'
import { RW_WRITE } from '../src/pages-rw.js'
import { Access } from './access.js'
import { TestDomain } from './domain.js'
import { boot, FIXED, PAGE, Program, type World } from './harness.js'
import { type Copied, Model, PROT_R } from './model.js'
import type { ModelDomain, ModelIoas } from './model-state.js'
import { isSame, memoryRules, PATTERN, PairMemory, REGION_BYTES } from './pair-memory.js'
import { APERTURES, MAX_IOASES, type Pick, type Step } from './steps.js'
import { clamp, gaps, hi, lo, type Range, U64_MAX, u64 } from './u64.js'

const MAX_DOMAINS = 3
const PAGE_N = BigInt(PAGE)

/** The engine and the model, side by side. */
export class Pair {
  readonly world: World
  readonly program: Program
  readonly model: Model
  readonly accesses = new Map<number, Access>()
  readonly #mode: Mode
  readonly #domains = new Map<ModelDomain, TestDomain>()
  readonly #memory: PairMemory

  constructor(mode: Mode) {
    this.world = boot()
    this.program = Program.start(this.world, mode.spawn, mode.path)
    const limit = mode.name === 'none' ? Number.POSITIVE_INFINITY : mode.spawn.rlimitMemlock / PAGE
    this.model = new Model(memoryRules, limit)
    this.#mode = mode
    this.#memory = new PairMemory(this.program)
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
    this.#memory.comparePins(model)
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
    this.#memory.compareBytes()
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
    const isFile = where.region === 'file'
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
          const expected = this.#memory.physical(area, area.byte + (iova - area.start))
          if (entries.get(iova) !== expected)
            expect([iova, entries.get(iova)]).toEqual([iova, expected])
          granules++
        }
      }
      expect(entries.size).toBe(granules)
    }
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
        Math.floor(this.#memory.physical(area, byte + BigInt(i * PAGE)) / PAGE),
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
      const memoryBytes = this.#memory.bytesAt(part)
      if (write) memoryBytes.set(data.subarray(at, at + part.length))
      else expect(isSame(data.subarray(at, at + part.length), memoryBytes)).toBe(true)
      at += part.length
    }
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

  #same(seen: number, expected: number): void {
    if (seen !== expected) expect(nameOf(seen)).toBe(nameOf(expected))
  }
}

type AddDomainStep = Extract<Step, { do: 'add domain' }>
type MapStep = Extract<Step, { do: 'map' }>
type CopyStep = Extract<Step, { do: 'copy' }>
type UnmapStep = Extract<Step, { do: 'unmap' }>
type DomainStep = Extract<Step, { do: 'add domain' | 'remove domain' }>
type UseStep = Extract<Step, { do: 'detach' | 'pin' | 'unpin' | 'rw' }>
type InKernelStep = UseStep | DomainStep | Extract<Step, { do: 'reserve' | 'attach' }>

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

/** Who is charged. */
export interface Mode {
  readonly name: 'none' | 'user' | 'mm'
  readonly spawn: { readonly uid: number; readonly rlimitMemlock: number }
  readonly path: string
}
