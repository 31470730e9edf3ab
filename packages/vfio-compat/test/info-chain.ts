// SPDX-License-Identifier: Apache-2.0
//
// The capabilities behind the struct of VFIO_IOMMU_GET_INFO, read as a program reads them.

import type { Column } from './columns.js'

export interface Capability {
  readonly id: number
  readonly at: number
}

const ROOM = 256

/** The chain from cap_offset on. */
export function chainOf(bytes: DataView): Capability[] {
  const chain: Capability[] = []
  for (let at = bytes.getUint32(16, true); at !== 0; at = bytes.getUint32(at + 4, true)) {
    chain.push({ id: bytes.getUint16(at, true), at })
  }
  return chain
}

/** The capability of this id in an answer with enough room. */
function capability(program: Column, id: number): { bytes: DataView; at: number } | undefined {
  const { bytes } = program.info(ROOM)
  const found = chainOf(bytes).find((one) => one.id === id)
  return found && { bytes, at: found.at }
}

/** `avail` of DMA_AVAIL. */
export function availableMappings(program: Column): number {
  const { bytes, at } = capability(program, 3) as { bytes: DataView; at: number }
  return bytes.getUint32(at + 8, true)
}

/** `0x0-0xffff …` of IOVA_RANGE, or `absent`. */
export function rangesOf(program: Column): string {
  const found = capability(program, 1)
  if (found === undefined) return 'absent'
  const { bytes, at } = found
  const count = bytes.getUint32(at + 8, true)
  const words = (offset: number) => bytes.getBigUint64(at + 16 + offset, true).toString(16)
  return Array.from({ length: count }, (_, i) => `0x${words(i * 16)}-0x${words(i * 16 + 8)}`).join(
    ' ',
  )
}
