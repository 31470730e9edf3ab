// SPDX-License-Identifier: Apache-2.0
/**
 * Regions that a device must find mapped one to one, such as the memory that firmware lets it use
 * (SPEC section 8, IOMMU_RESV_DIRECT).
 *
 * Invariant: the default domain of a group, when it is a page table, maps them for every device of
 * the group before the device uses it. A device that insists on one is never blocked, and so has no
 * other owner than the host.
 */
import { pageHi, pageLo } from '@iommufd/core'
import { AREA_READ, AREA_WRITE } from '@iommufd/pages'
import { ERANGE, PAGE_SIZE } from '@iommufd/uapi'
import type { Device } from './device.js'
import {
  type AttachableDomain,
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_DIRECT_RELAXABLE,
  type IommuResvRegion,
  type PagingDomain,
} from './driver.js'
import { iovaToPhys } from './translation.js'

const PAGE_BYTES = BigInt(PAGE_SIZE)
/** Frame numbers are 32 bits. */
const FRAME_END = 2 ** 32

/** Whether the device cannot do without its one-to-one mappings. */
export function requiresDirect(dev: Device): boolean {
  return dev.resvRegions.some(({ type }) => type === IOMMU_RESV_DIRECT)
}

/** Maps the device's direct regions into a default domain: 0, or what the table answers. */
export function mapDirect(domain: AttachableDomain, dev: Device): number {
  if (!isPaging(domain)) return 0
  for (const region of dev.resvRegions) {
    if (region.type !== IOMMU_RESV_DIRECT && region.type !== IOMMU_RESV_DIRECT_RELAXABLE) continue
    const rc = mapRegion(domain, region)
    if (rc < 0) return rc
  }
  return 0
}

function isPaging(domain: AttachableDomain): domain is PagingDomain {
  return domain.type === 'paging'
}

/** Page by page: one that another device's region has mapped stays. */
function mapRegion(domain: PagingDomain, { start, length }: IommuResvRegion): number {
  const first = Number(start / PAGE_BYTES)
  const end = Number((start + length + PAGE_BYTES - 1n) / PAGE_BYTES)
  const frames = new Uint32Array(1)
  for (let page = first; page < end; page++) {
    const hi = pageHi(page)
    const lo = pageLo(page)
    if (iovaToPhys(domain, hi, lo) >= 0) continue
    if (page >= FRAME_END) return -ERANGE
    frames[0] = page
    const rc = domain.map(hi, lo, frames, 0, 0, PAGE_SIZE, AREA_READ | AREA_WRITE, false)
    if (rc < 0) return rc
  }
  return 0
}
