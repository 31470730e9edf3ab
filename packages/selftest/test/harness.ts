// SPDX-License-Identifier: Apache-2.0
//
// A machine with /dev/iommu and IOMMU_TEST_CMD, and a process that makes ioctls the way the kernel's selftests do.

import { Iommufd, type IommufdCtx, type IommufdOptions } from '@iommufd/core'
import { Machine, type MachineOptions, type Process } from '@iommufd/host'
import { type IopTables, registerIoas } from '@iommufd/pages'
import {
  errnoName,
  IOMMU_DESTROY,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_UNMAP,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP_CREATE_ACCESS,
  iommu_destroy,
  iommu_ioas_alloc,
  iommu_ioas_map,
  iommu_ioas_unmap,
  iommu_test_cmd,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES,
  PROT_READ,
  PROT_WRITE,
  readStruct,
  type StructInput,
  type StructLayout,
  type StructValue,
  writeStruct,
} from '@iommufd/uapi'
import { registerSelftest, type TestOps } from '../src/index.js'

export const PAGE = 4096
/** A page for ioctl structs. */
const ARG = 0x1_0000_0000
/** A page for structs that the kernel cannot write to. */
const RO_ARG = 0x1_0000_2000
/** 16 pages of the process, private and writable; the page behind them is not mapped. */
export const BUFFER = 0x1_1000_0000
export const BUFFER_PAGES = 16
/** Never mapped. */
export const HOLE = 0x1_1040_0000
/** Where tests map. */
export const IOVA = 0x10_0000

export const READ: number = IOMMU_IOAS_MAP_READABLE
const WRITE: number = IOMMU_IOAS_MAP_WRITEABLE

export type TestCmd = StructInput<typeof iommu_test_cmd>

/** A process with a descriptor of an iommufd. */
export interface Program {
  readonly machine: Machine
  readonly engine: Iommufd
  readonly process: Process
  readonly fd: number
}

export interface Booted extends Program {
  readonly ctx: IommufdCtx
  readonly tables: IopTables
  readonly ops: TestOps
}

export function boot(options: IommufdOptions = {}, machineOptions: MachineOptions = {}): Booted {
  const machine = new Machine(machineOptions)
  const engine = new Iommufd(machine, options)
  const tables = registerIoas(engine)
  const ops = registerSelftest(engine, tables)
  machine.registerDevice('/dev/iommu', () => engine.createContext('user'))
  const process = machine.spawn()
  mmap(process, ARG, 1)
  mmap(process, BUFFER, BUFFER_PAGES)
  const fd = process.open('/dev/iommu')
  const file = process.file(fd)
  const ctx = file && engine.contextOf(file)
  if (ctx === undefined) throw new Error('open')
  return { machine, engine, process, fd, ctx, tables, ops }
}

/** Fresh private memory at the address, in place of what is there. */
export function mmap(process: Process, addr: number, pages: number): void {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
  const ret = process.mmap(addr, pages * PAGE, PROT_READ | PROT_WRITE, flags)
  if (ret !== addr) throw new Error(`mmap: ${ret}`)
}

export function ioctl<const L extends StructLayout>(
  { process, fd }: Pick<Program, 'process' | 'fd'>,
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

/** One test operation: its answer with the reason, and the struct afterwards. */
export function testOp(
  program: Program,
  op: number,
  values: TestCmd,
): { answer: string; out: StructValue<typeof iommu_test_cmd> } {
  const { ret, out } = ioctl(program, IOMMU_TEST_CMD, iommu_test_cmd, { op, ...values })
  return { answer: why(program.engine, ret), out }
}

/** The answer alone, to an operation whose struct the kernel can read but not write. */
export function readOnlyOp({ process, engine, fd }: Program, op: number, values: TestCmd): string {
  mmap(process, RO_ARG, 1)
  process.store(RO_ARG, writeStruct(iommu_test_cmd, { op, ...values }))
  process.mprotect(RO_ARG, PAGE, PROT_READ)
  return why(engine, process.ioctl(fd, IOMMU_TEST_CMD, RO_ARG))
}

/** A new IOAS: its id. */
export function allocIoas(program: Program): number {
  const { ret, out } = ioctl(program, IOMMU_IOAS_ALLOC, iommu_ioas_alloc, {})
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
export function map(program: Program, ioas_id: number, mapping: Mapping): string {
  const { iova = IOVA, va = BUFFER, length, prot = READ | WRITE } = mapping
  const flags = IOMMU_IOAS_MAP_FIXED_IOVA | prot
  const values = { flags, ioas_id, user_va: va, length, iova }
  return why(program.engine, ioctl(program, IOMMU_IOAS_MAP, iommu_ioas_map, values).ret)
}

export function unmap(
  program: Program,
  ioas_id: number,
  iova: number | bigint,
  length: number | bigint,
): string {
  const values = { ioas_id, iova, length }
  return why(program.engine, ioctl(program, IOMMU_IOAS_UNMAP, iommu_ioas_unmap, values).ret)
}

export function destroyId(program: Program, id: number): string {
  return why(program.engine, ioctl(program, IOMMU_DESTROY, iommu_destroy, { id }).ret)
}

/** CREATE_ACCESS of one that pins (unless told otherwise): its descriptor. */
export function createAccess(
  program: Program,
  ioas: number,
  flags: number = MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES,
): number {
  const values = { id: ioas, create_access_flags: flags }
  const { answer, out } = testOp(program, IOMMU_TEST_OP_CREATE_ACCESS, values)
  if (answer !== '0') throw new Error(`CREATE_ACCESS: ${answer}`)
  return out.create_access_out_access_fd
}

/** An answer with its reason: `0`, or `EBADFD FD_IS_NO_ACCESS`. */
export function why(engine: Iommufd, ret: number): string {
  const { last } = engine.refusals
  if (ret >= 0) return last === undefined ? `${ret}` : `${ret} but ${last.id}`
  if (last === undefined) return `${errnoName(ret)} without a reason`
  if (last.errno !== -ret) return `${errnoName(ret)} explained by ${last.errnoName} ${last.id}`
  return `${last.errnoName} ${last.id}`
}

/** Pins on the frames that the process sees from `addr` on. */
export function pinsAt({ machine, process }: Program, addr: number, pages: number): number[] {
  return Array.from({ length: pages }, (_, i) => {
    const at = addr + i * PAGE
    return machine.pins(process.mm.lookup(Math.floor(at / 2 ** 32), at | 0))
  })
}
