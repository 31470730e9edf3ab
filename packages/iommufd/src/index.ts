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
export { type AttachOptions, attachIommufd } from './engine.js'
export { type ExplainedCall, explainTrace } from './explain/explain.js'
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
