// SPDX-License-Identifier: Apache-2.0
//
// A machine with /dev/iommu on the bare core, and a process that makes ioctls the way a program does: the struct lies
// in its memory, and so does the answer. Commands of upper layers do not exist here; IOMMU_IOAS_ALLOC makes a Thing.

import { Machine, type Process } from '@iommufd/host'
import {
  errnoName,
  IOMMU_IOAS_ALLOC,
  iommu_ioas_alloc,
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
import type { IommufdCtx } from '../src/context.js'
import { Iommufd, type IommufdOptions } from '../src/iommufd.js'
import { IommufdObject, type ObjectType } from '../src/object.js'

export const PAGE = 4096
/** A page for structs. The page behind it is not mapped. */
export const ARG = 0x1_0000_0000
export const ARG_END: number = ARG + PAGE

/** An object that does nothing but say when it ends. */
export class Thing extends IommufdObject {
  readonly typeName: string = 'THING'
  readonly ended: (thing: Thing) => void

  constructor(ended: (thing: Thing) => void = () => {}) {
    super()
    this.ended = ended
  }

  override destroy(): void {
    this.ended(this)
  }
}

export const THING: ObjectType<Thing> = {
  name: 'THING',
  is: (object): object is Thing => object instanceof Thing,
}

export interface Booted {
  readonly machine: Machine
  readonly engine: Iommufd
  readonly process: Process
  /** of /dev/iommu, the first free one */
  readonly fd: number
  readonly ctx: IommufdCtx
}

export function boot(options: IommufdOptions = {}): Booted {
  const machine = new Machine()
  const engine = new Iommufd(machine, options)
  engine.commands.register(IOMMU_IOAS_ALLOC, (ucmd) => {
    const thing = new Thing()
    ucmd.ctx.objects.reserve(thing)
    ucmd.setWord(iommu_ioas_alloc.at.out_ioas_id, thing.id)
    const rc = ucmd.respond(iommu_ioas_alloc.size)
    if (rc < 0) ucmd.ctx.objects.abort(thing)
    else ucmd.ctx.objects.finalize(thing)
    return rc
  })
  machine.registerDevice('/dev/iommu', () => engine.createContext('user'))
  machine.registerDevice('/dev/vfio/vfio', () => engine.createContext('mm'))
  const process = machine.spawn()
  mapPage(process, ARG)
  const fd = process.open('/dev/iommu')
  return { machine, engine, process, fd, ctx: contextOf(engine, process, fd) }
}

export function mapPage(
  process: Process,
  addr: number,
  prot: number = PROT_READ | PROT_WRITE,
): void {
  if (process.mmap(addr, PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) !== addr) {
    throw new Error('mmap')
  }
}

export function contextOf(engine: Iommufd, process: Process, fd: number): IommufdCtx {
  const file = process.file(fd)
  const ctx = file && engine.contextOf(file)
  if (ctx === undefined) throw new Error(`descriptor ${fd} is no iommufd`)
  return ctx
}

/** One ioctl of a program: its struct is stored at `at`, and read again afterwards. */
export function ioctl<const L extends StructLayout>(
  { process, fd }: Pick<Booted, 'process' | 'fd'>,
  cmd: number,
  layout: L,
  values: StructInput<L>,
  at: number = ARG,
): { ret: number; out: StructValue<L> } {
  if (process.store(at, writeStruct(layout, values)) !== 0) throw new Error('store')
  const ret = process.ioctl(fd, cmd, at)
  const bytes = process.load(at, layout.size)
  if (typeof bytes === 'number') throw new Error('load')
  return { ret, out: readStruct(layout, bytes) }
}

/** An answer with its reason: `0`, or `EINVAL STRUCT_TOO_SMALL`. */
export function why(engine: Iommufd, ret: number): string {
  const { last } = engine.refusals
  if (ret >= 0) return last === undefined ? `${ret}` : `${ret} but ${last.id}`
  if (last === undefined) return `${errnoName(ret)} without a reason`
  if (last.errno !== -ret) return `${errnoName(ret)} explained by ${last.errnoName} ${last.id}`
  return `${last.errnoName} ${last.id}`
}
