// SPDX-License-Identifier: Apache-2.0
// The words of a table as the independent reader finds them, decoded, with the reason for each page's size.

import {
  type DecodedWord,
  decodeWord,
  type Finding,
  type TableMemory,
  walkTable,
} from '@iommufd/hw-iommu/table-reader'

/** One word; of the words that share a page only the first, unless they differ. */
export interface Entry {
  readonly level: number
  /** position in its table */
  readonly index: number
  readonly va: bigint
  readonly word: bigint
  readonly decoded: DecodedWord
  /** why the page is not larger; undefined where that is not known */
  readonly why: string | undefined
}

/** Reads a table. `why` is asked for each page, by its first address and the log2 of its bytes. */
export function readEntries(
  memory: TableMemory,
  why: (va: bigint, lg2: number) => string | undefined = () => undefined,
): { entries: Entry[]; findings: Finding[] } {
  const entries: Entry[] = []
  const findings: Finding[] = []
  walkTable(
    memory,
    ({ level, index, vaHi, vaLo, hi, lo, kind, lg2 }) => {
      const word = toBigint(hi, lo)
      const decoded = decodeWord(memory.format, level, word, memory.encryptionMask)
      if (isRestOfRun(index, word, decoded, entries.at(-1))) return
      const va = toBigint(vaHi, vaLo)
      entries.push({
        level,
        index,
        va,
        word,
        decoded,
        why: kind === 'leaf' ? why(va, lg2) : undefined,
      })
    },
    (finding) => findings.push(finding),
  )
  return { entries, findings }
}

function isRestOfRun(
  index: number,
  word: bigint,
  { words }: DecodedWord,
  last: Entry | undefined,
): boolean {
  return index % words !== 0 && last?.word === word && last.index === index - (index % words)
}

function toBigint(hi: number, lo: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo)
}
