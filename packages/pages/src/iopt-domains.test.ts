// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { TestDomain } from '../test/domain.js'
import { boot, CONSTANT, MEMORY, NOTHING, PAGE, Program, RW, type World } from '../test/harness.js'
import { snapshot } from '../test/snapshot.js'
import type { IommufdIoas } from './ioas.js'
import { pinRange, rwRange, unpinRange } from './iopt-access.js'
import { addDomain, removeDomain } from './iopt-domains.js'

const IOVA = 0x200_0000
/** The aperture of the kernel's mock device. */
const APERTURE = { start: 0x100_0000n, last: 0x7fff_ffffn }

interface Scene {
  readonly world: World
  readonly program: Program
  readonly ioas: IommufdIoas
  readonly id: number
}

function scene(): Scene {
  const world = boot()
  const program = Program.start(world)
  const id = program.alloc()
  return { world, program, id, ioas: program.ioas(id) }
}

const makeDomain = ({ world }: Scene, pageSize = 2048): TestDomain =>
  new TestDomain(world, pageSize, APERTURE)

const refusal = ({ world }: Scene): string | undefined => world.engine.refusals.last?.id

describe('E3: a domain is added whole or not at all', () => {
  test('it reserves what lies outside of its aperture, and gives it back', () => {
    const s = scene()
    const { program, ioas, id } = s
    const domain = makeDomain(s)
    expect(addDomain(ioas.iopt, domain)).toBe(0)
    expect(program.ranges(id).ranges).toEqual([APERTURE])
    expect(program.mapAt(id, 0x1000).outcome).toBe('EINVAL IOVA_RESERVED')
    removeDomain(ioas.iopt, domain)
    expect(program.ranges(id).ranges).toEqual([{ start: 0n, last: 2n ** 64n - 1n }])
  })

  test('areas outside of the aperture, or allowed ranges there, refuse it', () => {
    const s = scene()
    s.program.mapAt(s.id, 0x1000)
    const before = snapshot(s.world)
    expect(addDomain(s.ioas.iopt, makeDomain(s))).toBeLessThan(0)
    expect(refusal(s)).toBe('SPACE_IN_USE')
    expect(snapshot(s.world)).toEqual(before)
    s.program.unmap(s.id, 0x1000, PAGE)
    s.program.allow(s.id, [{ start: 0x9000_0000n, last: 0x9fff_ffffn }])
    expect(addDomain(s.ioas.iopt, makeDomain(s))).toBeLessThan(0)
    expect(refusal(s)).toBe('SPACE_IN_USE')
  })

  test('one area that cannot be pinned leaves nothing pinned and nothing mapped', () => {
    const s = scene()
    s.program.mapAt(s.id, IOVA, 4 * PAGE)
    s.program.mapAt(s.id, IOVA + 0x10000, PAGE, NOTHING)
    const before = snapshot(s.world)
    const domain = makeDomain(s)
    expect(addDomain(s.ioas.iopt, domain)).toBeLessThan(0)
    expect(refusal(s)).toBe('USER_PAGES_BAD')
    expect(domain.entries.size).toBe(0)
    expect(snapshot(s.world)).toEqual(before)
  })

  test('a mapping that the second domain refuses is taken out of the first', () => {
    const s = scene()
    const [first, second] = [makeDomain(s), makeDomain(s)]
    addDomain(s.ioas.iopt, first)
    addDomain(s.ioas.iopt, second)
    second.broken = BigInt(IOVA + 2 * PAGE)
    const before = snapshot(s.world)
    expect(s.program.mapAt(s.id, IOVA, 4 * PAGE).ret).toBeLessThan(0)
    expect([first.entries.size, second.entries.size]).toEqual([0, 0])
    expect(snapshot(s.world)).toEqual(before)
  })

  test('every fault point of adding, mapping and adding another: the state is as before', () => {
    const steps = (s: Scene, domains: TestDomain[]): (() => number)[] => [
      () => addDomain(s.ioas.iopt, domains[0] as TestDomain),
      () => s.program.mapAt(s.id, IOVA + 0x20000, 2 * PAGE).ret,
      () => addDomain(s.ioas.iopt, domains[1] as TestDomain),
    ]
    let fired = 0
    for (let step = 0; step < 3; step++) {
      for (let n = 1; ; n++) {
        const s = scene()
        s.program.mapAt(s.id, IOVA, 3 * PAGE)
        s.program.mapAt(s.id, IOVA + 0x10000, PAGE, CONSTANT, 4)
        const domains = [makeDomain(s), makeDomain(s)]
        const todo = steps(s, domains)
        for (const before of todo.slice(0, step)) expect(before()).toBe(0)
        const before = snapshot(s.world)
        s.world.engine.faults.arm(n)
        const rc = todo[step]?.() as number
        const didFire = s.world.engine.faults.fired
        s.world.engine.faults.disarm()
        if (!didFire) break
        fired++
        // A mapping whose answer alone cannot be written back stays, as in Linux.
        if (rc < 0 && refusal(s) === 'INJECTED_EFAULT' && step === 1)
          s.program.unmap(s.id, IOVA + 0x20000, 2 * PAGE)
        expect(rc).toBeLessThan(0)
        expect(snapshot(s.world)).toEqual(before)
        for (const again of todo.slice(step)) expect(again()).toBe(0)
        s.program.close()
        s.program.process.exit()
        expect([s.world.machine.framesInUse, s.world.machine.pinnedFrames]).toEqual([0, 0])
      }
    }
    expect(fired).toBeGreaterThan(10)
  })
})

describe('E2: the alignment of an address space follows its domains', () => {
  test('a page larger than memory pages is refused', () => {
    const s = scene()
    expect(addDomain(s.ioas.iopt, makeDomain(s, 8192))).toBeLessThan(0)
    expect(refusal(s)).toBe('DOMAIN_PAGE_TOO_LARGE')
  })

  test('areas must be aligned to it; half pages are fine at 2 KiB', () => {
    const s = scene()
    s.program.mapAt(s.id, IOVA + 1, PAGE, MEMORY + 1)
    expect(addDomain(s.ioas.iopt, makeDomain(s))).toBeLessThan(0)
    expect(refusal(s)).toBe('ALIGNMENT_BREAKS_AREA')
    s.program.unmap(s.id, IOVA + 1, PAGE)
    const domain = makeDomain(s)
    s.program.mapAt(s.id, IOVA + 2048, PAGE, MEMORY + 2048)
    expect(addDomain(s.ioas.iopt, domain)).toBe(0)
    const frames = [...domain.entries.values()]
    expect(frames[0]).not.toBe(frames[1])
    expect(s.program.unmap(s.id, IOVA + 2048, PAGE).ret).toBe(0)
    expect([domain.entries.size, s.world.machine.pinnedFrames]).toEqual([0, 0])
  })

  test('C9: huge pages cannot be switched off once areas are in a domain', () => {
    const s = scene()
    addDomain(s.ioas.iopt, makeDomain(s, PAGE))
    s.program.mapAt(s.id, IOVA)
    expect(s.program.option({ option_id: 1, object_id: s.id, val64: 0 }).outcome).toBe(
      'EINVAL HUGE_PAGES_MAPPED',
    )
  })
})

describe('E4: pages are pinned once, and their frames stored only for in-kernel users', () => {
  test('domains of two address spaces, copies and an access share the pins', () => {
    const s = scene()
    const { machine, tables } = s.world
    const other = s.program.alloc()
    const [first, second] = [makeDomain(s), makeDomain(s)]
    s.program.mapAt(s.id, IOVA, 4 * PAGE)
    addDomain(s.ioas.iopt, first)
    addDomain(s.program.ioas(other).iopt, second)
    const dst_iova = IOVA + 0x5000
    const copied = { flags: RW | 1, dst_ioas_id: other, src_ioas_id: s.id, src_iova: IOVA + PAGE }
    expect(s.program.copy({ ...copied, length: 2 * PAGE, dst_iova }).ret).toBe(0)
    expect([machine.pinnedFrames, s.program.process.mm.pinnedVm, tables.pages.frameBytes]).toEqual([
      4, 4, 0,
    ])
    const frames = new Uint32Array(4)
    expect(pinRange(s.ioas.iopt, 0, IOVA, 0, IOVA + 4 * PAGE - 1, true, frames)).toBe(0)
    expect([...frames]).toEqual([0, 1, 2, 3].map((i) => first.frameAt(BigInt(IOVA + i * PAGE))))
    expect(second.frameAt(BigInt(dst_iova))).toBe(frames[1])
    removeDomain(s.ioas.iopt, first)
    removeDomain(s.program.ioas(other).iopt, second)
    expect([machine.pinnedFrames, first.entries.size, second.entries.size]).toEqual([4, 0, 0])
    unpinRange(s.ioas.iopt, 0, IOVA, 0, IOVA + 4 * PAGE - 1)
    expect([machine.pinnedFrames, s.program.process.mm.pinnedVm]).toEqual([0, 0])
  })

  test('with the first address space gone, the frames are read from the other', () => {
    const s = scene()
    const other = s.program.alloc()
    const [first, second] = [makeDomain(s), makeDomain(s)]
    s.program.mapAt(s.id, IOVA, 3 * PAGE)
    addDomain(s.ioas.iopt, first)
    addDomain(s.program.ioas(other).iopt, second)
    const copied = { flags: RW | 1, dst_ioas_id: other, src_ioas_id: s.id, src_iova: IOVA }
    s.program.copy({ ...copied, length: 3 * PAGE, dst_iova: IOVA })
    s.program.unmap(s.id, IOVA, 3 * PAGE)
    s.program.process.munmap(MEMORY, 3 * PAGE)
    expect(s.world.machine.pinnedFrames).toBe(3)
    const data = new Uint8Array(2 * PAGE)
    expect(rwRange(s.program.ioas(other).iopt, 0, IOVA, data, 0, data.length, 4)).toBe(0)
    expect([data[0], data[PAGE]]).toEqual([1, 2])
    s.program.unmap(other, IOVA, 3 * PAGE)
    expect(s.world.machine.pinnedFrames).toBe(0)
  })
})
