// SPDX-License-Identifier: Apache-2.0
//
// What the tests of this package stand on: a machine whose engine has address spaces and the VFIO container, and programs
// with a context open. A refused call must have an explanation with the errno that came out.

import { Iommufd, type IommufdCtx, type IommufdOptions } from '@iommufd/core'
import { Machine, type Process, type SpawnOptions } from '@iommufd/host'
import {
  addDomain,
  IOAS,
  type IommuDomain,
  type IommufdIoas,
  type IopTables,
  registerIoas,
  removeDomain,
} from '@iommufd/pages'
import {
  errnoName,
  IOMMU_DESTROY,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_VFIO_IOAS,
  IOMMU_VFIO_IOAS_SET,
  iommu_destroy,
  iommu_ioas_alloc,
  iommu_ioas_unmap,
  iommu_option,
  iommu_vfio_ioas,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  readStruct,
  type StructInput,
  type StructLayout,
  type StructValue,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  writeStruct,
} from '@iommufd/uapi'
import { registerVfioCompat } from '../src/index.js'
import { TestDomain } from './test-domain.js'

export const PAGE = 4096
/** Where structs lie; the next page is not mapped. */
export const ARG = 0x1_0000_0000
/** Pages of memory; behind them nothing is mapped. */
export const PAGES = 16
export const MEMORY = 0x1_1000_0000
export const NOTHING = 0x1_2000_0000
/** Inside the aperture of a test domain. */
export const IOVA = 0x100_0000
export const RW: number = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE

const PROT_RW = PROT_READ | PROT_WRITE
const PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED

export interface World {
  readonly machine: Machine
  readonly engine: Iommufd
  readonly tables: IopTables
}

export interface BootOptions extends IommufdOptions {
  readonly vfioNoiommu?: boolean
  /** As an engine assembled without devices. */
  readonly withoutTraits?: boolean
}

export function boot(options: BootOptions = {}): World {
  const machine = new Machine({ memory: 64 << 20 })
  const engine = new Iommufd(machine, options)
  const tables = registerIoas(engine)
  const vfioNoiommu = options.vfioNoiommu === true
  const domainTraits = (domain: IommuDomain) => domain as TestDomain
  const traits = options.withoutTraits === true ? {} : { domainTraits }
  registerVfioCompat(engine, tables, { ...traits, vfioNoiommu })
  machine.registerDevice('/dev/iommu', () => engine.createContext('user'))
  machine.registerDevice('/dev/vfio/vfio', () => engine.createContext('mm'))
  return { machine, engine, tables }
}

/** The struct after the call; `outcome` is `'ok'` or errno and refusal: `'EINVAL MAP_FLAGS_UNKNOWN'`. */
export type Answer<L extends StructLayout> = StructValue<L> & {
  readonly ret: number
  readonly outcome: string
}

export class Program {
  readonly world: World
  readonly process: Process
  readonly fd: number

  constructor(world: World, process: Process, fd: number) {
    this.world = world
    this.process = process
    this.fd = fd
  }

  static start(world: World = boot(), spawn: SpawnOptions = {}, path = '/dev/vfio/vfio'): Program {
    const process = world.machine.spawn(spawn)
    must(process.mmap(ARG, PAGE, PROT_RW, PRIVATE))
    must(process.mmap(MEMORY, PAGES * PAGE, PROT_RW, PRIVATE))
    return new Program(world, process, must(process.open(path)))
  }

  /** A program whose container acts on an IOAS already. */
  static withIoas(world?: World, spawn?: SpawnOptions, path?: string): Program {
    const program = Program.start(world, spawn, path)
    must(program.vfioIoas({ op: IOMMU_VFIO_IOAS_SET, ioas_id: program.alloc() }).ret)
    return program
  }

  get ctx(): IommufdCtx {
    const file = this.process.file(this.fd)
    return this.world.engine.contextOf(file as NonNullable<typeof file>) as IommufdCtx
  }

  ioas(id = 1): IommufdIoas {
    return this.ctx.find(id, IOAS) as IommufdIoas
  }

  /** `'ok'` or the number that is above 0, or errno and refusal. */
  ioctl(cmd: number, arg: number | bigint): string {
    return this.#outcome(this.process.ioctl(this.fd, cmd, arg))
  }

  /** Makes one call with the struct at `where`. */
  call<const L extends StructLayout>(
    cmd: number,
    layout: L,
    values: StructInput<L>,
    where: number = ARG,
  ): Answer<L> {
    must(this.process.store(where, writeStruct(layout, values)))
    const ret = this.process.ioctl(this.fd, cmd, where)
    const bytes = this.process.load(where, layout.size) as Uint8Array
    return { ...readStruct(layout, bytes), ret, outcome: this.#outcome(ret) }
  }

  alloc(): number {
    return this.call(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, {}).out_ioas_id
  }

  destroy(id: number) {
    return this.call(IOMMU_DESTROY, iommu_destroy, { id })
  }

  vfioIoas(values: StructInput<typeof iommu_vfio_ioas>) {
    return this.call(IOMMU_VFIO_IOAS, iommu_vfio_ioas, values)
  }

  /** IOMMU_OPTION_HUGE_PAGES of IOAS 1 as it is now. */
  hugePages(): bigint {
    const values = { option_id: IOMMU_OPTION_HUGE_PAGES, op: 1, object_id: 1 }
    return this.call(IOMMU_OPTION, iommu_option, values).val64
  }

  /** VFIO_IOMMU_MAP_DMA; for reading and writing unless `flags` says otherwise. */
  map(
    iova: number | bigint,
    size: number | bigint = PAGE,
    vaddr: number | bigint = MEMORY,
    flags: number = RW,
  ): string {
    const values = { flags, vaddr, iova, size }
    return this.call(VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map, values).outcome
  }

  unmap(iova: number | bigint, size: number | bigint, flags = 0) {
    const values = { flags, iova, size }
    const layout = vfio_iommu_type1_dma_unmap
    const { ret, outcome, size: left } = this.call(VFIO_IOMMU_UNMAP_DMA, layout, values)
    return { ret, outcome, size: Number(left) }
  }

  /** IOMMU_IOAS_UNMAP on IOAS 1. */
  ioasUnmap(iova: number, length: number): string {
    const values = { ioas_id: 1, iova, length }
    return this.call(IOMMU_IOAS_UNMAP, iommu_ioas_unmap, values).outcome
  }

  /** Areas of an IOAS as `[start, end)` in pages from IOVA on. */
  areas(id = 1): string {
    const { areas } = this.ioas(id).iopt
    const parts: string[] = []
    for (let pos = areas.first(); pos >= 0; pos = areas.next(pos)) {
      const base = IOVA / PAGE
      parts.push(`${areas.startPage(pos) - base}-${areas.lastPage(pos) + 1 - base}`)
    }
    return parts.join(' ')
  }

  /** A domain on the IOAS, which must accept it. */
  attach(id = 1): TestDomain {
    const domain = new TestDomain(this.world.engine.refusals)
    must(addDomain(this.ioas(id).iopt, domain))
    return domain
  }

  tryAttach(id = 1): string {
    const { engine } = this.world
    engine.refusals.clear()
    return this.#outcome(addDomain(this.ioas(id).iopt, new TestDomain(engine.refusals)))
  }

  detach(domain: IommuDomain, id = 1): void {
    removeDomain(this.ioas(id).iopt, domain)
  }

  close(): void {
    must(this.process.close(this.fd))
  }

  #outcome(ret: number): string {
    return outcomeOf(this.world, ret)
  }
}

export function outcomeOf({ engine }: World, ret: number): string {
  if (ret >= 0) return ret === 0 ? 'ok' : `${ret}`
  const { last } = engine.refusals
  if (last?.errno !== -ret) throw new Error(`${errnoName(ret)}, but the refusal is ${last?.id}`)
  if (/\{\w+\}/.test(last.sentence + last.remedy)) throw new Error(`${last.id}: an open operand`)
  return `${last.errnoName} ${last.id}`
}

/** Runs `scenario` with the first, second, … fault point failing until none does; how many there are. */
export function eachFault(
  world: World,
  scenario: () => string,
  check: (outcome: string) => void,
  prepare: () => void = () => {},
): number {
  const { faults } = world.engine
  for (let n = 1; ; n++) {
    prepare()
    faults.arm(n)
    const outcome = scenario()
    const { fired } = faults
    faults.disarm()
    if (!fired) return n - 1
    check(outcome)
  }
}

/** The value of a call that cannot fail here. */
export function must(ret: number): number {
  if (ret < 0) throw new Error(`unexpected ${errnoName(ret)}`)
  return ret
}
