// SPDX-License-Identifier: Apache-2.0
//
// Runs a program with emulated devices: launches it, serves it, and ends as it ended.
//
// Invariant: the program's standard streams, terminal, signals and limits are its own; nothing is printed here. The
// program ends when we end; we end when the last process under the filter has.

import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { type Arch, archOf } from './arch.js'
import { joinServer, leftServer, Reception } from './attach.js'
import { adoptOrphans, endDescendants, isFiltered } from './descendants.js'
import type { ExitStatus } from './exit-status.js'
import { Forwarding } from './forwarding.js'
import { type Message, makePair, receiveMessage, sendMessage } from './handover.js'
import { close } from './libc.js'
import { LiveHost } from './live-host.js'
import type { Announce } from './live-memory.js'
import type { MemoryObserver } from './live-mm.js'
import type { CallObserver, Refuse } from './served-call.js'
import { Server } from './server.js'
import { siblingFile } from './sibling-file.js'
import { exitOf, startKeeper } from './start.js'
import type { StartOptions } from './start-options.js'

export interface ServeOptions {
  /** Registers the devices: the engine is put on the machine here. */
  readonly attach: (host: LiveHost) => void
  readonly observer?: CallObserver
  readonly refuse?: Refuse
  /** Told what is read and written of the programs' memory. */
  readonly memoryObserver?: MemoryObserver
  /** Told how each pinned range of memory is kept. */
  readonly announce?: Announce
  /** Told of faults inside; the call in question was answered -EIO. */
  readonly onFault?: (error: unknown) => void
}

/** Of a run that joins another, what is in `ServeOptions` is that one's. */
export interface RunOptions extends Omit<StartOptions, 'trackMappings'>, ServeOptions {}

/** @throws RunError when programs cannot be run here */
export class RunError extends Error {
  override readonly name: string = 'RunError'
}

/** Runs a program to its end, and that of all processes it has made. */
export function run(options: RunOptions): Promise<ExitStatus> {
  const trackMappings = options.memoryObserver !== undefined
  return new Launched({ ...options, trackMappings }).serve(options)
}

/**
 * A program that is being started, and waits for whoever serves it: what serving needs can be loaded meanwhile.
 * It must be served or abandoned.
 */
export class Launched {
  readonly #arch: Arch
  readonly #options: StartOptions
  #socket: number
  readonly #keeper: ChildProcess
  readonly #ended: Promise<ExitStatus>
  readonly #forwarding: Forwarding

  /** @throws RunError when programs cannot be run here */
  constructor(options: StartOptions) {
    this.#arch = platform()
    this.#options = options
    const pair = makePair()
    if (typeof pair === 'number') throw new RunError(`no socket can be made (errno ${-pair})`)
    const [ours, theirs] = pair
    this.#socket = ours
    this.#forwarding = new Forwarding(this.#arch)
    adoptOrphans(true)
    this.#keeper = startKeeper(pair, options)
    close(theirs)
    this.#ended = this.#endOfAll()
    // Whoever serves hears of it; until then nobody is there to hear.
    this.#ended.catch(() => undefined)
  }

  /** Serves the program to its end, and that of all processes it has made. @throws RunError when it cannot be started */
  async serve(options: ServeOptions): Promise<ExitStatus> {
    try {
      const started = await Promise.race([receiveListener(this.#socket), this.#ended])
      if ('code' in started) return started
      this.#forwarding.to(Number(started.text))
      const served =
        this.#options.server === undefined
          ? serve(this.#arch, started.fd, this.#socket, options)
          : this.#join(this.#options.server, started.fd)
      const [status] = await Promise.all([this.#ended, served])
      return status
    } finally {
      await this.abandon()
    }
  }

  /** Ends the program, unless it has ended. Without it and without `serve` the program waits for ever. */
  async abandon(): Promise<void> {
    this.#keeper.kill('SIGKILL')
    await this.#ended.catch(() => undefined)
    this.#forwarding.stop()
    if (this.#socket >= 0) close(this.#socket)
    this.#socket = -1
  }

  /** The keeper's end, by then that of whatever the program has made: were it killed, they would be left to us. */
  async #endOfAll(): Promise<ExitStatus> {
    try {
      const status = await exitOf(this.#keeper)
      if (status.signal !== undefined) endDescendants(isFiltered)
      return status
    } catch (error) {
      throw new RunError((error as Error).message)
    } finally {
      adoptOrphans(false)
    }
  }

  /** Lets another run serve the program. */
  async #join(server: number, listener: number): Promise<void> {
    const connection = joinServer(server, listener)
    close(listener)
    if (connection < 0) {
      throw new RunError(
        `process ${server} is no iommufd run of this user that can be joined (errno ${-connection})`,
      )
    }
    sendMessage(this.#socket, 'go')
    if (await leftServer(connection)) return
    throw new RunError(`process ${server}, which served the program, has ended`)
  }
}

function platform(): Arch {
  const arch = process.platform === 'linux' ? archOf(process.arch) : undefined
  if (arch === undefined) {
    throw new RunError(
      `programs can be run on Linux for x86-64 only, this is ${process.platform} ${process.arch}`,
    )
  }
  const file = siblingFile('keeper')
  if (!existsSync(file)) throw new RunError(`${file} is missing: build the package first`)
  return arch
}

/** Waits until the launcher has sent its listener. Its end is noticed by the other side of the race. */
function receiveListener(socket: number): Promise<Message> {
  return new Promise((resolve) => {
    setImmediate(() => {
      const message = receiveMessage(socket)
      if (typeof message !== 'number' && message.fd >= 0) resolve(message)
    })
  })
}

function serve(arch: Arch, listener: number, socket: number, options: ServeOptions): Promise<void> {
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
