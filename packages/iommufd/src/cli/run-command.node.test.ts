// SPDX-License-Identifier: Apache-2.0
//
// The engine under real programs: `iommufd run`. Skipped, with the reason, where seccomp user notification is not
// permitted; programs in C are skipped where there is no compiler.

import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { RunCommand } from '../../test/run-command.js'

const command = await RunCommand.make()
afterAll(() => command.remove())

const probe = command.run(['run', '--', 'true'])
// Only our own refusal is a reason to skip: whatever else goes wrong has to show.
const isPermitted = probe.status !== 125
const why = isPermitted ? '' : ` (skipped: ${probe.stderr.trim()})`
const pins = isPermitted ? command.compile('pins') : undefined
const descriptors = isPermitted ? command.compile('descriptors') : undefined
const storm = isPermitted ? command.compile('storm') : undefined
const noCompiler = pins === undefined ? ' (skipped: there is no C compiler)' : ''
const isRoot = process.getuid?.() === 0
/** Tells its number, as a process that its parent does not wait for. */
const SLEEPS = 'sh -c "echo \\$\\$; exec sleep 60" & wait'
const OK = { status: 0, stderr: '' }

/** Runs a program that serves itself of IOMMU_TEST_CMD. */
function selftest(program: string | undefined, ...args: string[]) {
  return command.run(['run', '--selftest', '--', program ?? 'true', ...args])
}

describe.skipIf(why !== '')(`iommufd run${why}`, () => {
  describe.skipIf(pins === undefined)(`programs in C${noCompiler}`, () => {
    test.each(['private', 'read-only', 'shared', 'two-addresses', 'mapper-gone', 'bad'])(
      'C6, E4: what a device sees of %s memory',
      (name) => {
        expect(selftest(pins, name)).toEqual({ ...OK, stdout: `${name}\n` })
      },
    )

    test.skipIf(!isRoot)('C6, E4: the same as an ordinary user', () => {
      const { status, stdout, stderr } = command.run(
        ['run', '--selftest', '--', 'setpriv', '--reuid', '65534', '--clear-groups', pins ?? ''],
        { cwd: '/' },
      )
      expect([status, stdout.split('\n').length, stderr]).toEqual([0, 7, ''])
    })

    test('F1, F7: dup, fork, exec, passing; the last close releases before the next open', () => {
      expect(selftest(descriptors)).toEqual({ ...OK, stdout: 'descriptors\n' })
    })

    test('L7: page faults are there for poll and read when the call returns, and wake who waits', () => {
      expect(selftest(command.compile('faults'))).toEqual({ ...OK, stdout: 'faults\n' })
    })

    test('signals neither lose a call nor repeat one', () => {
      const { status, stdout } = command.run(['run', '--', storm ?? '', '4', '2000'])
      expect(stdout).toMatch(
        /^8000 calls, \d+ signals, 0 ids lost, 0 given twice, next id right\n$/,
      )
      expect(status).toBe(0)
    })

    test('calls without sense harm neither program nor engine', () => {
      const garbage = command.compile('garbage') ?? ''
      const ran = command.run(['run', '--selftest', '--devices', '1', '--', garbage])
      expect(ran).toEqual({ ...OK, stdout: 'garbage\n' })
    })

    test('--attach: programs started apart pass descriptors to each other', async () => {
      const apart = command.compile('apart') ?? ''
      const name = `iommufd-test-${process.pid}`
      const first = command.start(['run', '--', apart, 'take', name])
      let told = ''
      first.stdout.on('data', (data) => {
        told += data
      })
      await once(first.stdout, 'data')
      const second = command.run(['run', '--attach', `${first.pid}`, '--', apart, 'give', name])
      expect(second).toEqual({ ...OK, stdout: '' })
      const [code] = await once(first, 'close')
      expect([code, told]).toEqual([0, 'ready\ntaken\n'])
      const alone = command.run(['run', '--attach', `${process.pid}`, '--', 'true'])
      expect(alone.status).toBe(125)
      expect(alone.stderr).toContain('is no iommufd run of this user that can be joined')
    })

    test('--attach: a program ends with the run that serves it', async () => {
      const apart = command.compile('apart') ?? ''
      const name = `iommufd-test-end-${process.pid}`
      const first = command.start(['run', '--', apart, 'take', name])
      await once(first.stdout, 'data')
      const second = command.start(['run', '--attach', `${first.pid}`, '--', 'sh', '-c', SLEEPS])
      let told = ''
      second.stderr.on('data', (data) => {
        told += data
      })
      const [pid] = await once(second.stdout, 'data')
      first.kill('SIGKILL')
      const [code] = await once(second, 'close')
      expect(code).toBe(125)
      expect(told).toContain(`process ${first.pid}, which served the program, has ended\n`)
      expect(existsSync(`/proc/${Number(pid)}`)).toBe(false)
    })

    test('--verbose says how each range is kept', () => {
      const run = (name: string) =>
        command.run(['run', '--selftest', '--verbose', '--', pins ?? '', name]).stderr
      expect(run('shared')).toMatch(/^iommufd run: process \d+ \[0x\w+, 0x\w+fff\]: file held\n/)
      expect(run('private')).toMatch(/: (pinned by an io_uring|not pinned: .*)\n/)
    })

    test('--trace tells each call, and why it failed', () => {
      const file = join(command.folder, 'calls.txt')
      const args = ['run', '--selftest', `--trace=${file}`, '--', pins ?? '', 'bad']
      expect(command.run(args)).toEqual({ ...OK, stdout: 'bad\n' })
      const lines = readFileSync(file, 'utf8').split('\n')
      expect(lines[0]).toBe('open("/dev/iommu", O_RDWR) = 3')
      expect(lines[1]).toBe('ioctl(3, IOMMU_IOAS_ALLOC {size=12, flags=0x0, out_ioas_id=0->1}) = 0')
      const failed = lines.findIndex((line) => line.includes('= -EFAULT (Bad address)'))
      expect(lines[failed + 1]).toMatch(/^ {4}because .* \[[A-Z_]+\]$/)
      expect(lines[failed + 2]).toMatch(/^ {4}remedy: /)
    })

    test('L8: a dma-buf is mapped, revoked from another process, closed', () => {
      const file = join(command.folder, 'dmabuf-descriptors.jsonl')
      const program = command.compile('dmabuf') ?? ''
      const ran = command.run(['run', '--selftest', '--record', file, '--', program])
      expect([ran.status, ran.stdout]).toEqual([0, 'dmabuf\n'])
      expect(readFileSync(file, 'utf8').match(/"newFd":\d+/g)).toHaveLength(3)
    })

    const programs = ['pins', 'descriptors', 'dmabuf']
    test.each(programs)('--record is verified by replay: %s', (name) => {
      const file = join(command.folder, `${name}.jsonl`)
      const program = command.compile(name)
      const ran = command.run(['run', '--selftest', '--record', file, '--', program ?? ''])
      expect(ran.status).toBe(0)
      const replayed = command.run(['replay', file])
      expect(replayed.stdout).toMatch(/\nreplayed 1 files, [1-9]\d+ calls, 0 divergences\n$/)
      expect(replayed.status).toBe(0)
    })

    test('V3, V18: --as and --devices give a container with a group, in either manner', () => {
      const groups = (as: string) =>
        command.run(['run', '--as', as, '--devices', '1', '--', command.compile('groups') ?? ''])
      const told = (none: string, half: string) =>
        `set_iommu without a group: ${none}\nhalf of a mapping: ${half}\n`
      expect(groups('iommufd')).toEqual({ ...OK, stdout: told('ENODEV', 'ENOENT') })
      expect(groups('type1')).toEqual({ ...OK, stdout: told('EINVAL', 'EINVAL') })
    })

    test('section 7: --devices gives a device file, by which a program has the device', () => {
      const device = command.compile('device') ?? ''
      const ran = command.run(['run', '--devices', '1', '--', device])
      expect(ran).toEqual({ ...OK, stdout: 'device\n' })
    })

    test('section 10: fail-nth files and counts in /proc/PID/status', () => {
      expect(selftest(command.compile('files'))).toEqual({ ...OK, stdout: 'files\n' })
    })

    test('--fail-nth fails that fault point', () => {
      const { status, stderr } = command.run([
        'run',
        '--selftest',
        '--fail-nth',
        '1',
        '--trace',
        '--',
        pins ?? '',
        'bad',
      ])
      expect(status).toBe(1)
      expect(stderr).toContain('[INJECTED_EFAULT]')
    })

    test('section 7: --devices puts groups and device files into /dev/vfio, 6.2 has groups alone', () => {
      const list = (version: string) =>
        command.run(['run', '--devices', '2', '--kernel', version, '--', 'find', '/dev/vfio'])
          .stdout
      const groups = '/dev/vfio\n/dev/vfio/vfio\n/dev/vfio/0\n'
      const files = '/dev/vfio/devices\n/dev/vfio/devices/vfio0\n/dev/vfio/devices/vfio1\n'
      expect(list('7.3').split('\n').sort()).toEqual(
        `${groups}/dev/vfio/1\n${files}`.split('\n').sort(),
      )
      expect(list('6.2')).toBe(`${groups}/dev/vfio/1\n`)
    })

    test('--kernel answers as the kernel would to what it lacks', () => {
      const commands = (version: string) =>
        command.run(['run', '--kernel', version, '--', command.compile('commands') ?? '']).stdout
      expect(commands('6.2')).toBe(
        '85: 0\n89: ENOTTY\n8a: ENOTTY\n8e: ENOTTY\n8f: ENOTTY\n95: ENOTTY\n',
      )
      expect(commands('6.6')).toBe(
        '85: 0\n89: E2BIG\n8a: ENOENT\n8e: ENOTTY\n8f: ENOTTY\n95: ENOTTY\n',
      )
      const [, , , , file, last] = commands('6.12').split('\n')
      expect([file, last]).toEqual(['8f: ENOTTY', '95: ENOTTY'])
    })
  })

  test('a program that does not exist is 127, our own failure 125', () => {
    expect(command.run(['run', '--', 'no-such-program'])).toMatchObject({ status: 127, stdout: '' })
    const inner = ['run', '--', process.execPath, '-e', 'process.exit(3)']
    expect(command.run(inner).status).toBe(3)
  })

  test('a command line that cannot be used is 2', () => {
    expect(command.run(['run', '--kernel', '5.0', '--', 'true']).status).toBe(2)
    expect(command.run(['run', '--fail-nth', '0', '--', 'true']).status).toBe(2)
    expect(command.run(['run']).status).toBe(2)
    const both = ['run', '--record', '/dev/null', '--fail-nth', '3', '--', 'true']
    expect(command.run(both).status).toBe(2)
    expect(command.run(['run', '--devices', '33', '--', 'true']).status).toBe(2)
    expect(command.run(['run', '--as', 'type2', '--', 'true']).status).toBe(2)
    expect(command.run(['run', '--trace=/no/such/folder/x', '--', 'true']).status).toBe(2)
  })
})
