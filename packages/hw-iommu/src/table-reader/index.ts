// SPDX-License-Identifier: Apache-2.0
// Reading page tables that anybody wrote: from the bytes of memory, by the words of each architecture. Knows nothing of the code
// that writes tables here, so that each can be held against the other.

export {
  type DecodedWord,
  decodeWord,
  formatPermissions,
  formatSize,
  formatWord,
} from './decode.js'
export { type Finding, type FindingCode, formatFinding } from './finding.js'
export type { TableMemory } from './image.js'
export {
  type Translation,
  type TranslationFault,
  type TranslationStep,
  translate,
} from './translate.js'
export { readTable, type TableEntry, type WalkedWord, walkTable } from './walk.js'
export type { TableFormatName, WordFault, WordKind } from './word.js'
