// SPDX-License-Identifier: Apache-2.0
//
// Real programs under run(): how they start, what they find, how they end. Skipped, with the reason, where the kernel or a
// container does not permit seccomp user notification.

import { type SpawnSyncOptions, type StdioOptions, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { type Bundle, bundle } from '../test/bundle.js'

const counter: Bundle = await bundle('counter.ts')
const example: Bundle = await bundle('readme-example.ts')
afterAll(() => {
  counter.remove()
  example.remove()
})

function runs(args: readonly string[], options: SpawnSyncOptions = {}, tell = 'quiet') {
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    [counter.program, tell, ...args],
    { timeout: 20_000, ...options, encoding: 'utf8' },
  )
  return { status, signal, stdout, stderr }
}

const probe = runs(['true'])
// Only our own refusal is a reason to skip: whatever else goes wrong has to show.
const why = probe.status === 125 ? ` (skipped: ${probe.stderr.trim()})` : ''
const hasPython = spawnSync('python3', ['--version']).status === 0
const hasPerl = spawnSync('perl', ['-v']).status === 0
const isRoot = process.getuid?.() === 0

/** A python program with the device opened as `f` and `count(n)`. */
function python(program: string): string[] {
  const head = [
    'import os, fcntl, array, sys, signal, time',
    'f = os.open("/dev/vfio/counter", os.O_RDWR)',
    'def count(n, f=f):',
    '  a = array.array("i", [n]); fcntl.ioctl(f, 0x3b01, a); return a[0]',
  ]
  return ['python3', '-c', [...head, program].join('\n')]
}

describe.skipIf(why !== '')(`a program under run${why}`, () => {
  test('ends as it would alone: exit code, signal, not found, not executable', () => {
    expect(runs(['sh', '-c', 'exit 7']).status).toBe(7)
    expect(runs(['sh', '-c', 'kill -TERM $$']).signal).toBe('SIGTERM')
    expect(runs(['sh', '-c', 'kill -SEGV $$']).signal).toBe('SIGSEGV')
    expect(runs(['no-such-program'])).toMatchObject({
      status: 127,
      stderr: 'iommufd run: no-such-program: not found\n',
    })
    expect(runs(['/']).status).toBe(126)
  })

  test('has its own standard streams, limits, signals and environment', () => {
    const env = { ...process.env, OURS: 'yes' }
    expect(runs(['cat'], { input: 'through' }).stdout).toBe('through')
    const script = 'ulimit -Sn; echo $OURS; grep -E "SigIgn|SigBlk" /proc/self/status'
    const here = spawnSync('sh', ['-c', script], { env, encoding: 'utf8' })
    const there = runs(['sh', '-c', script], { env })
    expect(there.stdout).toBe(here.stdout)
  })

  test('inherits descriptors beyond the standard ones, and no others', () => {
    const script = 'echo told >&3; ls /proc/self/fd'
    const stdio: StdioOptions = ['ignore', 'pipe', 'inherit', 'pipe']
    const options = { stdio, encoding: 'utf8' as const }
    const here = spawnSync('sh', ['-c', script], options)
    const there = spawnSync(
      process.execPath,
      [counter.program, 'quiet', 'sh', '-c', script],
      options,
    )
    expect(there.output[3]).toBe('told\n')
    expect(there.stdout).toBe(here.stdout)
  })

  test('inherits descriptors above free ones', () => {
    const [node, program] = [process.execPath, counter.program]
    const outer = `exec 10</dev/null 30</dev/null; exec "${node}" "${program}" quiet ls /proc/self/fd`
    const alone = 'exec 10</dev/null 30</dev/null; exec ls /proc/self/fd'
    const fds = (script: string) => spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stdout
    expect(fds(outer)).toBe(fds(alone))
  })

  test('an exit status outlives processes that are left behind; signals that Node ignores', () => {
    const script = '(sleep 0.3; echo last) & exit 7'
    expect(runs(['sh', '-c', script])).toMatchObject({ status: 7, stdout: 'last\n' })
    expect(runs(['sh', '-c', 'sleep 0.3 & kill -9 $$'])).toMatchObject({ signal: 'SIGKILL' })
    expect(runs(['sh', '-c', 'kill -PIPE $$'])).toMatchObject({ signal: 'SIGPIPE' })
    expect(runs(['sh', '-c', 'kill -XFSZ $$'])).toMatchObject({ signal: 'SIGXFSZ' })
  })

  test.skipIf(!hasPython)('a thread that executes a program leaves it a device that works', () => {
    const program = [
      'import threading',
      'count(1)',
      'new = "import os, fcntl, array; f = os.open(\\"/dev/vfio/counter\\", 2); a = array.array(\\"i\\", [41]); fcntl.ioctl(f, 0x3b01, a); print(a[0])"',
      'threading.Thread(target=lambda: os.execvp("python3", ["python3", "-c", new])).start()',
      'time.sleep(20)',
    ]
    const { status, stdout, stderr } = runs(python(program.join('\n')))
    expect([status, stdout, stderr]).toEqual([0, '42\n', ''])
  })

  test.skipIf(!hasPython)('F1: symbolic links lead to devices, and are links themselves', () => {
    const program = [
      'import tempfile, stat, errno',
      'd = tempfile.mkdtemp(); os.chdir(d)',
      'os.symlink("/dev/vfio/counter", "a"); os.symlink("a", "b"); os.symlink("/dev/vfio", "v")',
      'for p in ("a", "b", d + "/b", "v/counter", d + "/v/counter"):',
      '  print(os.open(p, 2) > 2, stat.S_ISCHR(os.stat(p).st_mode), os.access(p, 6))',
      'print(stat.S_ISLNK(os.lstat("a").st_mode), os.readlink("b"))',
      'for p, flags in (("a", os.O_NOFOLLOW), ("/dev/vfio/counter/", 0)):',
      '  try: os.open(p, flags)',
      '  except OSError as e: print(errno.errorcode[e.errno])',
      'import shutil; shutil.rmtree(d)',
    ]
    const { stdout, stderr } = runs(python(program.join('\n')))
    expect([stdout, stderr]).toEqual([`${'True True True\n'.repeat(5)}True a\nELOOP\nENOENT\n`, ''])
  })

  test.skipIf(!hasPython)('F1: opens a device, calls it and lets it go', () => {
    const { stdout, stderr } = runs(python('print(count(41))'), {}, 'tell')
    expect(stdout).toBe('42\n')
    expect(JSON.parse(stderr)).toMatchObject({ code: 0, told: ['open=3', 'ioctl=0'], open: 0 })
  })

  test.skipIf(!hasPython)('F2: what the device does not know is ENOTTY, bad memory EFAULT', () => {
    const program = [
      'for cmd, arg in ((0x3b02, 0), (0x3b01, 1), (0x3b01, -4096), (0x5401, 0)):',
      '  try: fcntl.ioctl(f, cmd, arg)',
      '  except OSError as e: print(e.errno)',
    ]
    expect(runs(python(program.join('\n'))).stdout).toBe('25\n14\n14\n25\n')
  })

  test.skipIf(!hasPython)(
    'a device that throws costs the caller EIO and nobody else anything',
    () => {
      const program = [
        'try: fcntl.ioctl(f, 0x3bfe, 0)',
        'except OSError as e: print(e.errno)',
        'print(count(1))',
      ]
      const { stdout, stderr } = runs(python(program.join('\n')), {}, 'tell')
      expect(stdout).toBe('5\n2\n')
      expect(stderr).toContain('fault: this device breaks')
    },
  )

  test.skipIf(!hasPython)('F1: stat and access know the device, by whatever name', () => {
    const program = [
      'import stat',
      'os.chdir("/dev")',
      'for p in ("/dev/vfio/counter", "/dev//vfio/./counter", "vfio/counter"):',
      '  print(stat.S_ISCHR(os.stat(p).st_mode), os.access(p, os.R_OK | os.W_OK), os.open(p, 2) > 2)',
      'print(stat.S_ISCHR(os.fstat(f).st_mode), os.path.exists("/dev/vfio/counter2"))',
      'print(os.path.samefile("/dev/vfio/counter", "/dev/vfio/ruler"))',
    ]
    expect(runs(python(program.join('\n'))).stdout).toBe(
      `${'True True True\n'.repeat(3)}True False\nFalse\n`,
    )
  })

  test.skipIf(!hasPython)('F1: the folder of devices can be listed, and opened as a folder', () => {
    const program = [
      'import stat, errno',
      'd = os.open("/dev/vfio/", os.O_RDONLY | os.O_DIRECTORY)',
      'print(stat.S_ISDIR(os.fstat(d).st_mode), os.path.isdir("/dev/vfio"), os.access("/dev/vfio", os.W_OK))',
      'print(sorted(os.listdir("/dev/vfio")), len(os.listdir(d)), os.open("counter", 2, dir_fd=d) > d)',
      'for make in (os.mkdir, os.mknod):',
      '  for path in ("/dev/vfio", "/dev/vfio/counter"):',
      '    try: make(path)',
      '    except FileExistsError: print("exists")',
      'for path, flags in (("/dev/vfio", os.O_RDWR), ("/dev/vfio/counter", os.O_DIRECTORY), ("/dev/vfio/none", 0)):',
      '  try: os.open(path, flags)',
      '  except OSError as e: print(errno.errorcode[e.errno])',
    ]
    const { stdout, stderr } = runs(python(program.join('\n')))
    expect([stdout, stderr]).toEqual([
      "True True False\n['counter', 'ruler'] 2 True\nexists\nexists\nexists\nexists\nEISDIR\nENOTDIR\nENOENT\n",
      '',
    ])
    expect(runs(['sh', '-c', 'echo /dev/vfio/*; ls /dev/vfio'])).toMatchObject({
      stdout: '/dev/vfio/counter /dev/vfio/ruler\ncounter\nruler\n',
      stderr: '',
    })
    expect(runs(['ls', '-l', '/dev/vfio'])).toMatchObject({
      stdout: expect.stringMatching(/^total 0\ncrw.* counter\ncrw.* ruler\n$/),
      stderr: '',
    })
  })

  test.skipIf(!hasPython)('reads and writes at a position; a device signals an eventfd', () => {
    const program = [
      'r = os.open("/dev/vfio/ruler", os.O_RDWR)',
      'print(os.pread(r, 4, 0x70000000010).hex(), os.pread(r, 2, 0x12).hex())',
      'import ctypes, struct, errno; libc = ctypes.CDLL(None, use_errno=True)',
      'e, (p, _) = libc.eventfd(0, 0), os.pipe()',
      'print(os.pwrite(r, struct.pack("i", e), 0), struct.unpack("Q", os.read(e, 8))[0])',
      'def fails(f, *args):',
      '  try: f(*args)',
      '  except OSError as e: print(errno.errorcode[e.errno])',
      'fails(os.pwrite, r, struct.pack("i", p), 0); fails(os.pwrite, r, struct.pack("i", -1), 0)',
      'fails(os.pread, r, 1, -1); fails(os.pread, r, 1, 1 << 62); fails(os.pread, f, 1, 0)',
    ]
    const { stdout, stderr } = runs(python(program.join('\n')))
    expect([stdout, stderr]).toEqual([
      '10111213 1213\n4 2\nEINVAL\nEINVAL\nEINVAL\nEINVAL\nESPIPE\n',
      '',
    ])
  })

  test.skipIf(!hasPython)(
    'F8: mmap of a device maps its pages, until the last process has let go',
    () => {
      const program = [
        'import mmap, errno',
        'r = os.open("/dev/vfio/ruler", os.O_RDWR)',
        'def state(): return (fcntl.ioctl(r, 0x3b02, 0), fcntl.ioctl(r, 0x3b03, 0))',
        'm = mmap.mmap(r, 4096, offset=0x5000); print(m[0], state())',
        'm[0] = 9; n = mmap.mmap(r, 4096, offset=0x5000); print(n[0], state())',
        'n.close()',
        'a, b = os.pipe()',
        'if os.fork() == 0: os.close(b); os.read(a, 1); os._exit(0)',
        'm.close(); print(state())',
        'os.close(b); os.wait(); print(state())',
        'for fd, length, offset, flags in ((r, 8192, 0x5000, 1), (r, 4096, 0, 1), (f, 4096, 0, 1), (r, 4096, 0x5000, 2)):',
        '  try: mmap.mmap(fd, length, flags=flags, offset=offset)',
        '  except OSError as e: print(errno.errorcode[e.errno])',
      ]
      const { stdout, stderr } = runs(python(program.join('\n')))
      // A private mapping is not asked for: the socket that the descriptor is answers by itself.
      expect([stdout, stderr]).toEqual([
        '7 (1, 7)\n9 (2, 9)\n(2, 9)\n(0, 9)\nENXIO\nENXIO\nENODEV\nENODEV\n',
        '',
      ])
    },
  )

  test.skipIf(!hasPerl || !isRoot)('serves an ordinary user as it serves root', () => {
    const perl = [
      'open(D, "+<", "/dev/vfio/counter") or die; $n = pack("l", 1)',
      'ioctl(D, 0x3b01, $n) or die; print unpack("l", $n), " ", $>',
    ]
    const user = ['setpriv', '--reuid', '65534', '--clear-groups']
    expect(runs([...user, 'perl', '-e', perl.join(';')]).stdout).toBe('2 65534')
  })

  test.skipIf(!hasPython)('passes signals on, and does not end before the program', async () => {
    // Not print, which a signal handler may not call while it is at work.
    const program = [
      'def told(*a): os.write(1, b"term %d\\n" % count(5)); sys.exit(3)',
      'signal.signal(signal.SIGTERM, told); os.write(1, b"up\\n"); time.sleep(20)',
    ].join('\n')
    const child = spawn(process.execPath, [counter.program, 'quiet', ...python(program)])
    let text = ''
    child.stdout.on('data', (data) => {
      text += data
      if (text === 'up\n') child.kill('SIGTERM')
    })
    const [code] = await once(child, 'close')
    expect([code, text]).toEqual([3, 'up\nterm 6\n'])
  })

  // The program, a process that it forks, one in a session of its own, and one whose parent has ended.
  const family = [
    'def tell(n): os.write(1, ("%d\\n" % n).encode())',
    'def stay():',
    '  tell(os.getpid())',
    '  while True: count(1); time.sleep(0.01)',
    'if os.fork() == 0: stay()',
    'if os.fork() == 0: os.setsid(); stay()',
    'if os.fork() == 0: os._exit(0) if os.fork() else stay()',
    'signal.signal(signal.SIGTERM, signal.SIG_IGN); stay()',
  ]

  async function startFamily() {
    const child = spawn(process.execPath, [counter.program, 'quiet', ...python(family.join('\n'))])
    let text = ''
    child.stdout.on('data', (data) => {
      text += data
    })
    while (text.split('\n').length < 5) await once(child.stdout, 'data')
    const keeper = childrenOf(child.pid as number)[0] as number
    while (childrenOf(keeper).length < 2) await sleep(5)
    const program = childrenOf(keeper)[0] as number
    const pids = [child.pid as number, keeper, ...text.trim().split('\n').map(Number)]
    expect(pids.filter(isAlive)).toEqual(pids)
    return { child, keeper, program, pids }
  }

  test.skipIf(!hasPython).each(['server', 'keeper'] as const)(
    'all processes of a program end when the %s is killed',
    async (whom) => {
      const { child, keeper, pids } = await startFamily()
      kill({ server: child.pid as number, keeper }[whom])
      const [code, signal] = await once(child, 'close')
      for (let i = 0; i < 100 && pids.some(isAlive); i++) await sleep(20)
      expect([code, signal, pids.filter(isAlive)]).toEqual([null, 'SIGKILL', []])
    },
  )

  test.skipIf(!hasPython)('a run ends with the last process, as the program has', async () => {
    const { child, keeper, program, pids } = await startFamily()
    kill(program)
    await sleep(100)
    const left = pids.slice(2).filter((pid) => pid !== program)
    expect([isAlive(program), left.filter(isAlive)]).toEqual([false, left])
    for (const pid of left) kill(pid)
    expect(await once(child, 'close')).toEqual([null, 'SIGKILL'])
    expect([keeper, ...left].filter((pid) => existsSync(`/proc/${pid}`))).toEqual([])
  })

  test.skipIf(!hasPython)('an adopted process that has ended is buried', async () => {
    const { child, keeper, program, pids } = await startFamily()
    const orphan = childrenOf(keeper).find((pid) => pid !== program) as number
    expect(pids).toContain(orphan)
    kill(orphan)
    for (let i = 0; i < 100 && existsSync(`/proc/${orphan}`); i++) await sleep(20)
    expect(existsSync(`/proc/${orphan}`)).toBe(false)
    kill(child.pid as number)
    await once(child, 'close')
  })

  test('the example of the README runs', () => {
    const { status, stderr } = spawnSync(process.execPath, [example.program], { encoding: 'utf8' })
    expect([status, stderr]).toEqual([0, ''])
  })
})

function kill(pid: number): void {
  process.kill(pid, 'SIGKILL')
}

/** Processes that `pid` has made and that still run. */
function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
    .split(' ')
    .filter((text) => text !== '')
    .map(Number)
}

/** A process that waits to be buried is not alive. */
function isAlive(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false
  return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
}
