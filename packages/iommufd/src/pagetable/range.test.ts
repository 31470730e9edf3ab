// SPDX-License-Identifier: Apache-2.0
import { PT_CACHE, PT_MMIO, PT_NOEXEC, PT_READ, PT_WRITE } from '@iommufd/hw-iommu/pagetable'
import { describe, expect, test } from 'vitest'
import { configOf } from './geometry.js'
import { formatRange, parseNumber, parseRange } from './range.js'
import { formatBytes, whyThisSize } from './why.js'

describe('ranges', () => {
  test.each([
    ['0x1000:0x20000000:2M:rw', 0x1000n, 0x2000_0000n, 0x20_0000n, PT_READ | PT_WRITE],
    ['4096:0:4K', 4096n, 0n, 4096n, PT_READ | PT_WRITE],
    ['0:0x10K:1GiB:r', 0n, 0x4000n, 1n << 30n, PT_READ],
    ['0xffff800000000000:0:512:wcnm', 0xffff800000000000n, 0n, 512n, 30],
    ['0:0:1T:', 0n, 0n, 1n << 40n, 0],
  ])('%s', (text, iova, paddr, length, prot) => {
    expect(parseRange(text)).toEqual({ iova, paddr, length, prot })
  })

  test('are written as they are read', () => {
    expect(PT_WRITE | PT_CACHE | PT_NOEXEC | PT_MMIO).toBe(30)
    const text = '0x1000:0x2000:0x3000:rwcnm'
    expect(formatRange(parseRange(text))).toBe(text)
  })

  test.each([
    ['1:2', 'a range is IOVA:PADDR:LENGTH or'],
    ['1:2:3:r:5', 'a range is IOVA:PADDR:LENGTH or'],
    [':2:3', 'the IOVA is missing: a number such as'],
    ['1:2x:3', 'the physical address cannot be "2x"'],
    ['1:2:-3', 'the length cannot be "-3"'],
    ['1:2:16777216T', 'the length "16777216T" has more than 64 bits'],
    ['1:2:3:rx', 'the protection cannot have "x": letters of r, w, c'],
    ['1:2:3:constructor', 'the protection cannot have "o"'],
  ])('%s is refused', (text, problem) => {
    expect(() => parseRange(text)).toThrow(problem)
  })

  test('numbers reach 2^64 - 1', () => {
    expect(parseNumber('0xffffffffffffffff', 'x')).toBe(2n ** 64n - 1n)
    expect(() => parseNumber('0x10000000000000000', 'x')).toThrow('more than 64 bits')
  })
})

describe('parameters are completed as drivers choose them', () => {
  test.each([
    [{ format: 'amdv1' }, 2, 48, 52],
    [{ format: 'amdv1', levels: 6 }, 5, 64, 52],
    [{ format: 'amdv1_mock' }, 2, 38, 51],
    [{ format: 'x86_64' }, 3, 48, 52],
    [{ format: 'x86_64', levels: 5, vaBits: 56 }, 4, 56, 52],
    [{ format: 'vtdss', levels: 3, paBits: 46 }, 2, 39, 46],
    [{ format: 'riscv64', levels: 4 }, 3, 48, 56],
  ] as const)('%o', (options, topLevel, maxVaszLg2, maxOaszLg2) => {
    expect(configOf(options)).toMatchObject({ topLevel, maxVaszLg2, maxOaszLg2 })
  })

  test('features are added and left out', () => {
    const changes = { features: ['DMA_INCOHERENT'], without: ['SIGN_EXTEND'] }
    const { features } = configOf({ format: 'x86_64', ...changes })
    expect(features).toEqual(['FLUSH_RANGE', 'DMA_INCOHERENT'])
    expect(() => configOf({ format: 'vtdss', without: ['SIGN_EXTEND'] })).toThrow(
      '--without: vtdss has no feature SIGN_EXTEND to leave out',
    )
  })

  test('levels that the format does not have', () => {
    const problem = '--levels: riscv64 has 3 to 5 levels, not 6'
    expect(() => configOf({ format: 'riscv64', levels: 6 })).toThrow(problem)
  })
})

describe('section 9: why a page is not larger', () => {
  const sizes = 0x40201000n
  const why = (va: bigint, lg2: number, iova: bigint, paddr: bigint, length: bigint) =>
    whyThisSize(va, lg2, sizes, [{ iova, paddr, length, prot: 3, ret: 0, mapped: length }])

  test.each([
    [
      0x1000n,
      12,
      0x1000n,
      0x1000n,
      1n << 30n,
      'not 2 MiB: the IOVA is no multiple of it, the physical address is no multiple of it',
    ],
    [0x200000n, 12, 0n, 0x1000n, 1n << 30n, 'not 2 MiB: the physical address is no multiple of it'],
    [0n, 12, 0n, 0n, 0x6000n, 'not 2 MiB: only 24 KiB of the range are left'],
    [0x200000n, 12, 0n, 0n, 0x201000n, 'not 2 MiB: only 4 KiB of the range are left'],
    [0n, 21, 0n, 0n, 0x200000n, 'not 1 GiB: only 2 MiB of the range are left'],
    [0n, 30, 0n, 0n, 1n << 40n, 'the largest page size of the table'],
  ])('va %i, 2^%i bytes', (va, lg2, iova, paddr, length, sentence) => {
    expect(why(va, lg2, iova, paddr, length)).toBe(sentence)
  })

  test('nothing is said of pages that no range has', () => {
    expect(why(0x9000n, 12, 0n, 0n, 0x6000n)).toBeUndefined()
  })

  test('bytes in the largest unit that fits', () => {
    expect([0n, 1n, 1536n, 1024n, 3n << 20n, 1n << 63n].map(formatBytes)).toEqual([
      '0 B',
      '1 B',
      '1536 B',
      '1 KiB',
      '3 MiB',
      '8 EiB',
    ])
  })
})
