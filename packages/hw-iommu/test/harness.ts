// SPDX-License-Identifier: Apache-2.0
//
// A machine with /dev/iommu, IOAS and HWPT commands and an IOMMU with the toy driver; a program that maps its memory; and
// devices bound to its context.
//
// Every refused call is checked for its explanation: the refusal that the engine keeps must carry the errno that came out.

import { Iommufd, type IommufdCtx } from '@iommufd/core'
import { Machine, type Process } from '@iommufd/host'
import { IOAS, type IommufdIoas, registerIoas } from '@iommufd/pages'
import {
  errnoName,
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  iommu_destroy,
  iommu_hwpt_alloc,
  iommu_ioas_alloc,
  iommu_ioas_map,
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
  HWPT,
  Iommu,
  type IommufdDevice,
  type IommufdHwptPaging,
  type IommuOptions,
  iommufd_device_bind,
  registerHwIommu,
} from '../src/index.js'
import { ToyDevice, type ToyDeviceOptions, ToyDriver } from './toy-driver.js'

export const PAGE = 4096
export const ARG = 0x1_0000_0000
/** Where data for drivers lies. */
export const DATA: number = ARG + 0x800
const MEMORY = 0x1_1000_0000
const MEMORY_PAGES = 16
const PROT_RW = PROT_READ | PROT_WRITE
const FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
const MAP_RW = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE

export class World {
  readonly machine: Machine = new Machine({ memory: 16 << 20 })
  readonly warnings: string[] = []
  readonly engine: Iommufd = new Iommufd(this.machine, {
    onWarning: (message) => this.warnings.push(message),
  })
  readonly iommu: Iommu
  readonly driver: ToyDriver
  readonly process: Process = this.machine.spawn({ uid: 0 })
  readonly fd: number

  constructor(options: IommuOptions = {}) {
    registerIoas(this.engine)
    registerHwIommu(this.engine)
    this.iommu = new Iommu(this.engine, options)
    this.driver = new ToyDriver(this.iommu)
    this.iommu.registerDriver(this.driver)
    this.machine.registerDevice('/dev/iommu', () => this.engine.createContext('user'))
    this.process.mmap(ARG, PAGE, PROT_RW, FLAGS)
    this.process.mmap(MEMORY, MEMORY_PAGES * PAGE, PROT_RW, FLAGS)
    this.fd = this.process.open('/dev/iommu')
  }

  get ctx(): IommufdCtx {
    const file = this.process.file(this.fd)
    const ctx = file && this.engine.contextOf(file)
    if (ctx === undefined) throw new Error('the context is closed')
    return ctx
  }

  /** One more context of the process. */
  otherCtx(): IommufdCtx {
    const file = this.process.file(this.process.open('/dev/iommu'))
    const ctx = file && this.engine.contextOf(file)
    if (ctx === undefined) throw new Error('no other context')
    return ctx
  }

  ioctl<L extends StructLayout>(
    cmd: number,
    layout: L,
    values: StructInput<L>,
  ): StructValue<L> & { readonly ret: number } {
    this.process.store(ARG, writeStruct(layout, { size: layout.size, ...values }))
    const ret = this.process.ioctl(this.fd, cmd, ARG)
    const bytes = this.process.load(ARG, layout.size)
    if (typeof bytes === 'number') throw new Error('the struct is gone')
    return { ...readStruct(layout, bytes), ret }
  }

  ioas(): IommufdIoas {
    const { out_ioas_id } = this.ioctl(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, {})
    return this.ctx.find(out_ioas_id as number, IOAS) as IommufdIoas
  }

  /** Maps `pages` pages of the program's memory: `'ok'` or why not. */
  map(ioas: IommufdIoas, iova: number, pages: number): string {
    const { ret } = this.ioctl(IOMMU_IOAS_MAP, iommu_ioas_map, {
      flags: MAP_RW,
      ioas_id: ioas.id,
      user_va: MEMORY,
      length: pages * PAGE,
      iova,
    })
    return this.outcome(ret)
  }

  destroy(id: number): string {
    return this.outcome(this.ioctl(IOMMU_DESTROY, iommu_destroy, { id }).ret)
  }

  /** IOMMU_HWPT_ALLOC: the id, or why not. */
  hwptAlloc(values: StructInput<typeof iommu_hwpt_alloc>): number | string {
    const { ret, out_hwpt_id } = this.ioctl(IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, values)
    return ret < 0 ? this.outcome(ret) : (out_hwpt_id as number)
  }

  hwpt(id: number): IommufdHwptPaging {
    const hwpt = this.ctx.find(id, HWPT)
    if (hwpt === undefined) throw new Error(`no hwpt ${id}`)
    return hwpt
  }

  device(name: string, options: ToyDeviceOptions = {}): ToyDevice {
    const dev = new ToyDevice(name, options)
    const rc = this.iommu.addDevice(dev)
    if (rc < 0) throw new Error(this.outcome(rc))
    return dev
  }

  bind(dev: ToyDevice): IommufdDevice {
    const idev = iommufd_device_bind(this.ctx, dev)
    if (typeof idev === 'number') throw new Error(this.outcome(idev))
    return idev
  }

  /** `'ok'`, or the errno's name and the id of the refusal that explains it. */
  outcome(ret: number): string {
    const { last } = this.engine.refusals
    if (ret >= 0) {
      if (last !== undefined) throw new Error(`${last.id}, but the call was served`)
      return 'ok'
    }
    if (last?.errno !== -ret) throw new Error(`${errnoName(ret)} is explained by ${last?.id}`)
    return `${errnoName(ret)} ${last.id}`
  }

  /** What must be as before when a call was refused. */
  state(): unknown {
    const objects = [...this.ctx.objects].map((object) => ({
      type: object.typeName,
      id: object.id,
      users: object.users,
    }))
    const spaces = [...this.ctx.objects].filter((object) => IOAS.is(object)).map(spaceOf)
    const { pinnedFrames } = this.machine
    return { objects, spaces, pinnedFrames, locked: this.process.status() }
  }

  close(): void {
    this.process.close(this.fd)
  }
}

function spaceOf({ iopt }: IommufdIoas): unknown {
  const { alignment, domains, reserved } = iopt
  const ranges: string[] = []
  for (let pos = reserved.tree.first(); pos >= 0; pos = reserved.tree.next(pos)) {
    ranges.push(`${reserved.tree.startHi(pos)}:${reserved.tree.startLo(pos)}`)
  }
  return { alignment, domains: domains.length, areas: iopt.areas.size, ranges }
}
