// SPDX-License-Identifier: Apache-2.0
/**
 * Reading back the frames that are mapped.
 *
 * Invariant: as if every page of memory were walked to, but a table of small pages is looked up once
 * for all of them that it translates.
 */
import { sumHi } from '@iommufd/core'
import type { PageTable } from './page-table.js'
import { findTable } from './pt-tree.js'

const FRAME_LG2 = 12
const FRAME_BYTES = 4096

export function readFrames(
  t: PageTable,
  iovaHi: number,
  iovaLo: number,
  offset: number,
  frames: Uint32Array,
  at: number,
  n: number,
): boolean {
  let hi = iovaHi
  let lo = iovaLo
  let inFrame = offset
  for (let done = 0; done < n; ) {
    // Only frames that begin where a granule of IOVAs does can be read from table words.
    const isPlain = inFrame === 0 && (lo & (FRAME_BYTES - 1)) === 0
    const found = isPlain ? readTable(t, hi, lo, frames, at + done, n - done) : 0
    const read = found > 0 ? found : readPage(t, hi, lo, frames, at + done, n - done)
    if (read === 0) return false
    const bytes = read * FRAME_BYTES - inFrame
    hi = sumHi(hi, lo, 0, bytes)
    lo = (lo + bytes) | 0
    inFrame = 0
    done += read
  }
  return true
}

/** Reads from the page at the IOVA, to its end if it is a large one: how many frames. */
function readPage(
  t: PageTable,
  hi: number,
  lo: number,
  frames: Uint32Array,
  at: number,
  n: number,
): number {
  if (!t.walk(hi, lo)) return 0
  const frame = (t.physHi << (32 - FRAME_LG2)) | (t.physLo >>> FRAME_LG2)
  // Of pages of 2 GiB and more a part, so that the arithmetic stays in 32 bits.
  const mask = t.lg2 >= 31 ? 0x7fffffff : (1 << t.lg2) - 1
  const inPage = lo & mask & ~(FRAME_BYTES - 1)
  const toEnd = t.lg2 <= FRAME_LG2 ? 1 : (mask + 1 - inPage) / FRAME_BYTES
  const count = Math.min(n, toEnd)
  for (let i = 0; i < count; i++) frames[at + i] = frame + i
  return count
}

/** Reads from the table of level 0, to its end: how many frames; 0 where there is none. */
function readTable(
  t: PageTable,
  hi: number,
  lo: number,
  frames: Uint32Array,
  at: number,
  n: number,
): number {
  const table = findTable(t, 0, hi, lo)
  if (table < 0) return 0
  const { layout, format } = t
  const { fieldLg2, granuleLg2, presentLo, runHi, runLo } = layout
  const { words } = t.arena
  const unit = FRAME_LG2 - granuleLg2
  const first = t.indexIn(0, hi, lo)
  const count = Math.min(n, (512 - first) >> unit)
  for (let i = 0; i < count; i++) {
    const index = first + (i << unit)
    const word = ((table << 9) | index) << 1
    const wordLo = (words[word] as number) | 0
    const wordHi = (words[word + 1] as number) | 0
    if ((wordLo & presentLo) === 0) return i
    let granule = (wordLo >>> fieldLg2) | (wordHi << (32 - fieldLg2))
    if (((wordLo & runLo) | (wordHi & runHi)) !== 0) {
      const mask = (1 << (format.sizeOf(0, wordHi, wordLo) - granuleLg2)) - 1
      granule = (granule & ~mask) | (index & mask)
    }
    frames[at + i] = granule >>> unit
  }
  return count
}
