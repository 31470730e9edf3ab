// SPDX-License-Identifier: Apache-2.0
// What is wrong with a table. A table is bytes that anybody may have written: nothing that is in them is an error of the
// program that reads them, so everything becomes a finding and reading goes on.

import { formatSize } from './decode.js'
import type { WordFault } from './word.js'

export type FindingCode =
  | WordFault
  | 'beyond-address-space'
  | 'loop'
  | 'memory-misaligned'
  | 'pointer-misaligned'
  | 'pointer-outside'
  | 'run-differs'
  | 'shared-table'
  | 'top-level'
  | 'unknown-bits'
  | 'word-not-present'

export interface Finding {
  readonly code: FindingCode
  /** of the table that the word is in; the top's where the finding is about the whole */
  readonly level: number
  /** first I/O virtual address that the word covers */
  readonly va: bigint
  /** physical address of the word; of the top table where the finding is about the whole */
  readonly at: bigint
  readonly word: bigint
  /** the word that the finding is about besides `word`: the other one of a run; 0n elsewhere */
  readonly other: bigint
  /** log2 of the bytes of the page of a leaf, else of what the word covers */
  readonly lg2: number
}

const sentences: Readonly<Record<FindingCode, (finding: Finding) => string>> = {
  'bad-level': ({ level }) => `this format has no such word at level ${level}`,
  'bad-permissions': () => 'writing without reading is a combination that hardware refuses',
  'bad-size': () => 'the coded page size is none that words of this level can have',
  'beyond-address-space': () => 'the word lies beyond the addresses that the table translates',
  loop: () => 'it leads back to a table that it is below',
  'memory-misaligned': () => 'the memory does not begin at a multiple of 4 KiB',
  'misaligned-page': ({ lg2 }) => `the address of the page is no multiple of ${formatSize(lg2)}`,
  'pointer-misaligned': () => 'it leads to a table that does not begin at a multiple of 4 KiB',
  'pointer-outside': () => 'it leads to a table outside of the memory given',
  'run-differs': ({ lg2, other }) =>
    `a word of the same page of ${formatSize(lg2)} is 0x${other.toString(16)}`,
  'shared-table': () => 'another word leads to the same table; what is below is read once',
  'top-level': () => 'the format has no top table of this level, or none of so many address bits',
  'unknown-bits': () => 'bits are set that have no meaning in this format',
  'word-not-present': () => 'the word is not present, but not zero',
}

/** The finding as one line: where, which word, what is wrong. */
export function formatFinding(finding: Finding): string {
  const [va, at, word] = [finding.va, finding.at, finding.word].map((value) => value.toString(16))
  const sentence = sentences[finding.code](finding)
  return `level ${finding.level}, va 0x${va}: word 0x${word} at 0x${at}: ${sentence} [${finding.code}]`
}
