// SPDX-License-Identifier: Apache-2.0
import { registerHwIommu } from '@iommufd/hw-iommu'
import { IOAS } from '@iommufd/pages'
import {
  IOMMU_GET_HW_INFO,
  IOMMU_HW_CAP_DIRTY_TRACKING,
  IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED,
  IOMMU_HW_INFO_SELFTEST_REGVAL,
  IOMMU_HW_INFO_TYPE_SELFTEST,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_DATA_SELFTEST,
  IOMMU_TEST_OP_MD_CHECK_MAP,
  IOMMU_TEST_OP_MOCK_DOMAIN,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  iommu_hw_info,
  iommu_hwpt_alloc,
  iommu_hwpt_selftest,
  iommu_test_hw_info,
  MOCK_APERTURE_LAST,
  MOCK_APERTURE_START,
  MOCK_FLAGS_DEVICE_NO_DIRTY,
  MOCK_FLAGS_DEVICE_PASID,
  MOCK_IOMMUPT_HUGE,
  MOCK_PASID_WIDTH,
  readStruct,
  type StructInput,
  writeStruct,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import {
  allocIoas,
  type Booted,
  BUFFER,
  boot,
  destroyId,
  HOLE,
  ioctl,
  map,
  PAGE,
  pinsAt,
  readOnlyOp,
  type TestCmd,
  testOp,
  why,
} from '../test/harness.js'

const START = MOCK_APERTURE_START
const DATA = BUFFER + 15 * PAGE

/** An engine that also has IOMMU_HWPT_ALLOC, with IOAS 1. */
function start(): Booted {
  const booted = boot()
  registerHwIommu(booted.engine)
  allocIoas(booted)
  return booted
}

function mockDomain(
  booted: Booted,
  id: number,
  flags?: number,
): { answer: string; stdev: number; idev: number; hwpt: number } {
  const op = flags === undefined ? IOMMU_TEST_OP_MOCK_DOMAIN : IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS
  const values: TestCmd = flags === undefined ? { id } : { id, mock_domain_flags_dev_flags: flags }
  const { answer, out } = testOp(booted, op, values)
  return {
    answer,
    stdev: out.mock_domain_out_stdev_id,
    idev: out.mock_domain_out_idev_id,
    hwpt: out.mock_domain_out_hwpt_id,
  }
}

function replace(booted: Booted, id: number, pt: number): string {
  const values = { id, mock_domain_replace_pt_id: pt }
  return testOp(booted, IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, values).answer
}

function hwptAlloc(booted: Booted, values: StructInput<typeof iommu_hwpt_alloc>): number | string {
  const { ret, out } = ioctl(booted, IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, values)
  return ret < 0 ? why(booted.engine, ret) : out.out_hwpt_id
}

function checkMap(booted: Booted, id: number, iova: number, length: number, va = BUFFER): string {
  const values = { id, check_map_iova: iova, check_map_length: length, check_map_uptr: va }
  return testOp(booted, IOMMU_TEST_OP_MD_CHECK_MAP, values).answer
}

/** Data that asks for a kind of page table. */
function tableType(booted: Booted, pagetable_type: number): StructInput<typeof iommu_hwpt_alloc> {
  booted.process.store(DATA, writeStruct(iommu_hwpt_selftest, { pagetable_type }))
  return { data_type: IOMMU_HWPT_DATA_SELFTEST, data_len: 8, data_uptr: DATA }
}

/** What must be as before when a call was refused. */
function state({ ctx, machine }: Booted): unknown {
  return [
    machine.pinnedFrames,
    [...ctx.objects].map((object) => [object.typeName, object.id, object.users]),
    [...ctx.objects].filter(IOAS.is).map(({ iopt }) => [iopt.domains.length, iopt.alignment]),
  ]
}

describe('section 10: MOCK_DOMAIN', () => {
  test('takes ids in the order handle, device, table; the handle ends all three', () => {
    const booted = start()
    expect(mockDomain(booted, 1)).toEqual({ answer: '0', stdev: 2, idev: 3, hwpt: 4 })
    expect(destroyId(booted, 3)).toBe('EBUSY OBJECT_BUSY')
    expect(destroyId(booted, 4)).toBe('EBUSY OBJECT_BUSY')
    expect(destroyId(booted, 1)).toBe('EBUSY OBJECT_BUSY')
    expect(destroyId(booted, 2)).toBe('0')
    expect([...booted.ctx.objects].map(({ id }) => id)).toEqual([1])
  })

  test('pins what is mapped, once for all devices', () => {
    const booted = start()
    expect(map(booted, 1, { iova: START, length: 4 * PAGE })).toBe('0')
    expect(pinsAt(booted, BUFFER, 4)).toEqual([0, 0, 0, 0])
    const { hwpt } = mockDomain(booted, 1)
    expect(mockDomain(booted, 1).hwpt).toBe(hwpt)
    expect(pinsAt(booted, BUFFER, 5)).toEqual([1, 1, 1, 1, 0])
    booted.process.close(booted.fd)
    expect(booted.machine.pinnedFrames).toBe(0)
  })

  test.each<[string, (booted: Booted) => string]>([
    ['ENOENT PT_UNKNOWN', (booted) => mockDomain(booted, 9).answer],
    ['EINVAL MOCK_FLAGS_UNKNOWN', (booted) => mockDomain(booted, 1, 2).answer],
    [
      'EFAULT STRUCT_UNWRITABLE',
      (booted) => readOnlyOp(booted, IOMMU_TEST_OP_MOCK_DOMAIN, { id: 1 }),
    ],
    [
      'EADDRINUSE SPACE_IN_USE',
      (booted) => {
        map(booted, 1, { iova: START - PAGE, length: PAGE })
        return mockDomain(booted, 1).answer
      },
    ],
    [
      'EADDRINUSE ALIGNMENT_BREAKS_AREA',
      (booted) => {
        map(booted, 1, { iova: START, length: 100 })
        return mockDomain(booted, 1).answer
      },
    ],
    [
      'EFAULT USER_PAGES_BAD',
      (booted) => {
        map(booted, 1, { iova: START, va: HOLE, length: PAGE })
        return mockDomain(booted, 1).answer
      },
    ],
  ])('%s, and nothing is left', (outcome, call) => {
    const booted = start()
    expect(call(booted)).toBe(outcome)
    expect([...booted.ctx.objects].map(({ id, users }) => [id, users])).toEqual([[1, 0]])
    expect(booted.machine.pinnedFrames).toBe(0)
  })

  test('every fault point leaves everything as before', () => {
    const booted = start()
    map(booted, 1, { iova: START, length: 4 * PAGE })
    const before = state(booted)
    const { faults } = booted.engine
    for (let n = 1; ; n++) {
      faults.arm(n)
      const { answer } = mockDomain(booted, 1)
      const { fired } = faults
      faults.disarm()
      if (!fired) break
      expect(answer, `point ${n}`).toMatch(/^E(NOMEM|FAULT) INJECTED_/)
      expect(state(booted), `point ${n}`).toEqual(before)
    }
    expect(state(booted)).not.toEqual(before)
  })
})

describe('section 10: MOCK_DOMAIN_REPLACE', () => {
  test('moves to another address space, to a table, and back', () => {
    const booted = start()
    allocIoas(booted)
    map(booted, 2, { iova: START, length: PAGE })
    const { stdev, idev, hwpt } = mockDomain(booted, 1)
    expect(replace(booted, stdev, 2)).toBe('0')
    expect(pinsAt(booted, BUFFER, 1)).toEqual([1])
    const made = hwptAlloc(booted, { dev_id: idev, pt_id: 1 }) as number
    expect(made).toBe(hwpt)
    expect(replace(booted, stdev, made)).toBe('0')
    expect(pinsAt(booted, BUFFER, 1)).toEqual([0])
    expect(replace(booted, stdev, stdev)).toBe('EINVAL OBJECT_NOT_ATTACHABLE')
    expect(replace(booted, idev, 1)).toBe('ENOENT OBJECT_UNKNOWN')
  })
})

describe('section 10: the mock IOMMU', () => {
  test('a device without dirty tracking does not take a table with it', () => {
    const booted = start()
    const { stdev, idev } = mockDomain(booted, 1)
    const flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING
    const table = hwptAlloc(booted, { dev_id: idev, pt_id: 1, flags }) as number
    const other = mockDomain(booted, 1, MOCK_FLAGS_DEVICE_NO_DIRTY)
    expect(replace(booted, stdev, table)).toBe('0')
    expect(replace(booted, other.stdev, table)).toBe('EINVAL DEVICE_WITHOUT_DIRTY')
    const values = { dev_id: other.idev, pt_id: 1, flags }
    expect(hwptAlloc(booted, values)).toBe('EOPNOTSUPP DIRTY_TRACKING_UNSUPPORTED')
  })

  test('its tables have granules of 2 KiB and the aperture of the constants', () => {
    const booted = start()
    mockDomain(booted, 1)
    const { iopt } = booted.ctx.find(1, IOAS) ?? {}
    expect(iopt?.alignment).toBe(2048)
    const last = { iova: MOCK_APERTURE_LAST + 1 - PAGE, length: PAGE }
    expect(map(booted, 1, last)).toBe('0')
    expect(map(booted, 1, { iova: MOCK_APERTURE_LAST + 1, length: PAGE })).toBe(
      'EINVAL IOVA_RESERVED',
    )
    expect(map(booted, 1, { iova: START - PAGE, length: PAGE })).toBe('EINVAL IOVA_RESERVED')
  })

  test('huge tables have whole pages and 38 bits of IOVA; others do not exist', () => {
    const booted = start()
    const { idev } = mockDomain(booted, 1)
    allocIoas(booted)
    const values = { dev_id: idev, pt_id: 5 }
    const id = hwptAlloc(booted, { ...values, ...tableType(booted, MOCK_IOMMUPT_HUGE) }) as number
    const top = 2 ** 38 - PAGE
    expect(map(booted, 5, { iova: 0, length: PAGE })).toBe('0')
    expect(map(booted, 5, { iova: top, length: PAGE })).toBe('0')
    expect(checkMap(booted, id, top, PAGE)).toBe('0')
    expect(map(booted, 5, { iova: top + PAGE, length: PAGE })).toBe('EINVAL IOVA_RESERVED')
    const unknown = hwptAlloc(booted, { ...values, ...tableType(booted, 2) })
    expect(unknown).toBe('EOPNOTSUPP MOCK_TABLE_UNKNOWN')
    const wrong = { ...values, data_type: 1, data_len: 8, data_uptr: DATA }
    expect(hwptAlloc(booted, wrong)).toBe('EOPNOTSUPP MOCK_DATA_TYPE')
  })

  test('nested tables stand on a nesting parent and take the data of the mock', () => {
    const booted = start()
    const { idev, stdev } = mockDomain(booted, 1)
    const flags = IOMMU_HWPT_ALLOC_NEST_PARENT
    const parent = hwptAlloc(booted, { dev_id: idev, pt_id: 1, flags }) as number
    const nested = { dev_id: idev, pt_id: parent, ...tableType(booted, 0) }
    const id = hwptAlloc(booted, nested) as number
    expect(replace(booted, stdev, id)).toBe('0')
    expect(checkMap(booted, id, START, PAGE)).toBe('ENOENT OBJECT_UNKNOWN')
    expect(hwptAlloc(booted, { ...nested, data_type: 1 })).toBe('EOPNOTSUPP MOCK_DATA_TYPE')
  })
})

describe('section 10: MD_CHECK_MAP', () => {
  test('compares granule by granule with what the caller has', () => {
    const booted = start()
    const { hwpt } = mockDomain(booted, 1)
    map(booted, 1, { iova: START, va: BUFFER + 2048, length: 3 * 2048 })
    expect(checkMap(booted, hwpt, START, 3 * 2048, BUFFER + 2048)).toBe('0')
    expect(checkMap(booted, hwpt, START + 2048, 4096, BUFFER + 4096)).toBe('0')
    expect(checkMap(booted, hwpt, START, 0, HOLE)).toBe('0')
    expect(checkMap(booted, hwpt, START, 4 * 2048, BUFFER + 2048)).toBe('EINVAL MAP_DIFFERS')
    expect(checkMap(booted, hwpt, START, 2048, BUFFER)).toBe('EINVAL MAP_DIFFERS')
    expect(checkMap(booted, hwpt, START, 2048, HOLE)).toBe('EFAULT PAGE_NOT_THERE')
    expect(checkMap(booted, hwpt, START, 1024, BUFFER)).toBe('EINVAL MAP_MISALIGNED')
    expect(checkMap(booted, 1, START, 2048)).toBe('ENOENT OBJECT_UNKNOWN')
  })

  test('a mapping without permissions is none that a table can have', () => {
    const booted = start()
    const { hwpt } = mockDomain(booted, 1)
    const domain = [...(booted.ctx.find(1, IOAS)?.iopt.domains ?? [])][0]
    booted.engine.refusals.clear()
    const rc = domain?.map(0, START, Uint32Array.of(1), 0, 0, PAGE, 0, true) ?? 0
    expect(why(booted.engine, rc)).toBe('EINVAL MOCK_MAP_WITHOUT_PERMISSION')
    expect(checkMap(booted, hwpt, START, 2048)).toBe('EINVAL MAP_DIFFERS')
  })
})

test.each([
  [0, 0, IOMMU_HW_CAP_DIRTY_TRACKING],
  [MOCK_FLAGS_DEVICE_NO_DIRTY, 0, 0],
  [MOCK_FLAGS_DEVICE_PASID, MOCK_PASID_WIDTH, IOMMU_HW_CAP_DIRTY_TRACKING],
])('L2: what a mock device made with flags %i tells of its IOMMU', (flags, pasidBits, caps) => {
  const booted = start()
  const { idev } = mockDomain(booted, 1, flags)
  const values = { dev_id: idev, data_len: 8, data_uptr: DATA }
  const { ret, out } = ioctl(booted, IOMMU_GET_HW_INFO, iommu_hw_info, values)
  expect(why(booted.engine, ret)).toBe('0')
  expect(out).toMatchObject({
    data_len: 8,
    out_data_type: IOMMU_HW_INFO_TYPE_SELFTEST,
    out_max_pasid_log2: pasidBits,
    out_capabilities: BigInt(caps | IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED),
  })
  const bytes = booted.process.load(DATA, 8) as Uint8Array
  expect(readStruct(iommu_test_hw_info, bytes)).toEqual({
    flags: 0,
    test_reg: IOMMU_HW_INFO_SELFTEST_REGVAL,
  })
})
