// SPDX-License-Identifier: Apache-2.0

import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  readStruct,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_info_cap_header,
  vfio_iommu_type1_info,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iommu_type1_info_dma_avail,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { ARG, boot, eachFault, must, NOTHING, PAGE, Program } from '../test/harness.js'
import { APERTURE_LAST, APERTURE_START } from '../test/test-domain.js'

const AVAIL_AT = 24
const RANGES_AT = 40
/** The size with one range. */
const ONE = 72
const ROOM = 200
const PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
const MISSING = 'ENODEV COMPAT_IOAS_MISSING'

interface Info {
  readonly outcome: string
  readonly bytes: Uint8Array
  readonly info: {
    readonly argsz: number
    readonly flags: number
    readonly iova_pgsizes: bigint
    readonly cap_offset: number
    readonly pad: number
  }
}

/** GET_INFO with memory around the struct full of 0xee. */
function getInfo(program: Program, argsz: number): Info {
  const { process } = program
  const before = new Uint8Array(ROOM).fill(0xee)
  new DataView(before.buffer).setUint32(0, argsz, true)
  must(process.store(ARG, before))
  const outcome = program.ioctl(VFIO_IOMMU_GET_INFO, ARG)
  const bytes = process.load(ARG, ROOM) as Uint8Array
  return { outcome, bytes, info: readStruct(vfio_iommu_type1_info, bytes) }
}

const header = ({ bytes }: Info, at: number) => readStruct(vfio_info_cap_header, bytes, at)

/** Bytes that the kernel has written, from `at` on and below `end`. */
function written({ bytes }: Info, at: number, end: number): boolean {
  return bytes.subarray(at, end).every((byte) => byte !== 0xee)
}

function untouched({ bytes }: Info, at: number, end: number): boolean {
  return bytes.subarray(at, end).every((byte) => byte === 0xee)
}

describe('V1 the order of checks', () => {
  test('the first 16 bytes are read, then judged, then the IOAS is looked for', () => {
    const program = Program.start()
    expect(program.ioctl(VFIO_IOMMU_GET_INFO, NOTHING)).toBe('EFAULT USER_UNREADABLE')
    expect(program.ioctl(VFIO_IOMMU_GET_INFO, ARG + PAGE - 15)).toBe('EFAULT USER_UNREADABLE')
    expect(getInfo(program, 15).outcome).toBe('EINVAL INFO_ARGSZ_TOO_SMALL')
    expect(getInfo(program, 16).outcome).toBe(MISSING)
  })
})

describe('V27 capabilities', () => {
  test('with room for all: DMA_AVAIL, then IOVA_RANGE', () => {
    const answer = getInfo(Program.withIoas(), ROOM)
    expect(answer.info).toEqual({
      argsz: ONE,
      flags: VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
      iova_pgsizes: 0xffff_ffff_ffff_f000n,
      cap_offset: AVAIL_AT,
      pad: 0,
    })
    const avail = { id: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, version: 1, next: RANGES_AT }
    expect(header(answer, AVAIL_AT)).toEqual(avail)
    const ranges = { id: VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, version: 1, next: 0 }
    expect(header(answer, RANGES_AT)).toEqual(ranges)
    expect(untouched(answer, 36, RANGES_AT)).toBe(true)
    expect(untouched(answer, ONE, ROOM)).toBe(true)
  })

  test('V13 DMA_AVAIL is without limit', () => {
    const { bytes } = getInfo(Program.withIoas(), ROOM)
    expect(readStruct(vfio_iommu_type1_info_dma_avail, bytes, AVAIL_AT).avail).toBe(0xffff_ffff)
  })

  test('for every argsz: what fits is written, nothing passes argsz, argsz says what is needed', () => {
    const program = Program.withIoas()
    for (let argsz = 16; argsz <= ONE + 8; argsz++) {
      const answer = getInfo(program, argsz)
      expect(answer.outcome).toBe('ok')
      expect(answer.info.argsz).toBe(ONE)
      expect(written(answer, 16, Math.min(argsz, AVAIL_AT))).toBe(true)
      if (argsz >= 20) expect(answer.info.cap_offset).toBe(argsz >= ONE ? AVAIL_AT : 0)
      expect(header(answer, AVAIL_AT).version === 1).toBe(argsz >= 36)
      const next = argsz >= RANGES_AT ? RANGES_AT : argsz >= 36 ? 0 : 0xeeee_eeee
      expect(header(answer, AVAIL_AT).next).toBe(next)
      expect(header(answer, RANGES_AT).version === 1).toBe(argsz >= ONE)
      expect(untouched(answer, Math.max(argsz, AVAIL_AT), ROOM)).toBe(true)
    }
  })

  test('ranges that fit are written also when the capability as a whole does not', () => {
    const program = Program.withIoas()
    must(program.ioas().iopt.reserve(0, 0x1000, 0, 0x1fff))
    const answer = getInfo(program, ONE + 8)
    expect(answer.info.argsz).toBe(ONE + 16)
    expect(untouched(answer, RANGES_AT, RANGES_AT + 16)).toBe(true)
    expect(written(answer, RANGES_AT + 16, ONE)).toBe(true)
    expect(untouched(answer, ONE, ROOM)).toBe(true)
  })

  test('V29 one full range where nothing is reserved, else the gaps', () => {
    const program = Program.withIoas()
    const ranges = () => {
      const { bytes, info } = getInfo(program, ROOM)
      const cap = bytes.subarray(0, info.argsz)
      return readStruct(vfio_iommu_type1_info_cap_iova_range, cap, RANGES_AT).iova_ranges
    }
    expect(ranges()).toEqual([{ start: 0n, end: 2n ** 64n - 1n }])
    const domain = program.attach()
    const aperture = { start: BigInt(APERTURE_START), end: BigInt(APERTURE_LAST) }
    expect(ranges()).toEqual([aperture])
    must(program.ioas().iopt.reserve(0, APERTURE_START, 0, APERTURE_START + PAGE - 1))
    must(program.ioas().iopt.reserve(0, 0x200_0000, 0, 0x2ff_ffff))
    expect(ranges()).toEqual([
      { start: BigInt(APERTURE_START + PAGE), end: 0x1ff_ffffn },
      { start: 0x300_0000n, end: BigInt(APERTURE_LAST) },
    ])
    program.detach(domain)
    expect(ranges().length).toBe(3)
  })

  test('no range where everything is reserved', () => {
    const program = Program.withIoas()
    must(program.ioas().iopt.reserve(0, 0, -1, -1))
    const answer = getInfo(program, ROOM)
    expect(answer.info.argsz).toBe(RANGES_AT + 16)
    const cap = vfio_iommu_type1_info_cap_iova_range
    expect(readStruct(cap, answer.bytes.subarray(0, 56), RANGES_AT).nr_iovas).toBe(0)
  })
})

describe('V28 iova_pgsizes', () => {
  test('what every domain can map, sizes below a page counted as a page', () => {
    const program = Program.withIoas()
    const pgsizes = () => getInfo(program, ROOM).info.iova_pgsizes
    program.attach()
    expect(pgsizes()).toBe(0x1f_ffff_f000n)
    Object.assign(program.attach(), { pageSizesHi: 0, pageSizesLo: 0x4020_1000 })
    expect(pgsizes()).toBe(0x4020_1000n)
  })

  test('at least the alignment, where domains have no size in common', () => {
    const program = Program.withIoas()
    Object.assign(program.attach(), { pageSizesHi: 0, pageSizesLo: 0x20_0000 })
    Object.assign(program.attach(), { pageSizesHi: 0, pageSizesLo: 0x1000 })
    expect(getInfo(program, ROOM).info.iova_pgsizes).toBe(0x1000n)
  })

  test('a domain without traits is a mistake of whoever assembled the engine', () => {
    const program = Program.withIoas(boot({ withoutTraits: true }))
    expect(getInfo(program, ROOM).outcome).toBe('ok')
    program.attach()
    expect(() => getInfo(program, ROOM)).toThrow('domainTraits')
  })
})

describe('copies', () => {
  test('a struct that cannot be written has the capabilities behind it all the same', () => {
    const program = Program.withIoas()
    const { process } = program
    const at = ARG + PAGE - AVAIL_AT
    must(process.mmap(ARG + PAGE, PAGE, PROT_READ | PROT_WRITE, PRIVATE))
    must(process.store(at, Uint8Array.of(ROOM, 0, 0, 0)))
    must(process.mprotect(ARG, PAGE, PROT_READ))
    expect(program.ioctl(VFIO_IOMMU_GET_INFO, at)).toBe('EFAULT USER_UNWRITABLE')
    const bytes = process.load(ARG + PAGE, 48) as Uint8Array
    expect(readStruct(vfio_info_cap_header, bytes, 0).id).toBe(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL)
    expect(readStruct(vfio_info_cap_header, bytes, 0).next).toBe(RANGES_AT)
  })

  test('every copy is a fault point, and a failed call leaves the struct as it was', () => {
    const program = Program.withIoas()
    let answer = getInfo(program, ROOM)
    const points = eachFault(
      program.world,
      () => {
        answer = getInfo(program, ROOM)
        return answer.outcome
      },
      (outcome) => {
        expect(outcome).toBe('EFAULT INJECTED_EFAULT')
        expect(answer.info.argsz).toBe(ROOM)
        expect(untouched(answer, 4, AVAIL_AT)).toBe(true)
      },
    )
    expect(points).toBe(6)
  })
})
