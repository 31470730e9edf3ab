// SPDX-License-Identifier: Apache-2.0
// The assembled engine, and what can be done with recordings of the real one: read, replay, explain.
// Everything here runs in a browser; the command line is an entry of its own.

export {
  IoasClient,
  IommuClient,
  IommufdError,
  type IovaRange,
  type MapOptions,
} from './client.js'
export {
  type CompatDifference,
  type CompatField,
  type CompatResult,
  compareTrace,
} from './compat/compare.js'
export { type AttachOptions, attachIommufd } from './engine.js'
export { type Estimate, estimate } from './estimate/estimate.js'
export { type Peaks, type ProcessPeak, peaksOf, type UserPeak } from './estimate/peaks.js'
export {
  type Accounting,
  type AddressSpaces,
  type BackEnd,
  type Setup,
  setupOf,
  setupProblem,
} from './estimate/setup.js'
export { type ExplainedCall, explainTrace } from './explain/explain.js'
export { explainLimit, type LimitExplanation, type LimitHolder } from './explain/limit.js'
export { type Recording, readRecording, replayRecording } from './recording.js'
export type { Difference } from './replay/differences.js'
export { formatAnswer, formatCall, formatReturn } from './replay/format.js'
export type { Reason } from './replay/reason.js'
export {
  type Divergence,
  type ReplayOptions,
  type ReplayResult,
  replayTrace,
} from './replay/replay.js'
export { Replayer } from './replay/replayer.js'
export type * from './replay-pagetable/recording.js'
export { TraceError } from './trace/error.js'
export type { U64 } from './trace/hex.js'
export { parseTrace, readTrace, readTraceHeader } from './trace/reader.js'
export type * from './trace/trace.js'
