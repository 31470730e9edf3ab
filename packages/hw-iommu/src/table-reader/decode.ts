// SPDX-License-Identifier: Apache-2.0
// One word for people: what it is, where it leads, what it permits, every bit by its name.

import { hiOf, isBitSet, loOf, toBigint } from './bits.js'
import { layouts } from './layouts.js'
import {
  type BitMeaning,
  type TableFormatName,
  Word,
  type WordFault,
  type WordKind,
  type WordLayout,
  wordLg2,
} from './word.js'

export interface DecodedWord {
  readonly kind: WordKind
  /** physical address of the page or of the next table; 0n in an empty word */
  readonly address: bigint
  /** log2 of the bytes of the whole page; of what the word covers where it is no leaf */
  readonly lg2: number
  /** words that share the page: 1, or more in a contiguous run */
  readonly words: number
  readonly read: boolean
  readonly write: boolean
  /** undefined where the format has no such permission */
  readonly execute: boolean | undefined
  /** set bits by the names of the architecture's manual, fields as `Name=value`, `SWn` for bit n where software may use it */
  readonly attributes: readonly string[]
  /** set bits that have no meaning here; hardware may refuse the word */
  readonly unknownBits: bigint
  /** why hardware would refuse the word for other reasons */
  readonly fault: WordFault | undefined
}

/**
 * Takes one word apart.
 *
 * @param level of the table that the word is in, 0 being the one that leads to the smallest pages
 * @param encryptionMask the bit that marks encrypted memory and is no part of an address; 0n where there is none
 */
export function decodeWord(
  format: TableFormatName,
  level: number,
  word: bigint,
  encryptionMask = 0n,
): DecodedWord {
  const layout = layouts[format]
  const plain = word & ~encryptionMask
  const [hi, lo] = [hiOf(plain), loOf(plain)]
  const parts = new Word()
  layout.classify(level, hi, lo, parts)
  const { kind, lg2, fault } = parts
  if (kind === 'empty') return emptyWord(lg2, word)
  const meaning = layout.meaning(kind, level)
  const attributes = [...namedBits(meaning, hi, lo), ...layout.fields(kind, hi, lo)]
  if (plain !== word) attributes.push('ENC')
  return {
    kind,
    address: toBigint(parts.addressHi, parts.addressLo),
    lg2,
    words: kind === 'leaf' ? 2 ** (lg2 - wordLg2(layout, level)) : 1,
    ...permissions(layout, kind, hi, lo),
    attributes,
    unknownBits: toBigint(
      hi & ~(parts.fieldHi | meaning.knownHi),
      lo & ~(parts.fieldLo | meaning.knownLo),
    ),
    fault,
  }
}

function emptyWord(lg2: number, word: bigint): DecodedWord {
  return {
    kind: 'empty',
    address: 0n,
    lg2,
    words: 1,
    read: false,
    write: false,
    execute: undefined,
    attributes: [],
    unknownBits: word,
    fault: undefined,
  }
}

/** A table of a format where only pages limit permits everything. */
function permissions(
  layout: WordLayout,
  kind: WordKind,
  hi: number,
  lo: number,
): Pick<DecodedWord, 'execute' | 'read' | 'write'> {
  if (kind === 'table' && !layout.tablesRestrict) return { read: true, write: true, execute: true }
  return {
    read: layout.canRead(hi, lo),
    write: layout.canWrite(hi, lo),
    execute: layout.canExecute(hi, lo),
  }
}

function namedBits({ names, softwareHi, softwareLo }: BitMeaning, hi: number, lo: number) {
  const found = Object.entries(names).flatMap(([name, bit]) => (isBitSet(hi, lo, bit) ? name : []))
  for (let bit = 0; bit < 64; bit++) {
    if (isBitSet(hi & softwareHi, lo & softwareLo, bit)) found.push(`SW${bit}`)
  }
  return found
}

/** `4 KiB`, `2 MiB`, `256 TiB`: 2^lg2 bytes. */
export function formatSize(lg2: number): string {
  const unit = Math.floor(lg2 / 10)
  return `${2 ** (lg2 % 10)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'][unit]}`
}

/** `rw`, `r-`, `-w`; with a third letter where the format knows execution: `rwx`, `rw-`. */
export function formatPermissions(word: Pick<DecodedWord, 'execute' | 'read' | 'write'>): string {
  const execute = word.execute === undefined ? '' : word.execute ? 'x' : '-'
  return `${word.read ? 'r' : '-'}${word.write ? 'w' : '-'}${execute}`
}

/** A decoded word in one line: `4 KiB page at 0x1000 rw (PR FC IR IW NextLevel=0)`. */
export function formatWord(word: DecodedWord): string {
  const unknown = word.unknownBits === 0n ? [] : [`unknown bits 0x${word.unknownBits.toString(16)}`]
  if (word.kind === 'empty') return ['empty', ...unknown].join(', ')
  const address = `0x${word.address.toString(16)}`
  const run = word.words > 1 ? ` in ${word.words} words` : ''
  const what = word.kind === 'leaf' ? `${formatSize(word.lg2)} page${run} at` : 'table at'
  const fault = word.fault === undefined ? [] : [word.fault]
  const bits = `(${word.attributes.join(' ')})`
  return [`${what} ${address} ${formatPermissions(word)} ${bits}`, ...fault, ...unknown].join(', ')
}
