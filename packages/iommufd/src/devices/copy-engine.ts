// SPDX-License-Identifier: Apache-2.0
/**
 * A PCI function that copies memory by DMA: what stands behind `iommufd run --devices`.
 *
 * Invariant: it knows IOVAs only; every byte passes the page table that its device is attached to, and
 * an access that is not permitted ends the copy with an error and its IOVA. Without bus mastering it
 * touches no memory. A copy is over when the write that starts it is; its interrupt stays pending
 * until software clears it.
 */
import { sumHi, sumWraps } from '@iommufd/core'
import type { Host } from '@iommufd/host'
import { type Device, DeviceDma } from '@iommufd/hw-iommu'
import { PAGE_SIZE } from '@iommufd/uapi'
import type { AccessWidth, PciBar, PciFunction, PciPort } from '@iommufd/vfio-compat/pci'
import {
  COMMAND,
  COMMAND_RESET,
  COMMAND_START,
  COPIED,
  COPY_ENGINE_ID,
  DESTINATION,
  ERROR,
  ERROR_IOVA,
  ERROR_LENGTH,
  ERROR_NO_MASTER,
  ERROR_READING,
  ERROR_WRITING,
  ID,
  INTERRUPT_COPY,
  INTERRUPT_ENABLE,
  INTERRUPT_STATUS,
  LENGTH,
  MOST_BYTES,
  REGISTERS_BYTES,
  SOURCE,
  STATUS,
  STATUS_DONE,
  STATUS_ERROR,
} from './copy-engine-registers.js'

const BAR_SIZE = 4096
/** Registers that keep what is written to them. */
const PLAIN = new Set([LENGTH, SOURCE, SOURCE + 4, DESTINATION, DESTINATION + 4])

export class CopyEngine implements PciFunction {
  readonly vendorId = 0x1234
  readonly deviceId = 0xc0e0
  readonly revision = 1
  /** System peripheral, other. */
  readonly classCode = 0x08_80_00
  readonly bars: readonly [PciBar]
  readonly interruptPin = 1
  readonly msiVectors = 1
  readonly #dma: DeviceDma
  readonly #registers = new DataView(new ArrayBuffer(REGISTERS_BYTES))
  readonly #buffer = new Uint8Array(PAGE_SIZE)
  #port: PciPort | undefined
  #isInterrupting = false

  /** `address`: where firmware has put BAR 0, a multiple of 4 KiB below 4 GiB. */
  constructor(device: Device, host: Host, address: number) {
    this.#dma = new DeviceDma(device, host)
    this.bars = [
      {
        size: BAR_SIZE,
        address,
        read: (offset, width) => this.#read(offset, width),
        write: (offset, width, value) => this.#write(offset, width, value),
      },
    ]
    this.reset()
  }

  plug(port: PciPort): void {
    this.#port = port
  }

  reset(): void {
    new Uint8Array(this.#registers.buffer).fill(0)
    this.#set(ID, COPY_ENGINE_ID)
    this.#updateInterrupt()
  }

  #read(offset: number, width: AccessWidth): number {
    let value = 0
    for (let i = width - 1; i >= 0; i--) {
      const at = offset + i
      value = value * 256 + (at < REGISTERS_BYTES ? this.#registers.getUint8(at) : 0)
    }
    return value
  }

  /** Registers are written whole; narrower writes have no effect. */
  #write(offset: number, width: AccessWidth, value: number): void {
    if (width !== 4) return
    if (PLAIN.has(offset)) this.#set(offset, value)
    else if (offset === COMMAND) this.#command(value)
    else if (offset === INTERRUPT_ENABLE) this.#set(offset, value & INTERRUPT_COPY)
    else if (offset === INTERRUPT_STATUS) this.#set(offset, this.#get(offset) & ~value)
    this.#updateInterrupt()
  }

  #command(value: number): void {
    if ((value & COMMAND_RESET) !== 0) this.reset()
    else if ((value & COMMAND_START) !== 0) this.#start()
  }

  #start(): void {
    for (const offset of [STATUS, COPIED, ERROR, ERROR_IOVA, ERROR_IOVA + 4]) this.#set(offset, 0)
    const error = this.#check() || this.#copy()
    this.#set(ERROR, error)
    this.#set(STATUS, error === 0 ? STATUS_DONE : STATUS_ERROR)
    this.#set(INTERRUPT_STATUS, INTERRUPT_COPY)
  }

  /** What is wrong before the first access: ERROR_*, or 0. */
  #check(): number {
    if (this.#port?.isBusMaster !== true) return ERROR_NO_MASTER
    const length = this.#get(LENGTH)
    const last = Math.max(length, 1) - 1
    const wraps = [SOURCE, DESTINATION].some((at) =>
      sumWraps(this.#get(at + 4), this.#get(at), 0, last),
    )
    return length > MOST_BYTES || wraps ? ERROR_LENGTH : 0
  }

  /** Page by page: ERROR_*, or 0. */
  #copy(): number {
    const length = this.#get(LENGTH)
    const dma = this.#dma
    const buffer = this.#buffer
    for (let done = 0; done < length; done += PAGE_SIZE) {
      const bytes = Math.min(PAGE_SIZE, length - done)
      const [readHi, readLo] = this.#iova(SOURCE, done)
      if (dma.readAt(readHi, readLo, buffer, 0, bytes) < bytes) return this.#stop(ERROR_READING)
      const [writeHi, writeLo] = this.#iova(DESTINATION, done)
      const written = dma.writeAt(writeHi, writeLo, buffer, 0, bytes)
      this.#set(COPIED, done + written)
      if (written < bytes) return this.#stop(ERROR_WRITING)
    }
    return 0
  }

  #iova(register: number, offset: number): [number, number] {
    const [hi, lo] = [this.#get(register + 4) | 0, this.#get(register) | 0]
    return [sumHi(hi, lo, 0, offset), (lo + offset) | 0]
  }

  /** The error registers tell what the IOMMU has recorded. */
  #stop(error: number): number {
    const iova = this.#dma.takeFaults().at(-1)?.iova ?? 0n
    this.#registers.setBigUint64(ERROR_IOVA, iova, true)
    return error
  }

  /** A message where software has switched messages on, else the pin, for as long as it is pending. */
  #updateInterrupt(): void {
    const pending = (this.#get(INTERRUPT_STATUS) & this.#get(INTERRUPT_ENABLE)) !== 0
    const isNew = pending && !this.#isInterrupting
    this.#isInterrupting = pending
    if (isNew && this.#port?.sendMsi(0) === true) return
    if (isNew || !pending) this.#port?.setIntx(pending)
  }

  #get(offset: number): number {
    return this.#registers.getUint32(offset, true)
  }

  #set(offset: number, value: number): void {
    this.#registers.setUint32(offset, value, true)
  }
}
