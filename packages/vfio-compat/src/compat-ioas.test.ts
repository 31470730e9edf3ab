// SPDX-License-Identifier: Apache-2.0

import { Iommufd } from '@iommufd/core'
import { Machine } from '@iommufd/host'
import { EINVAL, ENODEV, ENOMEM, IOMMU_VFIO_IOAS_CLEAR, VFIO_SET_IOMMU } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { boot, IOVA, outcomeOf, Program } from '../test/harness.js'
import { VfioCompat } from './compat-ioas.js'
import {
  iommufd_vfio_compat_ioas_create,
  iommufd_vfio_compat_ioas_get_id,
  iommufd_vfio_compat_set_no_iommu,
} from './index.js'
import { iommufd_vfio_compat_ioas_id } from './v6.2.js'

describe('section 5, Linux 7.3', () => {
  test('V2 the IOAS that is made for a device serves container calls before SET_IOMMU', () => {
    const program = Program.start()
    expect(iommufd_vfio_compat_ioas_get_id(program.ctx)).toBe(-ENODEV)
    expect(outcomeOf(program.world, -ENODEV)).toBe('ENODEV COMPAT_IOAS_MISSING')
    expect(iommufd_vfio_compat_ioas_create(program.ctx)).toBe(0)
    expect(iommufd_vfio_compat_ioas_get_id(program.ctx)).toBe(1)
    expect(program.map(IOVA)).toBe('ok')
    expect(program.ioctl(VFIO_SET_IOMMU, 3)).toBe('ok')
  })

  test('an IOAS that is there is kept, also one that user space chose', () => {
    const program = Program.withIoas()
    expect(iommufd_vfio_compat_ioas_create(program.ctx)).toBe(0)
    expect(iommufd_vfio_compat_ioas_create(program.ctx)).toBe(0)
    expect(iommufd_vfio_compat_ioas_get_id(program.ctx)).toBe(1)
    expect(program.ctx.objects.count).toBe(1)
  })

  test('V32 it lives until DESTROY, and then another can be made', () => {
    const program = Program.start()
    iommufd_vfio_compat_ioas_create(program.ctx)
    expect(program.vfioIoas({ op: IOMMU_VFIO_IOAS_CLEAR }).outcome).toBe('ok')
    expect(program.ctx.objects.count).toBe(1)
    expect(iommufd_vfio_compat_ioas_create(program.ctx)).toBe(0)
    expect(iommufd_vfio_compat_ioas_get_id(program.ctx)).toBe(2)
    expect(program.destroy(2).outcome).toBe('ok')
    expect(iommufd_vfio_compat_ioas_get_id(program.ctx)).toBe(-ENODEV)
    expect(iommufd_vfio_compat_ioas_create(program.ctx)).toBe(0)
    expect(iommufd_vfio_compat_ioas_get_id(program.ctx)).toBe(2)
  })

  test('V32 or until the context ends, with what is mapped', () => {
    const program = Program.start()
    iommufd_vfio_compat_ioas_create(program.ctx)
    program.attach()
    program.map(IOVA)
    const { machine, tables, engine } = program.world
    expect(machine.pinnedFrames).toBe(1)
    program.detach(program.ioas().iopt.domains[0] as never)
    program.close()
    expect(engine.contexts.size).toBe(0)
    expect(tables.pages.count).toBe(0)
    expect(machine.pinnedFrames).toBe(0)
  })

  test('V31 devices with and without an IOMMU do not mix, whichever comes first', () => {
    const world = boot()
    const without = Program.start(world)
    expect(iommufd_vfio_compat_set_no_iommu(without.ctx)).toBe(0)
    expect(iommufd_vfio_compat_set_no_iommu(without.ctx)).toBe(0)
    const rc = iommufd_vfio_compat_ioas_create(without.ctx)
    expect(outcomeOf(world, rc)).toBe('EINVAL COMPAT_IS_NOIOMMU')
    expect(without.ctx.objects.isEmpty).toBe(true)
    const having = Program.withIoas(world)
    expect(iommufd_vfio_compat_set_no_iommu(having.ctx)).toBe(-EINVAL)
    expect(outcomeOf(world, -EINVAL)).toBe('EINVAL COMPAT_HAS_IOAS')
    having.destroy(1)
    expect(iommufd_vfio_compat_set_no_iommu(having.ctx)).toBe(0)
  })

  test('a refused allocation leaves nothing', () => {
    const program = Program.start()
    program.world.engine.faults.arm(1)
    expect(iommufd_vfio_compat_ioas_create(program.ctx)).toBe(-ENOMEM)
    program.world.engine.faults.disarm()
    expect(program.ctx.objects.isEmpty).toBe(true)
    expect(iommufd_vfio_compat_ioas_get_id(program.ctx)).toBe(-ENODEV)
  })
})

describe('section 5, Linux 6.2', () => {
  test('one function finds or makes the IOAS', () => {
    const program = Program.start()
    expect(iommufd_vfio_compat_ioas_id(program.ctx)).toBe(1)
    expect(iommufd_vfio_compat_ioas_id(program.ctx)).toBe(1)
    const chosen = Program.withIoas(program.world)
    expect(iommufd_vfio_compat_ioas_id(chosen.ctx)).toBe(1)
    expect(chosen.ctx.objects.count).toBe(1)
  })

  test('ENOMEM comes through', () => {
    const program = Program.start()
    program.world.engine.faults.arm(1)
    expect(iommufd_vfio_compat_ioas_id(program.ctx)).toBe(-ENOMEM)
  })
})

test('an engine without this layer is a mistake of whoever assembled it', () => {
  const ctx = new Iommufd(new Machine()).createContext('user')
  expect(() => VfioCompat.of(ctx)).toThrow('registerVfioCompat')
})
