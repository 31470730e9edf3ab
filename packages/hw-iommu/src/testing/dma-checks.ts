// SPDX-License-Identifier: Apache-2.0
/** Checks of what devices reach by DMA, through an engine (SPEC section 8): flushes, dirty pages. */
import { hiOf, loOf } from '@iommufd/core'
import { IOMMU_HWPT_ALLOC_DIRTY_TRACKING, IOMMU_HWPT_ALLOC_PASID, PAGE_SIZE } from '@iommufd/uapi'
import {
  type Device,
  DeviceDma,
  type DirtyOps,
  IOMMU_CAP_DIRTY_TRACKING,
  IotlbGather,
  iommufd_device_attach,
  iommufd_device_detach,
  type PagingDomain,
  Translation,
} from '../index.js'
import { broken } from './broken.js'
import { type DriverCheck, NotOffered } from './check.js'
import { groupOf, type Rig } from './rig.js'
import { hex } from './tracked-domain.js'

/** More than an IOTLB flushes one by one, and large pages. */
const MANY_PAGES = 1100
const PASID = 1

const byteOf = (page: number): number => (page % 250) + 1

/** A device attached to an IOAS of its own. */
function attached(rig: Rig): { dev: Device; ioas: number; dma: DeviceDma; domain: PagingDomain } {
  const dev = rig.device()
  const ioas = rig.ioas()
  const domain = rig.domainOf(rig.attach(rig.bind(dev), ioas))
  return { dev, ioas, dma: rig.dma(dev), domain }
}

/** The device must find these bytes, one in each page. */
function mustRead(dma: DeviceDma, iova: bigint, pages: number, wanted: (page: number) => number) {
  const byte = new Uint8Array(1)
  for (let page = 0; page < pages; page++) {
    const at = iova + BigInt(page * PAGE_SIZE)
    if (dma.read(at, byte) !== 1) broken(`a read at ${hex(at)} faults: ${reasonOf(dma)}`)
    if (byte[0] !== wanted(page)) broken(`a read at ${hex(at)} finds other memory`)
  }
}

/** The device must find nothing there. */
function mustFault(dma: DeviceDma, iova: bigint, pages: number, when: string): void {
  const byte = new Uint8Array(1)
  for (let page = 0; page < pages; page++) {
    const at = iova + BigInt(page * PAGE_SIZE)
    if (dma.read(at, byte) === 1) broken(`a device still reads memory at ${hex(at)} ${when}`)
    const reason = reasonOf(dma)
    if (reason === 'NO_MEMORY') broken(`${hex(at)} still leads to unpinned memory ${when}`)
  }
}

function reasonOf(dma: DeviceDma): string | undefined {
  return dma.takeFaults().at(-1)?.reason
}

function flushed(rig: Rig): undefined {
  const { ioas, dma, domain } = attached(rig)
  const other = attached(rig)
  for (const pages of [1, 40, MANY_PAGES]) {
    const bytes = pages * PAGE_SIZE
    const old = rig.memory(bytes, byteOf)
    const iova = rig.mapAligned(ioas, domain, old, bytes)
    // Pinned elsewhere, so that what a stale translation leads to is there to be seen.
    rig.copy(ioas, iova, other.ioas, bytes)
    mustRead(dma, iova, pages, byteOf)
    rig.unmap(ioas, iova, bytes)
    mustFault(dma, iova, pages, 'after it was unmapped')
    rig.map(
      ioas,
      rig.memory(bytes, (page) => byteOf(page + 7)),
      bytes,
      iova,
    )
    mustRead(dma, iova, pages, (page) => byteOf(page + 7))
    rig.unmap(ioas, iova, bytes)
  }
}

function flushedWhole(rig: Rig): NotOffered | undefined {
  const { ioas, dma, domain } = attached(rig)
  const { iotlb } = domain
  if (iotlb === undefined || domain.flushIotlbAll === undefined) {
    return new NotOffered('an IOTLB that can be flushed whole')
  }
  const iova = rig.map(ioas, rig.memory(8 * PAGE_SIZE, byteOf), 8 * PAGE_SIZE)
  mustRead(dma, iova, 8, byteOf)
  domain.flushIotlbAll()
  const out = new Translation()
  for (let page = 0; page < 8; page++) {
    const at = iova + BigInt(page * PAGE_SIZE)
    if (iotlb.lookup(hiOf(at), loOf(at), out)) {
      broken(`${hex(at)} is still remembered after everything was flushed`)
    }
  }
  mustRead(dma, iova, 8, byteOf)
  return
}

function wholeWay(rig: Rig): undefined {
  const ioas = rig.ioas()
  const [dev, second] = [rig.device(), rig.device()]
  const [idev, other] = [rig.bind(dev), rig.bind(second)]
  const dma = rig.dma(dev)
  mustFault(dma, 0n, 1, 'before it was attached')
  const domain = rig.domainOf(rig.attach(idev, ioas))
  const bytes = MANY_PAGES * PAGE_SIZE
  const va = rig.memory(bytes, byteOf)
  const iova = rig.mapAligned(ioas, domain, va, bytes)
  mustRead(dma, iova, MANY_PAGES, byteOf)
  // What is mapped already must be in a domain that comes later.
  rig.attach(other, ioas)
  mustRead(rig.dma(second), iova, MANY_PAGES, byteOf)
  const sent = Uint8Array.from({ length: 3 * PAGE_SIZE }, (_, i) => i % 251)
  if (dma.write(iova + 100n, sent) !== sent.length) broken(`a write faults: ${reasonOf(dma)}`)
  const arrived = rig.process.load(va + 100, sent.length)
  if (String(arrived) !== String(sent)) broken('what the device has written is not in memory')
  idev.detach()
  mustFault(dma, iova, 1, 'after the device was detached')
  mustRead(rig.dma(second), iova + BigInt(8 * PAGE_SIZE), 1, () => byteOf(8))
  other.detach()
  for (const bound of [idev, other]) bound.unbind()
  rig.close()
}

function faultPoints(rig: Rig): undefined {
  const { ioas, dma, domain } = attached(rig)
  const { faults } = rig.engine
  const bytes = MANY_PAGES * PAGE_SIZE
  const va = rig.memory(bytes, byteOf)
  const iova = rig.mapAligned(ioas, domain, va, bytes)
  rig.unmap(ioas, iova, bytes)
  for (let n = 1; ; n++) {
    faults.arm(n)
    const rc = rig.tryMap(ioas, va, bytes, iova)
    const { fired } = faults
    faults.disarm()
    if (!fired) break
    // The last point is the answer's way back to the program: the mapping stays then, as in Linux.
    if (rc >= 0) broken(`fault point ${n} of IOAS_MAP fails, but the call is served`)
    if (rig.machine.pinnedFrames > 0) rig.unmap(ioas, iova, bytes)
    if (rig.machine.pinnedFrames > 0) broken(`fault point ${n} of IOAS_MAP leaves pages pinned`)
    mustFault(dma, iova, MANY_PAGES, `after fault point ${n} of IOAS_MAP`)
  }
  mustRead(dma, iova, MANY_PAGES, byteOf)
}

function pasids(rig: Rig): NotOffered | undefined {
  const dev = rig.device()
  const { blockedDomain } = rig.driver
  if (dev.maxPasids <= PASID || blockedDomain?.setDevPasid === undefined) {
    return new NotOffered('PASIDs')
  }
  const idev = rig.bind(dev)
  const ioas = rig.ioas()
  const table = rig.hwpt(idev.id, ioas, IOMMU_HWPT_ALLOC_PASID)
  if (table < 0) return rig.refused('making a table for PASIDs', table)
  const rc = iommufd_device_attach(idev, PASID, table)
  if (rc < 0) return rig.refused('attaching a PASID', rc)
  const iova = rig.map(ioas, rig.memory(4 * PAGE_SIZE, byteOf), 4 * PAGE_SIZE)
  const marked = new DeviceDma(dev, rig.machine, PASID)
  mustRead(marked, iova, 4, byteOf)
  mustFault(rig.dma(dev), iova, 4, 'without the PASID that it is attached for')
  iommufd_device_detach(idev, PASID)
  mustFault(marked, iova, 4, 'after its PASID was detached')
  return
}

/** A domain that records writes, in use: what its pages are asked for. */
class DirtyProbe {
  readonly dma: DeviceDma
  readonly iova: bigint
  readonly domain: PagingDomain
  readonly ops: DirtyOps

  constructor(rig: Rig, dev: Device) {
    const idev = rig.bind(dev)
    const ioas = rig.ioas()
    const table = rig.hwpt(idev.id, ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING)
    if (table < 0) rig.refused('making a table that records writes', table)
    rig.attach(idev, table)
    this.domain = groupOf(dev).domain as PagingDomain
    this.ops = this.domain.dirtyOps ?? broken('a table made to record writes has no dirtyOps')
    this.dma = rig.dma(dev)
    const bytes = MANY_PAGES * PAGE_SIZE
    this.iova = rig.mapAligned(ioas, this.domain, rig.memory(bytes, byteOf), bytes)
  }

  track(enable: boolean): void {
    const rc = this.ops.setDirtyTracking(enable)
    if (rc !== 0) broken(`setDirtyTracking(${enable}) answers ${rc}`)
  }

  write(pages: readonly number[]): void {
    for (const page of pages) {
      const at = this.iova + BigInt(page * PAGE_SIZE + 5)
      if (this.dma.write(at, Uint8Array.of(1)) !== 1) broken(`a write at ${hex(at)} faults`)
    }
  }

  /** Two pages of memory that lie in one page of the table, if there is a large one. */
  get pair(): readonly [number, number] {
    for (let page = 1; page < MANY_PAGES; page++) {
      if (this.sharesPage(page - 1, page)) return [page - 1, page]
    }
    return [0, 1]
  }

  /** Whether two pages of memory are in one page of the table. */
  sharesPage(page: number, other: number): boolean {
    const [at, beside] = [page, other].map((n) => this.iova + BigInt(n * PAGE_SIZE))
    const out = new Translation()
    this.domain.translate(hiOf(at as bigint), loOf(at as bigint), out)
    const lg2 = BigInt(out.lg2)
    return (at as bigint) >> lg2 === (beside as bigint) >> lg2
  }

  /** Reports the pages [first, first + count): they must be those that were written. */
  expect(written: readonly number[], noClear = false, first = 0, count = MANY_PAGES): void {
    const found: { readonly start: bigint; readonly end: bigint }[] = []
    const gather = new IotlbGather()
    const report = (hi: number, lo: number, lg2: number): void => {
      const start = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
      found.push({ start, end: start + (1n << BigInt(lg2)) })
    }
    const iova = this.iova + BigInt(first * PAGE_SIZE)
    const bytes = count * PAGE_SIZE
    const { ops } = this
    const rc = ops.readAndClearDirty(hiOf(iova), loOf(iova), bytes, noClear, gather, report)
    if (rc !== 0) broken(`readAndClearDirty answers ${rc}`)
    this.domain.iotlbSync?.(gather)
    const places = written.map((page) => this.iova + BigInt(page * PAGE_SIZE + 5))
    for (const at of places) {
      if (found.some(({ start, end }) => start <= at && at < end)) continue
      broken(`${hex(at)} was written, but its page is not reported`)
    }
    for (const { start, end } of found) {
      if (places.some((at) => start <= at && at < end)) continue
      broken(`the page at ${hex(start)} is reported, but nothing in it was written`)
    }
  }
}

function dirtyPages(rig: Rig): NotOffered | undefined {
  const dev = rig.device()
  if (!rig.driver.capable(dev, IOMMU_CAP_DIRTY_TRACKING)) {
    return new NotOffered('IOMMU_CAP_DIRTY_TRACKING')
  }
  const probe = new DirtyProbe(rig, dev)
  const pages = [0, 1, 130, 511, 512, MANY_PAGES - 1]
  probe.track(true)
  probe.expect([])
  probe.write(pages)
  probe.expect(pages, true)
  probe.expect(pages)
  probe.expect([])
  // Written once more, though an IOTLB may remember that they are dirty.
  probe.write(pages)
  probe.expect(pages)
  probe.write([3])
  probe.expect([3])
  // Asking for a part of a large page clears all of it.
  const [asked, beside] = probe.pair
  probe.write([asked, beside])
  probe.expect(probe.sharesPage(asked, beside) ? [asked, beside] : [asked], false, asked, 1)
  probe.write([beside])
  probe.expect([beside])
  probe.track(false)
  return
}

export const dmaChecks: readonly DriverCheck[] = [
  {
    name: 'devices-reach-what-is-mapped',
    rule: 'Attached devices reach what was mapped before and after, and nothing when detached.',
    run: wholeWay,
  },
  {
    name: 'unmapped-memory-is-flushed',
    rule: 'After an unmap no device reaches the memory, whatever the IOTLB has remembered.',
    run: flushed,
  },
  {
    name: 'everything-is-flushed',
    rule: 'flushIotlbAll leaves nothing in the IOTLB.',
    run: flushedWhole,
  },
  {
    name: 'failed-calls-leave-nothing',
    rule: 'When anything on the way of a mapping fails, no page is mapped or pinned.',
    run: faultPoints,
  },
  {
    name: 'pasids-are-kept-apart',
    rule: 'DMA with a PASID reaches the table of the PASID, and no other.',
    run: pasids,
  },
  {
    name: 'dirty-pages-are-reported',
    rule: 'Every page that was written since it was cleared is reported, and no other.',
    run: dirtyPages,
  },
]
