// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { addressOf, memoryOf, memoryWith, recordedTables } from '../../test/recorded-table.js'
import { decodeWord, readTable, type TableMemory, translate } from './index.js'

describe.each(recordedTables)(
  'section 9: translation through recorded words of $name',
  (recorded) => {
    const memory = memoryOf(recorded)

    test.each(recorded.translations)('of %s as Linux answered', (iova, phys) => {
      expect(translate(memory, BigInt(iova)).phys ?? 0n).toBe(BigInt(phys))
    })

    test('reaches every page that the walk shows, at its first and its last byte', () => {
      const mask = BigInt(recorded.encryptionMask)
      const pages = readTable(memory).entries.filter(({ kind }) => kind === 'leaf')
      expect(pages.length).toBeGreaterThan(0)
      for (const { level, va, word, lg2 } of pages) {
        const { address, words, read, write } = decodeWord(memory.format, level, word, mask)
        const bytes = 1n << BigInt(lg2)
        const offset = va & (bytes - 1n)
        const found = { phys: address + offset, fault: undefined, lg2, read, write }
        expect(translate(memory, va)).toMatchObject(found)
        const last = bytes / BigInt(words) - 1n
        expect(translate(memory, va + last).phys).toBe(address + offset + last)
      }
    })
  },
)

const words = {
  '0/0': 0x6000000000000401n | addressOf(1),
  '0/511': 0x2000000000000401n | addressOf(1),
  '1/0': 0x6000000000000201n | addressOf(2),
  '1/1': 0x6000000000000201n | addressOf(7),
  '1/2': 0x6000000000000401n | addressOf(2),
  '2/0': 0x4000000000005001n,
  '2/1': 0x6100000000005001n,
}
const memory = memoryWith('amdv1', 2, words, 3)

test('tables limit what the page permits', () => {
  expect(translate(memory, 0x123n)).toMatchObject({ phys: 0x5123n, read: false, write: true })
  const above = 0x7fc0000123n
  expect(translate(memory, above)).toMatchObject({ phys: 0x5123n, read: false, write: false })
  const steps = translate(memory, above).steps.map(({ level, at }) => [level, at])
  expect(steps).toEqual([
    [2, addressOf(0) + 0xff8n],
    [1, addressOf(1)],
    [0, addressOf(2)],
  ])
})

test('the execute permission of x86_64 is taken away by any word on the way', () => {
  const tree = { '0/0': (1n << 63n) | 7n | addressOf(1), '1/0': 7n | addressOf(2), '2/0': 0x1007n }
  const { execute } = translate(memoryWith('x86_64', 2, tree, 3), 0n)
  expect(execute).toBe(false)
  const open = memoryWith('x86_64', 2, { ...tree, '0/0': 7n | addressOf(1) }, 3)
  expect(translate(open, 0n).execute).toBe(true)
})

test.each<[string, bigint, Partial<TableMemory>]>([
  ['not-present', 0x2000n, {}],
  ['unknown-bits', 0x1000n, {}],
  ['pointer-outside', 0x200000n, {}],
  ['bad-level', 0x400000n, {}],
  ['outside', 1n << 39n, {}],
  ['outside', 1n << 38n, { signExtended: true }],
  ['outside', 0x4000_0000n, { vaBits: 30 }],
  ['unreadable', 0n, { topLevel: 9 }],
])('no page: %s', (fault, iova, change) => {
  expect(translate({ ...memory, ...change }, iova)).toMatchObject({ phys: undefined, fault })
})

test('a sign-extended table has its upper half at the end of the 64-bit space', () => {
  const signed = { ...memory, signExtended: true }
  expect(translate(signed, 2n ** 64n - 0x40000000n + 5n).phys).toBe(0x5005n)
  expect(translate(memory, 2n ** 64n - 0x40000000n + 5n).fault).toBe('outside')
  const last = readTable({ ...signed, bytes: signed.bytes }).entries.at(-1)
  expect(last).toMatchObject({ va: 2n ** 64n - 0x40000000n, kind: 'table' })
})
