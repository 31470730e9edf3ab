// SPDX-License-Identifier: Apache-2.0
/**
 * What a PCI device tells about itself: VFIO_DEVICE_GET_INFO, GET_REGION_INFO, GET_IRQ_INFO
 * (SPEC section 7).
 *
 * Invariant: every device has the fixed regions and interrupts of vfio-pci by number; what a function
 * lacks of them has size or count 0. Regions have no capabilities, so nothing but the struct is
 * written, and of that no more than argsz.
 */
import type { Iommufd } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import {
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_REQ_IRQ_INDEX,
  VFIO_PCI_VGA_REGION_INDEX,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  vfio_device_info,
  vfio_irq_info,
  vfio_region_info,
} from '@iommufd/uapi'
import { ContainerArg } from '../container-arg.js'
import { CONFIG_SIZE } from './config-space.js'
import type { PciFunction } from './function.js'
import { PCI_ARGSZ_TOO_SMALL, PCI_IRQ_UNKNOWN, PCI_REGION_UNKNOWN } from './refusals.js'

const { at: DEVICE, size: DEVICE_SIZE } = vfio_device_info
const { at: REGION, size: REGION_SIZE } = vfio_region_info
const { at: IRQ, size: IRQ_SIZE } = vfio_irq_info
/** What the first version of the struct had: up to num_irqs. */
const DEVICE_MIN = DEVICE.cap_offset
const READ_WRITE = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE

/** A region's offset is its number in the bits from 40 on: from bit 8 of the high word. */
export const REGION_SHIFT_HI = 8

/** How many interrupts of an index the function has. */
export function irqCount(fn: PciFunction, index: number): number {
  if (index === VFIO_PCI_INTX_IRQ_INDEX) return fn.interruptPin === 0 ? 0 : 1
  if (index === VFIO_PCI_MSI_IRQ_INDEX) return fn.msiVectors
  return index === VFIO_PCI_REQ_IRQ_INDEX ? 1 : 0
}

export class DeviceInfo {
  readonly #engine: Iommufd
  readonly #fn: PciFunction
  readonly #arg: ContainerArg

  constructor(engine: Iommufd, fn: PciFunction) {
    this.#engine = engine
    this.#fn = fn
    this.#arg = new ContainerArg(engine, REGION_SIZE)
  }

  /** Linux writes back argsz as it came when there are no capabilities. */
  getInfo(task: Task, hi: number, lo: number): number {
    const arg = this.#arg
    const rc = this.#read(task, hi, lo, DEVICE_MIN)
    if (rc < 0) return rc
    arg.setWord(DEVICE.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET)
    arg.setWord(DEVICE.num_regions, VFIO_PCI_NUM_REGIONS)
    arg.setWord(DEVICE.num_irqs, VFIO_PCI_NUM_IRQS)
    arg.setWord(DEVICE.cap_offset, 0)
    arg.setWord(DEVICE.pad, 0)
    return arg.write(Math.min(arg.lo(DEVICE.argsz) >>> 0, DEVICE_SIZE))
  }

  getRegionInfo(task: Task, hi: number, lo: number): number {
    const arg = this.#arg
    const rc = this.#read(task, hi, lo, REGION_SIZE)
    if (rc < 0) return rc
    const index = arg.lo(REGION.index)
    if (index >>> 0 >= VFIO_PCI_NUM_REGIONS || index === VFIO_PCI_VGA_REGION_INDEX) {
      return this.#engine.refusals.refuse(PCI_REGION_UNKNOWN, index)
    }
    const size = this.#regionSize(index)
    arg.setWord(REGION.flags, size === 0 ? 0 : READ_WRITE)
    arg.setU64(REGION.size, 0, size | 0)
    arg.setU64(REGION.offset, index << REGION_SHIFT_HI, 0)
    return arg.write(REGION_SIZE)
  }

  getIrqInfo(task: Task, hi: number, lo: number): number {
    const arg = this.#arg
    const rc = this.#read(task, hi, lo, IRQ_SIZE)
    if (rc < 0) return rc
    const index = arg.lo(IRQ.index)
    // Errors are reported by PCIe devices only.
    if (index >>> 0 >= VFIO_PCI_NUM_IRQS || index === VFIO_PCI_ERR_IRQ_INDEX) {
      return this.#engine.refusals.refuse(PCI_IRQ_UNKNOWN, index)
    }
    const isPin = index === VFIO_PCI_INTX_IRQ_INDEX
    const kind = isPin ? VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED : VFIO_IRQ_INFO_NORESIZE
    arg.setWord(IRQ.flags, VFIO_IRQ_INFO_EVENTFD | kind)
    arg.setWord(IRQ.count, irqCount(this.#fn, index))
    return arg.write(IRQ_SIZE)
  }

  #regionSize(index: number): number {
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) return CONFIG_SIZE
    return this.#fn.bars[index]?.size ?? 0
  }

  #read(task: Task, hi: number, lo: number, minSize: number): number {
    const arg = this.#arg
    const rc = arg.read(task, hi, lo, minSize)
    if (rc < 0) return rc
    const argsz = arg.lo(0)
    if (argsz >>> 0 >= minSize) return 0
    return this.#engine.refusals.refuse(PCI_ARGSZ_TOO_SMALL, argsz, minSize)
  }
}
