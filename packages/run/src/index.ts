// SPDX-License-Identifier: Apache-2.0
/** Unmodified Linux programs with emulated devices: interception by seccomp, memory of live processes. */
export { type ExitStatus, exitAs } from './exit-status.js'
export { type KernelVersion, kernelVersions, lacksIn } from './kernel-version.js'
export { LiveHost, type Synthetic } from './live-host.js'
export type { Announce } from './live-memory.js'
export type { LiveMm, MemoryObserver } from './live-mm.js'
export { LiveProcess } from './live-process.js'
export { Launched, RunError, type RunOptions, run, type ServeOptions } from './run.js'
export type { CallObserver, Refuse, ServedCall } from './served-call.js'
export type { StartOptions } from './start-options.js'
