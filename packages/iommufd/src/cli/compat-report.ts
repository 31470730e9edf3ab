// SPDX-License-Identifier: Apache-2.0
// What was compared, told as text or as one JSON document: the calls that differ, the rows that say why, and how
// often each row is met.

import { type DifferenceRow, type1Differences } from '@iommufd/vfio-compat/differences'
import Table from 'cli-table3'
import type { CompatDifference, CompatResult } from '../compat/compare.js'
import { InputError } from './input-error.js'
import { borderless } from './report.js'
import type { Colors } from './terminal.js'

const rows: ReadonlyMap<string, DifferenceRow> = new Map(
  type1Differences.map((row) => [row.row, row]),
)

export class CompatReport {
  readonly results: CompatResult[] = []
  readonly unusable: InputError[] = []

  /** What `action` gives; an input that cannot be used is kept. */
  attempt<T>(action: () => T): T | undefined {
    try {
      return action()
    } catch (error) {
      if (!(error instanceof InputError)) throw error
      this.unusable.push(error)
      return undefined
    }
  }

  /** 2 when an input was unusable, 1 when a call differs, 0 when none does. */
  get exitCode(): number {
    if (this.unusable.length > 0) return 2
    return this.#count((result) => result.differences.length) > 0 ? 1 : 0
  }

  /** @param show how many calls to describe */
  text(show: number, colors: Colors): string {
    const parts = this.#describeCalls(show, colors)
    const met = this.#rowsMet()
    if (met.size > 0) parts.push(this.#table(met, colors))
    const differ = this.#count((result) => result.differences.length)
    const compared = this.#count((result) => result.compared)
    parts.push(`${this.results.length} files, ${compared} VFIO calls compared, ${differ} differ`)
    return `${parts.join('\n\n')}\n`
  }

  json(): string {
    const met = [...this.#rowsMet()].map(([row, calls]) => {
      const { situation, change, remedy } = rows.get(row) as DifferenceRow
      return { row, calls, situation, change, remedy }
    })
    const unusable = this.unusable.map(({ file, line, problem }) => ({ file, line, problem }))
    return `${JSON.stringify({ files: this.results, rows: met, unusable }, null, 2)}\n`
  }

  #describeCalls(show: number, colors: Colors): string[] {
    const all = this.results.flatMap(({ file, differences }) =>
      differences.map((difference) => ({ file, difference })),
    )
    const described = all
      .slice(0, show)
      .map(({ file, difference }) => describe(file, difference, colors))
    if (described.length < all.length) {
      described.push(`(${all.length - described.length} more calls differ)`)
    }
    const assumed = this.results.filter((result) => result.assumed.length > 0)
    if (assumed.length > 0) {
      const where = assumed.map(({ file, assumed: lines }) => `${file}:${lines.join(', ')}`)
      described.push(
        `VFIO_SET_IOMMU was missing for type 1 and taken as made from here on: ${where.join('; ')}`,
      )
    }
    return described
  }

  /** Calls by row, V1 first. A call that follows from another does not count. */
  #rowsMet(): Map<string, number> {
    const met = new Map<string, number>()
    for (const { row } of type1Differences) {
      const calls = this.#count(({ differences }) => {
        return differences.filter((one) => one.follows === undefined && one.rows.includes(row))
          .length
      })
      if (calls > 0) met.set(row, calls)
    }
    return met
  }

  #table(met: ReadonlyMap<string, number>, colors: Colors): string {
    const table = new Table({
      head: ['row', 'calls', 'situation', 'what changes', 'what to do'],
      colAligns: ['left', 'right', 'left', 'left', 'left'],
      ...(process.stdout.isTTY ? { colWidths: [5, 6, 30, 45, 45], wordWrap: true } : {}),
      chars: borderless,
      style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    })
    for (const [row, calls] of met) {
      const { situation, change, remedy } = rows.get(row) as DifferenceRow
      table.push([colors.bold(row), `${calls}`, situation, change, remedy])
    }
    return table.toString().replace(/ +$/gm, '')
  }

  #count(of: (result: CompatResult) => number): number {
    return this.results.reduce((sum, result) => sum + of(result), 0)
  }
}

function describe(file: string, difference: CompatDifference, colors: Colors): string {
  const { line, call, type1, iommufd, fields, follows, rows: named } = difference
  const lines = [
    colors.bold(`${file}:${line}`),
    `  ${call}`,
    `  type 1  = ${type1}`,
    `  iommufd = ${colors.yellow(iommufd)}`,
  ]
  for (const { field, type1: theirs, iommufd: ours } of fields) {
    lines.push(`  ${field}: type 1 ${theirs}, iommufd ${ours}`)
  }
  if (follows !== undefined) lines.push(`  ${followsText(follows, named)}`)
  else for (const row of named) lines.push(...rowLines(row, colors))
  if (follows === undefined && named.length === 0) {
    lines.push('  no row of the table says so: please report it with the recording')
  }
  return lines.join('\n')
}

function followsText(line: number, named: readonly string[]): string {
  const since = `follows from line ${line}, since when the mappings are not alike`
  return named.length === 0
    ? `${since} (a call that type 1 does not have)`
    : `${since} (${named.join(', ')})`
}

function rowLines(row: string, colors: Colors): string[] {
  const { change, remedy } = rows.get(row) as DifferenceRow
  return [`  ${colors.cyan(row)}: ${change}`, `  remedy: ${remedy}`]
}
