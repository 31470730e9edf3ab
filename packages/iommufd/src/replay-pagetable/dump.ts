// SPDX-License-Identifier: Apache-2.0
// A recorded dump against the memory of our table, word by word, as the independent reader finds them in the raw bytes.

import type { PageTable } from '@iommufd/hw-iommu/pagetable'
import {
  type Finding,
  formatFinding,
  type WalkedWord,
  walkTable,
} from '@iommufd/hw-iommu/table-reader'
import { memoryOf } from '../pagetable/memory.js'
import type { Difference } from '../replay/differences.js'
import type { DumpCall, PageTableRecording, RecordedWords } from './recording.js'
import { formatEntry } from './text.js'

/** Where our table differs from the recorded one: its top, its first differing word, the number of words. */
export function compareDump(
  table: PageTable,
  call: DumpCall,
  recording: PageTableRecording,
): Difference[] {
  const differences = compareTop(table, call)
  const comparison = new DumpComparison(call.words, recording.tableAddressMask)
  let finding: Finding | undefined
  walkTable(
    memoryOf(table, recording.format),
    (word) => comparison.see(word),
    (found) => {
      finding ??= found
    },
  )
  differences.push(...comparison.differences(recording))
  if (differences.length > 0 && finding !== undefined) {
    differences.push({ field: 'table', linux: 'well-formed', ours: formatFinding(finding) })
  }
  return differences
}

/** Compares what the recording says of the top; the mock's says nothing of what a driver would program. */
function compareTop(table: PageTable, call: DumpCall): Difference[] {
  const ours: Record<string, number> = { level: table.topLevel, ...table.driverTop() }
  const recorded = Object.entries({ level: call.topLevel, ...call.driverTop })
  return recorded.flatMap(([name, linux]) => {
    if (linux === ours[name]) return []
    return { field: `top.${name}`, linux: `${linux}`, ours: `${ours[name] ?? 'absent'}` }
  })
}

/** Holds the words of a walk, as they come, against the recorded ones; keeps the first that differs. */
class DumpComparison {
  readonly #recorded: RecordedWords
  readonly #maskHi: number
  readonly #maskLo: number
  #count = 0
  #differing = 0
  #first: { at: number; ours: WalkedWord } | undefined

  constructor(recorded: RecordedWords, tableAddressMask: bigint) {
    this.#recorded = recorded
    this.#maskHi = ~Number(tableAddressMask >> 32n)
    this.#maskLo = ~Number(tableAddressMask & 0xffffffffn)
  }

  see(word: WalkedWord): void {
    const at = this.#count++
    if (at < this.#recorded.count && this.#isAsRecorded(word, at)) return
    this.#differing++
    this.#first ??= { at, ours: { ...word, hi: this.#hi(word), lo: this.#lo(word) } }
  }

  #isAsRecorded(word: WalkedWord, at: number): boolean {
    const { levels, vaHi, vaLo, hi, lo, lg2 } = this.#recorded
    return (
      hi[at] === this.#hi(word) &&
      lo[at] === this.#lo(word) &&
      vaLo[at] === word.vaLo &&
      vaHi[at] === word.vaHi &&
      levels[at] === word.level &&
      lg2[at] === (word.kind === 'leaf' ? word.lg2 : 0)
    )
  }

  /** A half of the word without the address of a table. */
  #hi({ kind, hi }: WalkedWord): number {
    return kind === 'table' ? (hi & this.#maskHi) >>> 0 : hi
  }

  #lo({ kind, lo }: WalkedWord): number {
    return kind === 'table' ? (lo & this.#maskLo) >>> 0 : lo
  }

  differences(recording: PageTableRecording): Difference[] {
    const [linux, ours] = [this.#recorded.count, this.#count]
    const missing = Math.max(0, linux - ours)
    if (this.#differing + missing === 0) return []
    const first = this.#first?.at ?? ours
    const word: Difference = {
      field: `word ${first}`,
      linux: this.#linuxText(first, recording),
      ours: this.#oursText(recording),
    }
    if (linux === ours) return [word]
    return [word, { field: 'words', linux: `${linux}`, ours: `${ours}` }]
  }

  #linuxText(at: number, { format, config }: PageTableRecording): string {
    const { count, levels, vaHi, vaLo, hi, lo, lg2 } = this.#recorded
    if (at >= count) return 'no further word'
    const va = toBigint(vaHi[at] as number, vaLo[at] as number)
    const word = toBigint(hi[at] as number, lo[at] as number)
    return formatEntry(format, levels[at] as number, va, word, lg2[at] as number, config)
  }

  #oursText({ format, config }: PageTableRecording): string {
    if (this.#first === undefined) return 'no further word'
    const { level, vaHi, vaLo, hi, lo, kind, lg2 } = this.#first.ours
    const [va, word] = [toBigint(vaHi, vaLo), toBigint(hi, lo)]
    return formatEntry(format, level, va, word, kind === 'leaf' ? lg2 : 0, config)
  }
}

function toBigint(hi: number, lo: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo)
}
