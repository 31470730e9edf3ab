// SPDX-License-Identifier: Apache-2.0
// `iommufd explain`: one recording as a readable log.

import { type ExplainedCall, explainTrace } from '../explain/explain.js'
import type { Reason } from '../replay/reason.js'
import { InputError, loadTrace } from './files.js'
import { type Colors, colorsFor } from './terminal.js'

export interface ExplainCommandOptions {
  readonly json?: boolean
  readonly failed?: boolean
}

/** Runs the command; its exit code. */
export async function explainCommand(
  file: string,
  options: ExplainCommandOptions,
): Promise<number> {
  const trace = await loadTrace(file)
  if (trace === undefined) throw new InputError(file, undefined, 'nothing to explain')
  const calls = explainTrace(trace)
  const shown = options.failed ? calls.filter((call) => call.failed) : calls
  if (options.json) {
    process.stdout.write(
      `${JSON.stringify({ file, header: trace.header, calls: shown }, null, 2)}\n`,
    )
    return 0
  }
  const colors = colorsFor(process.stdout, process.env)
  const failed = calls.filter((call) => call.failed).length
  const differ = calls.filter((call) => call.differences.length > 0).length
  const log = shown.map((call) => `${formatExplained(call, colors)}\n`).join('')
  const { profile, seed, kernel } = trace.header
  process.stdout.write(
    `${colors.bold(file)}: profile ${profile}, seed ${seed}, Linux ${kernel}\n${log}` +
      `${calls.length} calls, ${failed} failed, ${differ} answered otherwise here\n`,
  )
  return 0
}

function formatExplained(call: ExplainedCall, colors: Colors): string {
  const number = colors.dim(`${call.line}`.padStart(5))
  const color = call.failed ? colors.red : colors.green
  const answer = call.answer === undefined ? '' : ` = ${color(call.answer)}`
  const lines = [`${number} ${call.call}${answer}`]
  const below = (text: string) => lines.push(`        ${text}`)
  if (call.effect !== undefined) below(colors.cyan(call.effect))
  if (call.reason !== undefined && returnsAlike(call)) {
    below(`because ${formatReason(call.reason)}`)
    below(`remedy: ${call.reason.remedy}`)
  }
  for (const { field, ours } of call.differences) below(colors.yellow(`here ${field} is ${ours}`))
  if (call.reason !== undefined && !returnsAlike(call)) {
    below(colors.yellow(`here because ${formatReason(call.reason)}`))
  }
  return lines.join('\n')
}

/** Only then does our reason explain the recorded answer. */
function returnsAlike(call: ExplainedCall): boolean {
  return call.failed && call.differences.every(({ field }) => field !== 'ret')
}

function formatReason(reason: Reason): string {
  return `${reason.sentence} [${reason.id}]`
}
