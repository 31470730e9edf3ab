// SPDX-License-Identifier: Apache-2.0
// The result of many replays: counted per profile, told as text or as one JSON document.

import Table from 'cli-table3'
import type { Divergence, ReplayResult } from '../replay/replay.js'
import type { InputError } from './input-error.js'
import type { Colors } from './terminal.js'

interface Count {
  files: number
  calls: number
  agreements: number
  divergences: number
}

export class ReplayReport {
  readonly total: Count = { files: 0, calls: 0, agreements: 0, divergences: 0 }
  readonly first: Divergence[] = []
  readonly unusable: InputError[] = []
  readonly #profiles = new Map<string, Count>()

  add(result: ReplayResult): void {
    const count = this.#profiles.get(result.profile) ?? emptyCount()
    this.#profiles.set(result.profile, count)
    for (const sum of [count, this.total]) {
      sum.files++
      sum.calls += result.calls
      sum.agreements += result.agreements
      sum.divergences += result.divergences
    }
    this.first.push(...result.first)
  }

  /** 2 when an input was unusable, 1 when an answer diverged, 0 when all agreed. */
  get exitCode(): number {
    if (this.unusable.length > 0) return 2
    return this.total.divergences > 0 ? 1 : 0
  }

  /** The table, the first divergences and the closing line. */
  text(colors: Colors): string {
    const parts = [this.#table(colors)]
    if (this.first.length > 0) {
      parts.push(`first divergences (${this.first.length} of ${this.total.divergences}):`)
      parts.push(...this.first.map((divergence) => formatDivergence(divergence, colors)))
    }
    const { files, calls, divergences } = this.total
    parts.push(`replayed ${files} files, ${calls} calls, ${divergences} divergences`)
    return `${parts.join('\n\n')}\n`
  }

  json(): string {
    const profiles = [...this.#profiles].map(([profile, count]) => ({ profile, ...count }))
    const unusable = this.unusable.map(({ file, line, problem }) => ({ file, line, problem }))
    const document = { ...this.total, profiles, first: this.first, unusable }
    return `${JSON.stringify(document, null, 2)}\n`
  }

  #table(colors: Colors): string {
    const names = ['files', 'calls', 'agreements', 'divergences'] as const
    const table = new Table({
      head: ['profile', ...names],
      colAligns: ['left', 'right', 'right', 'right', 'right'],
      chars: borderless,
      style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    })
    const row = (name: string, count: Count) => {
      const [files, calls, agreements, divergences] = names.map((key) => `${count[key]}`)
      const color = count.divergences === 0 ? colors.green : colors.red
      table.push([name, files, calls, agreements, color(divergences ?? '')])
    }
    for (const [profile, count] of this.#profiles) row(profile, count)
    row('total', this.total)
    return table.toString().replace(/ +$/gm, '')
  }
}

/** Characters of a table without lines. */
export const borderless: Readonly<Record<string, string>> = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
}

function emptyCount(): Count {
  return { files: 0, calls: 0, agreements: 0, divergences: 0 }
}

function formatDivergence(divergence: Divergence, colors: Colors): string {
  const { file, line, call, linux, ours, differences, reason } = divergence
  const lines = [colors.bold(`${file}:${line}`), `  ${call}`]
  if (linux !== undefined) lines.push(`  Linux ${colors.green(`= ${linux}`)}`)
  if (ours !== undefined) lines.push(`  ours  ${colors.red(`= ${ours}`)}`)
  for (const difference of differences) {
    if (difference.field === 'ret') continue
    lines.push(`  ${difference.field}: Linux ${difference.linux}, ours ${difference.ours}`)
  }
  if (reason !== undefined) {
    lines.push(`  because ${reason.sentence} [${reason.id}]`, `  remedy: ${reason.remedy}`)
  }
  return lines.join('\n')
}
