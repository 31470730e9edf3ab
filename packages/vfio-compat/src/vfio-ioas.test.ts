// SPDX-License-Identifier: Apache-2.0

import {
  IOMMU_VFIO_IOAS,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { ARG, IOVA, Program } from '../test/harness.js'

const GET = { op: IOMMU_VFIO_IOAS_GET }
const CLEAR = { op: IOMMU_VFIO_IOAS_CLEAR }
const set = (ioas_id: number) => ({ op: IOMMU_VFIO_IOAS_SET, ioas_id })
const MISSING = 'ENODEV COMPAT_IOAS_MISSING'

describe('C10 IOMMU_VFIO_IOAS', () => {
  test('GET answers ENODEV until an IOAS is chosen, then its id', () => {
    const program = Program.start()
    expect(program.vfioIoas({ ...GET, ioas_id: 7 })).toMatchObject({ outcome: MISSING, ioas_id: 7 })
    program.alloc()
    const second = program.alloc()
    expect(program.vfioIoas(GET).outcome).toBe(MISSING)
    expect(program.vfioIoas(set(second)).outcome).toBe('ok')
    expect(program.vfioIoas(GET)).toMatchObject({ outcome: 'ok', ioas_id: second })
  })

  test('SET takes only an IOAS that there is, and a refused SET changes nothing', () => {
    const program = Program.withIoas()
    for (const id of [0, 2, 0xffff_ffff]) {
      expect(program.vfioIoas(set(id)).outcome).toBe('ENOENT OBJECT_UNKNOWN')
    }
    expect(program.vfioIoas(GET).ioas_id).toBe(1)
  })

  test('SET and CLEAR destroy nothing and unmap nothing', () => {
    const program = Program.withIoas()
    program.map(IOVA)
    expect(program.vfioIoas(set(program.alloc())).outcome).toBe('ok')
    expect(program.vfioIoas(CLEAR).outcome).toBe('ok')
    expect(program.vfioIoas(CLEAR).outcome).toBe('ok')
    expect(program.vfioIoas(GET).outcome).toBe(MISSING)
    expect(program.areas(1)).toBe('0-1')
    expect(program.vfioIoas(set(1)).outcome).toBe('ok')
    expect(program.map(IOVA)).toBe('EEXIST AREA_OVERLAPS')
  })

  test('DESTROY of the chosen IOAS leaves the context without, also when the id comes back', () => {
    const program = Program.withIoas()
    expect(program.destroy(1).outcome).toBe('ok')
    expect(program.vfioIoas(GET).outcome).toBe(MISSING)
    expect(program.alloc()).toBe(1)
    expect(program.vfioIoas(GET).outcome).toBe(MISSING)
    expect(program.map(IOVA)).toBe(MISSING)
  })

  test('DESTROY of another IOAS leaves it alone', () => {
    const program = Program.withIoas()
    program.destroy(program.alloc())
    expect(program.vfioIoas(GET).ioas_id).toBe(1)
  })

  test('__reserved is judged before the operation, the operation before the id', () => {
    const program = Program.start()
    const reserved = { op: 9, __reserved: 1, ioas_id: 5 }
    expect(program.vfioIoas(reserved).outcome).toBe('EOPNOTSUPP VFIO_IOAS_RESERVED')
    expect(program.vfioIoas({ op: 3, ioas_id: 5 }).outcome).toBe('EOPNOTSUPP VFIO_IOAS_OP_UNKNOWN')
  })

  test('each context has its own', () => {
    const program = Program.withIoas()
    const other = new Program(program.world, program.process, program.process.open('/dev/iommu'))
    expect(other.vfioIoas(GET).outcome).toBe(MISSING)
    expect(program.vfioIoas(GET).outcome).toBe('ok')
  })

  test('the whole number of the command must match', () => {
    const program = Program.withIoas()
    program.process.store(ARG, Uint8Array.of(12))
    expect(program.ioctl(IOMMU_VFIO_IOAS | 0xc00c0000, ARG)).toBe('ENOTTY COMMAND_UNKNOWN')
  })
})
