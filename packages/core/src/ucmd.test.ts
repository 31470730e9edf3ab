// SPDX-License-Identifier: Apache-2.0
//
// How a struct is read and answered: sizes, tails, zeros behind a short one. Commands are probes here that remember
// what they were given.

import {
  commands,
  EFAULT,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  iommu_ioas_alloc,
  iommu_ioas_map,
  PROT_READ,
} from '@iommufd/uapi'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ARG, ARG_END, type Booted, boot, ioctl, mapPage, PAGE, why } from '../test/harness.js'

const RO_ARG = 0x1_0000_2000

/** A struct with a tail, and perhaps one byte that is not zero. */
interface Tail {
  readonly at: number
  readonly userSize: number
  readonly dirt: number | undefined
}

interface Probe extends Booted {
  /** What the last command saw of its struct. */
  seen: number[]
}

/** Serves every command that the core leaves to others; each fills its struct with 0x99 and responds. */
function probe(): Probe {
  const booted: Probe = { ...boot(), seen: [] }
  for (const { cmd, struct } of commands) {
    if (booted.engine.commands.find(cmd)) continue
    booted.engine.commands.register(cmd, (ucmd) => {
      booted.seen = [...ucmd.bytes.subarray(0, struct.size)]
      ucmd.bytes.fill(0x99, 0, struct.size)
      return ucmd.respond(struct.size)
    })
  }
  return booted
}

const probed = commands.filter(({ name }) => !/DESTROY|OPTION|IOAS_ALLOC$/.test(name))

/** Bytes of a caller's struct: its size, then 1, 2, 3 … for the kernel to see. */
function struct(userSize: number, bytes: number): Uint8Array {
  const arg = Uint8Array.from({ length: Math.max(bytes, 4) }, (_, i) => (i % 127) + 1)
  new DataView(arg.buffer).setUint32(0, userSize, true)
  return arg
}

/** Stores the bytes and makes the call; the answer with its reason. */
function call({ process, engine, fd }: Booted, cmd: number, bytes: Uint8Array, at = ARG): string {
  if (process.store(at, bytes) !== 0) throw new Error('store')
  return why(engine, process.ioctl(fd, cmd, at))
}

function memory({ process }: Booted, at: number, length: number): number[] {
  const bytes = process.load(at, length)
  if (typeof bytes === 'number') throw new Error('load')
  return [...bytes]
}

describe('size', () => {
  test.each(probed)('F4: $name insists on its least size and no more', ({ cmd, minSize }) => {
    const booted = probe()
    expect(call(booted, cmd, struct(minSize - 1, minSize))).toBe('EINVAL STRUCT_TOO_SMALL')
    expect(booted.engine.refusals.last?.operands).toEqual({ size: minSize - 1, minSize })
    expect(call(booted, cmd, struct(minSize, minSize))).toBe('0')
  })

  test.each(probed)('F3: $name sees zeros behind what the caller gives', (command) => {
    const { cmd, minSize, struct: layout } = command
    const booted = probe()
    for (let size = minSize; size <= layout.size; size++) {
      const given = struct(size, layout.size)
      expect(call(booted, cmd, given)).toBe('0')
      const expected = [...given].map((byte, i) => (i < size ? byte : 0))
      expect(booted.seen).toEqual(expected)
    }
  })

  test.each(probed)('F3: the answer of $name is min(user size, struct) bytes', (command) => {
    const { cmd, minSize, struct: layout } = command
    const booted = probe()
    for (const size of [minSize, layout.size - 1, layout.size, layout.size + 8]) {
      if (size < minSize) continue
      const given = struct(size, layout.size + 16).fill(0, layout.size)
      expect(call(booted, cmd, given)).toBe('0')
      const answered = Math.min(size, layout.size)
      const expected = [...given].map((byte, i) => (i < answered ? 0x99 : byte))
      expect(memory(booted, ARG, given.length)).toEqual(expected)
    }
  })

  test('F3: a size of 0 to 3 is too small, not unreadable', () => {
    const booted = probe()
    for (const size of [0, 1, 3]) {
      expect(call(booted, IOMMU_IOAS_MAP, struct(size, 8))).toBe('EINVAL STRUCT_TOO_SMALL')
    }
  })

  test('F3: a struct may lie at any byte', () => {
    const booted = probe()
    const given = struct(iommu_ioas_map.size, iommu_ioas_map.size)
    for (const at of [ARG + 1, ARG + 3, ARG_END - given.length]) {
      expect(call(booted, IOMMU_IOAS_MAP, given, at)).toBe('0')
      expect(booted.seen).toEqual([...given])
    }
  })

  test('F3: one call leaves nothing behind for the next', () => {
    const booted = probe()
    const large = commands.find(({ name }) => name === 'IOMMU_TEST_CMD')
    if (large === undefined) throw new Error('unreachable')
    call(booted, large.cmd, struct(large.struct.size, large.struct.size))
    call(booted, IOMMU_HWPT_ALLOC, struct(24, 24))
    expect(booted.seen.slice(24).every((byte) => byte === 0)).toBe(true)
  })
})

describe('memory that is not there', () => {
  const unmapped = [0, 1, ARG_END, 0x8000_0000_0000n, 0xffff_ffff_ffff_f000n, 2n ** 64n - 1n]
  test.each(unmapped)('F3: a struct at %s is EFAULT', (addr) => {
    const { engine, process, fd } = probe()
    expect(why(engine, process.ioctl(fd, IOMMU_IOAS_MAP, addr))).toBe('EFAULT STRUCT_UNREADABLE')
    expect(engine.refusals.last?.operands).toEqual({ address: BigInt(addr), length: 4 })
  })

  test('F3: a size that lies half in mapped memory is EFAULT', () => {
    const { engine, process, fd } = probe()
    const ret = process.ioctl(fd, IOMMU_IOAS_MAP, ARG_END - 2)
    expect(why(engine, ret)).toBe('EFAULT STRUCT_UNREADABLE')
  })

  test('F3: the size is judged before the rest is read', () => {
    const booted = probe()
    const at = ARG_END - 4
    expect(call(booted, IOMMU_IOAS_MAP, struct(39, 4), at)).toBe('EINVAL STRUCT_TOO_SMALL')
    expect(call(booted, IOMMU_IOAS_MAP, struct(40, 4), at)).toBe('EFAULT STRUCT_UNREADABLE')
    expect(booted.engine.refusals.last?.operands).toEqual({ address: BigInt(at), length: 40 })
  })

  test('F3: only what the size covers has to be readable', () => {
    const booted = probe()
    const at = ARG_END - 24
    expect(call(booted, IOMMU_HWPT_ALLOC, struct(24, 24), at)).toBe('0')
    expect(call(booted, IOMMU_HWPT_ALLOC, struct(25, 24), at)).toBe('EFAULT STRUCT_UNREADABLE')
  })

  test('F3: an answer that cannot be written is EFAULT', () => {
    const booted = probe()
    mapPage(booted.process, RO_ARG)
    booted.process.store(RO_ARG, struct(40, 40))
    booted.process.mprotect(RO_ARG, PAGE, PROT_READ)
    const ret = booted.process.ioctl(booted.fd, IOMMU_IOAS_MAP, RO_ARG)
    expect(why(booted.engine, ret)).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(booted.seen.slice(4)).toEqual([...struct(40, 40)].slice(4))
  })

  test('F9: an object whose id cannot be written back never was', () => {
    const booted = boot()
    const { engine, process, fd, ctx } = booted
    mapPage(process, RO_ARG)
    process.store(RO_ARG, struct(12, 12))
    process.mprotect(RO_ARG, PAGE, PROT_READ)
    expect(why(engine, process.ioctl(fd, IOMMU_IOAS_ALLOC, RO_ARG))).toBe(
      'EFAULT STRUCT_UNWRITABLE',
    )
    expect(ctx.objects.isEmpty).toBe(true)
    expect(ioctl(booted, IOMMU_IOAS_ALLOC, iommu_ioas_alloc, {}).out.out_ioas_id).toBe(1)
  })
})

describe('tail', () => {
  const size = iommu_ioas_map.size

  test('F3: zeros behind the struct are accepted, up to a whole page', () => {
    const booted = probe()
    for (const userSize of [size + 1, size + 7, size + 8, 0xfff, 0x1000]) {
      const given = struct(userSize, userSize).fill(0, size)
      expect(call(booted, IOMMU_IOAS_MAP, given)).toBe('0')
      expect(booted.seen).toEqual([...given.subarray(0, size)])
    }
  })

  test('F3: a byte behind it that is not zero is E2BIG', () => {
    const booted = probe()
    for (const at of [size, size + 1, size + 8, 0xfff]) {
      const given = struct(0x1000, 0x1000).fill(0, size)
      given[at] = 1
      expect(call(booted, IOMMU_IOAS_MAP, given)).toBe('E2BIG STRUCT_TAIL_NOT_ZERO')
      expect(booted.engine.refusals.last?.operands).toEqual({ size: 0x1000, known: size })
      given[at] = 0
      new DataView(given.buffer).setUint32(0, at, true)
      given[at] = 1
      expect(call(booted, IOMMU_IOAS_MAP, given)).toBe('0')
    }
  })

  test('F3: size 0xffffffff, and a zero tail that runs off mapped memory, are EFAULT', () => {
    const booted = probe()
    for (const userSize of [0x1001, 0x2000, 0x7fffffff, 0x80000000, 0xffffffff]) {
      const given = struct(userSize, 0x1000).fill(0, size)
      expect(call(booted, IOMMU_IOAS_MAP, given)).toBe('EFAULT STRUCT_UNREADABLE')
      expect(booted.engine.refusals.last?.operands.address).toBe(BigInt(ARG_END))
      given[0xfff] = 1
      expect(call(booted, IOMMU_IOAS_MAP, given)).toBe('E2BIG STRUCT_TAIL_NOT_ZERO')
    }
  })

  test('F3: the tail is judged before the struct is used', () => {
    const booted = probe()
    const given = struct(size + 8, size + 8)
    expect(call(booted, IOMMU_IOAS_MAP, given)).toBe('E2BIG STRUCT_TAIL_NOT_ZERO')
    expect(booted.seen).toEqual([])
  })

  test('F3: whichever comes first decides, for any struct position, size and content', () => {
    const booted = probe()
    for (let page = 1; page <= 2; page++) mapPage(booted.process, ARG + page * PAGE)
    const end = ARG + 3 * PAGE
    const cases = fc.record({
      at: fc.integer({ min: ARG, max: end - size }),
      userSize: fc.oneof(
        fc.integer({ min: size, max: 3 * PAGE }),
        fc.integer({ min: size, max: 0xffffffff }),
      ),
      dirt: fc.option(fc.integer({ min: ARG, max: end - 1 }), { nil: undefined }),
    })
    const holds = ({ at, userSize, dirt }: Tail): void => {
      booted.process.store(ARG, new Uint8Array(3 * PAGE))
      if (dirt !== undefined) booted.process.store(dirt, Uint8Array.of(1))
      const inTail = dirt !== undefined && dirt >= at + size && dirt < at + userSize
      const answer = call(booted, IOMMU_IOAS_MAP, struct(userSize, size), at)
      if (inTail) expect(answer).toBe('E2BIG STRUCT_TAIL_NOT_ZERO')
      else expect(answer).toBe(at + userSize > end ? 'EFAULT STRUCT_UNREADABLE' : '0')
    }
    fc.assert(fc.property(cases, holds), { numRuns: 500 })
  })
})

test('respondPart writes where it is told, whatever the size says', () => {
  const booted = boot()
  const { engine, process } = booted
  engine.commands.register(IOMMU_IOAS_MAP, (ucmd) => {
    ucmd.setWord(24, 0x01020304)
    ucmd.setU64(32, 0x11121314, 0x21222324)
    return ucmd.respondPart(32, 8) || ucmd.respondPart(27, 1)
  })
  process.store(ARG, struct(40, 64))
  expect(process.ioctl(booted.fd, IOMMU_IOAS_MAP, ARG)).toBe(0)
  const expected = [...struct(40, 64)]
  expected.splice(32, 8, 0x24, 0x23, 0x22, 0x21, 0x14, 0x13, 0x12, 0x11)
  expected.splice(27, 1, 1)
  expect(memory(booted, ARG, 64)).toEqual(expected)
})

test('fields of the struct are words, unsigned numbers or two words', () => {
  const booted = boot()
  const seen: number[] = []
  booted.engine.commands.register(IOMMU_IOAS_MAP, (ucmd) => {
    const { at } = iommu_ioas_map
    seen.push(ucmd.word(at.flags), ucmd.u32(at.flags), ucmd.hi(at.iova), ucmd.lo(at.iova))
    return -EFAULT
  })
  const values = { flags: 0xfffffffe, iova: 0x8000_0000_0000_0001n }
  const { ret, out } = ioctl(booted, IOMMU_IOAS_MAP, iommu_ioas_map, values)
  expect(seen).toEqual([-2, 0xfffffffe, -(2 ** 31), 1])
  expect([ret, out.flags]).toEqual([-EFAULT, 0xfffffffe])
})
