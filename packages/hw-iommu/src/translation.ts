// SPDX-License-Identifier: Apache-2.0
/**
 * Where an IOVA leads (SPEC section 8).
 *
 * Invariant: one object is filled again and again, by the domain that is asked; it says something
 * only until the next question.
 */
import { PAGE_SIZE } from '@iommufd/uapi'
import type { PagingDomain } from './driver.js'

export class Translation {
  /** The frame of memory, and the byte in it. */
  frame = 0
  offset = 0
  /** lg2 of the bytes of the page that the table maps there. */
  lg2 = 0
  /** AREA_READ | AREA_WRITE: what the device may do. */
  prot = 0
  /** Whether the table knows the page to be written. */
  isDirty = false
}

const translation = new Translation()

/** The physical address, in bytes, that the IOVA is mapped to; -1 when it is not mapped. */
export function iovaToPhys(domain: PagingDomain, iovaHi: number, iovaLo: number): number {
  if (!domain.translate(iovaHi, iovaLo, translation)) return -1
  return translation.frame * PAGE_SIZE + translation.offset
}
