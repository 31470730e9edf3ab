// SPDX-License-Identifier: Apache-2.0
/**
 * The way of fuzzers to name an IOVA (SPEC section 10): "byte `offset` of the n-th area".
 *
 * Invariant: only a machine with IOMMU_TEST_CMD understands it, and only where the flag
 * MOCK_FLAGS_ACCESS_SYZ asks for it; an area that does not exist gives IOVA 0.
 */
import { sumHi } from '@iommufd/core'
import type { IoPagetable } from './io-pagetable.js'

/** Sets `iopt.iovaHi` and `iopt.iovaLo` to the IOVA that (offset, nth) names. */
export function resolveNthArea(iopt: IoPagetable, offset: number, nth: number): void {
  const { areas } = iopt
  iopt.iovaHi = 0
  iopt.iovaLo = 0
  if (nth >>> 0 >= areas.size) return
  let pos = areas.first()
  for (let i = nth; i > 0; i--) pos = areas.next(pos)
  const startLo = areas.startLo(pos)
  iopt.iovaHi = sumHi(areas.startHi(pos), startLo, 0, offset)
  iopt.iovaLo = (startLo + offset) | 0
}
