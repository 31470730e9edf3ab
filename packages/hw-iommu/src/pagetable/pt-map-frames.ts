// SPDX-License-Identifier: Apache-2.0
/**
 * Mapping a list of frames of 4 KiB, scattered or in runs (SPEC section 9).
 *
 * Invariant: as if every run of frames that follow one another were mapped by a call of its own, but
 * a table is looked up once for all frames alone that fall into it.
 */
import { sumHi } from '@iommufd/core'
import { EADDRINUSE, ENXIO, ERANGE } from '@iommufd/uapi'
import { TABLE_WORDS } from './arena.js'
import { hasBitsFrom } from './bits.js'
import type { PageTable } from './page-table.js'
import { checkLeaves, checkRange, descend, isFree, mapPages } from './pt-map.js'

const FRAME_LG2 = 12
const FRAME_BYTES = 4096

export function mapFrames(
  t: PageTable,
  iovaHi: number,
  iovaLo: number,
  frames: Uint32Array,
  at: number,
  offset: number,
  bytes: number,
  prot: number,
  largePages: boolean,
): number {
  t.doneHi = 0
  t.doneLo = 0
  const first = largePages ? runBytes(frames, at, offset, bytes) : FRAME_BYTES - offset
  const rc = check(
    t,
    iovaHi,
    iovaLo,
    frames[at] as number,
    offset,
    Math.min(first, bytes),
    bytes,
    prot,
  )
  if (rc < 0) return rc
  const hasFrameSize = (t.pageSizesLo & FRAME_BYTES) !== 0
  let inFrame = offset
  while (t.doneLo < bytes) {
    const hi = sumHi(iovaHi, iovaLo, 0, t.doneLo)
    const lo = (iovaLo + t.doneLo) | 0
    const left = bytes - t.doneLo
    const alone =
      hasFrameSize && ((lo | inFrame) & (FRAME_BYTES - 1)) === 0
        ? mapAlone(t, hi, lo, frames, at, left >>> FRAME_LG2, prot, largePages)
        : 0
    if (alone < 0) return alone
    at += alone
    if (alone > 0) continue
    const length = largePages
      ? runBytes(frames, at, inFrame, left)
      : Math.min(FRAME_BYTES - inFrame, left)
    const rc = mapRun(t, hi, lo, frames[at] as number, inFrame, length, prot)
    if (rc < 0) return rc
    at += (inFrame + length) >>> FRAME_LG2
    inFrame = 0
  }
  return 0
}

/** The whole range must be in the table, and the first run have a page size. */
function check(
  t: PageTable,
  iovaHi: number,
  iovaLo: number,
  frame: number,
  offset: number,
  first: number,
  bytes: number,
  prot: number,
): number {
  const paddrHi = frame >>> (32 - FRAME_LG2)
  const paddrLo = (frame << FRAME_LG2) | offset
  const rc = checkLeaves(t, paddrHi, paddrLo, prot)
  if (rc < 0) return rc
  if (t.bestPageSize(iovaHi | paddrHi, iovaLo | paddrLo, 0, first) < 0) return -ENXIO
  return checkRange(t, iovaHi, iovaLo, paddrHi, paddrLo, 0, bytes)
}

/** Bytes of the run of frames that begins in `frames[at]`, at most `most`. */
function runBytes(frames: Uint32Array, at: number, inFrame: number, most: number): number {
  const frame = frames[at] as number
  let n = 1
  let bytes = FRAME_BYTES - inFrame
  while (bytes < most && frames[at + n] === frame + n) {
    n++
    bytes += FRAME_BYTES
  }
  return Math.min(bytes, most)
}

function mapRun(
  t: PageTable,
  hi: number,
  lo: number,
  frame: number,
  inFrame: number,
  length: number,
  prot: number,
): number {
  const paddrHi = frame >>> (32 - FRAME_LG2)
  const paddrLo = (frame << FRAME_LG2) | inFrame
  if (hasBitsFrom(paddrHi, paddrLo, t.maxOaszLg2)) return -ERANGE
  return mapPages(t, hi, lo, paddrHi, paddrLo, 0, length, prot)
}

/**
 * Writes the leaves of up to `n` frames, to the end of a table or to a run of frames, which can have
 * larger pages: how many, or -ERANGE, -EADDRINUSE, -ENOMEM.
 */
function mapAlone(
  t: PageTable,
  hi: number,
  lo: number,
  frames: Uint32Array,
  at: number,
  n: number,
  prot: number,
  largePages: boolean,
): number {
  if (n === 0 || (largePages && n > 1 && frames[at + 1] === (frames[at] as number) + 1)) return 0
  const table = descend(t, 0, hi, lo)
  if (table < 0) return table
  const { layout } = t
  const { words } = t.arena
  const { presentLo } = layout
  const shift = layout.shift + FRAME_LG2
  const attributesHi = (layout.leafHi[prot] as number) | (layout.sizeHi[FRAME_LG2] as number)
  const attributesLo = (layout.leafLo[prot] as number) | (layout.sizeLo[FRAME_LG2] as number)
  const wordsOfFrame = 2 << (FRAME_LG2 - layout.granuleLg2)
  const unreachable = 2 ** Math.min(32, t.maxOaszLg2 - FRAME_LG2)
  const end = (table + 1) * TABLE_WORDS
  let word = table * TABLE_WORDS + t.indexIn(0, hi, lo) * 2
  let done = 0
  let rc = 0
  let frame = frames[at] as number
  while (done < n && word < end) {
    const next = done + 1 < n ? (frames[at + done + 1] as number) : -1
    if (largePages && next === frame + 1) break
    const wordEnd = word + wordsOfFrame
    if (frame >= unreachable) rc = -ERANGE
    else if (!isFree(words, word, wordEnd, presentLo)) rc = -EADDRINUSE
    if (rc < 0) break
    const wordLo = (frame << shift) | attributesLo
    const wordHi = (frame >>> (32 - shift)) | attributesHi
    do {
      words[word] = wordLo
      words[word + 1] = wordHi
      word += 2
    } while (word < wordEnd)
    frame = next
    done++
  }
  t.doneLo += done * FRAME_BYTES
  return rc < 0 ? rc : done
}
