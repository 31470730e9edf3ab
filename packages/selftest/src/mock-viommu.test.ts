// SPDX-License-Identifier: Apache-2.0
//
// Section 10: vIOMMUs of the mock, their pages, their hardware queues, and their end with the device.

import { MAP_FIXED, MAP_SHARED, PROT_READ, PROT_WRITE } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { destroyId, HOLE, PAGE, unmap } from '../test/harness.js'
import { DATA, MAPPED, ViommuScene } from '../test/viommu-scene.js'

const RW = PROT_READ | PROT_WRITE
const UNKNOWN = 'ENOENT OBJECT_UNKNOWN'

function mmap({ booted }: ViommuScene, offset: bigint, pages: number): number {
  return booted.process.mmap(HOLE, pages * PAGE, RW, MAP_SHARED | MAP_FIXED, booted.fd, offset)
}

describe('L9: the data of a vIOMMU', () => {
  test('comes back, with the place of two pages that begin with the word', () => {
    const scene = new ViommuScene()
    const { process } = scene.booted
    const { id, data } = scene.viommuWithPages(0x87654321)
    expect(data).toEqual({
      in_data: 0x87654321,
      out_data: 0x87654321,
      out_mmap_offset: BigInt(PAGE),
      out_mmap_length: BigInt(2 * PAGE),
    })
    expect(mmap(scene, data.out_mmap_offset, 2)).toBe(HOLE)
    expect([...(process.load(HOLE, 5) as Uint8Array)]).toEqual([0x21, 0x43, 0x65, 0x87, 0])
    expect(process.store(HOLE + PAGE, Uint8Array.of(1))).toBe(0)
    expect(destroyId(scene.booted, id as number)).toBe('EBUSY OBJECT_BUSY')
    process.munmap(HOLE, 2 * PAGE)
    const { out_mmap_offset } = scene.viommuWithPages(2).data
    expect(out_mmap_offset).toBe(BigInt(3 * PAGE))
    expect(destroyId(scene.booted, id as number)).toBe('0')
    expect(mmap(scene, data.out_mmap_offset, 2)).toBe(-6)
    expect(scene.viommuWithPages(3).data.out_mmap_offset).toBe(BigInt(PAGE))
  })

  test('must be all there and no more; without it there are no pages', () => {
    const scene = new ViommuScene()
    const viommu = (data_len: number) => scene.viommu({ data_len, data_uptr: DATA })
    expect(viommu(23)).toBe('EINVAL USER_DATA_TOO_SHORT')
    expect(viommu(25)).toBe('EINVAL USER_DATA_TOO_LONG')
    expect(scene.viommu()).toBe(6)
    expect(mmap(scene, BigInt(PAGE), 2)).toBe(-6)
    expect(scene.viommu({ type: 1 })).toBe('EOPNOTSUPP VIOMMU_UNSUPPORTED')
  })

  test('every fault point leaves neither vIOMMU nor pages', () => {
    const scene = new ViommuScene()
    const { faults } = scene.booted.engine
    const before = scene.state()
    for (let n = 1; ; n++) {
      faults.arm(n)
      const { id } = scene.viommuWithPages(1)
      const { fired } = faults
      faults.disarm()
      if (!fired) {
        expect([id, n]).toEqual([6, 9])
        break
      }
      expect(id, `point ${n}`).toMatch(/^E(NOMEM|FAULT) INJECTED_/)
      expect(scene.state(), `point ${n}`).toEqual(before)
    }
  })

  test('no memory is left for the pages', () => {
    const scene = new ViommuScene()
    const { host } = scene.booted.engine
    Object.assign(host, { allocate: () => -12 })
    const before = scene.state()
    expect(scene.viommuWithPages(1).id).toMatch(/^ENOMEM/)
    expect(scene.state()).toEqual(before)
  })
})

describe('L14: hardware queues of the mock', () => {
  test('two, in order; each is needed by the next', () => {
    const scene = new ViommuScene()
    const viommu = scene.viommu() as number
    expect(scene.hwQueue(viommu, 0, 1)).toBe('EOPNOTSUPP HW_QUEUE_UNSUPPORTED')
    expect(scene.hwQueue(viommu, 1)).toBe('EIO MOCK_HW_QUEUE_ORDER')
    const first = scene.hwQueue(viommu, 0) as number
    expect(scene.hwQueue(viommu, 0)).toBe('EEXIST MOCK_HW_QUEUE_EXISTS')
    const second = scene.hwQueue(viommu, 1) as number
    expect(scene.hwQueue(viommu, 2)).toBe('EINVAL MOCK_HW_QUEUE_INDEX')
    expect(destroyId(scene.booted, first)).toBe('EBUSY OBJECT_BUSY')
    expect(unmap(scene.booted, 1, MAPPED, PAGE)).toBe('EBUSY AREA_LOCKED')
    expect(destroyId(scene.booted, second)).toBe('0')
    expect(destroyId(scene.booted, first)).toBe('0')
    expect(unmap(scene.booted, 1, MAPPED, PAGE)).toBe('0')
  })

  test('as in Linux, the end of any queue frees index 0 alone', () => {
    const scene = new ViommuScene()
    const viommu = scene.viommu() as number
    const first = scene.hwQueue(viommu, 0) as number
    const second = scene.hwQueue(viommu, 1) as number
    expect(destroyId(scene.booted, second)).toBe('0')
    expect(scene.hwQueue(viommu, 1)).toBe('EEXIST MOCK_HW_QUEUE_EXISTS')
    const third = scene.hwQueue(viommu, 0) as number
    expect(third).toBe(second)
    for (const id of [first, third, viommu]) expect(destroyId(scene.booted, id)).toBe('0')
  })
})

describe('section 1: the end', () => {
  test('L10: a mock device that is destroyed leaves a tombstone of its virtual device', () => {
    const scene = new ViommuScene()
    const viommu = scene.viommu() as number
    const { stdev, idev } = scene.device()
    const vdevice = scene.vdevice(viommu, 7, idev) as number
    const nested = scene.nested(viommu) as number
    expect(scene.replace(nested, stdev)).toBe('0')
    expect(destroyId(scene.booted, idev)).toBe('EBUSY OBJECT_BUSY')
    expect(destroyId(scene.booted, stdev)).toBe('0')
    for (const id of [stdev, idev, vdevice]) expect(destroyId(scene.booted, id)).toBe(UNKNOWN)
    const again = scene.device()
    expect(again).toEqual({ stdev, idev })
    expect(scene.vdevice(viommu, 7, idev)).toBe(nested + 1)
    expect(scene.vdevice(viommu, 8)).toBe(nested + 2)
  })

  test('closing with everything alive leaves nothing', () => {
    const scene = new ViommuScene()
    const { process, engine, machine, fd } = scene.booted
    const { id, data } = scene.viommuWithPages(1)
    const viommu = id as number
    scene.vdevice(viommu, 7)
    scene.replace(scene.nested(viommu) as number)
    scene.hwQueue(viommu, 0)
    scene.hwQueue(viommu, 1)
    const events = scene.veventq(viommu, 4) as number
    scene.triggerVevent()
    expect(mmap(scene, data.out_mmap_offset, 2)).toBe(HOLE)
    process.close(fd)
    process.munmap(HOLE, 2 * PAGE)
    expect(engine.contexts.size).toBe(1)
    process.close(events)
    expect([engine.contexts.size, machine.pinnedFrames]).toEqual([0, 0])
  })

  test('any order of making, moving, destroying and closing leaves nothing', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const { engine, machine } = disorder(numbers(seed)).booted
      expect([engine.contexts.size, machine.pinnedFrames], `seed ${seed}`).toEqual([0, 0])
    }
  })
})

/** Numbers below a bound, the same ones for each seed. */
function numbers(seed: number): (bound: number) => number {
  let x = seed
  return (bound) => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) % bound
  }
}

/** Forty calls in any order, on objects that may not be there, and then closing. */
function disorder(next: (bound: number) => number): ViommuScene {
  const scene = new ViommuScene()
  const { booted } = scene
  const { process, fd } = booted
  const devices = [scene.device(), scene.device()]
  const device = () => devices[next(2)] as (typeof devices)[number]
  const id = () => 4 + next(14)
  const actions: (() => unknown)[] = [
    () => scene.viommuWithPages(1),
    () => scene.vdevice(id(), next(3), device().idev),
    () => scene.nested(id()),
    () => scene.hwQueue(id(), next(2)),
    () => scene.veventq(id(), 2),
    () => scene.replace(id(), device().stdev),
    () => destroyId(booted, id()),
    () => process.close(fd + 1 + next(3)),
    () => mmap(scene, BigInt((2 * next(3) + 1) * PAGE), 2),
    () => scene.triggerVevent(device().idev),
  ]
  for (let i = 0; i < 40; i++) actions[next(actions.length)]?.()
  for (let each = fd; each < fd + 50; each++) process.close(each)
  process.munmap(HOLE, 2 * PAGE)
  return scene
}
