// SPDX-License-Identifier: Apache-2.0
// `iommufd explain`: one recording as a readable log.

import { type ExplainedCall, explainTrace } from '../explain/explain.js'
import { type LimitExplanation, sizeText } from '../explain/limit.js'
import type { Reason } from '../replay/reason.js'
import { loadTrace } from './files.js'
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
    if (call.limit === undefined) below(`remedy: ${call.reason.remedy}`)
    else for (const line of limitLines(call.limit)) below(line)
  }
  for (const { field, ours } of call.differences) below(colors.yellow(`here ${field} is ${ours}`))
  if (call.reason !== undefined && !returnsAlike(call)) {
    below(colors.yellow(`here because ${formatReason(call.reason)}`))
  }
  return lines.join('\n')
}

/** Who holds the memory, and each remedy that would do. */
function limitLines({
  counted,
  holders,
  lockedBytes,
  remedies,
  uid,
  pid,
}: LimitExplanation): string[] {
  const whose = counted === 'user' ? `uid ${uid}` : `process ${pid}`
  const held = holders.map((holder) => {
    return `process ${holder.pid}${holder.hasExited ? ' (exited)' : ''} ${sizeText(holder.bytes)}`
  })
  const rest = lockedBytes - holders.reduce((sum, { bytes }) => sum + bytes, 0)
  if (rest !== 0) held.push(`nobody's mappings any more ${sizeText(rest)}`)
  const holds = held.length === 0 ? 'nothing' : held.join(', ')
  return [
    `counted for ${whose}: ${sizeText(lockedBytes)} (${holds})`,
    ...remedies.map((remedy) => `remedy: ${remedy}`),
  ]
}

/** Only then does our reason explain the recorded answer. */
function returnsAlike(call: ExplainedCall): boolean {
  return call.failed && call.differences.every(({ field }) => field !== 'ret')
}

function formatReason(reason: Reason): string {
  return `${reason.sentence} [${reason.id}]`
}
