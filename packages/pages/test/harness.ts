// SPDX-License-Identifier: Apache-2.0
//
// What the tests of this package stand on: a machine with an engine that serves IOAS commands, programs that have a
// context open and memory to map, and in-kernel users of an address space.
//
// Every refused call is checked for its explanation: the refusal that the engine keeps must carry the errno that came out.

import { Iommufd, type IommufdCtx, type IommufdOptions } from '@iommufd/core'
import { Machine, type Process, type SpawnOptions } from '@iommufd/host'
import {
  errnoName,
  IOMMU_DESTROY,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  iommu_destroy,
  iommu_ioas_alloc,
  iommu_ioas_allow_iovas,
  iommu_ioas_change_process,
  iommu_ioas_copy,
  iommu_ioas_iova_ranges,
  iommu_ioas_map,
  iommu_ioas_map_file,
  iommu_ioas_unmap,
  iommu_iova_range,
  iommu_option,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
  readStruct,
  type StructInput,
  type StructLayout,
  type StructValue,
  writeStruct,
} from '@iommufd/uapi'
import { IOAS, type IommufdIoas } from '../src/ioas.js'
import { registerIoas } from '../src/ioas-commands.js'
import type { IopTables } from '../src/iop-tables.js'
import type { Range } from './u64.js'

export const PAGE = 4096
/** Where structs lie; the next page is not mapped. */
export const ARG = 0x1_0000_0000
/** Where structs lie that the kernel can read and not write. */
export const ARG_READ_ONLY = 0x1_0000_2000
/** Where lists of ranges lie. */
export const LIST = 0x1_0001_0000
const LIST_PAGES = 4
/** Pages of each kind of memory below; behind each of them nothing is mapped. */
export const PAGES = 16
export const MEMORY = 0x1_1000_0000
export const SHARED = 0x1_1010_0000
/** Readable only. */
export const CONSTANT = 0x1_1020_0000
/** The memfd, which `Program.memfd` is the descriptor of. */
export const FILE = 0x1_1050_0000
export const NOTHING = 0x1_1040_0000

export const FIXED: number = IOMMU_IOAS_MAP_FIXED_IOVA
export const READ: number = IOMMU_IOAS_MAP_READABLE
export const WRITE: number = IOMMU_IOAS_MAP_WRITEABLE
export const RW: number = READ | WRITE
export const RW_FIXED: number = RW | FIXED

const PROT_RW = PROT_READ | PROT_WRITE
const PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED

/** One machine with one engine. */
export interface World {
  readonly machine: Machine
  readonly engine: Iommufd
  readonly tables: IopTables
}

export function boot(options: IommufdOptions = {}): World {
  const machine = new Machine({ memory: 64 << 20 })
  const engine = new Iommufd(machine, options)
  const tables = registerIoas(engine)
  machine.registerDevice('/dev/iommu', () => engine.createContext('user'))
  machine.registerDevice('/dev/vfio/vfio', () => engine.createContext('mm'))
  return { machine, engine, tables }
}

/** The struct after the call, with what the call returned. */
export type Answer<L extends StructLayout> = StructValue<L> & {
  readonly ret: number
  /** `'ok'`, or errno and refusal: `'EINVAL LENGTH_UNUSABLE'`. */
  readonly outcome: string
}

/** `'ok'`, or the errno's name and the id of the refusal that explains it. */
export function outcomeOf({ engine }: World, ret: number): string {
  if (ret >= 0) return 'ok'
  const { last } = engine.refusals
  if (last === undefined) throw new Error(`${errnoName(ret)} without an explanation`)
  if (last.errno !== -ret) throw new Error(`${errnoName(ret)}, but the refusal is ${last.id}`)
  return `${errnoName(ret)} ${last.id}`
}

/** A process that has a context open. */
export class Program {
  readonly world: World
  readonly process: Process
  readonly memfd: number
  readonly fd: number

  constructor(world: World, process: Process, memfd: number, fd: number) {
    this.world = world
    this.process = process
    this.memfd = memfd
    this.fd = fd
  }

  static start(world: World, spawn: SpawnOptions = {}, path = '/dev/iommu'): Program {
    const process = world.machine.spawn(spawn)
    const memfd = mapMemory(process)
    return new Program(world, process, memfd, must(process.open(path)))
  }

  /** A child with the same descriptors; the pages that calls write are its own already. */
  fork(): Program {
    const child = this.process.fork()
    for (const address of [ARG, LIST]) must(child.store(address, Uint8Array.of(0)))
    return new Program(this.world, child, this.memfd, this.fd)
  }

  get ctx(): IommufdCtx {
    const file = this.process.file(this.fd)
    return this.world.engine.contextOf(file as NonNullable<typeof file>) as IommufdCtx
  }

  ioas(id: number): IommufdIoas {
    return this.ctx.find(id, IOAS) as IommufdIoas
  }

  /** Makes one call with the struct at `where`. */
  call<const L extends StructLayout>(
    cmd: number,
    layout: L,
    values: StructInput<L>,
    where: number = ARG,
  ): Answer<L> {
    this.#place(where, writeStruct(layout, values))
    const ret = this.process.ioctl(this.fd, cmd, where)
    const bytes = this.process.load(where, layout.size)
    const struct = readStruct(layout, bytes as Uint8Array)
    return { ...struct, ret, outcome: outcomeOf(this.world, ret) }
  }

  /** The id of a new address space. */
  alloc(): number {
    const { ret, out_ioas_id: id } = this.tryAlloc({})
    must(ret)
    return id
  }

  tryAlloc(values: StructInput<typeof iommu_ioas_alloc>, where?: number) {
    return this.call(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, values, where)
  }

  destroy(id: number) {
    return this.call(IOMMU_DESTROY, iommu_destroy, { id })
  }

  map(values: StructInput<typeof iommu_ioas_map>, where?: number) {
    return this.call(IOMMU_IOAS_MAP, iommu_ioas_map, values, where)
  }

  /** Maps memory at a chosen IOVA, for reading and writing unless `flags` says otherwise. */
  mapAt(
    ioas_id: number,
    iova: bigint | number,
    length: bigint | number = PAGE,
    user_va: bigint | number = MEMORY,
    flags: number = RW,
  ): Answer<typeof iommu_ioas_map> {
    return this.map({ flags: flags | FIXED, ioas_id, user_va, length, iova })
  }

  mapFile(values: StructInput<typeof iommu_ioas_map_file>, where?: number) {
    return this.call(IOMMU_IOAS_MAP_FILE, iommu_ioas_map_file, values, where)
  }

  /** Maps the memfd at a chosen IOVA, for reading and writing. */
  mapFileAt(
    ioas_id: number,
    iova: bigint | number,
    length: number = PAGE,
    start = 0,
  ): Answer<typeof iommu_ioas_map_file> {
    return this.mapFile({ flags: RW_FIXED, ioas_id, fd: this.memfd, start, length, iova })
  }

  copy(values: StructInput<typeof iommu_ioas_copy>, where?: number) {
    return this.call(IOMMU_IOAS_COPY, iommu_ioas_copy, values, where)
  }

  unmap(ioas_id: number, iova: bigint | number, length: bigint | number, where?: number) {
    return this.call(IOMMU_IOAS_UNMAP, iommu_ioas_unmap, { ioas_id, iova, length }, where)
  }

  option(values: StructInput<typeof iommu_option>, where?: number) {
    return this.call(IOMMU_OPTION, iommu_option, values, where)
  }

  allow(ioas_id: number, ranges: readonly Range[]) {
    this.#place(LIST, listOf(ranges))
    const values = { ioas_id, num_iovas: ranges.length, allowed_iovas: LIST }
    return this.call(IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas, values)
  }

  /** IOAS_IOVA_RANGES with room for `room` ranges; `ranges` is what was written. */
  ranges(ioas_id: number, room = 64, where?: number) {
    const values = { ioas_id, num_iovas: room, allowed_iovas: LIST }
    const answer = this.call(IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges, values, where)
    const count = Math.min(room, answer.num_iovas)
    return { ...answer, ranges: this.#readList(count) }
  }

  changeProcess(__reserved = 0) {
    return this.call(IOMMU_IOAS_CHANGE_PROCESS, iommu_ioas_change_process, { __reserved })
  }

  close(): void {
    must(this.process.close(this.fd))
  }

  #place(where: number, bytes: Uint8Array): void {
    const { process } = this
    if (where !== ARG_READ_ONLY) {
      must(process.store(where, bytes))
      return
    }
    must(process.mprotect(where, PAGE, PROT_RW))
    must(process.store(where, bytes))
    must(process.mprotect(where, PAGE, PROT_READ))
  }

  #readList(count: number): Range[] {
    const { size } = iommu_iova_range
    const bytes = this.process.load(LIST, count * size) as Uint8Array
    return Array.from({ length: count }, (_, i) => readStruct(iommu_iova_range, bytes, i * size))
  }
}

/** The array of struct iommu_iova_range for these ranges. */
export function listOf(ranges: readonly Range[]): Uint8Array {
  const { size } = iommu_iova_range
  const bytes = new Uint8Array(ranges.length * size)
  for (const [i, range] of ranges.entries()) writeStruct(iommu_iova_range, range, bytes, i * size)
  return bytes
}

/** Maps and touches all memory that a program has; the memfd's descriptor. */
function mapMemory(process: Process): number {
  const memfd = must(process.memfdCreate('pages', 0))
  must(process.ftruncate(memfd, PAGES * PAGE))
  map(process, ARG, 1, PRIVATE)
  map(process, ARG_READ_ONLY, 1, PRIVATE)
  map(process, LIST, LIST_PAGES, PRIVATE)
  map(process, MEMORY, PAGES, PRIVATE)
  map(process, SHARED, PAGES, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED)
  map(process, CONSTANT, PAGES, PRIVATE)
  map(process, FILE, PAGES, MAP_SHARED | MAP_FIXED, memfd)
  must(process.mprotect(CONSTANT, PAGES * PAGE, PROT_READ))
  return memfd
}

function map(process: Process, addr: number, pages: number, flags: number, fd?: number): void {
  must(process.mmap(addr, pages * PAGE, PROT_RW, flags, fd))
  for (let i = 0; i < pages; i++) must(process.store(addr + i * PAGE, Uint8Array.of(i + 1)))
}

/** The value of a call that cannot fail here. */
export function must(ret: number): number {
  if (ret < 0) throw new Error(`unexpected ${errnoName(ret)}`)
  return ret
}
