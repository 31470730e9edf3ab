// SPDX-License-Identifier: Apache-2.0
// `iommufd run`: a program with /dev/iommu and /dev/vfio/vfio, on a machine that has neither. Ends as the program ends:
// with its exit code, or by the signal that ended it. Nothing is printed that was not asked for.

import type { ExitStatus, KernelVersion } from '@iommufd/run'

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
  const { exitAs, RunError } = await import('@iommufd/run')
  try {
    return exitAs(await runProgram(argv, options))
  } catch (error) {
    if (!(error instanceof RunError || isOfSystem(error))) throw error
    process.stderr.write(`iommufd run: ${error.message}\n`)
    return FAILED
  }
}

/** Starts the program, and loads the engine while it starts. */
async function runProgram(
  [program = '', ...args]: readonly string[],
  options: RunCommandOptions,
): Promise<ExitStatus> {
  const { Launched } = await import('@iommufd/run')
  const launched = new Launched({
    program,
    args,
    trackMappings: options.record !== undefined,
    ...(options.attach === undefined ? {} : { server: options.attach }),
  })
  try {
    const { RunSession } = await import('./run-session.js')
    return await new RunSession(options).serve(launched)
  } finally {
    await launched.abandon()
  }
}

/** Whether the system refused something, descriptors for instance: none of the inputs' faults. */
function isOfSystem(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error
}
