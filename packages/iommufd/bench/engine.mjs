// SPDX-License-Identifier: Apache-2.0
// What whole calls cost on the assembled engine: IOAS_MAP + IOAS_UNMAP, IOVA_RANGES, an access reading and writing.
// Each workload is a function that makes `n` operations; setting up is not part of it. Calls enter the engine the way
// a process's ioctl does, behind the descriptor table: as two int32 words.
import { iommufd_access_attach, iommufd_access_create } from '@iommufd/access'
import { Machine } from '@iommufd/host'
import { IOAS } from '@iommufd/pages'
import {
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_UNMAP,
  iommu_ioas_alloc,
  iommu_ioas_iova_ranges,
  iommu_ioas_map,
  iommu_ioas_unmap,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  readStruct,
  writeStruct,
} from '@iommufd/uapi'
import { attachIommufd } from 'iommufd'

export const ARG = 0x10000
export const LIST = 0x20000
export const BUFFER = 0x7f00_0000_0000
export const BUFFER_BYTES = 8 << 20
/** As high as a device with 48 bits reaches, so that page numbers do not fit into 32 bits. */
export const IOVA_HI = 0x10000
export const IOVA_BASE = IOVA_HI * 2 ** 32
const RW = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE

/** A process with one address space, and memory to map. */
export class Bench {
  constructor() {
    this.machine = new Machine()
    this.engine = attachIommufd(this.machine, { selftest: true })
    this.task = this.machine.spawn()
    const anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    for (const [addr, length] of [
      [ARG, 0x1000],
      [LIST, 0x1000],
      [BUFFER, BUFFER_BYTES],
    ]) {
      this.task.mmap(addr, length, PROT_READ | PROT_WRITE, anonymous)
    }
    const fd = this.task.open('/dev/iommu')
    this.ctx = this.engine.contextOf(this.task.file(fd))
    this.ioas = this.call(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, { size: 12 }).out_ioas_id
    this.iopt = this.ctx.find(this.ioas, IOAS).iopt
  }

  /** One call that must succeed; the struct after it. */
  call(cmd, layout, values) {
    this.task.store(ARG, writeStruct(layout, { size: layout.size, ...values }))
    const rc = this.engine.ioctl(this.ctx, this.task, cmd, 0, ARG)
    if (rc !== 0) throw new Error(`${layout.name}: ${rc} ${this.engine.refusals.last?.sentence}`)
    return readStruct(layout, this.task.load(ARG, layout.size))
  }

  map(iova, length, va = BUFFER) {
    const flags = IOMMU_IOAS_MAP_FIXED_IOVA | RW
    const values = { flags, ioas_id: this.ioas, user_va: va, length, iova }
    return this.call(IOMMU_IOAS_MAP, iommu_ioas_map, values)
  }

  /** `count` areas of one page with a free page between them, from IOVA_BASE on. */
  mapMany(count) {
    const bytes = writeStruct(iommu_ioas_map, {
      size: iommu_ioas_map.size,
      flags: IOMMU_IOAS_MAP_FIXED_IOVA | RW,
      ioas_id: this.ioas,
      user_va: BUFFER,
      length: 4096,
      iova: 0,
    })
    const words = new Int32Array(bytes.buffer)
    for (let i = 0; i < count; i++) {
      setAddress(words, iommu_ioas_map.at.iova, IOVA_BASE + i * 8192)
      this.task.mm.copyToUser(0, ARG, bytes, 0, bytes.length)
      if (this.engine.ioctl(this.ctx, this.task, IOMMU_IOAS_MAP, 0, ARG) !== 0) {
        throw new Error(this.engine.refusals.last?.sentence)
      }
    }
  }

  /** Writes to every page of the buffer, so that pinning does not allocate memory. */
  populate() {
    for (let at = 0; at < BUFFER_BYTES; at += 4096) this.task.store(BUFFER + at, Uint8Array.of(1))
  }

  /** An access attached to the address space. */
  access() {
    const access = iommufd_access_create(this.ctx, { needs_pin_pages: true, unmap() {} }, null)
    const rc = iommufd_access_attach(access, this.ioas)
    if (rc !== 0) throw new Error(`attach: ${rc}`)
    return access
  }
}

function setAddress(words, at, address) {
  words[at >> 2] = address | 0
  words[(at >> 2) + 1] = Math.floor(address / 0x100000000)
}

/**
 * n times IOAS_MAP of `length` bytes and IOAS_UNMAP of the same, beside `others` areas that stay. The structs lie at two
 * addresses, so that nothing but the two calls is measured.
 */
export function mapUnmap(length, others) {
  const bench = new Bench()
  bench.mapMany(others)
  const { engine, ctx, task } = bench
  const iova = IOVA_BASE + others * 8192
  const flags = IOMMU_IOAS_MAP_FIXED_IOVA | RW
  const mapBytes = { size: 40, flags, ioas_id: bench.ioas, user_va: BUFFER, length, iova }
  task.store(ARG, writeStruct(iommu_ioas_map, mapBytes))
  const unmapBytes = { size: 24, ioas_id: bench.ioas, iova, length }
  task.store(LIST, writeStruct(iommu_ioas_unmap, unmapBytes))
  return (n) => {
    let failed = 0
    for (let i = 0; i < n; i++) {
      failed |= engine.ioctl(ctx, task, IOMMU_IOAS_MAP, 0, ARG)
      failed |= engine.ioctl(ctx, task, IOMMU_IOAS_UNMAP, 0, LIST)
    }
    if (failed !== 0) throw new Error(engine.refusals.last?.sentence)
  }
}

/** n times IOAS_IOVA_RANGES with one range. */
export function iovaRanges() {
  const bench = new Bench()
  const { engine, ctx, task } = bench
  const values = { size: 32, ioas_id: bench.ioas, num_iovas: 1, allowed_iovas: LIST }
  task.store(ARG, writeStruct(iommu_ioas_iova_ranges, values))
  return (n) => {
    let failed = 0
    for (let i = 0; i < n; i++) failed |= engine.ioctl(ctx, task, IOMMU_IOAS_IOVA_RANGES, 0, ARG)
    if (failed !== 0) throw new Error(engine.refusals.last?.sentence)
  }
}

/** n times an access reading (flags 0) or writing (1) `bytes` bytes, in pages that another user has pinned. */
export function accessRw(bytes, flags, pinned) {
  const bench = new Bench()
  bench.map(IOVA_BASE, BUFFER_BYTES)
  const access = bench.access()
  if (pinned) {
    const frames = new Uint32Array(BUFFER_BYTES / 4096)
    const rc = access.pinPages(IOVA_HI, 0, 0, BUFFER_BYTES, frames, 1)
    if (rc !== 0) throw new Error(bench.engine.refusals.last?.sentence)
  }
  const data = new Uint8Array(bytes)
  return (n) => {
    let failed = 0
    for (let i = 0; i < n; i++) failed |= access.rw(IOVA_HI, 64, data, 0, bytes, flags)
    if (failed !== 0) throw new Error(bench.engine.refusals.last?.sentence)
  }
}

/** Bytes of the tree and of the record tables per area, for `count` areas of one page each. */
export function bytesPerArea(count) {
  const bench = new Bench()
  bench.mapMany(count)
  const { areas, tables } = bench.iopt
  return (areas.bytes + tables.areas.bytes + tables.pages.bytes) / count
}

/** Bytes of stored frame numbers per page that an access has pinned. */
export function bytesPerPinnedPage() {
  const bench = new Bench()
  bench.map(IOVA_BASE, BUFFER_BYTES)
  const frames = new Uint32Array(BUFFER_BYTES / 4096)
  if (bench.access().pinPages(IOVA_HI, 0, 0, BUFFER_BYTES, frames, 1) !== 0) {
    throw new Error(bench.engine.refusals.last?.sentence)
  }
  return bench.iopt.tables.pages.frameBytes / frames.length
}
