// SPDX-License-Identifier: Apache-2.0
//
// The process that becomes the program: it installs the filter, hands its listener to the server, undoes what Node has
// done to the process, and executes the program.
//
// Invariant: the program finds descriptors, signals and limits as they were before Node came; it ends when the server
// ends. Exit codes as of env(1): 125 we failed, 126 the program cannot be executed, 127 there is none.

import { writeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { archOf } from './arch.js'
import { makeFilter } from './filter.js'
import { receiveMessage, sendMessage } from './handover.js'
import {
  execvp,
  fcntl,
  prctl,
  prlimit,
  region,
  setU64,
  signal,
  sigprocmask,
  syscall,
} from './libc.js'
import { TRAPPED_FDS } from './limits.js'

const PR_SET_PDEATHSIG = 1
const PR_SET_NO_NEW_PRIVS = 38
const PR_SET_PTRACER = 0x59616d61
const SIGKILL = 9
/** Node ignores these. */
const IGNORED = [13, 25]
const SECCOMP_SET_MODE_FILTER = 1
const NEW_LISTENER = 8
const WAIT_KILLABLE_RECV = 0x20
const RLIMIT_NOFILE = 7
const SIG_SETMASK = 2
const F_GETFL = 3
const F_SETFD = 2
const FD_CLOEXEC = 1
const F_SETFL = 4
const O_NONBLOCK = 0o4000

const FAILED = 125
const NOT_EXECUTABLE = 126
const NOT_FOUND = 127
const EINVAL = 22
const EBUSY = 16
const ENOENT = 2
const ENOTDIR = 20

/** What the server tells the launcher, as JSON in its first argument. */
export interface LaunchOrder {
  readonly socket: number
  /** who has to live for the program to live */
  readonly parent: number
  /** who may look into the program besides its ancestors; 0: nobody */
  readonly tracer: number
  /** soft limit on descriptors to go back to; -1: leave it */
  readonly nofile: number
  /** descriptors that the program inherits, beside 0 to 2 */
  readonly inherit: readonly number[]
  /** whether changes of mappings are to be told */
  readonly trackMappings: boolean
}

function fail(message: string, code: number): never {
  writeSync(2, `iommufd run: ${message}\n`)
  process.exit(code)
}

function installFilter(trackMappings: boolean): number {
  const arch = archOf(process.arch)
  if (arch === undefined) fail(`programs for ${process.arch} cannot be run yet, only x64`, FAILED)
  const code = makeFilter(arch, { trappedFds: TRAPPED_FDS, trackMappings })
  const filter = region(code.length)
  filter.bytes.set(code)
  const program = region(16)
  program.view.setUint16(0, code.length / 8, true)
  setU64(program.view, 8, filter.address)
  const flags = NEW_LISTENER | WAIT_KILLABLE_RECV
  return syscall(arch.nr.seccomp, SECCOMP_SET_MODE_FILTER, flags, program.address)
}

function explainFilter(errno: number): string {
  if (errno === EINVAL) {
    return 'this kernel has no seccomp user notification that signals do not interrupt (Linux 5.19 or newer is needed)'
  }
  if (errno === EBUSY)
    return 'the process has a seccomp listener already: run inside of run cannot be'
  return `seccomp user notification is not permitted here (errno ${errno}): a container may forbid it`
}

/** Undoes what Node does to a process when it starts. */
function restore(order: LaunchOrder): void {
  for (const number of IGNORED) signal(number, 0)
  const mask = region(8)
  sigprocmask(SIG_SETMASK, mask.address, 0)
  if (order.nofile >= 0) {
    const limit = region(16)
    if (prlimit(0, RLIMIT_NOFILE, 0, limit.address) === 0) {
      setU64(limit.view, 0, order.nofile)
      prlimit(0, RLIMIT_NOFILE, limit.address, 0)
    }
  }
  // Node does it to low descriptors alone.
  fcntl(order.socket, F_SETFD, FD_CLOEXEC)
  for (const fd of [0, 1, 2, ...order.inherit]) {
    fcntl(fd, F_SETFD, 0)
    const flags = fcntl(fd, F_GETFL, 0)
    if (fd <= 2 && flags >= 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK)
  }
}

/** Makes this process the program `argv`; never returns. */
export function launch(order: LaunchOrder, argv: readonly string[]): never {
  const program = argv[0] as string
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
  if (process.ppid !== order.parent) process.exit(FAILED)
  if (order.tracer !== 0) prctl(PR_SET_PTRACER, order.tracer, 0, 0, 0)
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) fail('NO_NEW_PRIVS is refused', FAILED)
  // From the filter's installation until the server has it nobody answers: what is used in between is used once before.
  sendMessage(-1, `${process.pid}`, 0)
  const listener = installFilter(order.trackMappings)
  if (listener < 0) fail(explainFilter(-listener), FAILED)
  if (sendMessage(order.socket, `${process.pid}`, listener) < 0) process.exit(FAILED)
  if (typeof receiveMessage(order.socket) === 'number') process.exit(FAILED)
  restore(order)
  const errno = -execvp(program, [...argv, null])
  if (errno === ENOENT || errno === ENOTDIR) fail(`${program}: not found`, NOT_FOUND)
  fail(`${program}: cannot be executed (errno ${errno})`, NOT_EXECUTABLE)
}

// Imported, as any module can be, it does nothing.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  launch(JSON.parse(process.argv[2] as string) as LaunchOrder, process.argv.slice(3))
}
