// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { PAGE } from '../test/harness.js'
import { QUEUE_IOVA, ViommuScene, WRITE_ONLY_IOVA } from '../test/viommu-scene.js'

const TOP = 2n ** 64n

/** A scene with vIOMMU 4. */
function withViommu(): { scene: ViommuScene; viommu: number } {
  const scene = new ViommuScene()
  return { scene, viommu: scene.viommu() as number }
}

describe('L14: IOMMU_HW_QUEUE_ALLOC', () => {
  test('takes an id for the queue and one for the user of its memory, which cannot be destroyed', () => {
    const { scene, viommu } = withViommu()
    const { world } = scene
    expect(scene.hwQueue(viommu)).toBe(5)
    expect([...world.ctx.objects].map(({ typeName, users }) => `${typeName} ${users}`)).toEqual([
      'IOAS 2',
      'DEVICE 1',
      'HWPT 1',
      'VIOMMU 1',
      'HW_QUEUE 0',
      'ACCESS 1',
    ])
    expect(world.destroy(6)).toBe('EBUSY OBJECT_BUSY')
    expect(world.destroy(5)).toBe('ok')
    expect([...world.ctx.objects].map(({ id }) => id)).toEqual([1, 2, 3, 4])
    expect(world.driver.viommuLog).toEqual(['queue 0 at byte 0', 'queue ends'])
  })

  test('refusals in order', () => {
    const { scene, viommu } = withViommu()
    const before = scene.world.state()
    const outcomes = [
      scene.hwQueue(77, { flags: 1, length: 0 }),
      scene.hwQueue(77, { type: 0, length: 0 }),
      scene.hwQueue(77, { length: 0 }),
      scene.hwQueue(77, { nesting_parent_iova: TOP - 4096n, length: 4097 }),
      scene.hwQueue(77, { type: 2, nesting_parent_iova: TOP - 4096n }),
      scene.hwQueue(viommu, { type: 2, length: TOP - 1n, nesting_parent_iova: 0 }),
      scene.hwQueue(viommu, { length: TOP - 1n, nesting_parent_iova: 0 }),
      scene.hwQueue(viommu, { length: 2n ** 40n }),
      scene.hwQueue(viommu, { length: 3 * PAGE }),
      scene.hwQueue(viommu, { length: 2 ** 38 }),
      scene.hwQueue(viommu, { nesting_parent_iova: WRITE_ONLY_IOVA }),
    ]
    expect(outcomes).toEqual([
      'EOPNOTSUPP HW_QUEUE_FLAGS_OR_TYPE',
      'EOPNOTSUPP HW_QUEUE_FLAGS_OR_TYPE',
      'EINVAL HW_QUEUE_EMPTY',
      'EOVERFLOW HW_QUEUE_WRAPS',
      'ENOENT OBJECT_UNKNOWN',
      'EOPNOTSUPP HW_QUEUE_UNSUPPORTED',
      'ERANGE HW_QUEUE_OUT_OF_RANGE',
      'ENOMEM HW_QUEUE_TOO_LONG',
      'ENOENT ACCESS_NOT_MAPPED',
      'ENOENT ACCESS_NOT_MAPPED',
      'EPERM ACCESS_FORBIDDEN',
    ])
    scene.world.driver.viommuRefuses.set('hwQueueInit', -17)
    expect(scene.hwQueue(viommu)).toBe('EEXIST DRIVER_REFUSED')
    expect(scene.world.state()).toEqual(before)
    expect(scene.world.driver.viommuLog).toEqual([])
  })

  test.each([
    [0, 1],
    [0x100, 0x200],
    [0xfff, 2],
    [0x1000, 0x1000],
  ])(
    'a queue at byte %i of %i bytes: the address of its first byte, whole pages',
    (into, length) => {
      const { scene, viommu } = withViommu()
      const values = { nesting_parent_iova: QUEUE_IOVA + into, length }
      expect(scene.hwQueue(viommu, values)).toBe(5)
      expect(scene.world.driver.viommuLog).toEqual([`queue 0 at byte ${into % PAGE}`])
    },
  )

  test('pages that do not follow each other in memory', () => {
    const { scene, viommu } = withViommu()
    scene.map(0x40000, 1, 3)
    scene.map(0x41000, 1, 3)
    const before = scene.world.state()
    const values = { nesting_parent_iova: 0x40000, length: 2 * PAGE }
    expect(scene.hwQueue(viommu, values)).toBe('EFAULT HW_QUEUE_NOT_CONTIGUOUS')
    expect(scene.world.state()).toEqual(before)
    expect(scene.unmap(0x40000, 2)).toBe('ok')
  })
})

describe('C8: the memory of a queue', () => {
  test('is not unmapped while one of its queues lives', () => {
    const { scene, viommu } = withViommu()
    const ids = [scene.hwQueue(viommu), scene.hwQueue(viommu, { index: 1 })] as [number, number]
    expect(scene.unmap(QUEUE_IOVA, 2)).toBe('EBUSY AREA_LOCKED')
    expect(scene.world.destroy(ids[0])).toBe('ok')
    expect(scene.unmap(QUEUE_IOVA, 2)).toBe('EBUSY AREA_LOCKED')
    expect(scene.world.destroy(ids[1])).toBe('ok')
    expect(scene.unmap(QUEUE_IOVA, 2)).toBe('ok')
  })

  test('keeps the address space, which ends after it', () => {
    const { scene, viommu } = withViommu()
    scene.hwQueue(viommu)
    expect(scene.world.destroy(scene.ioas)).toBe('EBUSY OBJECT_BUSY')
    scene.idev.unbind()
    scene.world.close()
    expect(scene.world.machine.pinnedFrames).toBe(0)
    expect(scene.world.warnings).toEqual([])
  })
})
