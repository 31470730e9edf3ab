// SPDX-License-Identifier: Apache-2.0
// `iommufd pagetable`: a page table of real hardware from a list of ranges, or from a file with the bytes of one; shown as a tree,
// translated through, or written as bytes. What is shown always comes from the bytes, through the independent reader.

import { readFileSync, writeFileSync } from 'node:fs'
import type { TableMemory } from '@iommufd/hw-iommu/table-reader'
import { translate } from '@iommufd/hw-iommu/table-reader'
import { ArgumentProblem } from '../pagetable/argument-problem.js'
import { type BuiltTable, buildTable } from '../pagetable/build.js'
import { type Reading, readSeries } from '../pagetable/entries.js'
import { configOf, type GeometryOptions } from '../pagetable/geometry.js'
import { memoryOf } from '../pagetable/memory.js'
import { type MapRange, parseRange } from '../pagetable/range.js'
import { isFlawed, type MadeView, viewJson, viewText } from '../pagetable/view.js'
import { whyThisSize } from '../pagetable/why.js'
import { formatReturn } from '../replay/format.js'
import { showValue } from '../trace/error.js'
import { attempt } from './files.js'
import { InputError } from './input-error.js'

const FLAWED = 1
/** 256 MiB: 128 GiB of pages of 4 KiB. */
const MAX_TABLES = 65536
const MAX_SHOWN = 1 << 18

export interface PageTableCommandOptions extends GeometryOptions {
  readonly pageSizes?: bigint
  readonly ranges?: string
  readonly raw?: string
  readonly read?: string
  readonly base?: bigint
  readonly top?: bigint
  readonly translate?: readonly bigint[]
  readonly all?: boolean
  readonly json?: boolean
}

/** A table and how it came about. */
interface Source {
  readonly memory: TableMemory
  readonly made: MadeView | undefined
}

/** Runs the command; its exit code: 1 when a range was refused, an address has no page or the table is malformed. */
export function pageTableCommand(
  ranges: readonly string[],
  options: PageTableCommandOptions,
): number {
  const source = options.read === undefined ? make(ranges, options) : read(ranges, options)
  const { memory, made } = source
  if (options.raw !== undefined) writeRaw(options.raw, memory.bytes)
  const translations = (options.translate ?? []).map((iova) => {
    return { iova, translation: translate(memory, iova) }
  })
  const isShown = options.raw === undefined && translations.length === 0
  const reading = isShown ? readWhole(source, options) : unread
  const view = { memory, made, ...reading, translations, raw: options.raw }
  process.stdout.write(options.json ? viewJson(view) : viewText(view))
  return isFlawed(view) ? FLAWED : 0
}

const unread = { series: undefined, findings: [], moreFindings: 0 }

function readWhole({ memory, made }: Source, { all, json }: PageTableCommandOptions): Reading {
  const reading = readSeries(memory, {
    fold: !all && !json,
    maxSeries: MAX_SHOWN,
    why: (va, lg2) => made && whyThisSize(va, lg2, made.pageSizes, made.ranges),
  })
  if (!reading.isCut) return reading
  throw new ArgumentProblem(
    `the table has more than ${MAX_SHOWN} words to show: without --all and --json pages in a row are one, --translate follows one address`,
  )
}

function make(texts: readonly string[], options: PageTableCommandOptions): Source {
  const { format, pageSizes } = options
  for (const name of ['base', 'top'] as const) {
    if (options[name] !== undefined)
      throw new ArgumentProblem(`--${name} says where --read finds it`)
  }
  const ranges = [...texts.map(rangeArgument), ...rangesOf(options.ranges)]
  if (ranges.length === 0) {
    throw new ArgumentProblem('nothing to map: ranges as arguments or with --ranges, or --read')
  }
  const config = configOf(options)
  const limits = { maxTables: MAX_TABLES, ...(pageSizes !== undefined && { pageSizes }) }
  const built = buildTable(format, config, ranges, limits)
  if (typeof built === 'number') {
    const geometry = `--levels ${config.topLevel + 1} --va-bits ${config.maxVaszLg2}`
    const features = config.features.join(', ') || 'none'
    throw new ArgumentProblem(
      `no ${format} table has ${geometry} --pa-bits ${config.maxOaszLg2} and the features ${features}: ${formatReturn(built)}`,
    )
  }
  return { memory: memoryOf(built.table, format), made: madeView(built) }
}

function madeView({ table, ranges }: BuiltTable): MadeView {
  return {
    features: table.features,
    paBits: table.maxOaszLg2,
    pageSizes: table.pageSizes,
    driver: table.driverTop(),
    tables: table.arena.tables,
    ranges,
  }
}

function rangeArgument(text: string): MapRange {
  try {
    return parseRange(text)
  } catch (error) {
    if (!(error instanceof ArgumentProblem)) throw error
    throw new ArgumentProblem(`range ${showValue(text)}: ${error.message}`)
  }
}

/** The ranges in a file: one a line, with comments from # to the end of a line. */
function rangesOf(file: string | undefined): MapRange[] {
  if (file === undefined) return []
  const text = attempt(file, () => readFileSync(file, 'utf8'))
  return text.split('\n').flatMap((line, at) => {
    const range = line.replace(/#.*/, '').trim()
    if (range === '') return []
    try {
      return parseRange(range)
    } catch (error) {
      if (!(error instanceof ArgumentProblem)) throw error
      throw new InputError(file, at + 1, error.message)
    }
  })
}

function read(texts: readonly string[], options: PageTableCommandOptions): Source {
  const { read: file = '', format, base = 0n, top = base, ranges, raw } = options
  if (texts.length > 0 || ranges !== undefined || raw !== undefined) {
    throw new ArgumentProblem('--read takes no ranges and no --raw: the table is there already')
  }
  const config = configOf(options)
  const bytes = attempt(file, () => readFileSync(file))
  const memory: TableMemory = {
    format,
    topLevel: config.topLevel,
    topAddress: top,
    vaBits: config.maxVaszLg2,
    signExtended: config.features.includes('SIGN_EXTEND'),
    encryptionMask: config.encryptionMask ?? 0n,
    base,
    bytes,
  }
  return { memory, made: undefined }
}

function writeRaw(file: string, bytes: Uint8Array): void {
  attempt(file, () => writeFileSync(file, bytes))
}
