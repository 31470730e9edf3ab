// SPDX-License-Identifier: Apache-2.0
/** Checks of what a driver says about devices (SPEC section 8): who it serves, groups, regions. */

import { hiOf, loOf } from '@iommufd/core'
import { ENODEV } from '@iommufd/uapi'
import {
  Device,
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_MSI,
  IOMMU_RESV_RESERVED,
  IOMMU_RESV_SW_MSI,
  type IommuResvRegion,
  iovaToPhys,
  type PagingDomain,
} from '../index.js'
import { broken } from './broken.js'
import { type DriverCheck, NotOffered } from './check.js'
import { groupOf, nameOf, type Rig } from './rig.js'
import { hex } from './tracked-domain.js'

const END = 1n << 64n
/** No capability has this number. */
const UNKNOWN_CAP = 0x7fff_ffff
const REGION_TYPES: readonly number[] = [
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_RESERVED,
  IOMMU_RESV_MSI,
  IOMMU_RESV_SW_MSI,
]

function foreignDevice({ driver }: Rig): undefined {
  const rc = driver.probeDevice(new Device('a device that no driver knows'))
  if (rc === -ENODEV) return
  broken(`probing a plain Device answers ${nameOf(rc)}: other drivers would never see it`)
}

function addedAgain(rig: Rig): undefined {
  const dev = rig.device()
  for (let round = 0; round < 2; round++) {
    if (dev.ops !== rig.driver) broken(`the device ${dev.name} was added, but has another driver`)
    if (!groupOf(dev).devices.includes(dev)) broken(`${dev.name} is not in the group that it names`)
    rig.iommu.removeDevice(dev)
    const rc = rig.iommu.addDevice(dev)
    if (rc !== 0) broken(`adding ${dev.name} once more after its removal answers ${nameOf(rc)}`)
  }
}

function groups(rig: Rig): NotOffered | undefined {
  const [one, another] = [rig.device(), rig.device()]
  if (groupOf(one) === groupOf(another)) {
    broken('two devices that should be apart are in one group')
  }
  if (rig.subject.sharesGroups !== true) return new NotOffered('devices that share a group')
  const [first, ...others] = rig.devices(3) as [Device, Device, Device]
  for (const dev of others) {
    if (groupOf(dev) !== groupOf(first)) broken(`${dev.name} is not in the group of ${first.name}`)
  }
  return
}

function capabilities(rig: Rig): undefined {
  const dev = rig.device()
  for (let cap = 0; cap < 8; cap++) {
    const answer: unknown = rig.driver.capable(dev, cap)
    if (typeof answer !== 'boolean') broken(`capability ${cap} is ${String(answer)}, no boolean`)
    if (rig.driver.capable(dev, cap) !== answer) broken(`capability ${cap} changes by itself`)
  }
  if (rig.driver.capable(dev, UNKNOWN_CAP)) broken('a capability that nobody knows is there')
  if (!rig.driver.capable(dev, IOMMU_CAP_CACHE_COHERENCY)) {
    broken('there is no IOMMU_CAP_CACHE_COHERENCY, without which no device can be bound')
  }
}

function wellFormed(rig: Rig): NotOffered | undefined {
  const dev = rig.device()
  const regions = dev.resvRegions
  if (regions.length === 0) return new NotOffered('reserved regions')
  for (const region of regions) {
    const { start, length, type } = region
    if (!REGION_TYPES.includes(type)) broken(`a reserved region has the unknown type ${type}`)
    if (length >= 1n && start >= 0n && start + length <= END) continue
    broken(`a reserved region begins at ${hex(start)} with ${length} bytes`)
  }
  const ofType = (wanted: number): number => regions.filter(({ type }) => type === wanted).length
  const software = ofType(IOMMU_RESV_SW_MSI)
  if (software > 1 || (software === 1 && ofType(IOMMU_RESV_MSI) > 0)) {
    broken('the device has two windows for interrupts')
  }
  if (describe(regions) !== describe(dev.resvRegions))
    broken('reserved regions change by themselves')
  return
}

function describe(regions: readonly IommuResvRegion[]): string {
  return regions.map(({ start, length, type }) => `${start} ${length} ${type}`).join(', ')
}

function enforced(rig: Rig): NotOffered | undefined {
  const dev = rig.device()
  const regions = dev.resvRegions.filter(({ type }) => type !== IOMMU_RESV_DIRECT_RELAXABLE)
  if (regions.length === 0) return new NotOffered('reserved regions')
  const ioas = rig.ioas()
  const idev = rig.bind(dev)
  rig.attach(idev, ioas)
  const va = rig.memory(4096, () => 1)
  for (const { start } of regions) {
    const iova = start - (start % 4096n)
    if (rig.tryMap(ioas, va, 4096, iova) >= 0) {
      broken(`${hex(start)} is reserved by ${dev.name}, but was mapped while it is attached`)
    }
  }
  return
}

function directIsMapped(rig: Rig): NotOffered | undefined {
  const dev = rig.subject.makeDirectDevice?.('direct')
  if (dev === undefined) return new NotOffered('devices with a region mapped one to one')
  const rc = rig.iommu.addDevice(dev)
  if (rc !== 0) broken(`adding the device ${dev.name} answers ${nameOf(rc)}`)
  const domain = groupOf(dev).domain
  if (domain?.type === 'identity') return
  if (domain?.type !== 'paging') return broken(`${dev.name} must find a region, but is blocked`)
  for (const { start, type } of dev.resvRegions) {
    if (type !== IOMMU_RESV_DIRECT && type !== IOMMU_RESV_DIRECT_RELAXABLE) continue
    const phys = iovaToPhys(domain as PagingDomain, hiOf(start), loOf(start))
    if (BigInt(phys) !== start) broken(`${hex(start)} leads to ${phys}, not to the same address`)
  }
  return
}

export const deviceChecks: readonly DriverCheck[] = [
  {
    name: 'foreign-device-is-left',
    rule: 'A device that the driver does not know is -ENODEV, so that other drivers are asked.',
    run: foreignDevice,
  },
  {
    name: 'device-is-added-again',
    rule: 'A device gets the driver and a group; removed, it can be added again.',
    run: addedAgain,
  },
  {
    name: 'groups-are-kept-apart',
    rule: 'Devices are in one group when they cannot be told apart, and only then.',
    run: groups,
  },
  {
    name: 'capabilities-are-stable',
    rule: 'A capability is there or not, whenever it is asked for; unknown ones are not there.',
    run: capabilities,
  },
  {
    name: 'reserved-regions-are-well-formed',
    rule: 'Regions have at least one byte, a known type, and at most one window for interrupts.',
    run: wellFormed,
  },
  {
    name: 'reserved-regions-are-enforced',
    rule: 'While the device is attached, nothing can be mapped where it reserves IOVAs.',
    run: enforced,
  },
  {
    name: 'direct-regions-are-mapped',
    rule: 'A region mapped one to one is there before the device is used.',
    run: directIsMapped,
  },
]
