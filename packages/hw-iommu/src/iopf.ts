// SPDX-License-Identifier: Apache-2.0
/**
 * Page requests: what a device asks for that has met a page that it cannot use (SPEC section 8, IOPF).
 *
 * Invariant: a group of requests ends with the one that is its last page, and is answered exactly
 * once, whoever answers it first; what is said afterwards does not reach the device.
 */
import type { Device } from './device.js'

/** The pages are there: the device tries again. */
export const IOMMU_PAGE_RESP_SUCCESS = 0
/** The pages will not be there: the device gives these accesses up. */
export const IOMMU_PAGE_RESP_INVALID = 1
/** Nobody could take the requests: the device gives them up, and those that follow if it can. */
export const IOMMU_PAGE_RESP_FAILURE = 2

/** One page that a device asks for. */
export interface PageRequest {
  /** What the DMA was marked with; undefined: with no PASID. */
  readonly pasid: number | undefined
  /** Names the group among those that the device has under way. */
  readonly grpid: number
  /** IOMMU_PGFAULT_PERM_*: the access that was wanted. */
  readonly perm: number
  /** An address in the page, as the device has used it. */
  readonly addr: bigint
  /** Whether the group is complete with this request, and awaits an answer. */
  readonly lastPage: boolean
}

/** Takes a group to answer it later: 0, or a negative errno and it is answered for it. */
export type IopfHandler = (group: IopfGroup) => number

/** The requests of one answer. */
export class IopfGroup {
  readonly dev: Device
  /** All of them; the last page is the last. */
  readonly requests: readonly PageRequest[]
  /** The PASID, or IOMMU_NO_PASID, of the attachment through which the device has met the pages. */
  readonly attachedPasid: number

  constructor(dev: Device, requests: readonly PageRequest[], attachedPasid: number) {
    this.dev = dev
    this.requests = requests
    this.attachedPasid = attachedPasid
  }

  /** The request that the driver answers. */
  get lastPage(): PageRequest {
    return this.requests.at(-1) as PageRequest
  }

  /** Gives the answer, IOMMU_PAGE_RESP_*, to the device, unless it has one. */
  respond(code: number): void {
    this.dev.iopf?.answer(this, code)
  }
}
