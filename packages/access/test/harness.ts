// SPDX-License-Identifier: Apache-2.0
//
// A machine whose /dev/iommu has address spaces, and a process that maps memory there with ioctls; the tests then act
// as code inside the kernel.

import { Iommufd, type IommufdCtx, type IommufdOptions } from '@iommufd/core'
import { Machine, type Process } from '@iommufd/host'
import { registerIoas } from '@iommufd/pages'
import {
  errnoName,
  IOMMU_DESTROY,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_UNMAP,
  iommu_destroy,
  iommu_ioas_alloc,
  iommu_ioas_iova_ranges,
  iommu_ioas_map,
  iommu_ioas_map_file,
  iommu_ioas_unmap,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  readStruct,
  type StructInput,
  type StructLayout,
  type StructValue,
  writeStruct,
} from '@iommufd/uapi'
import {
  type IommufdAccess,
  type IommufdAccessOps,
  iommufd_access_attach,
  iommufd_access_create,
  iommufd_access_unpin_pages,
} from '../src/index.js'

export const PAGE = 4096
/** A page for ioctl structs. */
const ARG = 0x1_0000_0000
/** 16 pages of the process, private and writable; the page behind them is not mapped. */
export const BUFFER = 0x1_1000_0000
export const BUFFER_PAGES = 16
/** Where tests map. */
export const IOVA = 0x10_0000

export const READ: number = IOMMU_IOAS_MAP_READABLE
export const WRITE: number = IOMMU_IOAS_MAP_WRITEABLE

export interface Booted {
  readonly machine: Machine
  readonly engine: Iommufd
  readonly process: Process
  readonly fd: number
  readonly ctx: IommufdCtx
}

export function boot(options: IommufdOptions = {}): Booted {
  const machine = new Machine()
  const engine = new Iommufd(machine, options)
  registerIoas(engine)
  machine.registerDevice('/dev/iommu', () => engine.createContext('user'))
  const process = machine.spawn()
  mmap(process, ARG, 1)
  mmap(process, BUFFER, BUFFER_PAGES)
  const fd = process.open('/dev/iommu')
  const file = process.file(fd)
  const ctx = file && engine.contextOf(file)
  if (ctx === undefined) throw new Error('open')
  return { machine, engine, process, fd, ctx }
}

/** Fresh private memory at the address, in place of what is there. */
export function mmap(process: Process, addr: number, pages: number): void {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
  const ret = process.mmap(addr, pages * PAGE, PROT_READ | PROT_WRITE, flags)
  if (ret !== addr) throw new Error(`mmap: ${ret}`)
}

function ioctl<const L extends StructLayout>(
  { process, fd }: Booted,
  cmd: number,
  layout: L,
  values: StructInput<L>,
): { ret: number; out: StructValue<L> } {
  if (process.store(ARG, writeStruct(layout, values)) !== 0) throw new Error('store')
  const ret = process.ioctl(fd, cmd, ARG)
  const bytes = process.load(ARG, layout.size)
  if (typeof bytes === 'number') throw new Error('load')
  return { ret, out: readStruct(layout, bytes) }
}

/** A new IOAS: its id. */
export function allocIoas(booted: Booted): number {
  const { ret, out } = ioctl(booted, IOMMU_IOAS_ALLOC, iommu_ioas_alloc, {})
  if (ret !== 0) throw new Error(`IOAS_ALLOC: ${ret}`)
  return out.out_ioas_id
}

export interface Mapping {
  readonly iova?: number | bigint
  /** default BUFFER */
  readonly va?: number
  readonly length: number
  /** default READ | WRITE */
  readonly prot?: number
}

/** IOAS_MAP at a chosen IOVA (default IOVA). */
export function map(booted: Booted, ioas_id: number, mapping: Mapping): string {
  const { iova = IOVA, va = BUFFER, length, prot = READ | WRITE } = mapping
  const flags = IOMMU_IOAS_MAP_FIXED_IOVA | prot
  const values = { flags, ioas_id, user_va: va, length, iova }
  return why(booted.engine, ioctl(booted, IOMMU_IOAS_MAP, iommu_ioas_map, values).ret)
}

/** IOAS_MAP_FILE at IOVA, readable and writable. */
export function mapFile(booted: Booted, ioas_id: number, fd: number, length: number): string {
  const flags = IOMMU_IOAS_MAP_FIXED_IOVA | READ | WRITE
  const values = { flags, ioas_id, fd, length, iova: IOVA }
  return why(booted.engine, ioctl(booted, IOMMU_IOAS_MAP_FILE, iommu_ioas_map_file, values).ret)
}

/** IOAS_UNMAP; with its answer, the bytes unmapped. */
export function unmap(
  booted: Booted,
  ioas_id: number,
  iova: number | bigint,
  length: number | bigint,
): [string, bigint] {
  const values = { ioas_id, iova, length }
  const { ret, out } = ioctl(booted, IOMMU_IOAS_UNMAP, iommu_ioas_unmap, values)
  return [why(booted.engine, ret), out.length]
}

export function destroyId(booted: Booted, id: number): string {
  return why(booted.engine, ioctl(booted, IOMMU_DESTROY, iommu_destroy, { id }).ret)
}

/** The alignment that IOAS_IOVA_RANGES tells. */
export function alignment(booted: Booted, ioas_id: number): bigint {
  return ioctl(booted, IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges, { ioas_id }).out
    .out_iova_alignment
}

/** An answer with its reason: `0`, or `EINVAL ACCESS_LENGTH_ZERO`. */
export function why(engine: Iommufd, ret: number): string {
  const { last } = engine.refusals
  if (ret >= 0) return last === undefined ? `${ret}` : `${ret} but ${last.id}`
  if (last === undefined) return `${errnoName(ret)} without a reason`
  if (last.errno !== -ret) return `${errnoName(ret)} explained by ${last.errnoName} ${last.id}`
  return `${last.errnoName} ${last.id}`
}

/** What stands behind an access of a test: its pins, and what it was asked to let go. */
export class Pins {
  access!: IommufdAccess<Pins>
  readonly held: [iova: bigint, length: bigint][] = []
  readonly asked: [iova: bigint, length: bigint][] = []

  /** Unpins what touches the range. */
  letGo(iova: bigint, length: bigint): void {
    for (const [at, held] of this.held.splice(0)) {
      if (at < iova + length && iova < at + held) iommufd_access_unpin_pages(this.access, at, held)
      else this.held.push([at, held])
    }
  }
}

export const pinOps: IommufdAccessOps<Pins> = {
  needs_pin_pages: true,
  unmap: (pins, iova, length) => {
    pins.asked.push([iova, length])
    pins.letGo(iova, length)
  },
}

/** A new access, attached if an IOAS is given; a pinning one unless other ops are. */
export function newAccess(
  booted: Booted,
  ioasId?: number,
  ops: IommufdAccessOps<Pins> = pinOps,
): Pins {
  const pins = new Pins()
  const access = iommufd_access_create(booted.ctx, ops, pins)
  if (typeof access === 'number') throw new Error(`create: ${access}`)
  pins.access = access
  const ret = ioasId === undefined ? 0 : iommufd_access_attach(access, ioasId)
  if (ret !== 0) throw new Error(`attach: ${ret}`)
  return pins
}
