// SPDX-License-Identifier: Apache-2.0
/** Checks of domains as things that devices are attached to (SPEC section 8). */
import { IOMMU_HWPT_ALLOC_NEST_PARENT } from '@iommufd/uapi'
import {
  type AttachableDomain,
  type Device,
  IOMMU_CAP_ENFORCE_CACHE_COHERENCY,
  type IommuGroup,
} from '../index.js'
import { broken } from './broken.js'
import { type DriverCheck, NotOffered } from './check.js'
import { groupOf, nameOf, type Rig } from './rig.js'
import { TrackedDomain } from './tracked-domain.js'

/** Smallest pages above this cannot show single pages of memory. */
const MAX_PAGE_SIZE = 4096

function wellFormed(rig: Rig): undefined {
  const dev = rig.device()
  const domain = rig.domain(dev)
  if (domain.type !== 'paging') broken(`the type of a paging domain is ${domain.type}`)
  if (domain.owner !== rig.driver) broken('the owner of a domain is not the driver that made it')
  if (rig.domain(dev) === domain) broken('two domains that were asked for are one')
  const { minPageSize } = domain
  const lg2 = Math.log2(minPageSize)
  if (!Number.isInteger(lg2)) broken(`minPageSize is ${minPageSize}, no power of two`)
  if (minPageSize > MAX_PAGE_SIZE) broken(`minPageSize is ${minPageSize}, more than a page`)
  const tracked = new TrackedDomain(domain)
  if (tracked.sizes[0] !== lg2) {
    broken(`minPageSize is ${minPageSize}, but the smallest page size is 2^${tracked.sizes[0]}`)
  }
  if (tracked.apertureStart > tracked.apertureLast) broken('the aperture ends before it starts')
  const aligned = tracked.apertureStart | (tracked.apertureLast + 1n)
  if (aligned % BigInt(minPageSize) !== 0n) broken('the aperture begins or ends inside a page')
  tracked.checkAt(tracked.apertureStart)
  tracked.checkAt(tracked.apertureLast)
}

function plainDomains(rig: Rig): NotOffered | undefined {
  const { identityDomain, blockedDomain, defaultDomain } = rig.driver
  for (const [type, domain] of Object.entries({
    identity: identityDomain,
    blocked: blockedDomain,
  })) {
    if (domain === undefined) continue
    if (domain.type !== type) broken(`the ${type} domain has the type ${domain.type}`)
  }
  const offered = [identityDomain, blockedDomain, defaultDomain].filter((d) => d !== undefined)
  if (offered.length === 0) return new NotOffered('domains without a table')
  for (const domain of offered) {
    if (domain.owner !== rig.driver) broken(`the ${domain.type} domain has another owner`)
    const { group } = rig.claimed()
    const rc = group.replace(domain)
    if (rc !== 0) broken(`attaching the ${domain.type} domain answers ${nameOf(rc)}`)
  }
  return
}

function follows(rig: Rig): undefined {
  const { dev, group } = rig.claimed()
  const [first, second] = [rig.domain(dev), rig.domain(dev)]
  const blocked = group.domain as AttachableDomain
  uses(rig, dev, blocked)
  attach(group, first)
  uses(rig, dev, first)
  if (group.replace(second) !== 0) broken('the device cannot be moved to another domain')
  uses(rig, dev, second)
  group.detach()
  uses(rig, dev, blocked)
  group.releaseDmaOwner()
  uses(rig, dev, group.domain as AttachableDomain)
}

function uses(rig: Rig, dev: Device, wanted: AttachableDomain): void {
  const found = rig.subject.domainOf?.(dev) ?? wanted
  if (found === wanted) return
  const type = (found as AttachableDomain).type
  broken(`${dev.name} should use the ${wanted.type} domain, but uses another, of type ${type}`)
}

function attach(group: IommuGroup, domain: AttachableDomain): void {
  const rc = group.attach(domain)
  if (rc !== 0) broken(`attaching a domain of its own driver answers ${nameOf(rc)}`)
}

function refusal(rig: Rig): NotOffered | undefined {
  const { setRefusing, domainOf } = rig.subject
  if (setRefusing === undefined || domainOf === undefined) {
    return new NotOffered('devices that can be made to refuse a domain')
  }
  const { dev, group } = rig.claimed()
  const [first, second] = [rig.domain(dev), rig.domain(dev)]
  attach(group, first)
  setRefusing(dev, true)
  const rc = group.replace(second)
  if (rc >= 0) broken(`${dev.name} refuses every domain, but replacing answers ${nameOf(rc)}`)
  uses(rig, dev, first)
  if (group.domain !== first) broken('the group has the domain that its device refuses')
  group.detach()
  uses(rig, dev, group.domain as AttachableDomain)
  return
}

function rollback(rig: Rig): NotOffered | undefined {
  const { setRefusing, domainOf, sharesGroups } = rig.subject
  if (setRefusing === undefined || domainOf === undefined || sharesGroups !== true) {
    return new NotOffered('groups of several devices that can be made to refuse a domain')
  }
  const devices = rig.devices(3) as [Device, Device, Device]
  const group = groupOf(devices[0])
  if (group.claimDmaOwner(devices[0], rig) !== 0) broken('the group cannot be claimed')
  const [first, second] = [rig.domain(devices[0]), rig.domain(devices[0])]
  attach(group, first)
  setRefusing(devices[1], true)
  const rc = group.replace(second)
  if (rc >= 0) broken(`a device of the group refuses, but replacing answers ${nameOf(rc)}`)
  for (const dev of devices) uses(rig, dev, first)
  group.detach()
  for (const dev of devices) uses(rig, dev, group.domain as AttachableDomain)
  return
}

function coherency(rig: Rig): NotOffered | undefined {
  const dev = rig.device()
  if (!rig.driver.capable(dev, IOMMU_CAP_ENFORCE_CACHE_COHERENCY)) {
    return new NotOffered('IOMMU_CAP_ENFORCE_CACHE_COHERENCY')
  }
  if (rig.domain(dev).enforceCacheCoherency?.() === true) return
  return broken('IOMMU_CAP_ENFORCE_CACHE_COHERENCY is there, but a new domain does not enforce it')
}

function flags(rig: Rig): NotOffered | undefined {
  const { driver } = rig
  if (driver.domainAllocPagingFlags === undefined) return new NotOffered('flags of tables')
  const dev = rig.device()
  const domain = driver.domainAllocPagingFlags(dev, 0, undefined)
  if (typeof domain === 'number') {
    return broken(`domainAllocPagingFlags without flags and data answers ${nameOf(domain)}`)
  }
  if (domain.type !== 'paging' || domain.owner !== driver) broken('it makes another kind of domain')
  return
}

function nested(rig: Rig): NotOffered | undefined {
  const data = rig.subject.nested
  if (rig.driver.domainAllocNested === undefined || data === undefined) {
    return new NotOffered('nested domains')
  }
  const dev = rig.device()
  const idev = rig.bind(dev)
  const parent = rig.hwpt(idev.id, rig.ioas(), IOMMU_HWPT_ALLOC_NEST_PARENT)
  if (parent < 0) return rig.refused('making a table to nest on', parent)
  const id = rig.hwpt(idev.id, parent, 0, data.type, data.data)
  if (id < 0) return rig.refused('making a nested table', id)
  rig.attach(idev, id)
  const domain = groupOf(dev).domain as AttachableDomain
  if (domain.type !== 'nested') broken(`the device uses a domain of type ${domain.type}`)
  if (domain.owner !== rig.driver) broken('the owner of a nested domain is not its driver')
  uses(rig, dev, domain)
  idev.detach()
  idev.unbind()
  rig.close()
  return
}

export const attachChecks: readonly DriverCheck[] = [
  {
    name: 'paging-domain-is-well-formed',
    rule: 'A new paging domain is empty, and its page sizes and aperture fit together.',
    run: wellFormed,
  },
  {
    name: 'plain-domains-can-be-attached',
    rule: 'Identity, blocked and default domain have their type and take devices.',
    run: plainDomains,
  },
  {
    name: 'domain-flags-are-optional',
    rule: 'A table can be asked for without flags and data.',
    run: flags,
  },
  {
    name: 'device-uses-what-is-attached',
    rule: 'Attach, replace and detach change what the device uses, at once.',
    run: follows,
  },
  {
    name: 'refused-attach-changes-nothing',
    rule: 'A device that refuses a domain still uses the one before, and can be blocked.',
    run: refusal,
  },
  {
    name: 'refused-replace-goes-back',
    rule: 'When one device of a group refuses, the others go back to the domain before.',
    run: rollback,
  },
  {
    name: 'coherency-is-enforced',
    rule: 'A driver that says it can enforce coherency does so for a new domain.',
    run: coherency,
  },
  {
    name: 'nested-domain-is-attached',
    rule: 'A nested domain is made from the data of user space, on a table, and takes devices.',
    run: nested,
  },
]
