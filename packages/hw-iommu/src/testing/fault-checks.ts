// SPDX-License-Identifier: Apache-2.0
/** Checks of how a driver takes page requests of its devices (SPEC section 8, IOPF). */
import {
  type Device,
  type IopfGroup,
  iommu_report_device_fault,
  type PagingDomain,
} from '../index.js'
import { broken } from './broken.js'
import { type DriverCheck, NotOffered } from './check.js'
import { groupOf, nameOf, type Rig } from './rig.js'

const PASID = 1

/** A domain that handles page requests, and the groups that it has been given. */
class Handling {
  readonly domain: PagingDomain
  readonly #groups: IopfGroup[] = []
  #asked = 0

  constructor(domain: PagingDomain) {
    this.domain = domain
    domain.iopfHandler = (group) => {
      this.#groups.push(group)
      return 0
    }
  }

  /** The device asks for a page, which must reach the domain; the answer is left open. */
  mustTake(dev: Device, when: string, pasid?: number): void {
    const request = { pasid, grpid: this.#asked++, perm: 1, addr: 0n, lastPage: true }
    const rc = iommu_report_device_fault(dev, request)
    if (rc === 0 && this.#groups.at(-1)?.lastPage === request) return
    broken(`${when}, a page request does not reach the domain (${nameOf(rc)})`)
  }
}

/** Nobody takes requests, so the device is waiting for none. */
function mustBeOff({ iopf, name }: Device, when: string): void {
  if (iopf?.isEnabled) broken(`${when}, page requests of ${name} are still taken`)
}

function replace(dev: Device, domain: PagingDomain): void {
  const rc = groupOf(dev).replace(domain)
  if (rc !== 0) broken(`replacing by a domain of its own driver answers ${nameOf(rc)}`)
}

function plainRequests(rig: Rig): NotOffered | undefined {
  if (rig.driver.pageResponse === undefined) return new NotOffered('page requests')
  const { dev, group } = rig.claimed()
  const [first, second] = [new Handling(rig.domain(dev)), new Handling(rig.domain(dev))]
  if (group.attach(first.domain) !== 0) return new NotOffered('devices that ask for pages')
  first.mustTake(dev, 'after attaching')
  replace(dev, second.domain)
  second.mustTake(dev, 'after another domain of this kind was attached')
  replace(dev, rig.domain(dev))
  mustBeOff(dev, 'with a domain attached that handles none')
  replace(dev, first.domain)
  first.mustTake(dev, 'after the domain was attached again')
  group.detach()
  mustBeOff(dev, 'after detaching')
  return
}

function requestsOfPasids(rig: Rig): NotOffered | undefined {
  const { pageResponse, blockedDomain } = rig.driver
  const { dev, group } = rig.claimed()
  const handling = new Handling(rig.domain(dev))
  if (pageResponse === undefined || dev.maxPasids <= PASID || !blockedDomain?.setDevPasid) {
    return new NotOffered('page requests with PASIDs')
  }
  if (group.attach(rig.domain(dev)) !== 0 || group.pasids.set(dev, PASID, handling.domain) !== 0) {
    return new NotOffered('devices that ask for pages with PASIDs')
  }
  handling.mustTake(dev, 'after attaching with a PASID', PASID)
  group.pasids.remove(PASID)
  mustBeOff(dev, 'after detaching the PASID')
  group.detach()
  return
}

export const faultChecks: readonly DriverCheck[] = [
  {
    name: 'page-requests-are-taken',
    rule: 'Page requests are taken while a domain is used that handles them, and not after.',
    run: plainRequests,
  },
  {
    name: 'page-requests-of-pasids-are-taken',
    rule: 'Page requests with a PASID are taken while its domain handles them, and not after.',
    run: requestsOfPasids,
  },
]
