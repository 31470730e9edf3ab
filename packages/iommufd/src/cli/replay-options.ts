// SPDX-License-Identifier: Apache-2.0
// The arguments and options of `iommufd replay`.

import { type Command, InvalidArgumentError } from 'commander'
import { type ReplayCommandOptions, replayCommand } from './replay-command.js'

/** Adds the command to the program. */
export function addReplayCommand(program: Command, done: (exitCode: number) => void): void {
  program
    .command('replay')
    .description('make recorded calls again and compare every answer')
    .argument('<path...>', 'recordings (.jsonl, .jsonl.gz), or directories that hold some')
    .option('--json', 'print one JSON document')
    .option('--fail-fast', 'stop at the first divergence')
    .option('--profile <name>', 'only recordings of this profile (may be repeated)', collect)
    .option('--show <n>', 'how many divergences to describe', parseCount, 5)
    .addHelpText('after', HELP)
    .action(async (paths: string[], options: ReplayCommandOptions) =>
      done(await replayCommand(paths, options)),
    )
}

const HELP = `
Examples:
  iommufd replay recordings/                            every recording below a directory
  iommufd replay --profile ioas --fail-fast recordings/
  iommufd replay --json one.jsonl.gz > result.json

Exit code: 0 all answers agree, 1 some do not, 2 an input or the command line cannot be used.`

function collect(name: string, names: readonly string[] = []): string[] {
  return [...names, name]
}

function parseCount(text: string): number {
  const count = Number(text)
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a number from 0.')
  return count
}
