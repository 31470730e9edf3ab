// SPDX-License-Identifier: Apache-2.0
//
// A PCI function that writes down what it is told, behind a VFIO device, and a program that has it open by its group.

import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  readStruct,
  type StructInput,
  type StructLayout,
  type StructValue,
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_DATA_EVENTFD,
  writeStruct,
} from '@iommufd/uapi'
import { PhysicalVfioDevice } from '../src/group.js'
import { type PciBar, type PciFunction, type PciPort, VfioPci } from '../src/pci.js'
import { ARG, Column, must } from './columns.js'
import { PaperDevice } from './paper-driver.js'

/** Where configuration space begins in the device's file. */
export const CONFIG_OFFSET = 7n << 40n
export const BAR_SIZE = 0x1000
/** Where the program reads and writes regions from and to. */
const SCRATCH = 0x1_4000_0000

export interface RecorderOptions {
  readonly interruptPin?: number
  readonly msiVectors?: number
}

/** BAR 0 has 16 bytes, BAR 2 a page; every read gives 0x44332211, and what is done is written down. */
export class RecordingFunction implements PciFunction {
  readonly vendorId = 0x1234
  readonly deviceId = 0x5678
  readonly revision = 9
  readonly classCode = 0x08_80_00
  readonly interruptPin: number
  readonly msiVectors: number
  readonly done: string[] = []
  readonly bars: readonly (PciBar | undefined)[]
  port!: PciPort

  constructor({ interruptPin = 1, msiVectors = 4 }: RecorderOptions = {}) {
    this.interruptPin = interruptPin
    this.msiVectors = msiVectors
    this.bars = [this.#bar(0, 16, 0xfe00_0000), undefined, this.#bar(2, BAR_SIZE, 0xfe00_1000)]
  }

  plug(port: PciPort): void {
    this.port = port
  }

  reset(): void {
    this.done.push('reset')
    this.port.setIntx(false)
  }

  #bar(number: number, size: number, address: number): PciBar {
    return {
      size,
      address,
      read: (offset, width) => {
        this.done.push(`read ${number}:${offset}/${width}`)
        return 0x44332211
      },
      write: (offset, width, value) => {
        this.done.push(`write ${number}:${offset}/${width}=${value.toString(16)}`)
      },
    }
  }
}

export type DeviceAnswer<L extends StructLayout> = StructValue<L> & { readonly outcome: string }

export class PciWorld {
  readonly column: Column
  readonly fn: RecordingFunction
  readonly pci: VfioPci
  readonly vfioDevice: PhysicalVfioDevice
  readonly group: number
  /** The open device. */
  readonly fd: number

  constructor(options: RecorderOptions = {}) {
    this.column = new Column('iommufd')
    const { column } = this
    this.fn = new RecordingFunction(options)
    this.pci = new VfioPci(column.engine, this.fn)
    const dev = new PaperDevice('function')
    must(column.iommu.addDevice(dev))
    this.vfioDevice = new PhysicalVfioDevice(dev, { operations: () => this.pci.open() })
    this.group = must(column.openGroup(column.add(this.vfioDevice)))
    column.setContainer(this.group)
    this.fd = must(column.openDevice(this.group, 'function'))
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    must(column.process.mmap(SCRATCH, 4096, PROT_READ | PROT_WRITE, flags))
    this.taken()
  }

  /** What the function was told since the last look. */
  taken(): string[] {
    return this.fn.done.splice(0)
  }

  ioctl(cmd: number, arg: number | bigint = ARG): string {
    return this.column.outcome(this.column.process.ioctl(this.fd, cmd, arg))
  }

  call<const L extends StructLayout>(
    cmd: number,
    layout: L,
    values: StructInput<L>,
  ): DeviceAnswer<L> {
    const { process } = this.column
    must(process.store(ARG, writeStruct(layout, values)))
    const outcome = this.ioctl(cmd)
    return { ...readStruct(layout, process.load(ARG, layout.size) as Uint8Array), outcome }
  }

  /** Reads at a file offset: the bytes, or the errno's name. */
  read(offset: bigint, length: number): number[] | string {
    const { process } = this.column
    must(process.store(SCRATCH, new Uint8Array(64)))
    const rc = process.pread(this.fd, SCRATCH, length, offset)
    if (rc < 0) return this.column.outcome(rc)
    return [...(process.load(SCRATCH, rc) as Uint8Array)]
  }

  /** Writes bytes at a file offset: how many, or the errno's name. */
  write(offset: bigint, ...bytes: number[]): string {
    must(this.column.process.store(SCRATCH, Uint8Array.from(bytes)))
    return this.column.outcome(this.column.process.pwrite(this.fd, SCRATCH, bytes.length, offset))
  }

  /** The u32 in configuration space. */
  config(offset: number): number {
    const bytes = this.read(CONFIG_OFFSET + BigInt(offset), 4) as number[]
    return new DataView(Uint8Array.from(bytes).buffer).getUint32(0, true)
  }

  setConfig(offset: number, value: number): string {
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setUint32(0, value, true)
    return this.write(CONFIG_OFFSET + BigInt(offset), ...bytes)
  }

  eventfd(): number {
    return must(this.column.process.eventfd2(0, 0))
  }

  /** How often the eventfd was signalled since the last look. */
  signals(fd: number): number {
    const { process } = this.column
    if (process.read(fd, SCRATCH, 8) < 0) return 0
    return (process.load(SCRATCH, 1) as Uint8Array)[0] as number
  }

  /** VFIO_DEVICE_SET_IRQS with the data given as bytes. */
  setIrqs(
    index: number,
    flags: number,
    start: number,
    count: number,
    data: Iterable<number> = [],
  ): string {
    const bytes = Uint8Array.from(data)
    const header = Uint32Array.of(20 + bytes.length, flags, index, start, count)
    must(this.column.process.store(ARG, new Uint8Array(header.buffer)))
    must(this.column.process.store(ARG + 20, bytes))
    return this.ioctl(VFIO_DEVICE_SET_IRQS)
  }

  /** Lets eventfds hear of interrupts. */
  listen(index: number, fds: number[], start = 0): string {
    const flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER
    const data = new Uint8Array(Int32Array.from(fds).buffer)
    return this.setIrqs(index, flags, start, fds.length, data)
  }

  close(): void {
    must(this.column.process.close(this.fd))
  }
}

export { ARG }
