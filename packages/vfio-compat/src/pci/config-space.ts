// SPDX-License-Identifier: Apache-2.0
/**
 * The configuration space of a function, 256 bytes, as a program finds it behind vfio-pci.
 *
 * Invariant: each bit is either writable or keeps what the function is. So a BAR is sized by writing
 * all ones: the bits below its size read what they always read. The program's view is one with the
 * hardware but in two places: interrupts are enabled by ioctls, so MSI's enable bit cannot be set
 * before those, nor more vectors chosen than those have enabled.
 */
import type { AccessWidth, PciFunction } from './function.js'

export const CONFIG_SIZE = 256

// Registers of header type 0, by byte offset
const VENDOR_ID = 0x00
const DEVICE_ID = 0x02
const COMMAND = 0x04
const STATUS = 0x06
const CLASS_REVISION = 0x08
const CACHE_LINE_SIZE = 0x0c
const LATENCY_TIMER = 0x0d
const BASE_ADDRESS_0 = 0x10
const CAPABILITY_LIST = 0x34
const INTERRUPT_LINE = 0x3c
const INTERRUPT_PIN = 0x3d
const BARS = 6

const COMMAND_MEMORY = 1 << 1
const COMMAND_MASTER = 1 << 2
const COMMAND_PARITY = 1 << 6
const COMMAND_SERR = 1 << 8
const COMMAND_INTX_DISABLE = 1 << 10
const COMMAND_WRITABLE =
  COMMAND_MEMORY | COMMAND_MASTER | COMMAND_PARITY | COMMAND_SERR | COMMAND_INTX_DISABLE
const STATUS_INTERRUPT = 1 << 3
const STATUS_CAP_LIST = 1 << 4

// The MSI capability with 64-bit addresses, without masks per vector; the only capability there is
const MSI = 0x40
const CAP_ID_MSI = 0x05
const MSI_FLAGS = MSI + 2
const MSI_ADDRESS_LO = MSI + 4
const MSI_ADDRESS_HI = MSI + 8
const MSI_DATA = MSI + 12
const MSI_FLAGS_ENABLE = 1 << 0
const MSI_FLAGS_QMASK_SHIFT = 1
const MSI_FLAGS_QSIZE_SHIFT = 4
const MSI_FLAGS_QSIZE = 7 << MSI_FLAGS_QSIZE_SHIFT
const MSI_FLAGS_64BIT = 1 << 7

export class ConfigSpace {
  readonly #now = new DataView(new ArrayBuffer(CONFIG_SIZE))
  readonly #initial = new DataView(new ArrayBuffer(CONFIG_SIZE))
  readonly #writable = new DataView(new ArrayBuffer(CONFIG_SIZE))
  readonly #hasMsi: boolean

  constructor(fn: PciFunction) {
    this.#hasMsi = fn.msiVectors > 0
    this.#describe(fn)
    this.#describeBars(fn)
    if (this.#hasMsi) this.#describeMsi(fn.msiVectors)
    this.reset()
  }

  /** As firmware left it: memory is decoded, the function is no bus master. */
  reset(): void {
    bytesOf(this.#now).set(bytesOf(this.#initial))
  }

  get isMemoryEnabled(): boolean {
    return (this.#command & COMMAND_MEMORY) !== 0
  }

  get isBusMaster(): boolean {
    return (this.#command & COMMAND_MASTER) !== 0
  }

  /** Whether software has switched the interrupt pin off. */
  get isIntxDisabled(): boolean {
    return (this.#command & COMMAND_INTX_DISABLE) !== 0
  }

  /** MSI's enable bit. */
  get isMsiEnabled(): boolean {
    return this.#hasMsi && (this.#now.getUint16(MSI_FLAGS, true) & MSI_FLAGS_ENABLE) !== 0
  }

  /** The level of the interrupt pin, which a program can read in the status register. */
  setIntxStatus(isAsserted: boolean): void {
    const rest = this.#now.getUint16(STATUS, true) & ~STATUS_INTERRUPT
    this.#now.setUint16(STATUS, rest | (isAsserted ? STATUS_INTERRUPT : 0), true)
  }

  /** Whether `width` bytes at `offset` hold a part of MSI's control register. */
  touchesMsiFlags(offset: number, width: number): boolean {
    return this.#hasMsi && offset < MSI_FLAGS + 2 && offset + width > MSI_FLAGS
  }

  /** Takes out of MSI's control register what the enabled vectors do not permit; 0: MSI is off. */
  limitMsi(vectors: number): void {
    let flags = this.#now.getUint16(MSI_FLAGS, true)
    if (vectors === 0) flags &= ~MSI_FLAGS_ENABLE
    const most = vectors === 0 ? 0 : Math.ceil(Math.log2(vectors))
    if ((flags & MSI_FLAGS_QSIZE) >> MSI_FLAGS_QSIZE_SHIFT > most) {
      flags = (flags & ~MSI_FLAGS_QSIZE) | (most << MSI_FLAGS_QSIZE_SHIFT)
    }
    this.#now.setUint16(MSI_FLAGS, flags, true)
  }

  /** The little-endian number of `width` bytes at `offset`. */
  read(offset: number, width: AccessWidth): number {
    let value = 0
    for (let i = width - 1; i >= 0; i--) value = value * 256 + this.#now.getUint8(offset + i)
    return value
  }

  /** Writes those bits that can be written. */
  write(offset: number, width: AccessWidth, value: number): void {
    for (let i = 0; i < width; i++) {
      const at = offset + i
      const mask = this.#writable.getUint8(at)
      const kept = this.#now.getUint8(at) & ~mask
      this.#now.setUint8(at, kept | ((value >>> (8 * i)) & mask))
    }
  }

  get #command(): number {
    return this.#now.getUint16(COMMAND, true)
  }

  #describe(fn: PciFunction): void {
    const initial = this.#initial
    initial.setUint16(VENDOR_ID, fn.vendorId, true)
    initial.setUint16(DEVICE_ID, fn.deviceId, true)
    initial.setUint16(COMMAND, fn.bars.some(Boolean) ? COMMAND_MEMORY : 0, true)
    initial.setUint32(CLASS_REVISION, fn.classCode * 256 + fn.revision, true)
    initial.setUint8(INTERRUPT_PIN, fn.interruptPin)
    this.#writable.setUint16(COMMAND, COMMAND_WRITABLE, true)
    for (const at of [CACHE_LINE_SIZE, LATENCY_TIMER, INTERRUPT_LINE]) {
      this.#writable.setUint8(at, 0xff)
    }
  }

  #describeBars({ bars }: PciFunction): void {
    if (bars.length > BARS) throw new RangeError(`a function has at most ${BARS} BARs`)
    bars.forEach((bar, index) => {
      if (bar === undefined) return
      const { address, size } = bar
      const isPowerOfTwo = size >= 16 && size <= 2 ** 31 && Number.isInteger(Math.log2(size))
      if (!isPowerOfTwo || address % size !== 0) {
        throw new RangeError(`BAR ${index}: ${size} bytes at ${address}`)
      }
      this.#initial.setUint32(BASE_ADDRESS_0 + 4 * index, address, true)
      this.#writable.setUint32(BASE_ADDRESS_0 + 4 * index, -size, true)
    })
  }

  /** vfio-pci keeps the whole low byte of the control register writable in the program's view. */
  #describeMsi(vectors: number): void {
    if (!(vectors <= 32 && Number.isInteger(Math.log2(vectors)))) {
      throw new RangeError(`MSI has ${vectors} vectors`)
    }
    const flags = MSI_FLAGS_64BIT | (Math.log2(vectors) << MSI_FLAGS_QMASK_SHIFT)
    this.#initial.setUint16(STATUS, STATUS_CAP_LIST, true)
    this.#initial.setUint8(CAPABILITY_LIST, MSI)
    this.#initial.setUint8(MSI, CAP_ID_MSI)
    this.#initial.setUint16(MSI_FLAGS, flags, true)
    this.#writable.setUint8(MSI_FLAGS, 0xff)
    this.#writable.setInt32(MSI_ADDRESS_LO, -1, true)
    this.#writable.setInt32(MSI_ADDRESS_HI, -1, true)
    this.#writable.setUint16(MSI_DATA, 0xffff, true)
  }
}

function bytesOf({ buffer }: DataView<ArrayBuffer>): Uint8Array {
  return new Uint8Array(buffer)
}
