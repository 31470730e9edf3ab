// SPDX-License-Identifier: Apache-2.0
// Every refusal of address spaces and pages is reached by a call, with its own errno and with all its words filled in.

import { IOMMU_IOAS_NOIOMMU_GET_PA, iommu_ioas_noiommu_get_pa } from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { Access } from '../test/access.js'
import { TestDomain } from '../test/domain.js'
import { boot, MEMORY, NOTHING, PAGE, Program, READ, RW, type World } from '../test/harness.js'
import { U64_MAX } from '../test/u64.js'
import { pagesRefusals } from './index.js'
import { addDomain } from './iopt-domains.js'
import { lockRange } from './iopt-lock.js'
import { unmapAll } from './iopt-unmap.js'

type Name = keyof typeof pagesRefusals

/** A page is mapped at 0x1000 of address space 1, one that cannot be pinned at 0x5000; [0x8000, 0x8fff] is reserved. */
class Scene {
  readonly world: World = boot({ onWarning: () => {} })
  readonly program: Program
  readonly id: number

  constructor(spawn = { uid: 0, rlimitMemlock: 0 }, path = '/dev/iommu') {
    this.program = Program.start(this.world, spawn, path)
    this.id = this.program.alloc()
    this.program.mapAt(this.id, 0x1000)
    this.program.mapAt(this.id, 0x5000, PAGE, NOTHING)
    this.iopt.reserve(0, 0x8000, 0, 0x8fff)
  }

  get iopt() {
    return this.program.ioas(this.id).iopt
  }

  access(alignment = PAGE): Access {
    return Access.attached(this.world, this.program.ioas(this.id), alignment)
  }

  map(values: object): number {
    const defaults = { flags: RW, ioas_id: this.id, user_va: MEMORY, length: PAGE }
    return this.program.map({ ...defaults, ...values }).ret
  }

  copy(values: object): number {
    const ids = { dst_ioas_id: this.id, src_ioas_id: this.id }
    const defaults = { ...ids, flags: RW, length: PAGE, src_iova: 0x1000 }
    return this.program.copy({ ...defaults, ...values }).ret
  }

  smallPages(val64 = 0): number {
    return this.program.option({ option_id: 1, object_id: this.id, val64 }).ret
  }

  /** Aligned to pages from now on. */
  aligned(): this {
    expect(this.smallPages()).toBe(0)
    return this
  }

  pin(start: bigint, last = start + 0xfffn, write = true): number {
    const pinned = this.access(1).pin({ start, last }, write)
    return typeof pinned === 'number' ? pinned : 0
  }

  /** A user has the area at 0x1000 pinned. */
  pinned(): Access {
    const access = this.access()
    access.pin({ start: 0x1000n, last: 0x1fffn })
    return access
  }
}

function allow(list: readonly [bigint, bigint][]): (scene: Scene) => number {
  return ({ program, id }) => {
    return program.allow(
      id,
      list.map(([start, last]) => ({ start, last })),
    ).ret
  }
}

/** Sites that root never meets. */
const userScenes: Partial<Record<Name, () => Scene>> = {
  USER_LIMIT_EXCEEDED: () => new Scene({ uid: 1000, rlimitMemlock: 0 }),
  PROCESS_LIMIT_EXCEEDED: () => new Scene({ uid: 1000, rlimitMemlock: 0 }, '/dev/vfio/vfio'),
}

/** A call that each site refuses. */
const provoked: Record<Name, (scene: Scene) => number> = {
  FLAGS_UNKNOWN: (scene) => scene.map({ flags: 8 }),
  RESERVED_NOT_ZERO: (scene) => scene.map({ __reserved: 1 }),
  RANGE_AT_TOP: (scene) => scene.map({ length: U64_MAX }),
  NO_PERMISSION_ASKED: (scene) => scene.map({ flags: 0 }),
  USER_RANGE_WRAPS: (scene) => scene.map({ user_va: U64_MAX }),
  LENGTH_UNUSABLE: (scene) => scene.map({ length: 0 }),
  LENGTH_ZERO: (scene) => scene.copy({ length: 0 }),
  LENGTH_MISALIGNED: (scene) => scene.aligned().map({ length: 1 }),
  IOVA_MISALIGNED: (scene) => scene.aligned().program.mapAt(scene.id, 1).ret,
  OFFSET_MISALIGNED: (scene) => scene.aligned().program.mapAt(1, 0x2000, PAGE, MEMORY + 1).ret,
  IOVA_WRAPS: (scene) => scene.program.mapAt(scene.id, U64_MAX - 1n, 3).ret,
  IOVA_RESERVED: (scene) => scene.program.mapAt(scene.id, 0x8fff).ret,
  AREA_OVERLAPS: (scene) => scene.program.mapAt(scene.id, 0x1fff).ret,
  AUTO_LENGTH_TOO_LARGE: (scene) => scene.map({ length: 2n ** 63n }),
  AUTO_ALIGNMENT_TOO_SMALL: (scene) => scene.aligned().map({ user_va: MEMORY + 1 }),
  IOVA_SPACE_FULL: (scene) => {
    allow([[0x1000n, 0x1fffn]])(scene)
    return scene.map({})
  },
  PAGES_READ_ONLY: (scene) => {
    scene.program.mapAt(scene.id, 0x2000, PAGE, MEMORY, READ)
    return scene.copy({ src_iova: 0x2000 })
  },
  SOURCE_NOT_MAPPED: (scene) => scene.copy({ src_iova: 0x2000 }),
  AREA_PARTLY_COVERED: ({ program, id }) => program.unmap(id, 0x1000, 1).ret,
  NOTHING_MAPPED: ({ program, id }) => program.unmap(id, 0x2000, 1).ret,
  AREA_LOCKED: ({ iopt, program, id }) => {
    lockRange(iopt, 0, 0x1000, 0, 0x1fff)
    return program.unmap(id, 0x1000, PAGE).ret
  },
  ACCESS_HOLDS_AREA: (scene) => {
    scene.pinned().isStubborn = true
    return scene.program.unmap(scene.id, 0x1000, PAGE).ret
  },
  SPACE_IN_USE: ({ iopt }) => iopt.reserve(0, 0x1000, 0, 0x1000),
  ALLOWED_IS_RESERVED: allow([[0x8000n, 0x8fffn]]),
  ALLOWED_RANGE_EMPTY: allow([[0x2000n, 0x2000n]]),
  ALLOWED_RANGES_OVERLAP: allow([
    [0x2000n, 0x3000n],
    [0x3000n, 0x4000n],
  ]),
  ALIGNMENT_BREAKS_AREA: (scene) => {
    scene.program.mapAt(scene.id, 0x2001)
    return scene.smallPages()
  },
  RANGES_DO_NOT_FIT: ({ program, id }) => program.ranges(id, 1).ret,
  FILE_DESCRIPTOR_UNKNOWN: ({ program, id }) =>
    program.mapFile({ flags: RW, ioas_id: id, fd: 99, length: PAGE }).ret,
  USER_PAGES_BAD: (scene) => scene.pin(0x5000n),
  USER_RANGE_BAD: (scene) => scene.access().rw(0x5000n, new Uint8Array(1)),
  FILE_PAGES_BAD: (scene) => {
    scene.program.mapFileAt(scene.id, 0x2000, PAGE, 2 ** 30)
    return scene.pin(0x2000n)
  },
  USER_LIMIT_EXCEEDED: (scene) => scene.pin(0x1000n),
  PROCESS_LIMIT_EXCEEDED: (scene) => scene.pin(0x1000n),
  AREA_NOT_A_FILE: ({ program }) => program.changeProcess().ret,
  NOIOMMU_ABSENT: ({ program }) =>
    program.call(IOMMU_IOAS_NOIOMMU_GET_PA, iommu_ioas_noiommu_get_pa, {}).ret,
  HUGE_PAGES_MAPPED: (scene) => {
    scene.program.unmap(scene.id, 0x5000, PAGE)
    expect(addDomain(scene.iopt, new TestDomain(scene.world, 2048))).toBe(0)
    return scene.smallPages()
  },
  DOMAIN_PAGE_TOO_LARGE: ({ iopt, world }) => addDomain(iopt, new TestDomain(world, 2 * PAGE)),
  HUGE_PAGES_VALUE: (scene) => scene.smallPages(2),
  ACCESS_NOT_MAPPED: (scene) => scene.pin(0x2000n),
  ACCESS_FORBIDDEN: (scene) => {
    scene.program.mapAt(scene.id, 0x2000, PAGE, MEMORY, READ)
    return scene.pin(0x2000n)
  },
  AREA_GOING_AWAY: (scene) => {
    const access = scene.pinned()
    let rc = 0
    access.onUnmap = () => {
      rc = access.rw(0x1000n, new Uint8Array(1))
    }
    unmapAll(scene.iopt)
    return rc
  },
  PIN_MISALIGNED: (scene) => scene.pin(0x1001n, 0x1002n),
}

test.each(Object.keys(pagesRefusals) as Name[])('%s is reached by a call', (name) => {
  const scene = userScenes[name]?.() ?? new Scene()
  expect(provoked[name](scene)).toBe(-pagesRefusals[name].errno)
  const { last } = scene.world.engine.refusals
  expect(last?.id).toBe(name)
  expect(`${last?.sentence} ${last?.remedy}`).not.toMatch(/[{}]/)
})
