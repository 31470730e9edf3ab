// SPDX-License-Identifier: Apache-2.0
// Every allocation, pin, charge and user copy fails once, in scenarios of each command and of in-kernel use. After each
// failure: the errno is the injected one, the state is as before, the same call succeeds when it is made again, and when
// everything is closed no pin, no charge and no record is left.

import { describe, expect, test } from 'vitest'
import { Access } from '../test/access.js'
import { Exporter } from '../test/dma-buf.js'
import { TestDomain } from '../test/domain.js'
import {
  boot,
  MEMORY,
  outcomeOf,
  PAGE,
  Program,
  RW,
  RW_FIXED,
  SHARED,
  type World,
} from '../test/harness.js'
import { snapshot } from '../test/snapshot.js'
import type { Range } from '../test/u64.js'
import { addDomain, removeDomain } from './iopt-domains.js'
import { RW_SLOW_PATH, RW_WRITE } from './pages-rw.js'

type Mode = 'none' | 'user' | 'mm'

/** Where every scenario begins: a process, an address space, nothing mapped. */
class Scene {
  readonly world: World = boot()
  readonly program: Program
  readonly id: number
  /** What has to be undone before everything is closed. */
  readonly cleanup: (() => void)[] = []

  constructor(mode: Mode) {
    const path = mode === 'mm' ? '/dev/vfio/vfio' : '/dev/iommu'
    this.program = Program.start(this.world, { uid: mode === 'none' ? 0 : 1000 }, path)
    this.id = this.program.alloc()
  }

  /** Three areas of user memory and of the memfd that touch, from 0x10000 to 0x15fff. */
  mapThree(): void {
    const { program, id } = this
    ok(program.mapAt(id, 0x10000, 2 * PAGE).outcome)
    ok(program.mapFileAt(id, 0x12000, 2 * PAGE, PAGE).outcome)
    ok(program.mapAt(id, 0x14000, 2 * PAGE, SHARED + PAGE).outcome)
  }

  access(id = this.id): Access {
    const access = Access.attached(this.world, this.program.ioas(id))
    this.cleanup.push(() => access.detach())
    return access
  }

  addDomain(domain: TestDomain): string {
    this.world.engine.refusals.clear()
    const rc = addDomain(this.program.ioas(this.id).iopt, domain)
    if (rc === 0) this.cleanup.push(() => this.removeDomain(domain))
    return outcomeOf(this.world, rc)
  }

  removeDomain(domain: TestDomain): void {
    removeDomain(this.program.ioas(this.id).iopt, domain)
    expect(domain.entries.size).toBe(0)
  }

  /** Closes everything and looks at what is left. */
  finish(): void {
    const { machine, engine, tables } = this.world
    for (const undo of this.cleanup.reverse()) undo()
    const { processes } = machine
    for (const process of [...processes].reverse()) process.exit()
    const counts = processes.flatMap(({ mm, user }) => [mm.lockedVm, user.lockedVm])
    expect(counts.filter((count) => count !== 0)).toEqual([])
    // One by one they may differ from 0: what root mapped is unpinned by who has taken it over (SPEC L11).
    expect(processes.reduce((sum, { mm }) => sum + mm.pinnedVm, 0)).toBe(0)
    expect(engine.contexts.size).toBe(0)
    expect([tables.areas.count, tables.pages.count, tables.pages.pinnedCount]).toEqual([0, 0, 0])
    expect([machine.pinnedFrames, machine.framesInUse]).toEqual([0, 0])
  }
}

/** Gives the call that is to fail; what it answers is `'ok'` or errno and refusal. */
type Prepare = (scene: Scene) => () => string

interface Scenario {
  readonly name: string
  readonly prepare: Prepare
  /** Points that the call passes at least; fewer would mean that something is not guarded any more. */
  readonly points: number
  readonly mode?: Mode
  /** The answer is written back last, and what the call did stays when that fails. */
  readonly keeps?: boolean
}

const THREE: Range = { start: 0x10000n, last: 0x15fffn }

const scenarios: Scenario[] = [
  {
    name: 'IOAS_ALLOC',
    prepare:
      ({ program }) =>
      () =>
        program.tryAlloc({}).outcome,
    points: 4,
  },
  {
    name: 'DESTROY of an address space with areas, which never fails but by reading its struct',
    prepare: (scene) => {
      scene.mapThree()
      return () => scene.program.destroy(scene.id).outcome
    },
    points: 2,
  },
  {
    name: 'IOAS_MAP, fixed',
    prepare:
      ({ program, id }) =>
      () =>
        program.mapAt(id, 0x10000, 2 * PAGE).outcome,
    points: 5,
    keeps: true,
  },
  {
    name: 'IOAS_MAP, automatic',
    prepare: ({ program, id }) => {
      const values = { flags: RW, ioas_id: id, user_va: MEMORY, length: PAGE }
      return () => program.map(values).outcome
    },
    points: 5,
    keeps: true,
  },
  {
    name: 'IOAS_MAP_FILE',
    prepare:
      ({ program, id }) =>
      () =>
        program.mapFileAt(id, 0x10000, 2 * PAGE).outcome,
    points: 5,
    keeps: true,
  },
  {
    name: 'IOAS_COPY of three areas',
    prepare: (scene) => {
      scene.mapThree()
      const { program, id } = scene
      const ids = { dst_ioas_id: program.alloc(), src_ioas_id: id }
      const range = { length: 6 * PAGE, src_iova: 0x10000, dst_iova: 0x20000 }
      return () => program.copy({ ...ids, ...range, flags: RW_FIXED }).outcome
    },
    points: 6,
    keeps: true,
  },
  {
    name: 'IOAS_UNMAP with a user that is asked to let go',
    prepare: (scene) => {
      scene.mapThree()
      ok(scene.access().tryPin(THREE))
      return () => scene.program.unmap(scene.id, 0x10000, 6 * PAGE).outcome
    },
    points: 3,
    keeps: true,
  },
  {
    name: 'IOAS_ALLOW_IOVAS',
    prepare: ({ program, id }) => {
      const list = [0n, 1n, 2n].map((i) => ({ start: i * 0x10000n, last: i * 0x10000n + 0xfffn }))
      ok(program.allow(id, [{ start: 0x7000n, last: 0x8fffn }]).outcome)
      return () => program.allow(id, list).outcome
    },
    points: 8,
  },
  {
    name: 'IOAS_IOVA_RANGES',
    prepare: ({ program, id }) => {
      const { iopt } = program.ioas(id)
      iopt.reserve(0, 0x1000, 0, 0x1fff)
      iopt.reserve(0, 0x4000, 0, 0x4fff)
      return () => program.ranges(id).outcome
    },
    points: 6,
  },
  {
    name: 'IOMMU_OPTION_HUGE_PAGES',
    prepare: ({ program, id }) => {
      return () => program.option({ option_id: 1, object_id: id, val64: 0 }).outcome
    },
    points: 3,
    keeps: true,
  },
  ...(['none', 'user', 'mm'] as const).map((mode): Scenario => {
    return {
      name: `IOAS_CHANGE_PROCESS of pinned memory, mode ${mode}`,
      prepare: (scene) => {
        const { program, id } = scene
        program.mapFileAt(id, 0x10000, 4 * PAGE)
        program.mapFileAt(id, 0x20000, 2 * PAGE)
        const access = scene.access()
        ok(access.tryPin({ start: 0x10000n, last: 0x13fffn }))
        ok(access.tryPin({ start: 0x20000n, last: 0x20fffn }))
        const child = program.fork()
        return () => child.changeProcess().outcome
      },
      points: mode === 'none' ? 2 : 3,
      mode,
    }
  }),
  ...(['none', 'user', 'mm'] as const).flatMap((mode) => pinning(mode)),
  {
    name: 'reading more than a page, by pins',
    prepare: (scene) => {
      scene.mapThree()
      scene.world.tables.pages.setBatchPages(1)
      const access = scene.access()
      ok(access.tryPin({ start: 0x11000n, last: 0x11fffn }))
      return () => access.tryRw(0x10000n, new Uint8Array(6 * PAGE), RW_SLOW_PATH)
    },
    points: 5,
  },
  {
    name: 'writing inside a page, by the mapper’s addresses',
    prepare: (scene) => {
      scene.mapThree()
      const access = scene.access()
      return () => access.tryRw(0x10010n, new Uint8Array(8), RW_WRITE)
    },
    points: 1,
  },
  {
    name: 'attaching a user',
    prepare: (scene) => () => {
      const access = new Access(scene.world, scene.program.ioas(scene.id))
      const rc = access.attach()
      if (rc === 0) scene.cleanup.push(() => access.detach())
      return outcomeOf(scene.world, rc)
    },
    points: 1,
  },
  ...(['none', 'user', 'mm'] as const).flatMap((mode) => domains(mode)),
  ...dmaBufs(),
]

/** Pins over three areas, with pages that are pinned already and a batch for every page. */
function pinning(mode: Mode): Scenario[] {
  const pinThree = (scene: Scene, batchPages: number): (() => string) => {
    scene.mapThree()
    scene.world.tables.pages.setBatchPages(batchPages)
    const access = scene.access()
    ok(access.tryPin({ start: 0x13000n, last: 0x13fffn }))
    return () => access.tryPin(THREE)
  }
  const charges = mode === 'none' ? 0 : 3
  return [
    {
      name: `pinning three areas, mode ${mode}`,
      prepare: (scene) => pinThree(scene, 100),
      points: 6 + charges,
      mode,
    },
    {
      name: `pinning three areas page by page, mode ${mode}`,
      prepare: (scene) => pinThree(scene, 1),
      points: 8 + charges,
      mode,
    },
  ]
}

/** Hardware page tables: what they map is pinned and charged as it is mapped. */
function domains(mode: Mode): Scenario[] {
  const aperture = { start: 0x1000n, last: 2n ** 40n - 1n }
  const charges = mode === 'none' ? 0 : 1
  return [
    {
      name: `IOAS_MAP with two domains, mode ${mode}`,
      prepare: (scene) => {
        ok(scene.addDomain(new TestDomain(scene.world)))
        ok(scene.addDomain(new TestDomain(scene.world, 2048, aperture)))
        const { program, id } = scene
        return () => program.mapAt(id, 0x10000, 4 * PAGE).outcome
      },
      points: 8 + charges,
      mode,
      keeps: true,
    },
    {
      name: `IOAS_COPY of three areas into one address space with a domain, mode ${mode}`,
      prepare: (scene) => {
        scene.mapThree()
        ok(scene.addDomain(new TestDomain(scene.world)))
        const { program, id } = scene
        const ids = { dst_ioas_id: id, src_ioas_id: id }
        const range = { length: 6 * PAGE, src_iova: 0x10000, dst_iova: 0x20000 }
        return () => program.copy({ ...ids, ...range, flags: RW_FIXED }).outcome
      },
      points: 9,
      mode,
      keeps: true,
    },
    {
      name: `adding the first domain over three areas, some of it pinned, mode ${mode}`,
      prepare: (scene) => {
        scene.mapThree()
        scene.world.tables.pages.setBatchPages(1)
        ok(scene.access().tryPin({ start: 0x11000n, last: 0x12fffn }))
        const domain = new TestDomain(scene.world, PAGE, aperture)
        return () => scene.addDomain(domain)
      },
      points: 9 + charges * 3,
      mode,
    },
    {
      name: `adding a second domain, mode ${mode}`,
      prepare: (scene) => {
        scene.mapThree()
        ok(scene.addDomain(new TestDomain(scene.world)))
        const domain = new TestDomain(scene.world, 2048, aperture)
        return () => scene.addDomain(domain)
      },
      points: 5,
      mode,
    },
    {
      name: `pinning what a domain holds, mode ${mode}`,
      prepare: (scene) => {
        scene.mapThree()
        ok(scene.addDomain(new TestDomain(scene.world)))
        const access = scene.access()
        return () => access.tryPin(THREE)
      },
      points: 3,
      mode,
    },
  ]
}

/** Dma-bufs: attached to, mapped by two domains, never pinned. */
function dmaBufs(): Scenario[] {
  const mapped = (scene: Scene, domains: number): (() => string) => {
    for (let i = 0; i < domains; i++) ok(scene.addDomain(new TestDomain(scene.world)))
    const { fd } = Exporter.open(scene.program.process, 4)
    const values = { flags: RW_FIXED, ioas_id: scene.id, fd, length: 4 * PAGE, iova: 0x10000 }
    return () => scene.program.mapFile(values).outcome
  }
  return [
    {
      name: 'IOAS_MAP_FILE of a dma-buf with two domains',
      prepare: (scene) => mapped(scene, 2),
      points: 10,
      keeps: true,
    },
    {
      name: 'IOAS_COPY of a dma-buf into an address space with two domains',
      prepare: (scene) => {
        ok(mapped(scene, 2)())
        const ids = { src_ioas_id: scene.id, dst_ioas_id: scene.id }
        const range = { length: 4 * PAGE, src_iova: 0x10000, dst_iova: 0x20000 }
        return () => scene.program.copy({ ...ids, ...range, flags: RW_FIXED }).outcome
      },
      points: 7,
      keeps: true,
    },
    {
      name: 'adding a second domain over a dma-buf',
      prepare: (scene) => {
        ok(mapped(scene, 1)())
        return () => scene.addDomain(new TestDomain(scene.world))
      },
      points: 2,
    },
  ]
}

/** Points that the call passes when none fails. */
function countPoints(scenario: Scenario): number {
  const scene = new Scene(scenario.mode ?? 'user')
  const call = scenario.prepare(scene)
  const { faults } = scene.world.engine
  faults.disarm()
  ok(call())
  const { passed } = faults
  scene.finish()
  return passed
}

/** Fails the n-th point. */
function failOne(scenario: Scenario, n: number, isLast: boolean, after: string[]): void {
  const scene = new Scene(scenario.mode ?? 'user')
  const call = scenario.prepare(scene)
  const { faults } = scene.world.engine
  const before = snapshot(scene.world)
  faults.arm(n)
  const outcome = call()
  expect(faults.fired).toBe(true)
  faults.disarm()
  expect(outcome).toMatch(/^(ENOMEM INJECTED_ENOMEM|EFAULT INJECTED_EFAULT)$/)
  if (scenario.keeps === true && isLast) {
    expect(outcome).toBe('EFAULT INJECTED_EFAULT')
    expect(snapshot(scene.world)).toEqual(after)
  } else {
    expect(snapshot(scene.world)).toEqual(before)
    expect(call()).toBe('ok')
    expect(snapshot(scene.world)).toEqual(after)
  }
  scene.finish()
}

/** The state when nothing fails: same calls, same state. */
function stateAfter(scenario: Scenario): string[] {
  const scene = new Scene(scenario.mode ?? 'user')
  ok(scenario.prepare(scene)())
  return snapshot(scene.world)
}

function ok(outcome: string): void {
  expect(outcome).toBe('ok')
}

describe('every fault point of', () => {
  test.each(scenarios)('$name', (scenario) => {
    const points = countPoints(scenario)
    expect(points).toBeGreaterThanOrEqual(scenario.points)
    const after = stateAfter(scenario)
    for (let n = 1; n <= points; n++) failOne(scenario, n, n === points, after)
  })
})

test('undoing passes no fault point, so it cannot fail', () => {
  const scene = new Scene('user')
  scene.mapThree()
  ok(scene.addDomain(new TestDomain(scene.world)))
  ok(scene.addDomain(new TestDomain(scene.world)))
  ok(scene.access().tryPin(THREE))
  const { faults } = scene.world.engine
  faults.disarm()
  scene.finish()
  expect(faults.passed).toBe(0)
})
