// SPDX-License-Identifier: Apache-2.0
/**
 * The device: a copy engine. It knows IOVAs only; what they lead to is decided by the page table
 * that it is attached to, and an access that the table does not permit ends the copy with an error.
 */

import type { Host } from '@iommufd/host'
import { Device, DeviceDma } from '@iommufd/hw-iommu'
import {
  CONTROL,
  CONTROL_RESET,
  CONTROL_START,
  DESTINATION,
  ERROR,
  ERROR_FLAG,
  ERROR_IOVA,
  ERROR_READING,
  ERROR_WRITING,
  FLAG,
  FLAG_DONE,
  FLAG_ERROR,
  LENGTH,
  REGISTERS_BYTES,
  SOURCE,
  STATUS,
  STATUS_BUSY,
  STATUS_DONE,
  STATUS_ERROR,
} from './registers.js'

/** Bytes that it moves in one step. */
const BURST = 4096

export class CopyEngine {
  readonly device: Device = new Device('copy-engine')
  /** Its DMA; `dma.faults` is what the IOMMU has recorded of it. */
  readonly dma: DeviceDma
  readonly #registers = new DataView(new ArrayBuffer(REGISTERS_BYTES))
  readonly #buffer = new Uint8Array(BURST)
  #copied = 0

  constructor(host: Host) {
    this.dma = new DeviceDma(this.device, host)
  }

  readRegister(offset: number): number {
    return this.#registers.getUint32(offset, true)
  }

  writeRegister(offset: number, value: number): void {
    if (offset === CONTROL) this.#control(value)
    else if (offset >= SOURCE && offset < ERROR) this.#set(offset, value)
  }

  /** Time passes: moves the next bytes of the copy that was started, if one was. */
  step(): void {
    if ((this.readRegister(STATUS) & STATUS_BUSY) === 0) return
    const length = this.readRegister(LENGTH)
    const most = Math.min(length - this.#copied, BURST)
    const done = BigInt(this.#copied)
    const bytes = this.#buffer.subarray(0, most)
    if (this.dma.read(this.#address(SOURCE) + done, bytes) < most) {
      this.#fail(ERROR_READING)
    } else if (this.dma.write(this.#address(DESTINATION) + done, bytes) < most) {
      this.#fail(ERROR_WRITING)
    } else {
      this.#copied += most
      if (this.#copied === length) this.#finish()
    }
  }

  #control(value: number): void {
    if ((value & CONTROL_RESET) !== 0) {
      for (const offset of [STATUS, ERROR, ERROR_IOVA, ERROR_IOVA + 4]) this.#set(offset, 0)
    }
    const isIdle = this.readRegister(STATUS) === 0
    if ((value & CONTROL_START) === 0 || !isIdle) return
    this.#copied = 0
    this.#set(STATUS, STATUS_BUSY)
  }

  #finish(): void {
    if (this.#raise(FLAG_DONE)) this.#set(STATUS, STATUS_DONE)
    else this.#stop(ERROR_FLAG)
  }

  #fail(error: number): void {
    this.#stop(error)
    this.#raise(FLAG_ERROR)
  }

  /** The error registers tell what the IOMMU has recorded last. */
  #stop(error: number): void {
    const iova = this.dma.faults.at(-1)?.iova ?? 0n
    this.#set(STATUS, STATUS_ERROR)
    this.#set(ERROR, error)
    this.#set(ERROR_IOVA, Number(iova & 0xffff_ffffn))
    this.#set(ERROR_IOVA + 4, Number(iova >> 32n))
  }

  /** Writes the completion flag: whether it could. */
  #raise(value: number): boolean {
    const flag = this.#address(FLAG)
    if (flag === 0n) return true
    return this.dma.write(flag, Uint8Array.of(value, 0, 0, 0)) === 4
  }

  #address(offset: number): bigint {
    return this.#registers.getBigUint64(offset, true)
  }

  #set(offset: number, value: number): void {
    this.#registers.setUint32(offset, value, true)
  }
}
