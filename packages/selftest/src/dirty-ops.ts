// SPDX-License-Identifier: Apache-2.0
/**
 * The test operation that writes for a device (SPEC section 10, DIRTY): marks pages as dirty.
 *
 * Invariant: bit n of the caller's bitmap stands for the page that begins n pages behind the IOVA;
 * the number of bits that were set comes back.
 */
import { toBigInt, type Ucmd } from '@iommufd/core'
import { HWPT } from '@iommufd/hw-iommu'
import { ENOENT, iommu_test_cmd } from '@iommufd/uapi'
import { MockDomain } from './mock-domain.js'
import { DIRTY_NOT_RECORDED, DIRTY_RANGE_TOO_LONG, DIRTY_RANGE_UNUSABLE } from './refusals.js'

const { at } = iommu_test_cmd
/** Bits of one read of the bitmap. */
const BLOCK_BITS = 4096 * 8
/** More bits than an int counts are refused. */
const MAX_PAGES = 2n ** 31n - 1n

export function dirty(ucmd: Ucmd): number {
  const { refusals } = ucmd.ctx.engine
  const iova = toBigInt(ucmd.hi(at.dirty_iova), ucmd.lo(at.dirty_iova))
  const length = toBigInt(ucmd.hi(at.dirty_length), ucmd.lo(at.dirty_length))
  const pageSize = toBigInt(ucmd.hi(at.dirty_page_size), ucmd.lo(at.dirty_page_size))
  const hasBitmap = (ucmd.hi(at.dirty_uptr) | ucmd.lo(at.dirty_uptr)) !== 0
  const isUsable = pageSize > 0n && length > 0n && hasBitmap
  if (!isUsable || iova % pageSize !== 0n || length % pageSize !== 0n) return refuseRange(ucmd)
  if (length / pageSize > MAX_PAGES) return refusals.refuse(DIRTY_RANGE_TOO_LONG)
  const hwpt = ucmd.ctx.find(ucmd.word(at.id), HWPT)
  if (hwpt === undefined) return -ENOENT
  const { domain } = hwpt
  if (!(domain instanceof MockDomain) || !domain.isTracking) {
    return refusals.refuse(DIRTY_NOT_RECORDED, hwpt.id)
  }
  const marked = mark(ucmd, domain, iova, length / pageSize, pageSize)
  if (marked < 0) return marked
  ucmd.setWord(at.dirty_out_nr_dirty, marked)
  return ucmd.respond(iommu_test_cmd.size)
}

/** Marks the pages whose bits are set: how many, or a negative errno. */
function mark(
  ucmd: Ucmd,
  domain: MockDomain,
  iova: bigint,
  pages: bigint,
  pageSize: bigint,
): number {
  const bits = new Uint8Array(BLOCK_BITS / 8)
  let marked = 0
  for (let first = 0n; first < pages; first += BigInt(BLOCK_BITS)) {
    const left = pages - first
    const count = left < BLOCK_BITS ? Number(left) : BLOCK_BITS
    const bytes = Math.ceil(count / 8)
    const from = BigInt.asUintN(
      64,
      toBigInt(ucmd.hi(at.dirty_uptr), ucmd.lo(at.dirty_uptr)) + first / 8n,
    )
    const rc = ucmd.ctx.engine.copyFromUser(
      ucmd.task,
      Number(BigInt.asIntN(32, from >> 32n)),
      Number(BigInt.asIntN(32, from)),
      bits,
      0,
      bytes,
    )
    if (rc < 0) return rc
    for (let bit = 0; bit < count; bit++) {
      if (((bits[bit >> 3] as number) & (1 << (bit & 7))) === 0) continue
      const page = iova + (first + BigInt(bit)) * pageSize
      // A page that is not mapped cannot be written; it counts all the same, as in Linux.
      domain.table.setDirty(Number(BigInt.asIntN(32, page >> 32n)), Number(BigInt.asIntN(32, page)))
      marked++
    }
  }
  return marked
}

function refuseRange(ucmd: Ucmd): number {
  return ucmd.ctx.engine.refusals.refuse(
    DIRTY_RANGE_UNUSABLE,
    ucmd.hi(at.dirty_iova),
    ucmd.lo(at.dirty_iova),
    ucmd.hi(at.dirty_length),
    ucmd.lo(at.dirty_length),
    ucmd.hi(at.dirty_page_size),
    ucmd.lo(at.dirty_page_size),
  )
}
