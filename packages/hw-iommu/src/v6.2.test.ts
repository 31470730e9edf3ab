// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { World } from '../test/harness.js'
import {
  type IommufdDevice,
  iommufd_device_attach,
  iommufd_device_bind,
  iommufd_device_detach,
  iommufd_device_unbind,
} from './v6.2.js'

test('section 5, form of 6.2: attach and detach without a PASID', () => {
  const world = new World()
  const ioas = world.ioas()
  world.map(ioas, 0, 1)
  const idev = iommufd_device_bind(world.ctx, world.device('a')) as IommufdDevice
  const id = iommufd_device_attach(idev, ioas.id)
  expect(world.hwpt(id).ioas).toBe(ioas)
  expect(world.outcome(iommufd_device_attach(idev, id))).toBe('EBUSY DEVICE_ATTACHED_ALREADY')
  iommufd_device_detach(idev)
  iommufd_device_unbind(idev)
  expect(world.machine.pinnedFrames).toBe(0)
  expect([...world.ctx.objects]).toEqual([ioas])
})
