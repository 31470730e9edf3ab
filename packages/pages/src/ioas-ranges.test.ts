// SPDX-License-Identifier: Apache-2.0
// SPEC C3, C5: IOAS_ALLOW_IOVAS and IOAS_IOVA_RANGES, check by check, and reserved ranges of several owners.

import {
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_IOVA_RANGES,
  iommu_ioas_allow_iovas,
  iommu_ioas_iova_ranges,
} from '@iommufd/uapi'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ARG, ARG_READ_ONLY, boot, LIST, listOf, NOTHING, PAGE, Program } from '../test/harness.js'
import { snapshot } from '../test/snapshot.js'
import { gaps, hi, lo, overlap, type Range, U64_MAX } from '../test/u64.js'

interface Scene {
  readonly program: Program
  readonly id: number
}

function scene(): Scene {
  const program = Program.start(boot())
  return { program, id: program.alloc() }
}

function reserve({ program, id }: Scene, { start, last }: Range): number {
  program.world.engine.refusals.clear()
  return program.ioas(id).iopt.reserve(hi(start), lo(start), hi(last), lo(last))
}

function unreserve({ program, id }: Scene, { start, last }: Range): void {
  program.ioas(id).iopt.unreserve(hi(start), lo(start), hi(last), lo(last))
}

const LOW = { start: 0n, last: 0xffffn }
const MIDDLE = { start: 0x100000n, last: 0x1fffffn }
const TOP = { start: U64_MAX - 0xfffn, last: U64_MAX }

describe('IOAS_IOVA_RANGES (SPEC C5)', () => {
  const call = ({ program }: Scene, values: object, where?: number): string =>
    program.call(IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges, values, where).outcome

  test('the gaps between reserved ranges', () => {
    const place = scene()
    for (const range of [MIDDLE, LOW, TOP]) expect(reserve(place, range)).toBe(0)
    expect(place.program.ranges(place.id).ranges).toEqual([
      { start: 0x10000n, last: 0xfffffn },
      { start: 0x200000n, last: U64_MAX - 0x1000n },
    ])
  })

  test('none when all is reserved', () => {
    const place = scene()
    reserve(place, { start: 0n, last: U64_MAX })
    expect(place.program.ranges(place.id, 0)).toMatchObject({ ret: 0, num_iovas: 0 })
    unreserve(place, { start: 0n, last: U64_MAX })
    expect(place.program.ranges(place.id).ranges).toEqual([{ start: 0n, last: U64_MAX }])
  })

  test('neither the allowed list nor areas narrow them', () => {
    const { program, id } = scene()
    program.allow(id, [MIDDLE])
    program.mapAt(id, 0x100000)
    expect(program.ranges(id).ranges).toEqual([{ start: 0n, last: U64_MAX }])
  })

  test('too little room: what fits is written, num_iovas says how many there are', () => {
    const place = scene()
    for (const range of [MIDDLE, LOW]) reserve(place, range)
    const { program, id } = place
    program.process.store(LIST, new Uint8Array(64).fill(0xee))
    expect(program.ranges(id, 1)).toMatchObject({
      outcome: 'EMSGSIZE RANGES_DO_NOT_FIT',
      num_iovas: 2,
      out_iova_alignment: 1n,
      ranges: [{ start: 0x10000n, last: 0xfffffn }],
    })
    expect((program.process.load(LIST + 16, 16) as Uint8Array).every((b) => b === 0xee)).toBe(true)
    expect(program.ranges(id, 0)).toMatchObject({
      outcome: 'EMSGSIZE RANGES_DO_NOT_FIT',
      num_iovas: 2,
    })
  })

  test('checks in order: reserved, IOAS, the list', () => {
    const place = scene()
    const { id } = place
    const values = { __reserved: 1, ioas_id: 99, num_iovas: 1, allowed_iovas: NOTHING }
    expect(call(place, values)).toBe('EOPNOTSUPP RESERVED_NOT_ZERO')
    expect(call(place, { ...values, __reserved: 0 })).toBe('ENOENT OBJECT_UNKNOWN')
    const known = { ...values, __reserved: 0, ioas_id: id }
    expect(call(place, known)).toBe('EFAULT USER_UNWRITABLE')
    expect(call(place, { ...known, num_iovas: 0 })).toBe('EMSGSIZE RANGES_DO_NOT_FIT')
    const last = { ...known, allowed_iovas: LIST }
    expect(call(place, last, ARG_READ_ONLY)).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(call(place, { ...last, num_iovas: 0 }, ARG_READ_ONLY)).toBe('EFAULT STRUCT_UNWRITABLE')
  })

  test('a list that ends at the end of memory: the second range faults, nothing is answered', () => {
    const place = scene()
    reserve(place, MIDDLE)
    const { program, id } = place
    const values = { ioas_id: id, num_iovas: 2, allowed_iovas: ARG + PAGE - 16 }
    const answer = program.call(IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges, values)
    expect(answer).toMatchObject({ outcome: 'EFAULT USER_UNWRITABLE', out_iova_alignment: 0n })
  })
})

describe('IOAS_ALLOW_IOVAS (SPEC C3)', () => {
  const call = ({ program }: Scene, values: object): string =>
    program.call(IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas, values).outcome

  test('checks in order: reserved, IOAS, each range', () => {
    const place = scene()
    const { id } = place
    const values = { __reserved: 1, ioas_id: 99, num_iovas: 1, allowed_iovas: NOTHING }
    expect(call(place, values)).toBe('EOPNOTSUPP RESERVED_NOT_ZERO')
    expect(call(place, { ...values, __reserved: 0 })).toBe('ENOENT OBJECT_UNKNOWN')
    expect(call(place, { ...values, __reserved: 0, ioas_id: id })).toBe('EFAULT USER_UNREADABLE')
    expect(call(place, { ioas_id: id, num_iovas: 0, allowed_iovas: NOTHING })).toBe('ok')
  })

  test.each([
    ['of one byte', [{ start: 0x1000n, last: 0x1000n }], 'EINVAL ALLOWED_RANGE_EMPTY'],
    ['back to front', [{ start: 0x1000n, last: 0n }], 'EINVAL ALLOWED_RANGE_EMPTY'],
    ['at the top', [{ start: U64_MAX, last: U64_MAX }], 'EINVAL ALLOWED_RANGE_EMPTY'],
    [
      'overlapping',
      [MIDDLE, { start: 0x1fffffn, last: 0x200000n }],
      'EINVAL ALLOWED_RANGES_OVERLAP',
    ],
    ['twice the same', [MIDDLE, MIDDLE], 'EINVAL ALLOWED_RANGES_OVERLAP'],
    ['reserved', [MIDDLE, LOW], 'EADDRINUSE ALLOWED_IS_RESERVED'],
    ['reserved, then wrong', [LOW, { start: 1n, last: 0n }], 'EINVAL ALLOWED_RANGE_EMPTY'],
  ])('a range %s: refused, the list is as before', (_what, list, outcome) => {
    const place = scene()
    reserve(place, { start: 0xffffn, last: 0xffffn })
    const { program, id } = place
    expect(program.allow(id, [{ start: 0x7000n, last: 0x7fffn }]).outcome).toBe('ok')
    const before = snapshot(program.world)
    expect(program.allow(id, list).outcome).toBe(outcome)
    expect(snapshot(program.world)).toEqual(before)
  })

  test('ranges come in any order, and may touch', () => {
    const { program, id } = scene()
    const list = [MIDDLE, LOW, { start: 0x10000n, last: 0x1ffffn }, TOP]
    expect(program.allow(id, list).outcome).toBe('ok')
    const { allowed } = program.ioas(id).iopt
    expect(allowed.size).toBe(4)
  })

  test('a list that ends where memory ends: its next entry faults, the list is as before', () => {
    const place = scene()
    const { program, id } = place
    program.process.store(ARG + PAGE - 16, listOf([MIDDLE]))
    const values = { ioas_id: id, allowed_iovas: ARG + PAGE - 16 }
    expect(call(place, { ...values, num_iovas: 2 })).toBe('EFAULT USER_UNREADABLE')
    expect(program.ioas(id).iopt.allowed.size).toBe(0)
    program.process.store(ARG + PAGE - 16, listOf([MIDDLE]))
    expect(call(place, { ...values, num_iovas: 1 })).toBe('ok')
  })

  test('areas outside of the list stay', () => {
    const { program, id } = scene()
    program.mapAt(id, 0x5000)
    expect(program.allow(id, [MIDDLE]).outcome).toBe('ok')
    expect(program.unmap(id, 0x5000, PAGE).outcome).toBe('ok')
  })

  test('an empty list allows everything again', () => {
    const { program, id } = scene()
    program.allow(id, [MIDDLE])
    expect(program.allow(id, []).outcome).toBe('ok')
    expect(program.ioas(id).iopt.allowed.size).toBe(0)
  })
})

describe('reserved ranges (SPEC C3, E1)', () => {
  test.each([
    ['an area', (program: Program, id: number) => program.mapAt(id, 0x100000).outcome],
    ['an allowed range', (program: Program, id: number) => program.allow(id, [MIDDLE]).outcome],
  ])('cannot touch %s', (_what, prepare) => {
    const place = scene()
    const { program, id } = place
    expect(prepare(program, id)).toBe('ok')
    expect(reserve(place, { start: 0n, last: 0xfffffn })).toBe(0)
    const before = snapshot(program.world)
    expect(reserve(place, { start: 0n, last: 0x100000n })).toBeLessThan(0)
    expect(program.world.engine.refusals.last).toMatchObject({
      id: 'SPACE_IN_USE',
      errnoName: 'EADDRINUSE',
      operands: { iova: 0n, last: 0x100000n },
    })
    expect(snapshot(program.world)).toEqual(before)
  })

  test('of several owners may overlap, and go one by one', () => {
    const range = fc
      .tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 12 }), fc.boolean())
      .map(([start, span, isHigh]): Range => {
        const base = isHigh ? U64_MAX - 52n : 0n
        return { start: base + BigInt(start), last: base + BigInt(start + span) }
      })
    fc.assert(
      fc.property(fc.array(range, { maxLength: 8 }), fc.infiniteStream(fc.nat()), (list, picks) => {
        const place = scene()
        const { program, id } = place
        const reserved: Range[] = []
        for (const next of list) {
          expect(reserve(place, next)).toBe(0)
          reserved.push(next)
        }
        for (;;) {
          expect(program.ranges(id).ranges).toEqual(gaps(reserved))
          const probe = program.allow(id, [{ start: 20n, last: 30n }]).ret === 0
          expect(probe).toBe(!reserved.some((other) => overlap(other, { start: 20n, last: 30n })))
          if (reserved.length === 0) break
          program.allow(id, [])
          unreserve(place, reserved.splice(picks.next().value % reserved.length, 1)[0] as Range)
        }
      }),
      { numRuns: 25 },
    )
  })
})
