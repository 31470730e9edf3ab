// SPDX-License-Identifier: Apache-2.0
// `iommufd run`: a program with /dev/iommu and /dev/vfio/vfio, on a machine that has neither. Ends as the program ends:
// with its exit code, or by the signal that ended it. Nothing is printed that was not asked for.

import type { Iommufd } from '@iommufd/core'
import type { CallObserver, ExitStatus, KernelVersion, LiveHost, RunOptions } from '@iommufd/run'
import { attachIommufd } from '../engine.js'
import { addDevices } from './run-devices.js'
import { serveFaultFiles } from './run-fault-files.js'
import { RunOutput } from './run-output.js'
import { Recorder } from './run-record.js'
import { traceCalls } from './run-trace.js'

/** Exit code when the program could not be started by our own fault, as env(1) has it. */
const FAILED = 125

export interface RunCommandOptions {
  readonly selftest?: boolean
  /** a file, or true: standard error */
  readonly trace?: string | true
  /** a file */
  readonly record?: string
  readonly verbose?: boolean
  readonly failNth?: number
  readonly kernel?: KernelVersion
  readonly privileged?: boolean
  readonly as?: 'iommufd' | 'type1'
  readonly devices?: number
  /** process number of another run */
  readonly attach?: number
}

/** Runs the program; its exit code. Does not return where the program was ended by a signal. */
export async function runCommand(
  argv: readonly string[],
  options: RunCommandOptions,
): Promise<number> {
  const { run, exitAs, lacksIn, RunError } = await import('@iommufd/run')
  const [program = '', ...args] = argv
  const session = new Session(options)
  const refuse = lacksIn(options.kernel ?? '7.3')
  let status: ExitStatus
  try {
    status = await run({
      program,
      args,
      attach: (host) => session.attach(host),
      ...session.observers,
      ...(options.attach === undefined ? {} : { server: options.attach }),
      ...(refuse === undefined ? {} : { refuse }),
      announce: (...how) => session.announce(...how),
      onFault: (error) => session.fault(error),
    })
  } catch (error) {
    if (!(error instanceof RunError)) throw error
    process.stderr.write(`iommufd run: ${error.message}\n`)
    return FAILED
  } finally {
    session.close()
  }
  return exitAs(status)
}

/** One run: the engine, and what is told about it. */
class Session {
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

  /** Who is told of calls, and of memory. */
  get observers(): Pick<RunOptions, 'observer' | 'memoryObserver'> {
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

  attach(host: LiveHost): void {
    const { selftest = false, failNth, privileged = false, as = 'iommufd' } = this.#options
    host.privileged = privileged
    this.#engine = attachIommufd(host, {
      selftest,
      as,
      onWarning: (message) => this.#errors.line(`iommufd run: the kernel would warn: ${message}`),
    })
    addDevices(this.#engine, host, this.#options.devices ?? 0)
    if (failNth !== undefined) this.#engine.faults.arm(failNth)
    if (selftest) serveFaultFiles(host, this.#engine.faults)
  }

  announce(pid: number, address: number, pages: number, how: string, reason?: string): void {
    if (!this.#options.verbose) return
    const range = `[0x${address.toString(16)}, 0x${(address + pages * 4096 - 1).toString(16)}]`
    const why = reason === undefined ? '' : `: ${reason}`
    this.#errors.line(`iommufd run: process ${pid} ${range}: ${how}${why}`)
  }

  fault(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#errors.line(`iommufd run: a fault of iommufd itself; the call was answered EIO: ${text}`)
  }

  close(): void {
    this.#sayWhatDidNotFail()
    this.#trace?.close()
    this.#recording?.close()
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
