// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  addressOf,
  BASE,
  memoryOf,
  memoryWith,
  pointerTo,
  recordedTables,
} from '../../test/recorded-table.js'
import { type Finding, formatFinding, readTable, type TableMemory } from './index.js'

const PAGE = 0x6000000000000001n
const toTable = (table: number, level: number) =>
  0x6000000000000001n | (BigInt(level) << 9n) | addressOf(table)
const codes = (memory: TableMemory) => readTable(memory).findings.map(({ code }) => code)

describe.each(recordedTables)('section 9: recorded words of $name', (recorded) => {
  test('the walk finds every word, in order, and nothing wrong', () => {
    const { entries, findings } = readTable(memoryOf(recorded))
    expect(findings).toEqual([])
    const mask = BigInt(recorded.tableAddressMask)
    const words = entries.map(({ level, va, word, kind, lg2 }) => {
      if (kind === 'leaf') return { level, va: hex(va), word: hex(word), kind, lg2 }
      return { level, va: hex(va), word: hex(word & ~mask), kind }
    })
    expect(words).toEqual(recorded.words)
  })
})

function hex(value: bigint): string {
  return `0x${value.toString(16)}`
}

describe('a malformed table is a finding', () => {
  const good = { '0/0': toTable(1, 2), '1/3': toTable(2, 1), '2/5': PAGE }

  test('the table that the others are made from is well-formed', () => {
    const { entries, findings } = readTable(memoryWith('amdv1', 2, good, 3))
    expect(findings).toEqual([])
    expect(entries.map(({ level, va }) => [level, va])).toEqual([
      [2, 0n],
      [1, 0x600000n],
      [0, 0x605000n],
    ])
  })

  test.each<[Finding['code'], Record<string, bigint>]>([
    ['pointer-outside', { '1/4': toTable(3, 1) }],
    ['pointer-outside', { '1/4': 0x6000000000001201n }],
    ['loop', { '1/4': toTable(0, 1) }],
    ['loop', { '1/4': toTable(1, 1) }],
    ['shared-table', { '1/4': toTable(2, 1) }],
    ['bad-level', { '1/4': toTable(2, 3) }],
    ['bad-level', { '2/6': toTable(1, 1) }],
    ['bad-size', { '2/6': 0x60000000001ffe01n }],
    ['misaligned-page', { '1/4': PAGE | 0x1000n }],
    ['unknown-bits', { '2/6': PAGE | (1n << 55n) }],
    ['word-not-present', { '2/6': 0x1000n }],
    ['run-differs', { '2/8': PAGE | 0xe00n, '2/9': PAGE | 0xe00n | (1n << 60n) }],
    ['run-differs', { '2/9': PAGE | 0xe00n }],
  ])('%s', (code, words) => {
    const memory = memoryWith('amdv1', 2, { ...good, ...words }, 3)
    expect(codes(memory)[0]).toBe(code)
    expect(readTable(memory).entries).toHaveLength(3 + Object.keys(words).length)
  })

  test('words of a run may differ in what hardware marks', () => {
    const run = { '2/8': PAGE | 0xe00n, '2/9': PAGE | 0xe60n }
    expect(codes(memoryWith('amdv1', 2, { ...good, ...run }, 3))).toEqual([])
  })

  test('the mock, whose pointers have units of 2 KiB, may miss the beginning of a table', () => {
    const words = { '0/0': 0x6000000000000401n | pointerTo('amdv1_mock', addressOf(1) + 0x800n) }
    expect(codes(memoryWith('amdv1_mock', 2, words, 2))).toEqual(['pointer-misaligned'])
  })

  test('words that no address selects', () => {
    const memory = memoryWith('amdv1', 2, { ...good, '0/4': PAGE }, 3)
    expect(codes({ ...memory, vaBits: 32 })).toEqual(['beyond-address-space'])
    expect(codes({ ...memory, vaBits: 33 })).toEqual([])
  })

  test.each<[Finding['code'], Partial<TableMemory>]>([
    ['top-level', { topLevel: 6 }],
    ['top-level', { topLevel: -1 }],
    ['top-level', { topLevel: 0.5 }],
    ['top-level', { vaBits: 29 }],
    ['memory-misaligned', { base: BASE + 8n }],
    ['pointer-misaligned', { topAddress: BASE + 8n }],
    ['pointer-outside', { topAddress: BASE - 4096n }],
    ['pointer-outside', { bytes: new Uint8Array(4095) }],
  ])('%s of the whole', (code, change) => {
    const memory = { ...memoryWith('amdv1', 2, good, 3), ...change }
    expect(codes(memory)).toEqual([code])
    expect(readTable(memory).entries).toEqual([])
  })

  test('a finding is one line', () => {
    const memory = memoryWith('amdv1', 2, { ...good, '2/9': PAGE | 0xe00n }, 3)
    expect(readTable(memory).findings.map(formatFinding)).toEqual([
      'level 0, va 0x609000: word 0x6000000000000e01 at 0x1234502048: ' +
        'a word of the same page of 8 KiB is 0x0 [run-differs]',
    ])
  })
})

test('whatever the bytes are, the walk ends and reports', () => {
  const damage = fc.array(fc.tuple(fc.nat(), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })), {
    maxLength: 40,
  })
  fc.assert(
    fc.property(fc.constantFrom(...recordedTables), damage, fc.nat(5), (table, words, pointers) => {
      const memory = memoryOf(table)
      const view = new DataView(memory.bytes.buffer)
      const count = memory.bytes.length / 8
      for (const [at, word] of words) view.setBigUint64((at % count) * 8, word, true)
      // pointers to tables that are there: loops, sharing
      for (const [at, word] of words.slice(0, pointers)) {
        const target = BASE + (word % BigInt(count / 512)) * 4096n
        const level = BigInt(1 + (at % 5)) << 9n
        const flags = table.format.startsWith('amdv1')
          ? 1n | level
          : table.format === 'riscv64'
            ? 1n
            : 3n
        view.setBigUint64((at % count) * 8, flags | pointerTo(table.format, target), true)
      }
      const { entries, findings } = readTable(memory)
      expect(entries.length).toBeLessThanOrEqual(count)
      expect(findings.length).toBeLessThanOrEqual(3 * count)
      for (const finding of findings)
        expect(formatFinding(finding)).toMatch(/^level \d.* \[[a-z-]+\]$/)
    }),
    { numRuns: 300 },
  )
})
