// SPDX-License-Identifier: Apache-2.0
//
// The two columns of the table of differences: the same machine with the same devices and the same program, once with
// vfio_iommu_type1 behind /dev/vfio/vfio and once with an iommufd. A scene does the same calls in both.

import { Iommufd } from '@iommufd/core'
import { type DmaBuf, File, Machine, type Process, type SpawnOptions } from '@iommufd/host'
import { domainTraits, Iommu } from '@iommufd/hw-iommu'
import { IOAS, type IommufdIoas, registerIoas } from '@iommufd/pages'
import {
  errnoName,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  iommu_ioas_map_file,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  writeStruct,
} from '@iommufd/uapi'
import { expect } from 'vitest'
import { type1Differences } from '../src/differences.js'
import {
  EmulatedVfioDevice,
  NoIommuVfioDevice,
  PhysicalVfioDevice,
  Vfio,
  type VfioDevice,
} from '../src/group.js'
import { registerVfioCompat } from '../src/index.js'
import { registerType1, Type1Container, type Type1Options } from '../src/type1.js'
import { PaperDevice, type PaperDeviceOptions, PaperDriver } from './paper-driver.js'

export const PAGE = 4096
export const ARG = 0x1_0000_0000
export const MEMORY = 0x1_1000_0000
const PAGES = 16
export const NOTHING = 0x1_2000_0000
/** Where a device of the machine has mapped a page of its own. */
export const BAR = 0x1_3000_0000
export const IOVA = 0x100_0000
/** The interrupt window of the paper IOMMU. */
export const WINDOW = 0xfee0_0000
const RW: number = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE

const PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
const TYPE1_V2 = VFIO_TYPE1v2_IOMMU

export type ColumnKind = 'type1' | 'iommufd'

export interface ColumnOptions extends SpawnOptions, Pick<Type1Options, 'dmaEntryLimit'> {
  readonly path?: string
  readonly noiommu?: boolean
}

export class Column {
  readonly kind: ColumnKind
  readonly machine: Machine = new Machine({ memory: 64 << 20 })
  readonly engine: Iommufd
  readonly vfio: Vfio
  readonly iommu: Iommu
  readonly driver: PaperDriver
  readonly log: string[] = []
  readonly warnings: string[] = []
  readonly process: Process
  readonly container: number
  readonly #barFrames = new Uint32Array(1)

  constructor(kind: ColumnKind, options: ColumnOptions = {}) {
    this.kind = kind
    this.engine = new Iommufd(this.machine, {
      onWarning: (message) => this.warnings.push(message),
    })
    const noiommu = options.noiommu === true
    const tables = registerIoas(this.engine)
    registerVfioCompat(this.engine, tables, { domainTraits, vfioNoiommu: noiommu })
    this.#registerContainers(kind, options)
    this.vfio = new Vfio(this.engine, this.machine, { noiommu })
    this.iommu = new Iommu(this.engine)
    this.driver = new PaperDriver(this.iommu)
    this.iommu.registerDriver(this.driver)
    this.#registerBar()
    this.process = this.machine.spawn(options)
    must(this.process.mmap(ARG, PAGE, PROT_READ | PROT_WRITE, PRIVATE))
    must(this.process.mmap(MEMORY, PAGES * PAGE, PROT_READ | PROT_WRITE, PRIVATE))
    this.container = must(this.process.open(options.path ?? '/dev/vfio/vfio'))
  }

  #registerContainers(kind: ColumnKind, { dmaEntryLimit, noiommu }: ColumnOptions): void {
    this.machine.registerDevice('/dev/iommu', () => this.engine.createContext('user'))
    if (kind === 'iommufd') {
      this.machine.registerDevice('/dev/vfio/vfio', () => this.engine.createContext('mm'))
      return
    }
    const barFrames = this.#barFrames
    registerType1(this.engine, this.machine, {
      ...(dmaEntryLimit === undefined ? {} : { dmaEntryLimit }),
      noiommu: noiommu === true,
      log: (message) => this.log.push(message),
      deviceFrame: (_task, hi, lo) =>
        hi === 1 && lo === BAR - 2 ** 32 ? (barFrames[0] as number) : -1,
    })
  }

  #registerBar(): void {
    const frames = this.#barFrames
    must(this.machine.allocate(1, frames, 0))
    this.machine.registerDevice('/dev/bar', () => ({
      mmap: () => ({ frames, open: () => {}, close: () => {} }),
    }))
  }

  /** The page of the BAR is in the process's memory. */
  mapBar(): void {
    const fd = must(this.process.open('/dev/bar'))
    must(this.process.mmap(BAR, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd))
  }

  /** A device in a group of its own; the number of the group. */
  device(name: string, options: PaperDeviceOptions = {}): number {
    const dev = new PaperDevice(name, options)
    must(this.iommu.addDevice(dev))
    return this.add(new PhysicalVfioDevice(dev))
  }

  add(device: VfioDevice): number {
    return must(this.vfio.addDevice(device))
  }

  emulated(name: string, dmaUnmap: EmulatedVfioDevice['dmaUnmap'] = () => {}): EmulatedVfioDevice {
    const device = new EmulatedVfioDevice(name, dmaUnmap)
    this.add(device)
    return device
  }

  withoutIommu(name: string): number {
    return this.add(new NoIommuVfioDevice(name))
  }

  openGroup(number: number, prefix = ''): number {
    return this.process.open(`/dev/vfio/${prefix}${number}`)
  }

  setContainer(group: number, fd: number = this.container): string {
    must(this.process.store(ARG, Uint8Array.of(fd, fd >> 8, fd >> 16, fd >> 24)))
    return this.outcome(this.process.ioctl(group, VFIO_GROUP_SET_CONTAINER, ARG))
  }

  setIommu(type: number = TYPE1_V2): string {
    return this.ioctl(VFIO_SET_IOMMU, type)
  }

  /** The descriptor of a device, or a negative errno. */
  openDevice(group: number, name: string): number {
    const bytes = Uint8Array.from(`${name}\0`, (char) => char.charCodeAt(0))
    must(this.process.store(ARG, bytes))
    return this.process.ioctl(group, VFIO_GROUP_GET_DEVICE_FD, ARG)
  }

  /** What a program does first: a device of its own, its group in the container, the type, the device open. */
  start(name = 'nic', type: number = TYPE1_V2): { group: number; device: number } {
    const group = this.join(name)
    expect(this.setIommu(type)).toBe('ok')
    return { group, device: must(this.openDevice(group, name)) }
  }

  /** The first half of it: a device of its own whose group is in the container. */
  join(name = 'nic', options: PaperDeviceOptions = {}): number {
    const group = must(this.openGroup(this.device(name, options)))
    expect(this.setContainer(group)).toBe('ok')
    return group
  }

  /** An emulated device in the container, open. */
  startEmulated(
    type: number = TYPE1_V2,
    dmaUnmap?: EmulatedVfioDevice['dmaUnmap'],
  ): EmulatedVfioDevice {
    const device = this.emulated('mdev', dmaUnmap)
    const group = must(this.openGroup(device.group?.number as number))
    expect(this.setContainer(group)).toBe('ok')
    expect(this.setIommu(type)).toBe('ok')
    must(this.openDevice(group, 'mdev'))
    return device
  }

  ioctl(cmd: number, arg: number | bigint): string {
    return this.outcome(this.process.ioctl(this.container, cmd, arg))
  }

  checkExtension(extension: number): string {
    const ret = this.process.ioctl(this.container, VFIO_CHECK_EXTENSION, extension)
    return ret < 0 ? this.outcome(ret) : `${ret}`
  }

  /** Makes a call on the container with these bytes: its outcome. */
  call(cmd: number, bytes: Uint8Array): string {
    must(this.process.store(ARG, bytes))
    return this.ioctl(cmd, ARG)
  }

  map(
    iova: number | bigint,
    size: number | bigint = PAGE,
    vaddr: number | bigint = MEMORY,
    flags: number = RW,
  ): string {
    const values = { flags, vaddr, iova, size }
    return this.call(VFIO_IOMMU_MAP_DMA, writeStruct(vfio_iommu_type1_dma_map, values))
  }

  /** Maps mappings of so many pages each, side by side from IOVA on. */
  mapPages(...counts: number[]): void {
    let page = 0
    for (const count of counts) {
      expect(this.map(IOVA + page * PAGE, count * PAGE, MEMORY + page * PAGE)).toBe('ok')
      page += count
    }
  }

  /** Maps a dma-buf of so many pages, registers of another device, at IOVA by the call of an iommufd. */
  mapDmaBuf(npages: number): string {
    const ranges = [{ frame: 2 ** 31, npages }]
    const length = npages * PAGE
    const dmaBuf: DmaBuf = { size: length, ranges, attach: () => true, detach: () => {} }
    const fd = must(this.process.installFile(new File('dmabuf', { dmaBuf })))
    const flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE
    const values = { flags, ioas_id: 1, fd, length, iova: IOVA }
    return this.call(IOMMU_IOAS_MAP_FILE, writeStruct(iommu_ioas_map_file, values))
  }

  /** `'ok, 0x1000 bytes'`, or the errno with the size that is in the struct afterwards. */
  unmap(iova: number | bigint, size: number | bigint, flags = 0): string {
    const values = { flags, iova, size }
    const outcome = this.call(VFIO_IOMMU_UNMAP_DMA, writeStruct(vfio_iommu_type1_dma_unmap, values))
    const left = this.load(ARG + vfio_iommu_type1_dma_unmap.at.size, 8).getBigUint64(0, true)
    return `${outcome}, 0x${left.toString(16)} bytes`
  }

  /** GET_INFO with so much room: the outcome and the bytes afterwards. */
  info(argsz: number): { outcome: string; bytes: DataView } {
    const zeros = new Uint8Array(512).fill(0xcc)
    zeros.fill(0, 0, 24)
    new DataView(zeros.buffer).setUint32(0, argsz, true)
    return { outcome: this.call(VFIO_IOMMU_GET_INFO, zeros), bytes: this.load(ARG, 512) }
  }

  load(address: number, length: number): DataView {
    const bytes = this.process.load(address, length)
    if (typeof bytes === 'number') throw new Error('load')
    return new DataView(bytes.buffer)
  }

  /** What is mapped as `[start, end)` in pages from IOVA on. */
  left(): string {
    const parts = this.#ranges().map(([first, last]) => {
      const base = IOVA / PAGE
      return `${first - base}-${last + 1 - base}`
    })
    return parts.join(' ') || 'none'
  }

  #ranges(): [number, number][] {
    const file = this.process.file(this.container)
    if (file?.ops instanceof Type1Container) {
      const mappings = file.ops.iommu?.mappings ?? []
      return [...mappings].map(({ first, last }) => [first, last])
    }
    const ranges: [number, number][] = []
    const { areas } = this.ioas().iopt
    for (let pos = areas.first(); pos >= 0; pos = areas.next(pos)) {
      ranges.push([areas.startPage(pos), areas.lastPage(pos)])
    }
    return ranges
  }

  /** The IOAS that the container acts on. */
  ioas(id = 1): IommufdIoas {
    const file = this.process.file(this.container)
    const ctx = file && this.engine.contextOf(file)
    return ctx?.find(id, IOAS) as IommufdIoas
  }

  /** `VmLck 16 kB, VmPin 16 kB, user 0 pages` */
  charges(): string {
    const { VmLck, VmPin } = this.process.status()
    return `VmLck ${VmLck} kB, VmPin ${VmPin} kB, user ${this.process.user.lockedVm} pages`
  }

  /** The errno, whose explanation must be there. */
  outcome(ret: number): string {
    const { last } = this.engine.refusals
    if (ret >= 0) {
      if (last !== undefined) throw new Error(`${last.id}, but the call was served`)
      return ret === 0 ? 'ok' : `${ret}`
    }
    if (last?.errno !== -ret) throw new Error(`${errnoName(ret)} is explained by ${last?.id}`)
    if (/\{\w+\}/.test(last.sentence + last.remedy)) throw new Error(`${last.id}: open operand`)
    return errnoName(ret)
  }
}

export type Scene = (column: (options?: ColumnOptions) => Column) => readonly string[]

/** Plays the scene in both columns and compares what came out with the row. */
export function expectRow(row: string, scene: Scene): void {
  const { cases } = type1Differences.find((candidate) => candidate.row === row) as {
    cases: readonly { what: string; type1: string; iommufd: string }[]
  }
  for (const kind of ['type1', 'iommufd'] as const) {
    const seen = scene((options) => new Column(kind, options))
    const expected = cases.map((one) => `${one.what}: ${one[kind]}`)
    expect(seen.map((outcome, i) => `${cases[i]?.what}: ${outcome}`)).toEqual(expected)
  }
}

export function must(ret: number): number {
  if (ret < 0) throw new Error(`unexpected ${errnoName(ret)}`)
  return ret
}
