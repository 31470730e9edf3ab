// SPDX-License-Identifier: Apache-2.0
/**
 * A device reports page requests: to whom they go (SPEC section 8, IOPF).
 *
 * Invariant: requests go to the handler of the domain that the device uses for their PASID. A last
 * page that nobody takes is answered at once, so the device never waits in vain.
 */
import { type Device, IOMMU_NO_PASID } from './device.js'
import type { AttachableDomain } from './driver.js'
import { IOMMU_PAGE_RESP_FAILURE, IOMMU_PAGE_RESP_INVALID, type PageRequest } from './iopf.js'
import { FAULT_UNHANDLED } from './refusals.js'

/** A domain, and the PASID with which the device is attached to it. */
interface Target {
  readonly domain: AttachableDomain
  readonly attachedPasid: number
}

/**
 * Called by a driver when its device, which has an IOMMU, asks for a page. Requests wait until the
 * last page of their group has come; then the group goes to the domain's handler. 0; -EINVAL, and a
 * last page is answered INVALID, when no domain handles it; -ENOMEM, and the request is lost. A group
 * that cannot be taken for want of memory is answered FAILURE, which is 0 here.
 */
export function iommu_report_device_fault(dev: Device, request: PageRequest): number {
  const { engine } = groupOf(dev).iommu
  const { iopf } = dev
  engine.refusals.clear()
  const target = targetOf(dev, request.pasid)
  const handler = target?.domain.iopfHandler
  if (handler !== undefined && !iopf?.isEnabled) {
    engine.warn(`${dev.name} uses a domain that handles page faults, unknown to its IOPF queue`)
  }
  if (target === undefined || handler === undefined || !iopf?.isEnabled) {
    if (request.lastPage) dev.ops?.pageResponse?.(dev, request, IOMMU_PAGE_RESP_INVALID)
    return engine.refusals.refuse(FAULT_UNHANDLED, request.pasid ?? IOMMU_NO_PASID)
  }
  const allocated = engine.allocate()
  if (!request.lastPage) {
    if (allocated === 0) iopf.addPartial(request)
    return allocated
  }
  const group = iopf.complete(request, target.attachedPasid)
  const rc = allocated || handler(group)
  if (rc < 0) group.respond(IOMMU_PAGE_RESP_FAILURE)
  engine.refusals.clear()
  return 0
}

function groupOf(dev: Device): NonNullable<Device['group']> {
  if (dev.group === undefined) throw new Error(`${dev.name} has no IOMMU to report faults to`)
  return dev.group
}

/**
 * What the device uses for the PASID. Where guests have tables of PASIDs of their own, whose PASIDs
 * are not attached one by one, it is the guest's table that is attached without one.
 */
function targetOf(dev: Device, pasid: number = IOMMU_NO_PASID): Target | undefined {
  const group = groupOf(dev)
  const plain = group.domain
  const domain = pasid === IOMMU_NO_PASID ? plain : group.pasids.domain(pasid)
  if (domain !== undefined) return { domain, attachedPasid: pasid }
  if (plain?.type !== 'nested' || dev.ops?.userPasidTable !== true) return undefined
  return { domain: plain, attachedPasid: IOMMU_NO_PASID }
}
