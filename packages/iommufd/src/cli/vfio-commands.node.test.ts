// SPDX-License-Identifier: Apache-2.0
// `iommufd compat` and `iommufd estimate` as a user starts them.

import { rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Command, folderWith, type Result } from '../../test/command.js'
import { mapArgPage, recording } from '../../test/lines.js'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const open = { call: 'open', path: '/dev/vfio/vfio', ret: 3 }
const setIommu = (type: string) => {
  return { call: 'ioctl', op: 'SET_IOMMU', fd: 3, cmd: '0x3b66', argAddr: type, ret: -19 }
}

let command: Command
let folder: string
beforeAll(async () => {
  command = await Command.make()
  folder = folderWith({
    'same.jsonl': recording(mapArgPage, open, setIommu('0x63')),
    'other.jsonl': recording(mapArgPage, open, setIommu('0x3')),
    'torn.jsonl.broken': recording(mapArgPage, { ...open, path: 7 }),
  })
})
afterAll(() => {
  command.remove()
  rmSync(folder, { recursive: true })
})

const run = (...args: string[]): Promise<Result> => command.run(args, { cwd: folder })

describe('compat', () => {
  test('no call differs: 0', async () => {
    const { code, stdout, stderr } = await run('compat', 'same.jsonl')
    expect([code, stdout, stderr]).toEqual([0, '1 files, 1 VFIO calls compared, 0 differ\n', ''])
  })

  test('some do: 1, with both outcomes, the row and what to do; no colours in a pipe', async () => {
    const { code, stdout } = await run('compat', '.')
    expect(code).toBe(1)
    expect(stdout).toContain('other.jsonl:4')
    expect(stdout).toMatch(/type 1 {2}= -EINVAL.*\n {2}iommufd = -ENODEV/)
    expect(stdout).toMatch(/V3: ENODEV for a type that exists.*\n {2}remedy: accept both/)
    expect(stdout).toMatch(/\nV3 +1 {2}SET_IOMMU without a group/)
    expect(stdout).not.toContain('\u001b')
    expect(stdout.trimEnd().split('\n').at(-1)).toBe('2 files, 2 VFIO calls compared, 1 differ')
  })

  test('--json is one document', async () => {
    const { code, stdout } = await run('compat', '--json', 'other.jsonl')
    expect(code).toBe(1)
    const { files, rows, unusable } = JSON.parse(stdout)
    expect(files[0]).toMatchObject({ file: 'other.jsonl', calls: 3, compared: 1 })
    expect(files[0].differences[0]).toMatchObject({ line: 4, rows: ['V3'] })
    expect(rows).toMatchObject([{ row: 'V3', calls: 1 }])
    expect(unusable).toEqual([])
  })

  test('bad input: 2, naming file, line and member; the others are compared', async () => {
    const { code, stdout, stderr } = await run('compat', 'torn.jsonl.broken', 'same.jsonl')
    expect(code).toBe(2)
    expect(stderr).toMatch(/^iommufd: torn\.jsonl\.broken:3: .*path.*\n$/)
    expect(stdout).toContain('1 files, 1 VFIO calls compared, 0 differ')
    expect((await run('compat', '--show', 'x', 'same.jsonl')).code).toBe(2)
    expect((await run('compat', 'missing')).stderr).toBe(
      'iommufd: missing: no such file or directory\n',
    )
  })

  test('--help has examples and exit codes', async () => {
    const { code, stdout } = await run('compat', '--help')
    expect(code).toBe(0)
    expect(stdout).toMatch(/Examples:\n {2}iommufd compat[\s\S]*Exit code: 0 no call differs/)
  })
})

describe('estimate', () => {
  test('who is counted, and the limit that is needed', async () => {
    const { code, stdout } = await run('estimate', '--memory', '8GiB', '--processes', '3')
    expect(code).toBe(0)
    expect(stdout).toMatch(/charged to each user +24 GiB/)
    expect(stdout).toContain('RLIMIT_MEMLOCK of each process must be at least 24 GiB')
    expect(stdout).toContain('ulimit -l 25165824')
  })

  test('a limit that is too low: 1', async () => {
    const args = ['estimate', '--memory', '1G', '--back-end', 'type1', '--limit']
    expect((await run(...args, '8MiB')).code).toBe(1)
    const { code, stdout } = await run(...args, '1GiB')
    expect(code).toBe(0)
    expect(stdout).toContain('1 GiB is enough')
  })

  test('--json is one document', async () => {
    const { stdout } = await run(
      'estimate',
      '--memory',
      '4097',
      '--back-end',
      'vfio-compat',
      '--json',
    )
    expect(JSON.parse(stdout)).toMatchObject({
      setup: { memory: 4097, accounting: 'process' },
      perProcess: 8192,
      vmPin: 8192,
      vmLck: 8192,
      limit: 8192,
      tooLow: false,
    })
  })

  test('a recording tells what it had locked', async () => {
    const { code, stdout } = await run('estimate', 'other.jsonl', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout).needs).toEqual({ user: 0, process: 0, type1: 0 })
  })

  test.each([
    [['--memory', 'much'], '--memory: "much" is no size'],
    [[], '--memory: it is needed'],
    [['--memory', '1G', '--devices', '0'], '--devices: "0" is not a number'],
    [['--memory', '1G', '--back-end', 'spapr'], '--back-end: "spapr" is none of type1'],
    [['--memory', '1G', '--back-end', 'type1', '--accounting', 'user'], '--accounting: '],
    [['other.jsonl', '--memory', '1G'], '--memory: a recording tells itself'],
  ])('bad input %j: 2, naming the option', async (args, message) => {
    const { code, stderr } = await run('estimate', ...args)
    expect(code).toBe(2)
    expect(stderr).toContain(`iommufd: ${message}`)
  })
})
