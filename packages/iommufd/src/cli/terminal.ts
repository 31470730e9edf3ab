// SPDX-License-Identifier: Apache-2.0
// Where output goes and how it looks: colours and progress on a terminal only, plain text in a pipe.

import { SingleBar } from 'cli-progress'
import pc from 'picocolors'

/** A stream as the commands need it; process.stdout and process.stderr are such. */
export interface Output {
  readonly isTTY?: boolean
  write(text: string): unknown
}

export type Colors = ReturnType<typeof pc.createColors>

/** Colours for a stream: none unless it is a terminal, nor where NO_COLOR or TERM=dumb asks so. */
export function colorsFor(output: Output, env: NodeJS.ProcessEnv): Colors {
  return pc.createColors(output.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb')
}

export interface Progress {
  /** One more file is done. */
  advance(calls: number): void
  stop(): void
}

const silent: Progress = { advance: () => undefined, stop: () => undefined }

/** A bar on standard error, nothing where that is not a terminal. */
export function showProgress(total: number, stderr: NodeJS.WriteStream): Progress {
  if (!stderr.isTTY || total < 2) return silent
  const bar = new SingleBar({
    format: '{bar} {value}/{total} files, {calls} calls',
    stream: stderr,
    clearOnComplete: true,
    gracefulExit: false,
    barCompleteChar: '█',
    barIncompleteChar: '░',
  })
  let calls = 0
  bar.start(total, 0, { calls })
  return {
    advance(more) {
      calls += more
      bar.increment(1, { calls })
    },
    stop: () => bar.stop(),
  }
}
