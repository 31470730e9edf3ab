// SPDX-License-Identifier: Apache-2.0
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Command, folderWith, pagetables, type Result, traces } from '../../test/command.js'
import { linesOf, pageTables, withMembers } from '../../test/pagetables.js'

// each test starts processes: a busy machine needs its time
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const vtdss = pageTables.vtdss as string
const mapLine = linesOf(vtdss).findIndex((line) => line.includes('"call":"map"')) + 1

let command: Command
let folder: string
beforeAll(async () => {
  command = await Command.make()
  folder = folderWith({
    'good.jsonl': vtdss,
    'bad.jsonl': withMembers(vtdss, mapLine, { mapped: '0x3' }),
    'broken.jsonl': withMembers(vtdss, 3, { call: 'fly' }),
    'ranges.txt': '# two ranges\n\n0x1000:0x5000:4K:r   # the first\n0x2000:0x9000:0x1000\n',
    'wrong.txt': '0:0:4K\n0:0:4X\n',
  })
})
afterAll(() => {
  command.remove()
  rmSync(folder, { recursive: true })
})

const run = (...args: string[]): Promise<Result> => command.run(args, { cwd: folder })
const pagetable = (...args: string[]) => run('pagetable', ...args)
const lastLine = (text: string) => text.trimEnd().split('\n').at(-1)

describe('replay of recordings of page tables', () => {
  test('section 9: the shipped ones, both kinds at once, agree throughout', async () => {
    const { code, stdout, stderr } = await run('replay', pagetables)
    expect(stderr).toBe('')
    expect(lastLine(stdout)).toMatch(/^replayed 67 files, \d+ calls, 0 divergences$/)
    expect(code).toBe(0)
  })

  test('together with recordings of system calls, counted by table and configuration', async () => {
    const tiny = join(traces, 'ioas/tiny-1.jsonl')
    const { code, stdout } = await run('replay', tiny, 'good.jsonl', 'bad.jsonl', '--json')
    expect(code).toBe(1)
    const { profiles, first, divergences } = JSON.parse(stdout)
    expect(profiles.map(({ profile }: { profile: string }) => profile)).toEqual([
      'ioas',
      'vtdss-5level',
    ])
    expect(divergences).toBe(1)
    expect(first[0]).toMatchObject({ file: 'bad.jsonl', line: mapLine })
    expect(first[0].differences).toMatchObject([{ field: 'mapped', linux: '0x3' }])
  })

  test('a divergence in words', async () => {
    const { stdout } = await run('replay', 'bad.jsonl')
    expect(stdout).toMatch(
      new RegExp(
        `bad.jsonl:${mapLine}\n  map\\(iova 0x\\w+, paddr 0x\\w+, length 0x\\w+, [a-z|]+\\)\n` +
          '  Linux = .* {mapped 0x3}\n  ours  = .* {mapped 0x\\w+}\n  mapped: Linux 0x3, ours 0x',
      ),
    )
  })

  test('--profile chooses, --fail-fast stops', async () => {
    const none = await run('replay', '--profile', 'vtdss', 'good.jsonl')
    expect(none.code).toBe(2)
    const some = await run('replay', '--profile', 'vtdss-5level', 'good.jsonl')
    expect(some.code).toBe(0)
    const stopped = await run('replay', '--fail-fast', 'bad.jsonl', 'good.jsonl')
    expect(lastLine(stopped.stdout)).toBe(`replayed 1 files, ${mapLine} calls, 1 divergences`)
  })

  test('a malformed one: 2, with file and line, and the rest is still replayed', async () => {
    const { code, stdout, stderr } = await run('replay', 'broken.jsonl', 'good.jsonl')
    expect(stderr).toBe('iommufd: broken.jsonl:3: call "fly" is unknown\n')
    expect(lastLine(stdout)).toMatch(/^replayed 1 files, \d+ calls, 0 divergences$/)
    expect(code).toBe(2)
  })
})

describe('pagetable', () => {
  test('maps ranges and shows the tree: 0', async () => {
    const { code, stdout, stderr } = await pagetable('--format', 'vtdss', '0x40000000:0:1G:r')
    expect(stdout).toBe(
      `vtdss: top table at 0x100000000, level 3, 48 bits of IOVA, aw 2, 2 tables
  level 3 [0] va 0x0: 0x100001003 table of 512 GiB at 0x100001000 rw (R W)
    level 2 [1] va 0x40000000: 0x81 1 GiB page at 0x0 r- (R PS); the largest page size of the table
`,
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  test('a refused range: 1, the rest is shown', async () => {
    const ranges = ['0:0:4K', '0:0x5000:4K']
    const { code, stdout } = await pagetable('--format', 'amdv1', ...ranges)
    expect(stdout).toContain(
      'refused: 0x0:0x5000:0x1000:rw = -EADDRINUSE (Address already in use), nothing of it is mapped\n',
    )
    expect(stdout).toContain('4 KiB page at 0x0 rw (PR FC IR IW NextLevel=0)')
    expect(code).toBe(1)
  })

  test('--ranges reads a file', async () => {
    const { code, stdout } = await pagetable('--format', 'riscv64', '--ranges', 'ranges.txt')
    expect(stdout.match(/4 KiB page at 0x\w+ \S+/g)).toEqual([
      '4 KiB page at 0x5000 r-x',
      '4 KiB page at 0x9000 rwx',
    ])
    expect(code).toBe(0)
  })

  test('--page-sizes, --levels, --va-bits, --pa-bits, --feature, --without, --encryption-bit', async () => {
    const sizes = await pagetable('--format', 'x86_64', '--page-sizes', '4K', '0:0:2M')
    expect(sizes.stdout).toContain('… 510 more pages of 4 KiB')
    const more = ['--levels', '5', '--va-bits', '56', '--pa-bits', '46', '--without', 'SIGN_EXTEND']
    const unsigned = await pagetable('--format', 'x86_64', ...more, '--json', '0:0:1G')
    expect(JSON.parse(unsigned.stdout)).toMatchObject({
      topLevel: 4,
      vaBits: 56,
      paBits: 46,
      signExtended: false,
      features: ['FLUSH_RANGE'],
      driver: { levels: 5 },
    })
    const feature = ['--feature', 'DMA_INCOHERENT', '--encryption-bit', '47']
    const encrypted = await pagetable('--format', 'x86_64', ...feature, '0:0:4K')
    expect(encrypted.stdout).toContain('table of 2 MiB at 0x100003000 rwx (P RW US A SW9 ENC)')
  })

  test('--translate follows an address: 0; one without a page: 1', async () => {
    const args = ['--format', 'riscv64', '0x200000:0x80000000:2M:r', '--translate']
    const found = await pagetable(...args, '0x201234')
    expect(found).toEqual({
      code: 0,
      stderr: '',
      stdout: `riscv64: top table at 0x100000000, level 2, 39 bits of IOVA, sign extended, fsc_iosatp_mode 8, 2 tables
0x201234 -> 0x80001234, in a page of 2 MiB, r-x
  level 2, word at 0x100000000: 0x40000401 table at 0x100001000 rwx (V)
  level 1, word at 0x100001008: 0x2000005b 2 MiB page at 0x80000000 r-x (V R X U A)
`,
    })
    const missed = await pagetable(...args, '0x1000', '--translate', '0x201000')
    expect(missed.stdout).toContain('0x1000 -> no page (not-present)\n')
    expect(missed.stdout).toContain('0x201000 -> 0x80001000, in a page of 2 MiB, r-x\n')
    expect(missed.code).toBe(1)
  })

  test('--raw writes the bytes, and --read shows the same table from them', async () => {
    const ranges = ['0x1000:0x5000:4K:r', '0xffffff8000000000:0x40000000:2M:rw']
    const format = ['--format', 'x86_64', '--encryption-bit', '47']
    const shown = await pagetable(...format, ...ranges)
    const { stdout, code } = await pagetable(...format, ...ranges, '--raw', 'table.bin')
    expect(code).toBe(0)
    const [, size, line = ''] =
      /wrote (\d+) bytes [\s\S]*to read them: iommufd (.*)\n/.exec(stdout) ?? []
    expect(readFileSync(join(folder, 'table.bin'))).toHaveLength(Number(size))
    const back = await run(...line.split(' '))
    expect(back.code).toBe(0)
    const words = (text: string) => text.replace(/;.*/g, '').split('\n').slice(1)
    expect(words(back.stdout)).toEqual(words(shown.stdout))
    const one = await run(...line.split(' '), '--translate', '0x1008')
    expect(one.stdout).toContain('0x1008 -> 0x5008, in a page of 4 KiB, r-x\n')
  })

  test('--read of a malformed table says what is wrong: 1', async () => {
    const bytes = new Uint8Array(8192)
    // at index 1 a table far away, at index 2 the table itself
    new DataView(bytes.buffer).setBigUint64(8, 0x7777003n, true)
    new DataView(bytes.buffer).setBigUint64(16, 0x3n, true)
    writeFileSync(join(folder, 'odd.bin'), bytes)
    const { code, stdout } = await pagetable('--format', 'vtdss', '--read', 'odd.bin')
    expect(stdout).toContain(
      'word 0x7777003 at 0x8: it leads to a table outside of the memory given',
    )
    expect(stdout).toContain('word 0x3 at 0x10: it leads back to a table that it is below [loop]')
    expect(code).toBe(1)
    const json = await pagetable('--format', 'vtdss', '--read', 'odd.bin', '--json')
    const { findings } = JSON.parse(json.stdout)
    expect(findings.map(({ code: name }: { code: string }) => name)).toEqual([
      'pointer-outside',
      'loop',
    ])
  })

  test('--json has each word with its reason', async () => {
    const { stdout } = await pagetable('--format', 'amdv1', '--json', '0x1000:0x2000:12K:w')
    const { entries, ranges, ...rest } = JSON.parse(stdout)
    expect(rest).toMatchObject({ format: 'amdv1', topLevel: 2, driver: { mode: 3 }, tables: 3 })
    expect(ranges).toEqual([
      { iova: '0x1000', paddr: '0x2000', length: '0x3000', prot: 'w', ret: 0, mapped: '0x3000' },
    ])
    expect(entries.at(-1)).toEqual({
      level: 0,
      index: 3,
      va: '0x3000',
      word: '0x5000000000004001',
      kind: 'leaf',
      address: '0x4000',
      size: '0x1000',
      words: 1,
      read: false,
      write: true,
      attributes: ['PR', 'FC', 'IW', 'NextLevel=0'],
      unknownBits: '0x0',
      why: 'not 8 KiB: the IOVA is no multiple of it, only 4 KiB of the range are left',
    })
  })

  test('--help has examples', async () => {
    const { code, stdout } = await pagetable('--help')
    expect(stdout).toContain('Examples:\n  iommufd pagetable --format x86_64 --levels 4')
    expect(code).toBe(0)
  })

  const x86 = ['--format', 'x86_64']
  test.each([
    [['0:0:4K'], "error: required option '--format <name>' not specified"],
    [['--format', 'arm', '0:0:4K'], "option '--format <name>' argument 'arm' is invalid"],
    [x86, 'iommufd: nothing to map: ranges as arguments or with --ranges, or --read\n'],
    [[...x86, '0:0'], 'iommufd: range "0:0": a range is IOVA:PADDR:LENGTH'],
    [[...x86, '0:0:4K:q'], 'iommufd: range "0:0:4K:q": the protection cannot have "q"'],
    [[...x86, '0:0:6K'], 'iommufd: range 0x0:0x0:0x1800:rw: the length is no multiple'],
    [[...x86, '--ranges', 'wrong.txt'], 'iommufd: wrong.txt:2: the length cannot be "4X"'],
    [[...x86, '--ranges', 'none.txt'], 'iommufd: none.txt: no such file or directory\n'],
    [[...x86, '--levels', '3', '0:0:4K'], 'iommufd: --levels: x86_64 has 4 to 5 levels, not 3\n'],
    [[...x86, '--levels', 'x', '0:0:4K'], "option '--levels <n>' argument 'x' is invalid"],
    [[...x86, '--page-sizes', '5K', '0:0:4K'], 'Page sizes are powers of two, as 4K,2M.'],
    [[...x86, '--translate', 'x', '0:0:4K'], "option '--translate <iova>' argument 'x' is invalid"],
    [
      [...x86, '--feature', 'WINGS', '0:0:4K'],
      'and the features SIGN_EXTEND, FLUSH_RANGE, WINGS: -E',
    ],
    [[...x86, '--va-bits', '60', '0:0:4K'], 'iommufd: no x86_64 table has --levels 4 --va-bits 60'],
    [[...x86, '--base', '0', '0:0:4K'], 'iommufd: --base says where --read finds it\n'],
    [[...x86, '--read', 'good.jsonl', '0:0:4K'], 'iommufd: --read takes no ranges and no --raw'],
    [[...x86, '--read', 'none.bin'], 'iommufd: none.bin: no such file or directory\n'],
    [
      [...x86, '--raw', 'no/table.bin', '0:0:4K'],
      'iommufd: no/table.bin: no such file or directory\n',
    ],
  ])('%j: 2, naming what is wrong', async (args, message) => {
    const { code, stdout, stderr } = await pagetable(...args)
    expect(stderr).toContain(message)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  })
})
