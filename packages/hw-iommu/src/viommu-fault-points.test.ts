// SPDX-License-Identifier: Apache-2.0
//
// Every allocation, pin and user copy of the commands on vIOMMUs fails once; each time everything is as before.

import { expect, test } from 'vitest'
import { DATA } from '../test/harness.js'
import { ViommuScene } from '../test/viommu-scene.js'

/** A scene, and the call that is to fail: its answer is a string when it is refused. */
const scenes: Record<string, () => [ViommuScene, () => number | string]> = {
  VIOMMU_ALLOC: () => {
    const scene = new ViommuScene()
    return [scene, () => scene.viommu({ data_len: 8, data_uptr: DATA })]
  },
  VDEVICE_ALLOC: () => withViommu((scene, viommu) => scene.vdevice(viommu)),
  VEVENTQ_ALLOC: () => withViommu((scene, viommu) => scene.veventq(viommu).id),
  HW_QUEUE_ALLOC: () => withViommu((scene, viommu) => scene.hwQueue(viommu)),
  'HWPT_ALLOC on a vIOMMU': () => withViommu((scene, viommu) => scene.nested(viommu)),
  'HWPT_ALLOC on a nesting parent': () => withViommu((scene) => scene.nested(scene.parent)),
  HWPT_INVALIDATE: () =>
    withViommu((scene, viommu) => {
      const [done, outcome] = scene.invalidate(viommu, { entry_num: 2 })
      return outcome === 'ok' ? done : outcome
    }),
}

function withViommu(
  call: (scene: ViommuScene, viommu: number) => number | string,
): [ViommuScene, () => number | string] {
  const scene = new ViommuScene()
  const viommu = scene.viommu() as number
  return [scene, () => call(scene, viommu)]
}

test.each(Object.entries(scenes))('fault points: %s', (_name, make) => {
  const [scene, call] = make()
  const { world } = scene
  const stateOf = () => [world.state(), world.process.unusedFd()]
  const before = stateOf()
  const { faults } = world.engine
  for (let n = 1; ; n++) {
    faults.arm(n)
    const answer = call()
    const { fired } = faults
    faults.disarm()
    if (!fired) {
      expect(answer).toBeGreaterThan(0)
      expect(n).toBeGreaterThan(3)
      break
    }
    expect(answer, `point ${n}`).toMatch(/^E(NOMEM|FAULT) INJECTED_/)
    expect(stateOf(), `point ${n}`).toEqual(before)
  }
  expect(world.warnings).toEqual([])
})

test('fault points: destroying, unbinding and closing pass none', () => {
  const scene = new ViommuScene()
  const { world } = scene
  const viommu = scene.viommu() as number
  scene.idev.attach(scene.nested(viommu) as number)
  scene.vdevice(viommu)
  scene.hwQueue(viommu)
  const { fd } = scene.veventq(viommu)
  world.engine.faults.arm(1)
  scene.idev.detach()
  scene.idev.unbind()
  world.process.close(fd)
  world.close()
  expect(world.engine.faults.fired).toBe(false)
  expect([world.engine.contexts.size, world.machine.pinnedFrames]).toEqual([0, 0])
})
