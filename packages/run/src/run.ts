// SPDX-License-Identifier: Apache-2.0
//
// Runs a program with emulated devices: launches it, serves it, and ends as it ended.
//
// Invariant: the program's standard streams, terminal, signals and limits are its own; nothing is printed here. The
// program ends when we end; we end when the last process under the filter has.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { type Arch, archOf } from './arch.js'
import { joinServer, leftServer, Reception } from './attach.js'
import { makePair, receiveMessage, sendMessage } from './handover.js'
import type { LaunchOrder } from './launch.js'
import { launcherFile } from './launcher-file.js'
import { close, exitNow, prctl } from './libc.js'
import { LiveHost } from './live-host.js'
import type { Announce } from './live-memory.js'
import type { MemoryObserver } from './live-mm.js'
import type { CallObserver, Refuse } from './served-call.js'
import { Server } from './server.js'

const PR_SET_DUMPABLE = 4
/** Signals that are sent to a program by its number, and so to us where it was meant. */
const FORWARDED = ['SIGTERM', 'SIGUSR1', 'SIGUSR2'] as const
/** Signals that a terminal sends to us and the program alike. */
const FROM_TERMINAL = ['SIGINT', 'SIGQUIT', 'SIGHUP'] as const

export interface RunOptions {
  readonly program: string
  readonly args: readonly string[]
  /** Registers the devices: the engine is put on the machine here. */
  readonly attach: (host: LiveHost) => void
  readonly observer?: CallObserver
  readonly refuse?: Refuse
  readonly memoryObserver?: MemoryObserver
  /** Join the programs of the run that has this process number; `attach` and what follows are then that run's. */
  readonly server?: number
  /** Told how each pinned range of memory is kept. */
  readonly announce?: Announce
  /** Told of faults inside; the call in question was answered -EIO. */
  readonly onFault?: (error: unknown) => void
}

/** How the program ended: by an exit code, or by a signal. */
export interface ExitStatus {
  readonly code: number
  /** its name, such as SIGSEGV */
  readonly signal: string | undefined
}

/** @throws RunError when programs cannot be run here */
export class RunError extends Error {
  override readonly name: string = 'RunError'
}

/** Runs a program to its end, and that of all processes it has made. */
export async function run(options: RunOptions): Promise<ExitStatus> {
  const arch = platform()
  const pair = makePair()
  if (typeof pair === 'number') throw new RunError(`no socket can be made (errno ${-pair})`)
  const [ours, theirs] = pair
  const child = launch(theirs, options)
  close(theirs)
  const ended = exitOf(child)
  const stopForwarding = forward(child)
  try {
    const listener = await Promise.race([receiveListener(ours), ended])
    if (typeof listener === 'object') return listener
    const { server } = options
    const served =
      server === undefined
        ? serve(arch, listener, ours, options)
        : join(server, listener, ours, child)
    const [status] = await Promise.all([ended, served])
    return status
  } finally {
    stopForwarding()
    close(ours)
  }
}

function platform(): Arch {
  const arch = process.platform === 'linux' ? archOf(process.arch) : undefined
  if (arch === undefined) {
    throw new RunError(
      `programs can be run on Linux for x86-64 only, this is ${process.platform} ${process.arch}`,
    )
  }
  return arch
}

function launch(
  socket: number,
  { program, args, memoryObserver, server }: RunOptions,
): ChildProcess {
  const file = launcherFile()
  if (!existsSync(file)) throw new RunError(`${file} is missing: build the package first`)
  const inherit = inheritedFds()
  const at = Math.max(2, ...inherit) + 1
  const order: LaunchOrder = {
    socket: at,
    parent: process.pid,
    tracer: server ?? process.pid,
    nofile: originalNofile(),
    inherit,
    trackMappings: memoryObserver !== undefined,
  }
  const stdio: ('inherit' | 'ignore' | number)[] = ['inherit', 'inherit', 'inherit']
  for (let fd = 3; fd < at; fd++) stdio[fd] = inherit.includes(fd) ? fd : 'ignore'
  stdio[at] = socket
  return spawn(process.execPath, [file, JSON.stringify(order), program, ...args], { stdio })
}

/**
 * Descriptors beyond the standard ones that our caller gave us: those below the first that Node has made for itself,
 * because the kernel always gives the lowest that is free.
 */
function inheritedFds(): number[] {
  const open: number[] = []
  const names = readdirSync('/proc/self/fd').map(Number)
  for (const fd of names.sort((a, b) => a - b)) {
    if (fd <= 2) continue
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`).startsWith('anon_inode:[event')) return open
      open.push(fd)
    } catch {
      // The listing's own descriptor.
    }
  }
  return open
}

/** Node raises the limit on descriptors for itself; what it was is still to be seen in our parent. */
function originalNofile(): number {
  try {
    const limits = readFileSync(`/proc/${process.ppid}/limits`, 'latin1')
    return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? -1)
  } catch {
    return -1
  }
}

function exitOf(child: ChildProcess): Promise<ExitStatus> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new RunError(error.message)))
    child.once('exit', (code, signal) => resolve({ code: code ?? 0, signal: signal ?? undefined }))
  })
}

/** Waits until the launcher has sent its listener. Its end is noticed by the other side of the race. */
function receiveListener(socket: number): Promise<number> {
  return new Promise((resolve) => {
    setImmediate(() => {
      const message = receiveMessage(socket)
      if (typeof message !== 'number' && message.fd >= 0) resolve(message.fd)
    })
  })
}

function serve(arch: Arch, listener: number, socket: number, options: RunOptions): Promise<void> {
  return new Promise((resolve) => {
    const host = new LiveHost(arch, options.announce ?? (() => undefined))
    host.observer = options.memoryObserver
    options.attach(host)
    const reception = new Reception((fd, ended) => server.add(fd, ended))
    const server = new Server({
      host,
      ...(options.observer === undefined ? {} : { observer: options.observer }),
      ...(options.refuse === undefined ? {} : { refuse: options.refuse }),
      onFault: options.onFault ?? (() => undefined),
      onEnd: () => {
        reception.close()
        server.close()
        resolve()
      },
    })
    server.add(listener)
    sendMessage(socket, 'go')
  })
}

/** Lets another run serve the program. */
async function join(
  server: number,
  listener: number,
  socket: number,
  child: ChildProcess,
): Promise<void> {
  const connection = joinServer(server, listener)
  close(listener)
  if (connection < 0) {
    child.kill('SIGKILL')
    throw new RunError(
      `process ${server} is no iommufd run of this user that can be joined (errno ${-connection})`,
    )
  }
  sendMessage(socket, 'go')
  await leftServer(connection)
}

function forward(child: ChildProcess): () => void {
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal)
  const ignore = (): void => undefined
  const onTerminal = hasTerminal() ? ignore : pass
  for (const signal of FORWARDED) process.on(signal, pass)
  for (const signal of FROM_TERMINAL) process.on(signal, onTerminal)
  return () => {
    for (const signal of FORWARDED) process.off(signal, pass)
    for (const signal of FROM_TERMINAL) process.off(signal, onTerminal)
  }
}

/** Whether we have a terminal that sends its signals to the program too. Field 7 of stat is its device, 0: none. */
function hasTerminal(): boolean {
  const stat = readFileSync('/proc/self/stat', 'latin1')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[4]) !== 0
}

/**
 * Ends this process as the program ended: by the same signal, without a core dump of ours, or with its exit code, which is
 * returned. Node's own end would set the terminal back to what it was at the start.
 */
export function exitAs({ code, signal }: ExitStatus): number {
  if (signal !== undefined) {
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal as NodeJS.Signals)
  }
  return exitNow(code)
}
