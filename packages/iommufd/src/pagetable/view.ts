// SPDX-License-Identifier: Apache-2.0
// What the command knows of a table, as text and as one JSON document.

import {
  decodeWord,
  type Finding,
  formatFinding,
  formatPermissions,
  formatSize,
  formatWord,
  type TableMemory,
  type Translation,
} from '@iommufd/hw-iommu/table-reader'
import { formatReturn } from '../replay/format.js'
import type { MappedRange } from './build.js'
import type { Entry, Series } from './entries.js'
import { formatProt, formatRange } from './range.js'
import { treeLines } from './tree.js'
import { formatBytes } from './why.js'

/** What a table that was made here has besides its memory. */
export interface MadeView {
  readonly features: readonly string[]
  readonly paBits: number
  /** bit n for pages of 2^n bytes */
  readonly pageSizes: bigint
  /** what a driver programs beside the address of the top table */
  readonly driver: Readonly<Record<string, number>>
  /** tables in use */
  readonly tables: number
  readonly ranges: readonly MappedRange[]
}

export interface PageTableView {
  readonly memory: TableMemory
  /** undefined: the table was read */
  readonly made: MadeView | undefined
  /** the words; undefined where they are not asked for */
  readonly series: readonly Series[] | undefined
  /** what is wrong with the table: the first, and how many more there are */
  readonly findings: readonly Finding[]
  readonly moreFindings: number
  readonly translations: readonly { readonly iova: bigint; readonly translation: Translation }[]
  /** the file that the bytes were written to */
  readonly raw: string | undefined
}

/** Whether a range was refused, an address has no page, or the table is malformed. */
export function isFlawed({ made, findings, translations }: PageTableView): boolean {
  const isRefused = made?.ranges.some(({ ret }) => ret !== 0) ?? false
  return (
    isRefused ||
    findings.length > 0 ||
    translations.some(({ translation }) => translation.phys === undefined)
  )
}

/** Lines for people. */
export function viewText(view: PageTableView): string {
  const lines = [headLine(view), ...(view.made?.ranges ?? []).flatMap(refusalLine)]
  if (view.series !== undefined)
    for (const line of treeLines(view.series, view.memory.topLevel)) lines.push(line)
  lines.push(
    ...view.translations.flatMap((translated) => translationLines(view.memory, translated)),
  )
  if (view.raw !== undefined) lines.push(...rawLines(view, view.raw))
  lines.push(...view.findings.map((finding) => `malformed: ${formatFinding(finding)}`))
  if (view.moreFindings > 0) lines.push(`malformed: ${view.moreFindings} more like these`)
  return lines.map((line) => `${line}\n`).join('')
}

function headLine({ memory, made }: PageTableView): string {
  const { format, topLevel, topAddress, vaBits, signExtended } = memory
  const signed = signExtended ? ', sign extended' : ''
  const parts = [`${format}: top table at ${hex(topAddress)}, level ${topLevel}`]
  parts.push(`${vaBits} bits of IOVA${signed}`)
  if (made !== undefined) {
    const driver = Object.entries(made.driver).map(([name, value]) => `${name} ${value}`)
    parts.push(...driver, `${made.tables} ${made.tables === 1 ? 'table' : 'tables'}`)
  }
  return parts.join(', ')
}

function refusalLine(range: MappedRange): string[] {
  if (range.ret === 0) return []
  const done = range.mapped === 0n ? 'nothing' : formatBytes(range.mapped)
  return [`refused: ${formatRange(range)} = ${formatReturn(range.ret)}, ${done} of it is mapped`]
}

function translationLines(
  memory: TableMemory,
  { iova, translation }: PageTableView['translations'][number],
): string[] {
  const { phys, fault, lg2, steps } = translation
  const permissions = formatPermissions(translation)
  const answer =
    phys === undefined
      ? `no page (${fault})`
      : `${hex(phys)}, in a page of ${formatSize(lg2)}, ${permissions}`
  const way = steps.map(({ level, at, word }) => {
    const decoded = decodeWord(memory.format, level, word, memory.encryptionMask)
    return `  level ${level}, word at ${hex(at)}: ${hex(word)} ${formatWord(decoded)}`
  })
  return [`${hex(iova)} -> ${answer}`, ...way]
}

function rawLines({ memory, made }: PageTableView, file: string): string[] {
  const { format, topLevel, topAddress, vaBits, signExtended, base, bytes } = memory
  const options = [`--format ${format} --levels ${topLevel + 1} --va-bits ${vaBits}`]
  const isUsuallySigned = format === 'x86_64' || format === 'riscv64'
  if (isUsuallySigned && !signExtended) options.push('--without SIGN_EXTEND')
  const bit = memory.encryptionMask?.toString(2).length ?? 1
  if (bit > 1) options.push(`--encryption-bit ${bit - 1}`)
  options.push(`--base ${hex(base)} --top ${hex(topAddress)}`)
  return [
    `wrote ${bytes.length} bytes to ${file}: tables of 4 KiB, the first at ${hex(base)}`,
    ...(made === undefined
      ? []
      : [`to read them: iommufd pagetable --read ${file} ${options.join(' ')}`]),
  ]
}

/** One document: addresses and words as '0x…', sizes in bytes the same, all else numbers. */
export function viewJson(view: PageTableView): string {
  const { memory, made, series, findings, moreFindings, translations, raw } = view
  const document = {
    format: memory.format,
    topLevel: memory.topLevel,
    topAddress: hex(memory.topAddress),
    base: hex(memory.base),
    bytes: memory.bytes.length,
    vaBits: memory.vaBits,
    signExtended: memory.signExtended ?? false,
    ...(made !== undefined && madeJson(made)),
    entries: series?.map(({ first }) => entryJson(first)),
    translations: translations.map(({ iova, translation }) => translationJson(iova, translation)),
    findings: findings.map((finding) => ({ code: finding.code, text: formatFinding(finding) })),
    moreFindings,
    raw,
  }
  return `${JSON.stringify(document, null, 2)}\n`
}

function madeJson({ features, paBits, pageSizes, driver, tables, ranges }: MadeView): object {
  return {
    paBits,
    features,
    pageSizes: hex(pageSizes),
    driver,
    tables,
    ranges: ranges.map(({ iova, paddr, length, prot, ret, mapped }) => ({
      iova: hex(iova),
      paddr: hex(paddr),
      length: hex(length),
      prot: formatProt(prot),
      ret,
      mapped: hex(mapped),
    })),
  }
}

function entryJson({ level, index, va, word, decoded, why }: Entry): object {
  const { kind, address, lg2, words, read, write, execute, attributes, unknownBits, fault } =
    decoded
  return {
    level,
    index,
    va: hex(va),
    word: hex(word),
    kind,
    address: hex(address),
    size: hex(1n << BigInt(lg2)),
    words,
    read,
    write,
    execute,
    attributes,
    unknownBits: hex(unknownBits),
    fault,
    why,
  }
}

function translationJson(iova: bigint, translation: Translation): object {
  const { phys, fault, lg2, read, write, execute, steps } = translation
  const found = phys === undefined ? undefined : { phys: hex(phys), size: hex(1n << BigInt(lg2)) }
  return {
    iova: hex(iova),
    ...found,
    fault,
    read,
    write,
    execute,
    steps: steps.map(({ level, at, word }) => ({ level, at: hex(at), word: hex(word) })),
  }
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`
}
