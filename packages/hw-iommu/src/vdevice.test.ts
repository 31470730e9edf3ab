// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { ViommuScene } from '../test/viommu-scene.js'

const UNKNOWN = 'ENOENT OBJECT_UNKNOWN'

test('L10: a device gets its number, of 64 bits', () => {
  const scene = new ViommuScene()
  const viommu = scene.viommu() as number
  const virt_id = 2n ** 64n - 1n
  expect(scene.vdevice(viommu, { virt_id })).toBe(5)
  expect(scene.world.driver.viommuLog).toEqual([`vdevice ${virt_id} is a`])
})

test('L10: refusals in order', () => {
  const scene = new ViommuScene()
  const { world } = scene
  const b = world.bind(world.device('b')).id
  const [viommu, other] = [scene.viommu(), scene.viommu()] as [number, number]
  const id = scene.vdevice(viommu) as number
  const before = world.state()
  expect(scene.vdevice(scene.ioas, { dev_id: 77 })).toBe(UNKNOWN)
  expect(scene.vdevice(viommu, { dev_id: viommu })).toBe(UNKNOWN)
  expect(scene.vdevice(viommu, { virt_id: 6 })).toBe('EEXIST DEVICE_HAS_VDEVICE')
  expect(scene.vdevice(other)).toBe('EEXIST DEVICE_HAS_VDEVICE')
  expect(scene.vdevice(viommu, { dev_id: b })).toBe('EEXIST VIRT_ID_TAKEN')
  world.driver.viommuRefuses.set('vdeviceInit', -12)
  expect(scene.vdevice(other, { dev_id: b })).toBe('ENOMEM DRIVER_REFUSED')
  expect(world.state()).toEqual(before)
  world.driver.viommuRefuses.clear()
  expect(scene.vdevice(other, { dev_id: b })).toBe(id + 1)
})

test('L10: destroyed, the device and the number are free again', () => {
  const scene = new ViommuScene()
  const viommu = scene.viommu() as number
  for (let i = 0; i < 2; i++) {
    const id = scene.vdevice(viommu) as number
    expect(scene.world.destroy(id)).toBe('ok')
  }
  expect(scene.world.driver.viommuLog).toEqual([
    'vdevice 5 is a',
    'vdevice 5 ends',
    'vdevice 5 is a',
    'vdevice 5 ends',
  ])
})

test('section 1: unbinding the device leaves a tombstone; its number is free', () => {
  const scene = new ViommuScene()
  const { world } = scene
  const viommu = scene.viommu() as number
  const id = scene.vdevice(viommu) as number
  scene.idev.unbind()
  expect(world.driver.viommuLog).toEqual(['vdevice 5 is a', 'vdevice 5 ends'])
  expect(world.destroy(id)).toBe(UNKNOWN)
  const b = world.bind(world.device('b')).id
  expect([b, scene.vdevice(viommu, { dev_id: b })]).toEqual([2, id + 1])
  expect(world.destroy(id + 1)).toBe('ok')
  expect(world.destroy(viommu)).toBe('ok')
})

test('section 1: a tombstone is in the way of IOMMU_OPTION_RLIMIT_MODE, and not of closing', () => {
  const scene = new ViommuScene()
  const { world } = scene
  scene.vdevice(scene.viommu() as number)
  scene.idev.unbind()
  for (const id of [4, 3, 1]) expect(world.destroy(id)).toBe('ok')
  expect([world.ctx.objects.count, world.ctx.objects.isEmpty]).toEqual([0, false])
  world.close()
  expect(world.engine.contexts.size).toBe(0)
  expect(world.warnings).toEqual([])
})
