// SPDX-License-Identifier: Apache-2.0
// What devices cost: whole calls on an address space with hardware page tables, DMA of a device through them, and what the
// pins of one, two and no domain take. As engine.mjs: a workload makes `n` operations, setting up is not part of it.
import {
  Device,
  DeviceDma,
  IOMMU_CAP_CACHE_COHERENCY,
  Iommu,
  IommuGroup,
  iommufd_device_attach,
  iommufd_device_bind,
  PageTableDomain,
} from '@iommufd/hw-iommu'
import { createPageTable, pageTableFormats } from '@iommufd/hw-iommu/pagetable'
import {
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_UNMAP,
  iommu_ioas_map,
  iommu_ioas_unmap,
  writeStruct,
} from '@iommufd/uapi'
import { ARG, Bench, BUFFER, BUFFER_BYTES, IOVA_BASE, IOVA_HI, LIST } from './engine.mjs'

const RW = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE

/** x86_64 tables of four levels; each device alone in its group. */
class BenchDriver {
  name = 'bench'
  blockedDomain = { type: 'blocked', owner: this, attachDev: () => 0 }
  constructor(iommu) {
    this.iommu = iommu
  }
  capable = (_dev, cap) => cap === IOMMU_CAP_CACHE_COHERENCY
  probeDevice = () => 0
  deviceGroup = () => new IommuGroup(this.iommu)
  domainAllocPaging() {
    const config = { features: [], maxVaszLg2: 57, maxOaszLg2: 52, topLevel: 4 }
    return new PageTableDomain(this, createPageTable(pageTableFormats.x86_64, config))
  }
}

/** A bench with `count` devices attached, each to a table of its own. */
function withDevices(count) {
  const bench = new Bench()
  const iommu = new Iommu(bench.engine)
  iommu.registerDriver(new BenchDriver(iommu))
  const devices = Array.from({ length: count }, (_, i) => new Device(`bench${i}`))
  for (const dev of devices) {
    iommu.addDevice(dev)
    const idev = iommufd_device_bind(bench.ctx, dev)
    const rc = typeof idev === 'number' ? idev : iommufd_device_attach(idev, 0, bench.ioas)
    if (rc < 0) throw new Error(bench.engine.refusals.last?.sentence)
  }
  return { bench, devices }
}

/** n times IOAS_MAP and IOAS_UNMAP of `length` bytes with one domain. */
export function mapUnmapWithDomain(length) {
  const { bench } = withDevices(1)
  const { engine, ctx, task } = bench
  bench.populate()
  const iova = IOVA_BASE
  const flags = IOMMU_IOAS_MAP_FIXED_IOVA | RW
  const mapBytes = { size: 40, flags, ioas_id: bench.ioas, user_va: BUFFER, length, iova }
  task.store(ARG, writeStruct(iommu_ioas_map, mapBytes))
  task.store(LIST, writeStruct(iommu_ioas_unmap, { size: 24, ioas_id: bench.ioas, iova, length }))
  return (n) => {
    let failed = 0
    for (let i = 0; i < n; i++) {
      failed |= engine.ioctl(ctx, task, IOMMU_IOAS_MAP, 0, ARG)
      failed |= engine.ioctl(ctx, task, IOMMU_IOAS_UNMAP, 0, LIST)
    }
    if (failed !== 0) throw new Error(engine.refusals.last?.sentence)
  }
}

/** n times a device reading or writing `bytes` bytes at one IOVA. */
export function dma(bytes, isWrite) {
  const { bench, devices } = withDevices(1)
  bench.map(IOVA_BASE, BUFFER_BYTES)
  const port = new DeviceDma(devices[0], bench.machine)
  const data = new Uint8Array(bytes)
  return (n) => {
    let done = 0
    for (let i = 0; i < n; i++) {
      done += isWrite
        ? port.writeAt(IOVA_HI, 64, data, 0, bytes)
        : port.readAt(IOVA_HI, 64, data, 0, bytes)
    }
    if (done !== n * bytes) throw new Error(port.faults[0]?.reason)
  }
}

/** Bytes per page that hold frame numbers beside the page tables, with so many users of the pages. */
export function storedFrameBytes(devices, hasAccess) {
  const { bench } = withDevices(devices)
  bench.map(IOVA_BASE, BUFFER_BYTES)
  if (hasAccess) {
    const frames = new Uint32Array(BUFFER_BYTES / 4096)
    const rc = bench.access().pinPages(IOVA_HI, 0, 0, BUFFER_BYTES, frames, 1)
    if (rc !== 0) throw new Error(bench.engine.refusals.last?.sentence)
  }
  const pages = BUFFER_BYTES / 4096
  if (bench.machine.pinnedFrames !== pages) throw new Error('a page is not pinned once')
  return bench.iopt.tables.pages.frameBytes / pages
}
