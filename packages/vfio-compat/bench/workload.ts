// SPDX-License-Identifier: Apache-2.0
/**
 * The rows of the container's benchmark: MAP_DMA + UNMAP_DMA, and unmapping with TYPE1 that cuts a
 * range out of a mapping, beside many areas and out of one mapping many times. Calls enter the engine
 * as two int32 words, behind the descriptor table.
 */
/// <reference types="node" />
import { Iommufd, type IommufdCtx } from '@iommufd/core'
import { Machine, type Process } from '@iommufd/host'
import { domainTraits, Iommu, PageTableDomain, type PagingDomain } from '@iommufd/hw-iommu'
import { createPageTable, pageTableFormats } from '@iommufd/hw-iommu/pagetable'
import { registerIoas } from '@iommufd/pages'
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  writeStruct,
} from '@iommufd/uapi'
import { PhysicalVfioDevice, Vfio } from '../src/group.js'
import { registerVfioCompat } from '../src/index.js'
import { PaperDevice, PaperDriver } from '../test/paper-driver.js'

const PAGE = 4096
const ARG = 0x10000
const OTHER = 0x20000
const CUT = 0x30000
const BUFFER = 0x7f00_0000_0000
/** Above what fits into 32 bits of bytes. */
const IOVA = 2 ** 40

/** Runs so many operations. */
export type Run = (n: number) => void

/** The IOMMU on paper with page tables that are real. */
class BenchDriver extends PaperDriver {
  override domainAllocPaging(): PagingDomain {
    const { amdv1 } = pageTableFormats
    const config = { features: amdv1.required, maxVaszLg2: 64, maxOaszLg2: 52, topLevel: 3 }
    const table = createPageTable(amdv1, config)
    if (typeof table === 'number') throw new Error('no page table')
    return new PageTableDomain(this, table)
  }
}

/** A program with a container of the first version of type 1, a device open or not. */
class Bench {
  readonly engine: Iommufd
  readonly task: Process
  readonly ctx: IommufdCtx

  constructor(withDevice: boolean, bufferPages: number) {
    const machine = new Machine()
    this.engine = new Iommufd(machine)
    registerVfioCompat(this.engine, registerIoas(this.engine), { domainTraits })
    machine.registerDevice('/dev/vfio/vfio', () => this.engine.createContext('mm'))
    this.task = machine.spawn()
    const anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    for (const at of [ARG, OTHER, CUT]) this.task.mmap(at, PAGE, PROT_READ | PROT_WRITE, anonymous)
    this.task.mmap(BUFFER, bufferPages * PAGE, PROT_READ | PROT_WRITE, anonymous)
    for (let i = 0; i < bufferPages; i++) this.task.store(BUFFER + i * PAGE, Uint8Array.of(1))
    const container = this.task.open('/dev/vfio/vfio')
    this.#addGroup(machine, container, withDevice)
    this.ctx = [...this.engine.contexts][0] as IommufdCtx
  }

  #addGroup(machine: Machine, container: number, withDevice: boolean): void {
    const iommu = new Iommu(this.engine)
    iommu.registerDriver(new BenchDriver(iommu))
    const device = new PaperDevice('nic')
    iommu.addDevice(device)
    const number = new Vfio(this.engine, machine).addDevice(new PhysicalVfioDevice(device))
    const group = this.task.open(`/dev/vfio/${number}`)
    this.task.store(ARG, Uint8Array.of(container, 0, 0, 0))
    must(this.task.ioctl(group, VFIO_GROUP_SET_CONTAINER, ARG))
    must(this.task.ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU))
    if (!withDevice) return
    this.task.store(ARG, Uint8Array.of(0x6e, 0x69, 0x63, 0))
    must(this.task.ioctl(group, VFIO_GROUP_GET_DEVICE_FD, ARG))
  }

  putMap(at: number, iova: number, size: number): void {
    const values = { argsz: 32, flags: 3, vaddr: BUFFER, iova, size }
    this.task.store(at, writeStruct(vfio_iommu_type1_dma_map, values))
  }

  putUnmap(at: number, iova: number, size: number): void {
    this.task.store(at, writeStruct(vfio_iommu_type1_dma_unmap, { argsz: 24, iova, size }))
  }

  ioctl(cmd: number, at: number): number {
    return this.engine.ioctl(this.ctx, this.task, cmd, 0, at)
  }

  /** Areas of a page each, with a free page between them. */
  mapMany(count: number): void {
    for (let i = 0; i < count; i++) {
      this.putMap(ARG, IOVA + i * 2 * PAGE, PAGE)
      must(this.ioctl(VFIO_IOMMU_MAP_DMA, ARG))
    }
  }

  check(failed: number): void {
    if (failed !== 0) throw new Error(this.engine.refusals.last?.sentence)
  }
}

/** n times MAP_DMA of `length` bytes and UNMAP_DMA of the same, beside `others` areas that stay. */
export function mapUnmapDma(length: number, others: number, withDevice: boolean): Run {
  const bench = new Bench(withDevice, length / PAGE)
  bench.mapMany(others)
  const iova = IOVA + others * 2 * PAGE
  bench.putMap(ARG, iova, length)
  bench.putUnmap(OTHER, iova, length)
  return (n) => {
    let failed = 0
    for (let i = 0; i < n; i++) {
      failed |= bench.ioctl(VFIO_IOMMU_MAP_DMA, ARG)
      failed |= bench.ioctl(VFIO_IOMMU_UNMAP_DMA, OTHER)
    }
    bench.check(failed)
  }
}

/**
 * n times MAP_DMA of 3 pages, UNMAP_DMA of the one in the middle (two cuts) and of the rest, beside
 * `others` areas that stay.
 */
export function splitDma(others: number, withDevice: boolean): Run {
  const bench = new Bench(withDevice, 3)
  bench.mapMany(others)
  const iova = IOVA + others * 2 * PAGE
  bench.putMap(ARG, iova, 3 * PAGE)
  bench.putUnmap(CUT, iova + PAGE, PAGE)
  return (n) => {
    let failed = 0
    for (let i = 0; i < n; i++) {
      failed |= bench.ioctl(VFIO_IOMMU_MAP_DMA, ARG)
      failed |= bench.ioctl(VFIO_IOMMU_UNMAP_DMA, CUT)
      bench.putUnmap(OTHER, iova, 3 * PAGE)
      failed |= bench.ioctl(VFIO_IOMMU_UNMAP_DMA, OTHER)
    }
    bench.check(failed)
  }
}

/**
 * One mapping of 2 `pieces` pages, out of which every other page is unmapped, until it is `pieces`
 * areas: nanoseconds per unmap of the first tenth and of the last.
 */
export function splitOne(pieces: number, withDevice: boolean): { first: number; last: number } {
  const bench = new Bench(withDevice, 2 * pieces)
  bench.putMap(ARG, IOVA, 2 * pieces * PAGE)
  must(bench.ioctl(VFIO_IOMMU_MAP_DMA, ARG))
  const tenth = Math.max(1, Math.floor(pieces / 10))
  const spent = (from: number, to: number): number => {
    const start = performance.now()
    let failed = 0
    for (let i = from; i < to; i++) {
      bench.putUnmap(CUT, IOVA + 2 * i * PAGE, PAGE)
      failed |= bench.ioctl(VFIO_IOMMU_UNMAP_DMA, CUT)
    }
    bench.check(failed)
    return ((performance.now() - start) * 1e6) / (to - from)
  }
  const first = spent(0, tenth)
  spent(tenth, pieces - tenth)
  return { first, last: spent(pieces - tenth, pieces) }
}

function must(ret: number): void {
  if (ret < 0) throw new Error(`unexpected ${ret}`)
}
