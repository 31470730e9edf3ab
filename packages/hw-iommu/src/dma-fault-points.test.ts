// SPDX-License-Identifier: Apache-2.0
//
// SPEC section 8, E3: with real page tables, whose tables are allocations too, everything on the way of a call fails once;
// each time pins, charges and all that devices see are as before.

import { describe, expect, test } from 'vitest'
import { type Attached, DmaWorld, IOVA, PAGE } from '../test/dma-world.js'

const PAGES = 6
/** Where the call under test maps. */
const NEW = IOVA + 0x4000_0000n

interface Scene {
  readonly world: DmaWorld
  readonly devices: readonly Attached[]
  readonly call: () => number
}

/** Two devices on one IOAS, each with a table of its own, and another IOAS; both hold memory. */
function base(): { world: DmaWorld; devices: Attached[]; ioas: number; other: number } {
  const world = new DmaWorld('vtdss')
  const [ioas, other] = [world.ioas(), world.ioas()]
  world.map(ioas, world.numbered(PAGES), PAGES * PAGE, IOVA)
  world.map(other, world.numbered(PAGES), PAGES * PAGE, IOVA)
  const first = world.attached(ioas)
  const second = world.attached(other)
  second.idev.replace(world.hwpt(second.idev.id, ioas, 0))
  return { world, devices: [first, second], ioas, other }
}

const scenes: Record<string, () => Scene> = {
  'IOAS_MAP into two domains': () => {
    const { world, devices, ioas } = base()
    const va = world.numbered(PAGES)
    return { world, devices, call: () => world.tryMap(ioas, va, PAGES * PAGE, NEW) }
  },
  'another domain for the IOAS': () => {
    const { world, devices, ioas } = base()
    const idev = devices[0]?.idev
    return { world, devices, call: () => world.hwpt(idev?.id ?? 0, ioas, 0) }
  },
  'a domain for an IOAS that has none': () => {
    const { world, devices, other } = base()
    const idev = devices[0]?.idev
    return { world, devices, call: () => world.hwpt(idev?.id ?? 0, other, 0) }
  },
  'a device moves to another IOAS': () => {
    const { world, devices, other } = base()
    return { world, devices, call: () => devices[0]?.idev.replace(other) ?? 0 }
  },
}

/** What must be as before: pins, charges, and what each device finds at every page. */
function state({ world, devices }: Scene): unknown {
  const byte = new Uint8Array(1)
  const seen = devices.map(({ dma }) =>
    [IOVA, NEW].flatMap((start) =>
      Array.from({ length: PAGES }, (_, page) =>
        dma.read(start + BigInt(page * PAGE), byte) === 1 ? byte[0] : dma.takeFaults()[0]?.reason,
      ),
    ),
  )
  const { pinnedFrames } = world.machine
  const objects = [...world.ctx.objects].map(({ typeName, id, users }) => ({ typeName, id, users }))
  return { seen, pinnedFrames, objects, locked: world.process.status() }
}

describe.each(Object.entries(scenes))('section 8, E3: fault points: %s', (_name, make) => {
  test('each fails once and leaves everything as before; then the call is served', () => {
    const scene = make()
    const { world, devices, call } = scene
    const { faults } = world.engine
    const before = state(scene)
    for (let n = 1; ; n++) {
      faults.arm(n)
      const rc = call()
      const { fired } = faults
      faults.disarm()
      if (!fired) {
        expect(rc).toBeGreaterThanOrEqual(0)
        expect(n).toBeGreaterThan(4)
        break
      }
      expect(rc, `point ${n}`).toBeLessThan(0)
      // The answer of IOAS_MAP is the last that can fail; the mapping stays, as in Linux.
      if (world.engine.refusals.last?.id === 'INJECTED_EFAULT' && isMapped(scene)) unmapNew(scene)
      expect(state(scene), `point ${n}`).toEqual(before)
    }
    for (const { idev } of devices) {
      idev.detach()
      idev.unbind()
    }
    world.close()
    expect(world.warnings).toEqual([])
  })
})

function isMapped({ devices }: Scene): boolean {
  const dma = devices[0]?.dma
  const found = dma?.read(NEW, new Uint8Array(1))
  dma?.takeFaults()
  return found === 1
}

function unmapNew({ world, devices }: Scene): void {
  world.unmap(devices[0]?.ioas ?? 0, NEW, PAGES * PAGE)
}
