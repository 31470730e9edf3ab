// SPDX-License-Identifier: Apache-2.0
// vIOMMUs: how they come to be, who keeps them, and in which order everything ends.

import { IOMMU_VIOMMU_ALLOC, iommu_viommu_alloc, PROT_READ, writeStruct } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { ARG, DATA, PAGE } from '../test/harness.js'
import { ToyDevice, ToyDriver } from '../test/toy-driver.js'
import { TOY_TYPE } from '../test/toy-viommu.js'
import { QUEUE_IOVA, ViommuScene } from '../test/viommu-scene.js'
import {
  Iommu,
  type IommufdHwQueue,
  iommufd_hw_queue_depend,
  iommufd_hw_queue_undepend,
  iommufd_vdevice_to_device,
  iommufd_viommu_alloc_mmap,
  iommufd_viommu_destroy_mmap,
  iommufd_viommu_find_dev,
  iommufd_viommu_get_vdev_id,
  VDEVICE,
} from './index.js'

describe('L9: IOMMU_VIOMMU_ALLOC', () => {
  test('gives an id, and is a user of its nesting parent', () => {
    const scene = new ViommuScene()
    expect(scene.viommu()).toBe(4)
    expect(scene.world.destroy(scene.parent)).toBe('EBUSY OBJECT_BUSY')
    expect(scene.world.destroy(4)).toBe('ok')
    expect(scene.world.driver.viommuLog).toEqual(['destroy'])
    expect(scene.world.destroy(scene.parent)).toBe('ok')
  })

  test('refusals in order', () => {
    const scene = new ViommuScene()
    const plain = scene.hwpt({ pt_id: scene.ioas }) as number
    const before = scene.world.state()
    const outcomes = [
      scene.viommu({ flags: 1, dev_id: 77 }),
      scene.viommu({ type: 0, dev_id: 77 }),
      scene.viommu({ type: 2, dev_id: 77 }),
      scene.viommu({ type: 2, hwpt_id: 77 }),
      scene.viommu({ hwpt_id: scene.ioas }),
      scene.viommu({ hwpt_id: plain }),
    ]
    expect(outcomes).toEqual([
      'EOPNOTSUPP VIOMMU_FLAGS_OR_TYPE',
      'EOPNOTSUPP VIOMMU_FLAGS_OR_TYPE',
      'ENOENT OBJECT_UNKNOWN',
      'EOPNOTSUPP VIOMMU_UNSUPPORTED',
      'ENOENT OBJECT_UNKNOWN',
      'EINVAL NO_NEST_PARENT',
    ])
    scene.world.driver.viommuRefuses.set('viommuInit', -5)
    expect(scene.viommu()).toBe('EIO DRIVER_REFUSED')
    expect(scene.world.state()).toEqual(before)
    expect(scene.world.driver.viommuLog).toEqual([])
  })

  test.each([
    [8, 'ok'],
    [4, 'ok'],
    [3, 'EINVAL USER_DATA_TOO_SHORT'],
    [9, 'EINVAL USER_DATA_TOO_LONG'],
  ])('the driver reads %i bytes and answers as many', (data_len, outcome) => {
    const scene = new ViommuScene()
    const { process } = scene.world
    process.store(DATA, Uint8Array.of(7, 0, 0, 0, 9, 9, 9, 9, 9))
    const id = scene.viommu({ data_len, data_uptr: DATA })
    expect(id).toBe(outcome === 'ok' ? 4 : outcome)
    const rest = data_len === 4 ? [9, 9, 9, 9] : [0, 0, 0, 0]
    const answer = outcome === 'ok' ? [8, 0, 0, 0, ...rest, 9] : [7, 0, 0, 0, 9, 9, 9, 9, 9]
    expect([...(process.load(DATA, 9) as Uint8Array)]).toEqual(answer)
  })

  test('the answer cannot be written back: the driver is told that it is over', () => {
    const scene = new ViommuScene()
    const { world } = scene
    const values = { size: 40, type: TOY_TYPE, dev_id: scene.idev.id, hwpt_id: scene.parent }
    world.process.store(ARG, writeStruct(iommu_viommu_alloc, values))
    const before = world.state()
    world.process.mprotect(ARG, PAGE, PROT_READ)
    const ret = world.process.ioctl(world.fd, IOMMU_VIOMMU_ALLOC, ARG)
    expect(world.outcome(ret)).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(world.state()).toEqual(before)
    expect(world.driver.viommuLog).toEqual(['destroy'])
  })

  test('a parent of another physical IOMMU', () => {
    const scene = new ViommuScene()
    const dev_id = scene.world.bind(otherDevice(scene)).id
    expect(scene.viommu({ dev_id })).toBe('EINVAL PARENT_OF_OTHER_DRIVER')
    const viommu = scene.viommu() as number
    expect(scene.vdevice(viommu, { dev_id })).toBe('EINVAL VDEVICE_OF_OTHER_IOMMU')
    expect(scene.nested(viommu, { dev_id })).toBe('EINVAL VIOMMU_OF_OTHER_IOMMU')
  })
})

describe('section 1: who keeps a vIOMMU', () => {
  test('virtual device, nested table, event queue, hardware queue: EBUSY until all are gone', () => {
    const scene = new ViommuScene()
    const { world } = scene
    const viommu = scene.viommu() as number
    const queue = scene.veventq(viommu)
    const ids = [scene.vdevice(viommu), scene.nested(viommu), scene.hwQueue(viommu)] as number[]
    expect(scene.object(viommu).users).toBe(4)
    for (const id of ids) {
      expect(world.destroy(viommu)).toBe('EBUSY OBJECT_BUSY')
      expect(world.destroy(id)).toBe('ok')
    }
    expect(world.destroy(queue.id as number)).toBe('EBUSY OBJECT_BUSY')
    world.process.close(queue.fd)
    expect(world.destroy(viommu)).toBe('EBUSY OBJECT_BUSY')
    expect(world.destroy(queue.id as number)).toBe('ok')
    expect(world.destroy(viommu)).toBe('ok')
  })

  test('closing ends all of it, each before what it stands on', () => {
    const scene = new ViommuScene()
    const { world } = scene
    const viommu = scene.viommu() as number
    scene.vdevice(viommu)
    scene.idev.attach(scene.nested(viommu) as number)
    scene.hwQueue(viommu)
    const { fd } = scene.veventq(viommu)
    const log = world.driver.viommuLog
    log.length = 0
    world.close()
    expect(world.engine.contexts.size).toBe(1)
    world.process.close(fd)
    // The bound device holds the context.
    expect([world.engine.contexts.size, log]).toEqual([1, []])
    scene.idev.detach()
    scene.idev.unbind()
    expect(world.engine.contexts.size).toBe(0)
    expect(log).toEqual(['vdevice 5 ends', 'queue ends', 'destroy'])
    expect(world.machine.pinnedFrames).toBe(0)
    expect(world.warnings).toEqual([])
  })
})

describe('section 5: what drivers call', () => {
  test('devices by their numbers, and numbers by their devices', () => {
    const scene = new ViommuScene()
    const viommu = scene.object(scene.viommu() as number)
    const vdevice = scene.world.ctx.find(scene.vdevice(viommu.id) as number, VDEVICE)
    const { dev } = scene.idev
    expect(vdevice && iommufd_vdevice_to_device(vdevice)).toBe(dev)
    expect(iommufd_viommu_find_dev(viommu, 5n)).toBe(dev)
    expect(iommufd_viommu_find_dev(viommu, 6n)).toBeUndefined()
    expect(iommufd_viommu_get_vdev_id(viommu, dev)).toBe(5n)
    const other = iommufd_viommu_get_vdev_id(viommu, scene.world.device('b'))
    expect(scene.world.outcome(other as number)).toBe('ENOENT VDEV_ID_UNKNOWN')
  })

  test('F8: pages of the driver, for as long as it offers them', () => {
    const scene = new ViommuScene()
    const { process, fd, machine } = scene.world
    const viommu = scene.object(scene.viommu() as number)
    const frames = new Uint32Array(1)
    machine.allocate(1, frames, 0)
    const region = iommufd_viommu_alloc_mmap(viommu, frames)
    if (typeof region === 'number') throw new Error('no region')
    const offset = region.page * PAGE
    const at = process.mmap(0, PAGE, PROT_READ, 1, fd, offset)
    expect(at).toBeGreaterThan(0)
    expect(scene.world.destroy(viommu.id)).toBe('EBUSY OBJECT_BUSY')
    process.munmap(at, PAGE)
    iommufd_viommu_destroy_mmap(viommu, region)
    expect(process.mmap(0, PAGE, PROT_READ, 1, fd, offset)).toBe(-6)
    expect(scene.world.destroy(viommu.id)).toBe('ok')
  })

  test('a queue outlives the one that needs it', () => {
    const scene = new ViommuScene()
    const { ctx } = scene.world
    const viommu = scene.viommu() as number
    const ids = [scene.hwQueue(viommu), scene.hwQueue(viommu, { index: 1 })] as [number, number]
    const [first, second] = ids.map((id) => ctx.objects.get(id)) as [IommufdHwQueue, IommufdHwQueue]
    iommufd_hw_queue_depend(second, first)
    expect(scene.world.destroy(first.id)).toBe('EBUSY OBJECT_BUSY')
    iommufd_hw_queue_undepend(second, first)
    expect(scene.world.destroy(first.id)).toBe('ok')
  })
})

test('section 8: a driver may leave out everything that a vIOMMU can do', () => {
  const scene = new ViommuScene()
  const { world } = scene
  const viommu = scene.viommu() as number
  scene.object(viommu).ops = {}
  expect(scene.vdevice(viommu)).toBe(5)
  expect(scene.nested(viommu)).toBe('EOPNOTSUPP NESTED_VIOMMU_UNSUPPORTED')
  expect(scene.invalidate(viommu)).toEqual([0, 'EOPNOTSUPP INVALIDATE_UNSUPPORTED'])
  expect(scene.hwQueue(viommu)).toBe('EOPNOTSUPP HW_QUEUE_UNSUPPORTED')
  expect(scene.veventq(viommu).id).toBe(6)
  expect(world.destroy(5)).toBe('ok')
  expect(scene.unmap(QUEUE_IOVA, 2)).toBe('ok')
})

/** A device of another driver of the same kind. */
function otherDevice({ world }: ViommuScene): ToyDevice {
  const iommu = new Iommu(world.engine)
  iommu.registerDriver(new ToyDriver(iommu))
  const dev = new ToyDevice('other')
  iommu.addDevice(dev)
  return dev
}
