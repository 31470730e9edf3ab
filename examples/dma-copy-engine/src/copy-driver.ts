// SPDX-License-Identifier: Apache-2.0
/**
 * The driver, a program in user space: it maps its buffers for the device, programs the registers,
 * and polls the completion flag. It knows nothing of the IOMMU but an address space.
 */
import type { Process } from '@iommufd/host'
import { MAP_ANONYMOUS, MAP_PRIVATE, PAGE_SIZE, PROT_READ, PROT_WRITE } from '@iommufd/uapi'
import type { IoasClient } from 'iommufd'
import {
  CONTROL,
  CONTROL_RESET,
  CONTROL_START,
  DESTINATION,
  ERROR,
  ERROR_IOVA,
  ERROR_READING,
  ERROR_WRITING,
  FLAG,
  FLAG_DONE,
  LENGTH,
  SOURCE,
} from './registers.js'

/** The registers of the device, as they are mapped into the program. */
export interface RegisterFile {
  readRegister(offset: number): number
  writeRegister(offset: number, value: number): void
}

/** Memory of the program that the device sees too. */
export interface Buffer {
  readonly address: number
  readonly iova: bigint
  readonly length: number
}

/** What the device says about a copy that it has not finished. */
export interface CopyError {
  readonly doing: 'reading' | 'writing' | 'raising the flag'
  readonly iova: bigint
}

export class CopyDriver {
  readonly #process: Process
  readonly #ioas: IoasClient
  readonly #registers: RegisterFile
  readonly #flag: Buffer

  constructor(process: Process, ioas: IoasClient, registers: RegisterFile) {
    this.#process = process
    this.#ioas = ioas
    this.#registers = registers
    this.#flag = this.allocate(PAGE_SIZE)
  }

  /** A buffer for the device; `access` is what the device may do with it. */
  allocate(length: number, access: 'read' | 'read-write' = 'read-write'): Buffer {
    const prot = PROT_READ | PROT_WRITE
    const address = this.#process.mmap(0, length, prot, MAP_PRIVATE | MAP_ANONYMOUS)
    if (address < 0) throw new Error('there is no memory')
    return { address, iova: this.#ioas.map({ user_va: address, length, access }), length }
  }

  /** Takes the buffer away from the device; the program keeps it. */
  unmap(buffer: Buffer): void {
    this.#ioas.unmap(buffer.iova, buffer.length)
  }

  /**
   * Copies `length` bytes: undefined, or why the device has stopped. `wait` is called between two
   * looks at the flag.
   */
  copy(from: Buffer, to: Buffer, length: number, wait: () => void): CopyError | undefined {
    this.#process.store(this.#flag.address, new Uint8Array(4))
    this.#registers.writeRegister(CONTROL, CONTROL_RESET)
    this.#setAddress(SOURCE, from.iova)
    this.#setAddress(DESTINATION, to.iova)
    this.#setAddress(FLAG, this.#flag.iova)
    this.#registers.writeRegister(LENGTH, length)
    this.#registers.writeRegister(CONTROL, CONTROL_START)
    for (;;) {
      const flag = this.#readFlag()
      if (flag !== 0) return flag === FLAG_DONE ? undefined : this.#error()
      wait()
    }
  }

  #error(): CopyError {
    const code = this.#registers.readRegister(ERROR)
    const low = this.#registers.readRegister(ERROR_IOVA)
    const high = this.#registers.readRegister(ERROR_IOVA + 4)
    const doing =
      code === ERROR_READING ? 'reading' : code === ERROR_WRITING ? 'writing' : 'raising the flag'
    return { doing, iova: (BigInt(high) << 32n) | BigInt(low) }
  }

  #readFlag(): number {
    const bytes = this.#process.load(this.#flag.address, 4)
    if (typeof bytes === 'number') throw new Error('the flag cannot be read')
    return bytes[0] as number
  }

  #setAddress(offset: number, address: bigint): void {
    this.#registers.writeRegister(offset, Number(address & 0xffff_ffffn))
    this.#registers.writeRegister(offset + 4, Number(address >> 32n))
  }
}
