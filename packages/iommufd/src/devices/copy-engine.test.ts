// SPDX-License-Identifier: Apache-2.0
// The copy engine of `iommufd run --devices`, as programs reach it: by its own file and by its group.

import { Machine } from '@iommufd/host'
import {
  POLLIN,
  type StructInput,
  type StructLayout,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
  vfio_device_info,
  vfio_iommu_type1_dma_map,
  writeStruct,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { type IoasClient, IommuClient } from '../client.js'
import { attachIommufd } from '../engine.js'
import { addDevices } from './add-devices.js'
import * as reg from './copy-engine-registers.js'

const CONFIG = 7n << 40n
const COMMAND = CONFIG + 4n
const MEMORY_AND_MASTER = 6
const SOURCE = 0x10_0000
const TARGET = 0x20_0000
const BYTES = 10_000
const LENGTH = 0x4000

/** A program with a page for structs and two buffers. */
class Driver {
  readonly machine = new Machine()
  readonly engine = attachIommufd(this.machine)
  readonly process = this.machine.spawn()
  readonly source: number
  readonly target: number
  readonly #arg: number
  fd = -1

  constructor(devices = 1) {
    addDevices(this.engine, this.machine, devices)
    this.#arg = this.#mmap(4096)
    this.source = this.#mmap(LENGTH)
    this.target = this.#mmap(LENGTH)
    this.process.store(this.source, sample())
  }

  call<L extends StructLayout>(fd: number, cmd: number, layout: L, values: StructInput<L>): number {
    return this.bytes(fd, cmd, writeStruct(layout, values))
  }

  bytes(fd: number, cmd: number, bytes: Uint8Array): number {
    this.process.store(this.#arg, bytes)
    return this.process.ioctl(fd, cmd, this.#arg)
  }

  /** Opens the device by its own file, on an IOAS of a new iommufd. */
  openByFile(number = 0): IoasClient {
    const client = new IommuClient(this.engine, this.process)
    const ioas = client.ioasAlloc()
    this.fd = this.process.open(`/dev/vfio/devices/vfio${number}`)
    const bind = { argsz: 16, flags: 0, iommufd: client.fd }
    expect(this.call(this.fd, VFIO_DEVICE_BIND_IOMMUFD, vfio_device_bind_iommufd, bind)).toBe(0)
    const attach = { argsz: 12, flags: 0, pt_id: ioas.id }
    const layout = vfio_device_attach_iommufd_pt
    expect(this.call(this.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, layout, attach)).toBe(0)
    return ioas
  }

  /** Both buffers at their IOVAs, the source for reading only. */
  mapBuffers(ioas: IoasClient): void {
    ioas.map({ user_va: this.source, length: LENGTH, iova: SOURCE, access: 'read' })
    ioas.map({ user_va: this.target, length: LENGTH, iova: TARGET })
  }

  /** The register at a file offset. */
  get(offset: number | bigint): number {
    expect(this.process.pread(this.fd, this.#arg, 4, offset)).toBe(4)
    const bytes = this.process.load(this.#arg, 4) as Uint8Array
    return new DataView(bytes.slice().buffer).getUint32(0, true)
  }

  set(offset: number | bigint, value: number): void {
    this.process.store(this.#arg, new Uint8Array(Uint32Array.of(value).buffer))
    expect(this.process.pwrite(this.fd, this.#arg, 4, offset)).toBe(4)
  }

  /** Programs a copy and starts it: STATUS afterwards. */
  copy(source: number, target: number, length: number = BYTES, sourceHi = 0): number {
    const values: [number, number][] = [
      [reg.SOURCE, source],
      [reg.SOURCE + 4, sourceHi],
      [reg.DESTINATION, target],
      [reg.DESTINATION + 4, 0],
      [reg.LENGTH, length],
      [reg.COMMAND, reg.COMMAND_START],
    ]
    for (const [offset, value] of values) this.set(offset, value)
    return this.get(reg.STATUS)
  }

  /** Lets a new eventfd hear of the interrupts of an index. */
  listen(index: number): number {
    const eventfd = this.process.eventfd2(0, 0)
    const flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER
    const words = Int32Array.of(24, flags, index, 0, 1, eventfd)
    expect(this.bytes(this.fd, VFIO_DEVICE_SET_IRQS, new Uint8Array(words.buffer))).toBe(0)
    this.set(reg.INTERRUPT_ENABLE, reg.INTERRUPT_COPY)
    return eventfd
  }

  /** Whether the eventfd was signalled since the last look. */
  heard(eventfd: number): boolean {
    const isReady = this.process.poll(eventfd, POLLIN).ret === 1
    expect(this.process.read(eventfd, this.#arg, 8)).toBe(isReady ? 8 : -11)
    return isReady
  }

  unmask(): void {
    const flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK
    const words = Int32Array.of(20, flags, VFIO_PCI_INTX_IRQ_INDEX, 0, 1)
    expect(this.bytes(this.fd, VFIO_DEVICE_SET_IRQS, new Uint8Array(words.buffer))).toBe(0)
  }

  /** The first bytes of the target. */
  arrived(length: number = BYTES): string {
    return String(this.process.load(this.target, length))
  }

  #mmap(length: number): number {
    return this.process.mmap(0, length, 3, 0x22)
  }
}

function sample(): Uint8Array {
  return Uint8Array.from({ length: LENGTH }, (_, i) => (i * 7) & 255)
}

/** A device that may do DMA, with both buffers mapped. */
function ready(): { driver: Driver; ioas: IoasClient } {
  const driver = new Driver()
  const ioas = driver.openByFile()
  driver.mapBuffers(ioas)
  driver.set(COMMAND, MEMORY_AND_MASTER)
  return { driver, ioas }
}

describe('section 7: a copy by a device that its own file opened', () => {
  test('bytes arrive, and a message tells', () => {
    const { driver } = ready()
    const eventfd = driver.listen(VFIO_PCI_MSI_IRQ_INDEX)
    expect(driver.copy(SOURCE, TARGET)).toBe(reg.STATUS_DONE)
    expect(driver.get(reg.COPIED)).toBe(BYTES)
    expect(driver.arrived()).toBe(String(sample().subarray(0, BYTES)))
    expect(driver.arrived(LENGTH).endsWith(',0,0,0')).toBe(true)
    expect(driver.heard(eventfd)).toBe(true)
    // Pending until it is cleared; then the next copy tells again.
    driver.copy(SOURCE, TARGET)
    expect(driver.heard(eventfd)).toBe(false)
    driver.set(reg.INTERRUPT_STATUS, reg.INTERRUPT_COPY)
    driver.copy(SOURCE, TARGET, 1)
    expect(driver.heard(eventfd)).toBe(true)
  })

  test('the pin tells while no messages are on, until the interrupt is cleared', () => {
    const { driver } = ready()
    const eventfd = driver.listen(VFIO_PCI_INTX_IRQ_INDEX)
    driver.copy(SOURCE, TARGET)
    expect(driver.heard(eventfd)).toBe(true)
    driver.unmask()
    expect(driver.heard(eventfd)).toBe(true)
    driver.set(reg.INTERRUPT_STATUS, reg.INTERRUPT_COPY)
    driver.unmask()
    expect(driver.heard(eventfd)).toBe(false)
    expect(driver.get(COMMAND) >>> 16).toBe(0x10)
  })

  test('an IOVA that is not mapped is an error with the IOVA, which is told too', () => {
    const { driver, ioas } = ready()
    const eventfd = driver.listen(VFIO_PCI_MSI_IRQ_INDEX)
    expect(driver.copy(SOURCE + LENGTH - 0x800, TARGET)).toBe(reg.STATUS_ERROR)
    expect(driver.get(reg.ERROR)).toBe(reg.ERROR_READING)
    expect(driver.get(reg.ERROR_IOVA)).toBe(SOURCE + LENGTH)
    expect([driver.get(reg.ERROR_IOVA + 4), driver.get(reg.COPIED)]).toEqual([0, 0])
    expect(driver.heard(eventfd)).toBe(true)
    expect(driver.copy(0, TARGET, 8, 0x80)).toBe(reg.STATUS_ERROR)
    expect([driver.get(reg.ERROR_IOVA), driver.get(reg.ERROR_IOVA + 4)]).toEqual([0, 0x80])
    ioas.unmap(SOURCE, LENGTH)
    expect(driver.copy(SOURCE, TARGET)).toBe(reg.STATUS_ERROR)
    expect(driver.arrived(4)).toBe('0,0,0,0')
  })

  test('what is mapped for reading cannot be written; the bytes before have arrived', () => {
    const { driver } = ready()
    expect(driver.copy(TARGET, SOURCE)).toBe(reg.STATUS_ERROR)
    expect([driver.get(reg.ERROR), driver.get(reg.ERROR_IOVA)]).toEqual([reg.ERROR_WRITING, SOURCE])
    expect(driver.copy(SOURCE, TARGET + LENGTH - 100)).toBe(reg.STATUS_ERROR)
    expect([driver.get(reg.ERROR), driver.get(reg.COPIED)]).toEqual([reg.ERROR_WRITING, 100])
  })

  test('without bus mastering no memory is touched', () => {
    const { driver } = ready()
    driver.set(COMMAND, 2)
    expect(driver.copy(SOURCE, TARGET)).toBe(reg.STATUS_ERROR)
    expect(driver.get(reg.ERROR)).toBe(reg.ERROR_NO_MASTER)
    expect(driver.arrived(4)).toBe('0,0,0,0')
  })

  test('lengths: none is done at once, too many and beyond the last IOVA are errors', () => {
    const { driver } = ready()
    expect(driver.copy(0, 0, 0)).toBe(reg.STATUS_DONE)
    for (const [source, length, hi] of [
      [0, reg.MOST_BYTES + 1, 0],
      [0xffff_fff0, 17, 0xffff_ffff],
    ] as const) {
      expect(driver.copy(source, TARGET, length, hi)).toBe(reg.STATUS_ERROR)
      expect(driver.get(reg.ERROR)).toBe(reg.ERROR_LENGTH)
    }
    expect(driver.copy(0xffff_fff0, TARGET, 16, 0xffff_ffff)).toBe(reg.STATUS_ERROR)
    expect(driver.get(reg.ERROR)).toBe(reg.ERROR_READING)
  })
})

describe('section 7: registers of the copy engine', () => {
  test('what it is: ids, class, one BAR of 4 KiB', () => {
    const { driver } = ready()
    expect(driver.get(CONFIG)).toBe(0xc0e01234)
    expect(driver.get(CONFIG + 8n)).toBe(0x08800001)
    driver.set(CONFIG + 0x10n, 0xffffffff)
    expect(driver.get(CONFIG + 0x10n)).toBe(0xfffff000)
    expect(driver.get(reg.ID)).toBe(reg.COPY_ENGINE_ID)
    expect(driver.get(0xffc)).toBe(0)
  })

  test('read-only registers and narrow writes have no effect; narrow reads give their part', () => {
    const { driver } = ready()
    const { process, source, fd } = driver
    for (const at of [reg.ID, reg.STATUS, reg.COPIED, reg.ERROR, reg.ERROR_IOVA, 0x38]) {
      const before = driver.get(at)
      driver.set(at, 0xffffffff)
      expect(driver.get(at)).toBe(before)
    }
    driver.set(reg.INTERRUPT_ENABLE, 0xffffffff)
    expect(driver.get(reg.INTERRUPT_ENABLE)).toBe(1)
    expect(process.pwrite(fd, source + 1, 2, reg.LENGTH)).toBe(2)
    expect([driver.get(reg.LENGTH), driver.get(reg.COMMAND)]).toEqual([0, 0])
    expect(process.pread(fd, source, 2, reg.ID + 1)).toBe(2)
    expect(String(process.load(source, 2))).toBe(String([0x4f, 0x50]))
  })

  test('a reset, of either kind, clears all and takes the interrupt away', () => {
    const { driver } = ready()
    const resets = [
      () => driver.set(reg.COMMAND, reg.COMMAND_RESET),
      () => expect(driver.process.ioctl(driver.fd, VFIO_DEVICE_RESET, 0)).toBe(0),
    ]
    for (const reset of resets) {
      driver.set(reg.INTERRUPT_ENABLE, 1)
      driver.copy(SOURCE, TARGET)
      expect(driver.get(COMMAND) >>> 16).toBe(0x18)
      reset()
      expect(driver.get(COMMAND) >>> 16).toBe(0x10)
      const rest = [reg.STATUS, reg.INTERRUPT_ENABLE, reg.INTERRUPT_STATUS, reg.LENGTH, reg.COPIED]
      expect(rest.map((at) => driver.get(at))).toEqual([0, 0, 0, 0, 0])
    }
    expect(driver.copy(SOURCE, TARGET)).toBe(reg.STATUS_DONE)
  })

  test('bytes that arrived are still there when the device is closed; nothing stays pinned', () => {
    const { driver } = ready()
    driver.copy(SOURCE, TARGET)
    driver.process.close(driver.fd)
    expect(driver.arrived()).toBe(String(sample().subarray(0, BYTES)))
    expect(driver.machine.pinnedFrames).toBe(0)
  })
})

test('section 6, 7: a copy by a device that its group opened, on the container', () => {
  const driver = new Driver(2)
  const { process } = driver
  const container = process.open('/dev/vfio/vfio')
  const group = process.open('/dev/vfio/1')
  const int = new Uint8Array(Int32Array.of(container).buffer)
  expect(driver.bytes(group, VFIO_GROUP_SET_CONTAINER, int)).toBe(0)
  const name = Uint8Array.from('0000:01:01.0\0', (char) => char.charCodeAt(0))
  driver.fd = driver.bytes(group, VFIO_GROUP_GET_DEVICE_FD, name)
  expect(driver.fd).toBeGreaterThan(0)
  const info = { argsz: 24, flags: 0 }
  expect(driver.call(driver.fd, VFIO_DEVICE_GET_INFO, vfio_device_info, info)).toBe(0)
  for (const [vaddr, iova] of [
    [driver.source, SOURCE],
    [driver.target, TARGET],
  ] as const) {
    const map = { argsz: 32, flags: 3, vaddr, iova, size: LENGTH }
    expect(driver.call(container, VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map, map)).toBe(0)
  }
  driver.set(COMMAND, MEMORY_AND_MASTER)
  expect(driver.copy(SOURCE, TARGET)).toBe(reg.STATUS_DONE)
  expect(driver.arrived()).toBe(String(sample().subarray(0, BYTES)))
  expect(driver.process.open('/dev/vfio/devices/vfio1')).toBeGreaterThan(0)
})
