// SPDX-License-Identifier: Apache-2.0
// The arguments and options of `iommufd explain`.

import type { Command } from 'commander'
import { type ExplainCommandOptions, explainCommand } from './explain-command.js'

/** Adds the command to the program. */
export function addExplainCommand(program: Command, done: (exitCode: number) => void): void {
  program
    .command('explain')
    .description('show a recording as a readable log, with the reason of every failure')
    .argument('<file>', 'a recording (.jsonl, .jsonl.gz)')
    .option('--json', 'print one JSON document')
    .option('--failed', 'only the calls that failed')
    .addHelpText('after', HELP)
    .action(async (file: string, options: ExplainCommandOptions) =>
      done(await explainCommand(file, options)),
    )
}

const HELP = `
Examples:
  iommufd explain one.jsonl.gz                          what each call did, why each failing one failed
  iommufd explain --failed one.jsonl.gz
  iommufd explain --json one.jsonl.gz | jq '.calls[0]'`
