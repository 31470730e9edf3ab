// SPDX-License-Identifier: Apache-2.0
// One `iommufd run`: the engine that the program finds, and what is told about its calls.

import type { Iommufd } from '@iommufd/core'
import {
  type CallObserver,
  type ExitStatus,
  type Launched,
  type LiveHost,
  lacksIn,
  type ServeOptions,
} from '@iommufd/run'
import { addDevices } from '../devices/add-devices.js'
import { attachIommufd } from '../engine.js'
import type { RunCommandOptions } from './run-command.js'
import { serveFaultFiles } from './run-fault-files.js'
import { RunOutput } from './run-output.js'
import { Recorder } from './run-record.js'
import { traceCalls } from './run-trace.js'

/** Serves one program. */
export class RunSession {
  readonly #options: RunCommandOptions
  readonly #trace: RunOutput | undefined
  readonly #recording: RunOutput | undefined
  readonly #recorder: Recorder | undefined
  readonly #errors = new RunOutput(undefined)
  readonly #pids = new Map<number, number>()
  #engine: Iommufd | undefined

  constructor(options: RunCommandOptions) {
    this.#options = options
    const { trace, record } = options
    if (trace !== undefined) this.#trace = trace === true ? this.#errors : new RunOutput(trace)
    if (record === undefined) return
    this.#recording = new RunOutput(record)
    this.#recorder = new Recorder(this.#recording, 'iommufd')
  }

  /** Serves the program to its end. */
  async serve(launched: Launched): Promise<ExitStatus> {
    const refuse = lacksIn(this.#options.kernel ?? '7.3')
    try {
      return await launched.serve({
        attach: (host) => this.#attach(host),
        ...this.#observers,
        ...(refuse === undefined ? {} : { refuse }),
        announce: (...how) => this.#announce(...how),
        onFault: (error) => this.#fault(error),
      })
    } finally {
      this.#close()
    }
  }

  /** Who is told of calls, and of memory. */
  get #observers(): Pick<ServeOptions, 'observer' | 'memoryObserver'> {
    const trace =
      this.#trace &&
      traceCalls(
        this.#trace,
        () => this.#theEngine,
        (pid) => this.#pidOf(pid),
      )
    const recorder = this.#recorder
    if (recorder === undefined) return trace === undefined ? {} : { observer: trace }
    const observer = trace === undefined ? recorder : both(trace, recorder)
    return { observer, memoryObserver: recorder }
  }

  #attach(host: LiveHost): void {
    const { selftest = false, failNth, privileged = false, as = 'iommufd' } = this.#options
    const { devices = 0, kernel } = this.#options
    host.privileged = privileged
    this.#engine = attachIommufd(host, {
      selftest,
      as,
      onWarning: (message) => this.#errors.line(`iommufd run: the kernel would warn: ${message}`),
    })
    addDevices(this.#engine, host, devices, kernel !== '6.2')
    if (failNth !== undefined) this.#engine.faults.arm(failNth)
    if (selftest) serveFaultFiles(host, this.#engine.faults)
  }

  #announce(pid: number, address: number, pages: number, how: string, reason?: string): void {
    if (!this.#options.verbose) return
    const range = `[0x${address.toString(16)}, 0x${(address + pages * 4096 - 1).toString(16)}]`
    const why = reason === undefined ? '' : `: ${reason}`
    this.#errors.line(`iommufd run: process ${pid} ${range}: ${how}${why}`)
  }

  #fault(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#errors.line(`iommufd run: a fault of iommufd itself; the call was answered EIO: ${text}`)
  }

  #close(): void {
    this.#sayWhatDidNotFail()
    for (const output of [this.#trace, this.#recording]) {
      const problem = output?.close()
      if (problem !== undefined) this.#errors.line(`iommufd run: ${problem}`)
    }
    const skipped = this.#recorder?.skipped ?? 0
    if (skipped > 0) this.#errors.line(`iommufd run: ${skipped} calls could not be recorded`)
    this.#errors.close()
  }

  #sayWhatDidNotFail(): void {
    const { failNth, verbose } = this.#options
    if (failNth === undefined || !verbose || this.#theEngine.faults.fired) return
    const { passed } = this.#theEngine.faults
    this.#errors.line(`iommufd run: fault point ${failNth} was not reached, ${passed} were passed`)
  }

  get #theEngine(): Iommufd {
    if (this.#engine === undefined) throw new Error('no program runs yet')
    return this.#engine
  }

  /** The program itself is 1; other processes have their own numbers. */
  #pidOf(pid: number): number {
    if (this.#pids.size === 0) this.#pids.set(pid, 1)
    return this.#pids.get(pid) ?? pid
  }
}

/** One after the other. */
function both(first: CallObserver, second: CallObserver): CallObserver {
  return {
    before(call) {
      first.before?.(call)
      second.before?.(call)
    },
    after(call) {
      first.after?.(call)
      second.after?.(call)
    },
    released: (inode) => second.released?.(inode),
    remapped: (mm, address, length) => second.remapped?.(mm, address, length),
  }
}
