// SPDX-License-Identifier: Apache-2.0
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Command, folderWith, type Result, traces } from '../../test/command.js'
import { header, mapArgPage, recording } from '../../test/lines.js'

const good = recording(mapArgPage, { call: 'close', fd: 9, ret: -9 })
const bad = recording(
  mapArgPage,
  { call: 'close', fd: 9, ret: 0 },
  { call: 'close', fd: 8, ret: 0 },
)
const other = good.replace('"ioas"', '"other"')
const zipped = gzipSync(recording(...Array.from({ length: 500 }, () => mapArgPage)))

// each test starts processes: a busy machine needs its time
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

let command: Command
let folder: string
beforeAll(async () => {
  command = await Command.make()
  const broken = Uint8Array.from(zipped)
  broken.fill(0xff, 100, 120)
  folder = folderWith({
    'good.jsonl': good,
    'bad-1.jsonl': bad,
    'bad-10.jsonl.gz': gzipSync(bad),
    'bad-2.jsonl': bad,
    'other.jsonl': other,
    'version.broken': `${JSON.stringify({ ...header, version: 2 })}\n`,
    'torn.broken': good.slice(0, -9),
    'empty.broken': '',
    'short.gz': zipped.subarray(0, zipped.length - 12),
    'damaged.gz': broken,
    'plain.gz': good,
    'notes.txt': 'not found by the walk',
  })
})
afterAll(() => {
  command.remove()
  rmSync(folder, { recursive: true })
})

const run = (...args: string[]): Promise<Result> => command.run(args, { cwd: folder })
const lastLine = (text: string) => text.trimEnd().split('\n').at(-1)

describe('replay', () => {
  test('all answers agree: 0', async () => {
    const { code, stdout, stderr } = await run('replay', 'good.jsonl')
    expect(stderr).toBe('')
    expect(lastLine(stdout)).toBe('replayed 1 files, 2 calls, 0 divergences')
    expect(code).toBe(0)
  })

  test('some do not: 1, with the first of them described', async () => {
    const { code, stdout } = await run('replay', 'bad-1.jsonl', 'good.jsonl')
    expect(code).toBe(1)
    expect(stdout).toContain(
      `bad-1.jsonl:3
  close(9)
  Linux = 0
  ours  = -EBADF (Bad file descriptor)
  because descriptor 9 is not open in process 1 [DESCRIPTOR_NOT_OPEN]
  remedy: use a descriptor that open gave and close has not taken back
`,
    )
    expect(lastLine(stdout)).toBe('replayed 2 files, 5 calls, 2 divergences')
  })

  test('a directory is walked in natural order, the table counts by profile', async () => {
    const { stdout } = await run('replay', '.', '--show', '9')
    const places = [...stdout.matchAll(/^(\S+):3$/gm)].map(([, file]) => file)
    expect(places).toEqual(['bad-1.jsonl', 'bad-2.jsonl', 'bad-10.jsonl.gz'])
    expect(stdout.split('\n').slice(0, 4).join('\n')).toBe(
      `profile  files  calls  agreements  divergences
ioas         4     11           5            6
other        1      2           2            0
total        5     13           7            6`,
    )
  })

  test('--profile chooses, and may be repeated', async () => {
    const one = await run('replay', '.', '--profile', 'other')
    expect(lastLine(one.stdout)).toBe('replayed 1 files, 2 calls, 0 divergences')
    const both = await run('replay', '--profile', 'other', '--profile', 'ioas', '.')
    expect(lastLine(both.stdout)).toBe('replayed 5 files, 13 calls, 6 divergences')
    const none = await run('replay', '.', '--profile', 'nothing')
    expect(none.code).toBe(2)
    expect(none.stderr).toBe('iommufd: no recording of profile nothing among the files\n')
  })

  test('--fail-fast stops at the first divergence of all', async () => {
    const { code, stdout } = await run('replay', '--fail-fast', 'bad-1.jsonl', 'bad-2.jsonl')
    expect(lastLine(stdout)).toBe('replayed 1 files, 2 calls, 1 divergences')
    expect(code).toBe(1)
  })

  test('--show 0 describes none', async () => {
    const { stdout } = await run('replay', '--show', '0', 'bad-1.jsonl')
    expect(stdout).not.toContain('because')
  })

  test('--json prints one document', async () => {
    const { code, stdout } = await run('replay', '--json', 'bad-1.jsonl', 'empty.broken')
    expect(code).toBe(2)
    expect(JSON.parse(stdout)).toEqual({
      files: 1,
      calls: 3,
      agreements: 1,
      divergences: 2,
      profiles: [{ profile: 'ioas', files: 1, calls: 3, agreements: 1, divergences: 2 }],
      first: [3, 4].map((line) => ({
        file: 'bad-1.jsonl',
        line,
        pid: 1,
        call: `close(${12 - line})`,
        linux: '0',
        ours: '-EBADF (Bad file descriptor)',
        differences: [{ field: 'ret', linux: '0', ours: '-EBADF (Bad file descriptor)' }],
        reason: {
          id: 'DESCRIPTOR_NOT_OPEN',
          sentence: `descriptor ${12 - line} is not open in process 1`,
          remedy: 'use a descriptor that open gave and close has not taken back',
        },
      })),
      unusable: [{ file: 'empty.broken', line: 1, problem: 'the file is empty' }],
    })
  })

  test('the shipped recordings of profile ioas agree throughout', async () => {
    const { code, stdout, stderr } = await run('replay', join(traces, 'ioas'))
    expect(stdout).toMatch(/replayed 20 files, \d+ calls, 0 divergences\n$/)
    expect(stderr).toBe('')
    expect(code).toBe(0)
  })
})

describe('input that cannot be used: 2, one line, and the rest is still replayed', () => {
  test.each([
    ['version.broken', ':1: version 2 is not supported, only 1'],
    ['torn.broken', ':3: not JSON: the file ends within this line'],
    ['empty.broken', ':1: the file is empty'],
    ['plain.gz', ':1: not gzip data'],
    ['short.gz', /^:\d+: gzip data is truncated$/],
    ['damaged.gz', /^:\d+: gzip data is damaged \([\w -]+\)$/],
    ['missing.jsonl', ': no such file or directory'],
  ])('%s', async (file, message) => {
    const { code, stdout, stderr } = await run('replay', file, 'good.jsonl')
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(stderr.startsWith(`iommufd: ${file}:`)).toBe(true)
    expect(stderr.slice(`iommufd: ${file}`.length).trimEnd()).toMatch(message)
    expect(lastLine(stdout)).toBe('replayed 1 files, 2 calls, 0 divergences')
    expect(code).toBe(2)
    const explained = await run('explain', file)
    expect(explained).toEqual({ code: 2, stdout: '', stderr })
  })

  test('truncated gzip data names the line that was reached', async () => {
    const { stderr } = await run('replay', 'short.gz')
    expect(Number(/:(\d+):/.exec(stderr)?.[1])).toBeGreaterThan(400)
  })

  test('a directory without recordings', async () => {
    const empty = folderWith({ 'a.txt': '' })
    expect(await run('replay', empty)).toMatchObject({
      code: 2,
      stderr: `iommufd: ${empty}: no .jsonl or .jsonl.gz below it\n`,
    })
    rmSync(empty, { recursive: true })
  })
})

describe('explain', () => {
  test('shows each call with its answer, effect or reason', async () => {
    const { code, stdout } = await run('explain', 'good.jsonl')
    expect(stdout).toBe(`good.jsonl: profile ioas, seed 1, Linux 7.3.4
    2 mmap(0x100000000, 0x1000, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS, -1, 0) = 0x100000000
        memory at [0x100000000, 0x100000fff] is new, all zero
    3 close(9) = -EBADF (Bad file descriptor)
        because descriptor 9 is not open in process 1 [DESCRIPTOR_NOT_OPEN]
        remedy: use a descriptor that open gave and close has not taken back
2 calls, 1 failed, 0 answered otherwise here
`)
    expect(code).toBe(0)
  })

  test('--failed shows only what failed; other answers of ours are pointed out', async () => {
    const failed = await run('explain', '--failed', 'good.jsonl')
    expect(failed.stdout).toContain('close(9)')
    expect(failed.stdout).not.toContain('mmap')
    const differing = await run('explain', 'bad-1.jsonl')
    expect(differing.stdout).toContain('here ret is -EBADF (Bad file descriptor)')
    expect(lastLine(differing.stdout)).toBe('3 calls, 0 failed, 2 answered otherwise here')
  })

  test('--json prints one document', async () => {
    const { stdout } = await run('explain', '--json', 'good.jsonl')
    const { file, header: parsed, calls } = JSON.parse(stdout)
    expect(file).toBe('good.jsonl')
    expect(parsed.profile).toBe('ioas')
    expect(calls.map(({ line }: { line: number }) => line)).toEqual([2, 3])
  })
})

describe('the command line', () => {
  test.each([
    [['--help'], /Examples:\n {2}iommufd replay/],
    [['replay', '--help'], /--fail-fast/],
    [['--version'], /^\d+\.\d+\.\d+\n$/],
  ])('%j: 0', async (args, pattern) => {
    const { code, stdout, stderr } = await run(...args)
    expect(stdout).toMatch(pattern)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  test.each([
    [[], /Usage: iommufd/],
    [['frobnicate'], /error: unknown command 'frobnicate'\n\(iommufd --help/],
    [['replay'], /error: missing required argument 'path'/],
    [['replay', '--color', 'x'], /error: unknown option '--color'/],
    [['replay', '--show', 'all', 'x'], /'all' is invalid.*must be a number/],
    [['explain', 'a', 'b'], /error: too many arguments/],
  ])('%j: 2, with a hint', async (args, pattern) => {
    const { code, stdout, stderr } = await run(...args)
    expect(stderr).toMatch(pattern)
    expect(stderr).not.toMatch(/\n {4}at /)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  })

  test('a pipe gets plain text, whatever the environment says of colours', async () => {
    for (const env of [{ CI: '1' }, { NO_COLOR: '1' }, { TERM: 'xterm-256color' }]) {
      const { stdout, stderr } = await command.run(['replay', '.'], { cwd: folder, env })
      expect(stdout + stderr).not.toContain('\u001b')
    }
  })

  test('a reader that stops reading is no error', async () => {
    const file = join(traces, 'ioas/1.jsonl.gz')
    const { code, stderr } = await command.run(['explain', '--json', file], { closeAfter: 10 })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  test('the committed executable starts the bundle', () => {
    const text = readFileSync(join(traces, '../../bin/iommufd.js'), 'utf8')
    expect(text).toMatch(/^#!\/usr\/bin\/env node\n/)
    expect(text).toContain('../dist/cli.js')
  })

  test('demo tells its story', async () => {
    const { code, stdout, stderr } = await run('demo')
    expect(stdout).toContain('it read: "hello from the process"')
    expect(stdout).toContain('the process finds: "hello from the driver!"')
    expect(stdout).toMatch(/= -EEXIST \(File exists\)\n {4}because .+\n {4}remedy: .+\n$/)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })
})
