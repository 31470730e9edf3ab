// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { decodeWord, formatSize, formatWord, type TableFormatName } from './index.js'

const SME = 1n << 47n

describe('section 9: words of each format as the manuals lay them out', () => {
  test.each<[TableFormatName, number, bigint, string]>([
    ['amdv1', 0, 0x700003060ab2d001n, '4 KiB page at 0x3060ab2d000 rw (PR FC IR IW NextLevel=0)'],
    [
      'amdv1',
      0,
      0x700001bc2a9d7e01n,
      '64 KiB page in 16 words at 0x1bc2a9d0000 rw (PR FC IR IW NextLevel=7)',
    ],
    ['amdv1', 2, 0x20000000fffffe41n, '8 GiB page in 8 words at 0x0 r- (PR D IR NextLevel=7)'],
    ['amdv1', 2, 0x6000000012345401n, 'table at 0x12345000 rw (PR IR IW NextLevel=2)'],
    ['amdv1', 2, 0x6000000012345201n, 'table at 0x12345000 rw (PR IR IW NextLevel=1), bad-level'],
    [
      'amdv1',
      0,
      0x6010000000000001n,
      '4 KiB page at 0x0 rw (PR IR IW NextLevel=0), unknown bits 0x10000000000000',
    ],
    ['amdv1', 0, 0x6000000000000000n, 'empty, unknown bits 0x6000000000000000'],
    ['amdv1', 1, 0x2000000000000e01n, '2 MiB page at 0x0 r- (PR IR NextLevel=7), bad-size'],
    ['amdv1', 1, 0x2000000000001001n, '2 MiB page at 0x0 r- (PR IR NextLevel=0), misaligned-page'],
    ['amdv1_mock', 0, 0x2000000000003001n, '2 KiB page at 0x1800 r- (PR IR NextLevel=0)'],
    [
      'amdv1_mock',
      0,
      0x2000b6825620fe01n,
      '64 KiB page in 32 words at 0x5b412b100000 r- (PR IR NextLevel=7)',
    ],
    ['amdv1_mock', 1, 0x6000000000246201n, 'table at 0x123000 rw (PR IR IW NextLevel=1)'],
    ['x86_64', 0, 0x8003f49bbd5f4067n, '4 KiB page at 0x3f49bbd5f4000 rw- (P RW US A D XD)'],
    ['x86_64', 1, 0xc933879c000a5n, '2 MiB page at 0xc933879c00000 r-x (P US A PS)'],
    ['x86_64', 1, 0x1000a7n, '2 MiB page at 0x0 rwx (P RW US A PS), misaligned-page'],
    ['x86_64', 2, 0x400010e3n, '1 GiB page at 0x40000000 rwx (P RW A D PS PAT)'],
    ['x86_64', 3, 0xa1n, '512 GiB page at 0x0 r-x (P A PS), bad-level'],
    ['x86_64', 3, 0x7227n, 'table at 0x7000 rwx (P RW US A SW9)'],
    ['vtdss', 0, 0x8b0213faa03n, '4 KiB page at 0x8b0213fa000 rw (R W D SNP)'],
    ['vtdss', 1, 0x2000b2n, '2 MiB page at 0x200000 -w (W PS EMT=6)'],
    ['vtdss', 3, 0x5403n, 'table at 0x5000 rw (R W SW10)'],
    ['vtdss', 4, 0x83n, '256 TiB page at 0x0 rw (R W PS), bad-level'],
    ['vtdss', 0, 0x1000n, 'empty, unknown bits 0x1000'],
    [
      'riscv64',
      0,
      0x2016a470f6b4bcdfn,
      '4 KiB page at 0x5a91c3dad2f000 rwx (V R W X U A D PBMT=NC)',
    ],
    ['riscv64', 0, 0x80000000000060d3n, '64 KiB page in 16 words at 0x10000 r-- (V R U A D N)'],
    ['riscv64', 0, 0x80000000000040d3n, '4 KiB page at 0x10000 r-- (V R U A D N), bad-size'],
    ['riscv64', 1, 0x8000000000002053n, '2 MiB page at 0x0 r-- (V R U A N), bad-size'],
    ['riscv64', 0, 0xd5n, '4 KiB page at 0x0 -w- (V W U A D), bad-permissions'],
    ['riscv64', 4, 0x53n, '256 TiB page at 0x0 r-- (V R U A)'],
    ['riscv64', 2, 0x2001n, 'table at 0x8000 rwx (V)'],
    ['riscv64', 0, 0x2001n, 'table at 0x8000 rwx (V), bad-level'],
    ['riscv64', 2, 0x2000000000002041n, 'table at 0x8000 rwx (V), unknown bits 0x2000000000000040'],
  ])('%s, level %i: %s', (format, level, word, text) => {
    expect(formatWord(decodeWord(format, level, word))).toBe(text)
  })
})

test('the encryption bit is an attribute and no part of the address', () => {
  const table = decodeWord('amdv1', 3, 0x6000800000123601n, SME)
  expect(formatWord(table)).toBe('table at 0x123000 rw (PR IR IW NextLevel=3 ENC)')
  expect(decodeWord('amdv1', 3, 0x6000800000123601n).address).toBe(0x800000123000n)
  expect(decodeWord('x86_64', 0, 0x1067n, SME).attributes).not.toContain('ENC')
  expect(decodeWord('x86_64', 0, SME, SME)).toMatchObject({ kind: 'empty', unknownBits: SME })
})

test('a word says what its page and its permissions are', () => {
  expect(decodeWord('riscv64', 0, 0x80000000000060d3n)).toEqual({
    kind: 'leaf',
    address: 0x10000n,
    lg2: 16,
    words: 16,
    read: true,
    write: false,
    execute: false,
    attributes: ['V', 'R', 'U', 'A', 'D', 'N'],
    unknownBits: 0n,
    fault: undefined,
  })
})

test('sizes have names', () => {
  expect([11, 12, 21, 30, 39, 48, 57, 63].map(formatSize)).toEqual([
    '2 KiB',
    '4 KiB',
    '2 MiB',
    '1 GiB',
    '512 GiB',
    '256 TiB',
    '128 PiB',
    '8 EiB',
  ])
})
