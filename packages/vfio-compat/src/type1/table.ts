// SPDX-License-Identifier: Apache-2.0
/**
 * A page table of a type 1 container, and the groups that share it (SPEC section 8).
 *
 * Invariant: what was unmapped is flushed from the IOTLBs before its memory is unpinned. Ranges are
 * whole pages of memory and unmapped as they were mapped.
 */
import { pageHi, pageLo } from '@iommufd/core'
import { IotlbGather, type PagingDomain, Translation } from '@iommufd/hw-iommu'
import { PAGE_SIZE } from '@iommufd/uapi'
import type { VfioGroup } from '../group/group.js'

const gather = new IotlbGather()
const translation = new Translation()

export class Type1Table {
  readonly domain: PagingDomain
  readonly groups: Set<VfioGroup> = new Set()
  /** Whether every access through it is coherent. */
  readonly enforcesCoherency: boolean

  constructor(domain: PagingDomain) {
    this.domain = domain
    this.enforcesCoherency = domain.enforceCacheCoherency?.() ?? false
  }

  /** Maps `n` frames from page `first` of the IOVAs on: 0, or the driver's negative errno. */
  map(first: number, frames: Uint32Array, n: number, prot: number): number {
    const { domain } = this
    const hi = pageHi(first)
    const lo = pageLo(first)
    const rc = domain.map(hi, lo, frames, 0, 0, n * PAGE_SIZE, prot, true)
    if (rc === 0) domain.iotlbSyncMap?.(hi, lo, n * PAGE_SIZE)
    return rc
  }

  /** Unmaps pages, at least 1, all of which are mapped. */
  unmap(first: number, pages: number): void {
    const { domain } = this
    gather.clear()
    domain.unmap(pageHi(first), pageLo(first), pages * PAGE_SIZE, gather)
    domain.iotlbSync?.(gather)
  }

  /** Reads back the frames of `n` mapped pages. */
  readFrames(first: number, frames: Uint32Array, n: number): void {
    for (let i = 0; i < n; i++) {
      const page = first + i
      if (!this.domain.translate(pageHi(page), pageLo(page), translation)) {
        throw new Error(`the driver ${this.domain.owner.name} has lost a mapping`)
      }
      frames[i] = translation.frame
    }
  }
}
