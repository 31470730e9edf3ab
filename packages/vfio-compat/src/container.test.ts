// SPDX-License-Identifier: Apache-2.0

import {
  CAP_SYS_RAWIO,
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_CC_IOMMU,
  VFIO_GET_API_VERSION,
  VFIO_GROUP_GET_STATUS,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  VFIO_UPDATE_VADDR,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { ARG, boot, IOVA, NOTHING, PAGE, Program } from '../test/harness.js'
import { iommufd_vfio_compat_set_no_iommu } from './index.js'

const MISSING = 'ENODEV COMPAT_IOAS_MISSING'
const NESTING = 6

describe.each(['/dev/iommu', '/dev/vfio/vfio'])('%s', (path) => {
  const start = () => Program.start(boot(), {}, path)
  const withIoas = () => Program.withIoas(boot(), {}, path)

  test('GET_API_VERSION is 0 whatever the argument', () => {
    const program = start()
    for (const arg of [0, 1, NOTHING]) expect(program.ioctl(VFIO_GET_API_VERSION, arg)).toBe('ok')
  })

  test('V6 CHECK_EXTENSION', () => {
    const program = start()
    const check = (extension: number | bigint) => program.ioctl(VFIO_CHECK_EXTENSION, extension)
    for (const extension of [VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_UNMAP_ALL]) {
      expect(check(extension)).toBe('1')
      expect(check(BigInt(extension) | (1n << 32n))).toBe('ok')
    }
    for (const extension of [VFIO_UPDATE_VADDR, NESTING, VFIO_NOIOMMU_IOMMU, 0, 2, 5, 7, 11]) {
      expect(check(extension)).toBe('ok')
    }
    expect(check(VFIO_DMA_CC_IOMMU)).toBe(MISSING)
  })

  test('V6 DMA_CC_IOMMU is 1 as long as every domain enforces coherency', () => {
    const program = withIoas()
    const check = () => program.ioctl(VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU)
    expect(check()).toBe('1')
    const domain = program.attach()
    expect(check()).toBe('ok')
    domain.enforcesCacheCoherency = true
    expect(check()).toBe('1')
    program.attach()
    expect(check()).toBe('ok')
  })

  test('V3 SET_IOMMU without an IOAS: the type is judged first', () => {
    const program = start()
    expect(program.ioctl(VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)).toBe(MISSING)
    expect(program.ioctl(VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)).toBe(MISSING)
    expect(program.ioctl(VFIO_SET_IOMMU, 2)).toBe('EINVAL IOMMU_TYPE_UNKNOWN')
  })

  test('V5 SET_IOMMU of an unknown type', () => {
    const program = withIoas()
    for (const type of [0, 2, NESTING, VFIO_NOIOMMU_IOMMU, 9, 0x1_0000_0001]) {
      expect(program.ioctl(VFIO_SET_IOMMU, type)).toBe('EINVAL IOMMU_TYPE_UNKNOWN')
    }
  })

  test('V4 SET_IOMMU again: TYPE1 stays with small pages', () => {
    const program = withIoas()
    expect(program.ioctl(VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)).toBe('ok')
    expect(program.hugePages()).toBe(1n)
    expect(program.ioctl(VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)).toBe('ok')
    expect(program.ioctl(VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)).toBe('ok')
    expect(program.hugePages()).toBe(0n)
    expect(program.ioctl(VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)).toBe('ok')
  })

  test('V4 TYPE1 is refused where areas could not be mapped page by page', () => {
    const program = withIoas()
    program.map(IOVA + 1, PAGE - 1)
    const refused = 'EADDRINUSE ALIGNMENT_BREAKS_AREA'
    expect(program.ioctl(VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)).toBe(refused)
    program.unmap(IOVA, PAGE)
    program.attach()
    program.map(IOVA)
    expect(program.ioctl(VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)).toBe('EINVAL HUGE_PAGES_MAPPED')
    expect(program.ioctl(VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)).toBe('ok')
  })

  test('V26 everything else is ENOTTY, whatever its argument', () => {
    const program = withIoas()
    const absent = 'ENOTTY DIRTY_PAGES_ABSENT'
    for (const arg of [ARG, NOTHING, 0]) {
      expect(program.ioctl(VFIO_IOMMU_DIRTY_PAGES, arg)).toBe(absent)
      for (const cmd of [0, 0x3b00, VFIO_GROUP_GET_STATUS, 0x3b73, 0x3b79, 0x3b7f, 0xffff_ffff]) {
        expect(program.ioctl(cmd, arg)).toBe('ENOTTY COMMAND_UNKNOWN')
      }
    }
  })
})

describe('devices without an IOMMU', () => {
  const start = (options = {}, spawn = {}) => {
    const program = Program.start(boot(options), spawn)
    expect(iommufd_vfio_compat_set_no_iommu(program.ctx)).toBe(0)
    return program
  }

  test('V6 the extensions are gone; NOIOMMU is offered as configured', () => {
    for (const vfioNoiommu of [false, true]) {
      const program = start({ vfioNoiommu })
      for (const extension of [VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_UNMAP_ALL]) {
        expect(program.ioctl(VFIO_CHECK_EXTENSION, extension)).toBe('ok')
      }
      const offered = vfioNoiommu ? '1' : 'ok'
      expect(program.ioctl(VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU)).toBe(offered)
    }
  })

  test('V31 SET_IOMMU takes NOIOMMU alone, of a privileged caller', () => {
    const world = { vfioNoiommu: true }
    const program = start(world)
    expect(program.ioctl(VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU)).toBe('ok')
    expect(program.ioctl(VFIO_SET_IOMMU, 3)).toBe('EINVAL CONTAINER_WITHOUT_IOMMU')
    const user = start(world, { uid: 1000 })
    expect(user.ioctl(VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU)).toBe('EPERM NOIOMMU_NOT_PRIVILEGED')
    const capable = start(world, { uid: 1000, caps: [CAP_SYS_RAWIO] })
    expect(capable.ioctl(VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU)).toBe('ok')
  })

  test('V31 a kernel without it has no such type', () => {
    const program = start()
    const refused = 'EINVAL CONTAINER_WITHOUT_IOMMU'
    expect(program.ioctl(VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU)).toBe(refused)
  })

  test('mapping finds no IOAS', () => {
    expect(start().map(IOVA)).toBe(MISSING)
  })
})
