// SPDX-License-Identifier: Apache-2.0
//
// Every allocation, pin, charge and user copy on the way fails once; each time everything is as before.

import { IOMMU_DESTROY, IOMMU_HWPT_ALLOC_PASID, iommu_destroy } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { World } from '../test/harness.js'
import {
  IOMMU_RESV_MSI,
  IOMMU_RESV_SW_MSI,
  type IommufdDevice,
  iommufd_sw_msi,
  MsiDesc,
} from './index.js'

interface Scene {
  readonly world: World
  readonly call: () => number
}

const regions = [
  { start: 0x100000n, length: 0x1000n, type: IOMMU_RESV_MSI },
  { start: 0x200000n, length: 0x1000n, type: IOMMU_RESV_MSI },
]

const software = [{ start: 0x800_0000n, length: 0x10_0000n, type: IOMMU_RESV_SW_MSI }]

function world(resv = regions): { world: World; bound: IommufdDevice[]; ids: number[] } {
  const made = new World()
  const spaces = [made.ioas(), made.ioas()]
  for (const [i, ioas] of spaces.entries()) {
    made.map(ioas, 0x10000, 3 + i)
    made.map(ioas, 0x80000, 2)
  }
  const bound = ['a', 'b'].map((name) =>
    made.bind(made.device(name, { group: 'g', regions: resv, pasids: 8 })),
  )
  return { world: made, bound, ids: spaces.map(({ id }) => id) }
}

const scenes: Record<string, () => Scene> = {
  bind: () => {
    const made = new World()
    const dev = made.device('a')
    return { world: made, call: () => bindOf(made, dev) }
  },
  'attach to an IOAS': () => {
    const { world: made, bound, ids } = world()
    return { world: made, call: () => (bound[0] as IommufdDevice).attach(ids[0] as number) }
  },
  'attach the second device': () => {
    const { world: made, bound, ids } = world()
    bound[0]?.attach(ids[0] as number)
    return { world: made, call: () => (bound[1] as IommufdDevice).attach(ids[0] as number) }
  },
  'replace by another IOAS': () => {
    const { world: made, bound, ids } = world()
    for (const idev of bound) idev.attach(ids[0] as number)
    return { world: made, call: () => (bound[1] as IommufdDevice).replace(ids[1] as number) }
  },
  'attach to a table': () => {
    const { world: made, bound, ids } = world()
    const id = hwptOf(made, { dev_id: bound[0]?.id ?? 0, pt_id: ids[0] as number })
    return { world: made, call: () => (bound[0] as IommufdDevice).attach(id) }
  },
  'replace by a table': () => {
    const { world: made, bound, ids } = world()
    const id = hwptOf(made, { dev_id: bound[0]?.id ?? 0, pt_id: ids[1] as number })
    for (const idev of bound) idev.attach(ids[0] as number)
    return { world: made, call: () => (bound[0] as IommufdDevice).replace(id) }
  },
  'attach a PASID': () => {
    const { made, bound, tables } = pasidWorld()
    return { world: made, call: () => bound.attach(tables[0] as number, 1) }
  },
  'replace the table of a PASID': () => {
    const { made, bound, tables } = pasidWorld()
    bound.attach(tables[0] as number, 1)
    return { world: made, call: () => bound.replace(tables[1] as number, 1) }
  },
  'map an interrupt page': () => {
    const { world: made, bound, ids } = world(software)
    bound[0]?.attach(ids[0] as number)
    const desc = new MsiDesc((bound[0] as IommufdDevice).dev)
    return { world: made, call: () => iommufd_sw_msi(desc, 0x809_0040) || 1 }
  },
  'attach with an interrupt page in use': () => {
    const { world: made, bound, ids } = world(software)
    const [idev] = bound as [IommufdDevice]
    idev.attach(ids[0] as number)
    iommufd_sw_msi(new MsiDesc(idev.dev), 0x809_0040)
    idev.detach()
    return { world: made, call: () => idev.attach(ids[1] as number) }
  },
  'destroy a table': () => {
    const { world: made, bound, ids } = world()
    const id = hwptOf(made, { dev_id: bound[0]?.id ?? 0, pt_id: ids[0] as number })
    return { world: made, call: () => made.ioctl(IOMMU_DESTROY, iommu_destroy, { id }).ret || 1 }
  },
  HWPT_ALLOC: () => {
    const { world: made, bound, ids } = world()
    const values = { dev_id: bound[0]?.id ?? 0, pt_id: ids[0] as number }
    return { world: made, call: () => hwptOf(made, values) }
  },
  'HWPT_ALLOC on an IOAS with a table': () => {
    const { world: made, bound, ids } = world()
    bound[0]?.attach(ids[0] as number)
    const values = { dev_id: bound[0]?.id ?? 0, pt_id: ids[0] as number }
    return { world: made, call: () => hwptOf(made, values) }
  },
}

/** A device that has a table without a PASID, and two tables made for PASIDs. */
function pasidWorld(): { made: World; bound: IommufdDevice; tables: number[] } {
  const { world: made, bound, ids } = world()
  const [idev] = bound as [IommufdDevice]
  const tables = ids.map((pt_id) => {
    return hwptOf(made, { dev_id: idev.id, pt_id, flags: IOMMU_HWPT_ALLOC_PASID })
  })
  idev.attach(tables[0] as number)
  return { made, bound: idev, tables }
}

function bindOf(made: World, dev: Parameters<World['bind']>[0]): number {
  try {
    return made.bind(dev).id
  } catch {
    return -(made.engine.refusals.last?.errno ?? 0)
  }
}

function hwptOf(made: World, values: Parameters<World['hwptAlloc']>[0]): number {
  const answer = made.hwptAlloc(values)
  return typeof answer === 'number' ? answer : -(made.engine.refusals.last?.errno ?? 0)
}

describe.each(Object.entries(scenes))('fault points: %s', (_name, scene) => {
  test('each fails once and leaves everything as before; then the call is served', () => {
    const { world: made, call } = scene()
    const before = made.state()
    const { faults } = made.engine
    for (let n = 1; ; n++) {
      faults.arm(n)
      const rc = call()
      const { fired } = faults
      faults.disarm()
      if (!fired) {
        expect(rc).toBeGreaterThan(0)
        expect(n).toBeGreaterThan(1)
        break
      }
      expect(rc, `point ${n}`).toBeLessThan(0)
      expect(made.state(), `point ${n}`).toEqual(before)
    }
    expect(made.warnings).toEqual([])
  })
})

test('fault points: detaching and closing pass none', () => {
  const { world: made, bound, ids } = world()
  const values = { dev_id: bound[0]?.id ?? 0, pt_id: ids[0] as number }
  const table = hwptOf(made, { ...values, flags: IOMMU_HWPT_ALLOC_PASID })
  for (const idev of bound) {
    idev.attach(table)
    idev.attach(table, 1)
  }
  made.engine.faults.arm(1)
  for (const idev of bound) idev.detach(1)
  for (const idev of bound) idev.detach()
  for (const idev of bound) idev.unbind()
  made.close()
  expect(made.engine.faults.fired).toBe(false)
  expect(made.machine.pinnedFrames).toBe(0)
  expect(made.warnings).toEqual([])
})
