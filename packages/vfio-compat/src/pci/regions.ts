// SPDX-License-Identifier: Apache-2.0
/**
 * Reads and writes of a device's regions, at offset `index << 40` of its file (SPEC section 7).
 *
 * Invariant: an access is cut into naturally aligned pieces of 4, 2 and 1 bytes, in order; each is one
 * access of the device. What a piece that cannot be copied comes after has been done, and the whole
 * call is an error all the same. A BAR's access ends with the BAR; one of configuration space must
 * lie in it whole.
 */
import type { Iommufd } from '@iommufd/core'
import { sumHi } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import { VFIO_PCI_CONFIG_REGION_INDEX } from '@iommufd/uapi'
import { CONFIG_SIZE } from './config-space.js'
import { REGION_SHIFT_HI } from './device-info.js'
import type { AccessWidth, PciBar, PciFunction } from './function.js'
import {
  PCI_ACCESS_BEYOND_BAR,
  PCI_ACCESS_BEYOND_CONFIG,
  PCI_MEMORY_DISABLED,
  PCI_REGION_INACCESSIBLE,
} from './refusals.js'

/** Configuration space, with what a write to it sets off. */
export interface ConfigAccess {
  readonly isMemoryEnabled: boolean
  read(offset: number, width: AccessWidth): number
  write(offset: number, width: AccessWidth, value: number): void
}

type Registers = Pick<PciBar, 'read' | 'write'>

const piece = new DataView(new ArrayBuffer(4))
const pieceBytes = new Uint8Array(piece.buffer)

export class Regions {
  readonly #engine: Iommufd
  readonly #bars: PciFunction['bars']
  readonly #config: ConfigAccess

  constructor(engine: Iommufd, { bars }: PciFunction, config: ConfigAccess) {
    this.#engine = engine
    this.#bars = bars
    this.#config = config
  }

  /**
   * Moves `length` bytes between user memory at (hi, lo) and the file offset (offHi, offLo): how many,
   * or -EINVAL, -EFAULT, -EIO.
   */
  transfer(
    task: Task,
    hi: number,
    lo: number,
    length: number,
    offHi: number,
    offLo: number,
    isWrite: boolean,
  ): number {
    if (length === 0) return 0
    const index = offHi >>> REGION_SHIFT_HI
    const offset = (offHi & 0xff) * 2 ** 32 + (offLo >>> 0)
    const bytes = this.#accessible(index, offset, length)
    if (bytes < 0) return bytes
    for (let done = 0; done < bytes; ) {
      const at = offset + done
      const width = widthAt(at, bytes - done)
      const [userHi, userLo] = [sumHi(hi, lo, 0, done), (lo + done) | 0]
      const rc = this.#piece(task, userHi, userLo, index, at, width, isWrite)
      if (rc < 0) return rc
      done += width
    }
    return bytes
  }

  /** How many of the bytes there are, from the offset on, or a negative errno. */
  #accessible(index: number, offset: number, length: number): number {
    const { refusals } = this.#engine
    const offHi = Math.floor(offset / 2 ** 32)
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) {
      if (offset + length <= CONFIG_SIZE) return length
      return refusals.refuse(PCI_ACCESS_BEYOND_CONFIG, offHi, offset | 0, length, CONFIG_SIZE)
    }
    const size = this.#bars[index]?.size
    if (size === undefined) return refusals.refuse(PCI_REGION_INACCESSIBLE, index)
    if (offset < size) return Math.min(length, size - offset)
    return refusals.refuse(PCI_ACCESS_BEYOND_BAR, offHi, offset | 0, index, 0, size | 0)
  }

  /** One access: what is written is fetched before the device is looked at. 0, -EFAULT or -EIO. */
  #piece(
    task: Task,
    hi: number,
    lo: number,
    index: number,
    at: number,
    width: AccessWidth,
    isWrite: boolean,
  ): number {
    const engine = this.#engine
    const registers: Registers = this.#bars[index] ?? this.#config
    piece.setUint32(0, 0)
    const copied = isWrite ? engine.copyFromUser(task, hi, lo, pieceBytes, 0, width) : 0
    const rc = copied || this.#checkDecoded(index)
    if (rc < 0) return rc
    if (isWrite) {
      registers.write(at, width, piece.getUint32(0, true))
      return 0
    }
    piece.setUint32(0, registers.read(at, width), true)
    return engine.copyToUser(task, hi, lo, pieceBytes, 0, width)
  }

  /** A BAR answers while memory is decoded. */
  #checkDecoded(index: number): number {
    if (index === VFIO_PCI_CONFIG_REGION_INDEX || this.#config.isMemoryEnabled) return 0
    return this.#engine.refusals.refuse(PCI_MEMORY_DISABLED, index)
  }
}

/** The largest aligned piece at an offset, of at most `most` bytes. */
function widthAt(offset: number, most: number): AccessWidth {
  if (most >= 4 && offset % 4 === 0) return 4
  return most >= 2 && offset % 2 === 0 ? 2 : 1
}
