// SPDX-License-Identifier: Apache-2.0
/**
 * Mapping a list of frames of 4 KiB, scattered or in runs (SPEC section 9).
 *
 * Invariant: as if every run of frames that follow one another were mapped by a call of its own, but
 * a table is looked up once for all frames alone that fall into it.
 */
import { sumHi } from '@iommufd/core'
import { EADDRINUSE, ENXIO, ERANGE } from '@iommufd/uapi'
import type { Word } from './format.js'
import type { PageTable } from './page-table.js'
import { checkRange, descend, isFree, leaf, mapPages, prepareLeaves } from './pt-map.js'

const FRAME_LG2 = 12
const FRAME_BYTES = 4096

/** Bits of a leaf for a frame alone. */
const size: Word = { hi: 0, lo: 0 }
/** Where the next frame alone goes, and the end of its table; equal when that is not known. */
let at0 = 0
let end0 = 0

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
  t.format.size(size, 0, FRAME_LG2)
  at0 = end0 = 0
  let inFrame = offset
  while (t.doneLo < bytes) {
    const frame = frames[at] as number
    const hi = sumHi(iovaHi, iovaLo, 0, t.doneLo)
    const lo = (iovaLo + t.doneLo) | 0
    const left = bytes - t.doneLo
    if (t.maxOaszLg2 < 44 && frame >>> (t.maxOaszLg2 - FRAME_LG2) !== 0) return -ERANGE
    const length = largePages
      ? runBytes(frames, at, inFrame, left)
      : Math.min(FRAME_BYTES - inFrame, left)
    const isAlone = length === FRAME_BYTES && ((lo | inFrame) & (FRAME_BYTES - 1)) === 0
    const mapped =
      isAlone && (t.pageSizesLo & FRAME_BYTES) !== 0
        ? mapAlone(t, hi, lo, frame)
        : mapRun(t, hi, lo, frame, inFrame, length)
    if (mapped < 0) return mapped
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
  const rc = prepareLeaves(t, paddrHi, paddrLo, prot)
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
): number {
  at0 = end0 = 0
  const paddrLo = (frame << FRAME_LG2) | inFrame
  return mapPages(t, hi, lo, frame >>> (32 - FRAME_LG2), paddrLo, 0, length)
}

/** Writes the leaf of one frame: 0, -EADDRINUSE or -ENOMEM. */
function mapAlone(t: PageTable, hi: number, lo: number, frame: number): number {
  const { format } = t
  if (at0 === end0) {
    const table = descend(t, 0, hi, lo)
    if (table < 0) return table
    at0 = (table * 512 + t.indexIn(0, hi, lo)) * 2
    end0 = (table + 1) * 1024
  }
  const { words } = t.arena
  const end = at0 + (2 << (FRAME_LG2 - format.granuleLg2))
  if (!isFree(words, at0, end, format.presentLo)) return -EADDRINUSE
  const shift = format.fieldLg2 - format.granuleLg2 + FRAME_LG2
  const wordLo = (frame << shift) | leaf.lo | size.lo
  const wordHi = (frame >>> (32 - shift)) | leaf.hi | size.hi
  for (; at0 < end; at0 += 2) {
    words[at0] = wordLo
    words[at0 + 1] = wordHi
  }
  t.doneLo += FRAME_BYTES
  return 0
}
