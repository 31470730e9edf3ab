// SPDX-License-Identifier: Apache-2.0
//
// The process between the server and the program: parent of the program, and of whatever the program leaves behind.
//
// Invariant: of server and keeper each ends all that the program has made when the other is gone, so that either can be
// killed. The keeper lives until the last of these processes has ended, and then ends as the program did.

import { type ChildProcess, spawn } from 'node:child_process'
import { writeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Arch, archOf } from './arch.js'
import { adoptOrphans, endDescendants } from './descendants.js'
import { type ExitStatus, exitAs } from './exit-status.js'
import { ignoreSignals } from './forwarding.js'
import type { LaunchOrder } from './launch.js'
import { exitNow, region, syscall, waitid, waitpid, watch } from './libc.js'
import { siblingFile } from './sibling-file.js'
import { passedFds } from './start.js'

const FAILED = 125
const P_ALL = 0
const WNOHANG = 1
const WEXITED = 4
const WNOWAIT = 0x1000000
/** Offset of si_pid in siginfo_t. */
const SI_PID = 16

const info = region(128)

/** Starts the launcher of `argv` and keeps what comes of it. */
export function keep(order: LaunchOrder, argv: readonly string[]): void {
  ignoreSignals()
  adoptOrphans(true)
  if (!watchServer(order.parent)) exitNow(FAILED)
  const launch: LaunchOrder = { ...order, parent: process.pid }
  const child = spawn(process.execPath, [siblingFile('launch'), JSON.stringify(launch), ...argv], {
    stdio: passedFds(order.inherit, order.socket, order.socket),
  })
  reapUntilTheLast(child)
}

/** Ends all when the server ends. @returns whether it runs still */
function watchServer(pid: number): boolean {
  const pidfd = syscall((archOf(process.arch) as Arch).nr.pidfdOpen, pid, 0)
  if (pidfd < 0 || process.ppid !== pid) return false
  watch(pidfd, () => {
    endDescendants()
    exitNow(FAILED)
  })
  return true
}

function reapUntilTheLast(child: ChildProcess): void {
  let status: ExitStatus | undefined
  const reap = (): void => {
    if (!buryOrphans(status === undefined ? child.pid : undefined) && status) exitAs(status)
  }
  child.once('error', (error) => {
    writeSync(2, `iommufd run: ${error.message}\n`)
    exitNow(FAILED)
  })
  child.once('exit', (code, signal) => {
    status = { code: code ?? 0, signal: signal ?? undefined }
    reap()
  })
  process.on('SIGCHLD', reap)
}

/**
 * Takes note of the end of adopted processes, but not of `own`, whose end Node sees.
 * @returns whether any child is left
 */
function buryOrphans(own: number | undefined): boolean {
  for (;;) {
    info.words[SI_PID >> 2] = 0
    if (waitid(P_ALL, 0, info.address, WEXITED | WNOHANG | WNOWAIT) < 0) return false
    const pid = info.words[SI_PID >> 2] as number
    if (pid === 0 || pid === own) return true
    waitpid(pid, 0, WNOHANG)
  }
}

// Imported, as any module can be, it does nothing.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  keep(JSON.parse(process.argv[2] as string) as LaunchOrder, process.argv.slice(3))
}
