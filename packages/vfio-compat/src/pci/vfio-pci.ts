// SPDX-License-Identifier: Apache-2.0
/**
 * A PCI function behind a VFIO device: what vfio-pci is on Linux (SPEC section 7).
 *
 * Invariant: however often the device is open, there is one state: configuration space and interrupts.
 * With the first open the function is reset and configuration space is as firmware left it; with the
 * last close interrupts are off, no eventfd is held, and the function is reset and no bus master.
 */
import type { Iommufd } from '@iommufd/core'
import type { FileOperations, Task } from '@iommufd/host'
import {
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
} from '@iommufd/uapi'
import { ConfigSpace } from './config-space.js'
import { DeviceInfo, irqCount } from './device-info.js'
import { deviceFeature } from './feature.js'
import type { AccessWidth, PciFunction, PciPort } from './function.js'
import { getHotResetInfo, hotReset } from './hot-reset.js'
import { Interrupts } from './interrupts.js'
import { PCI_IOCTL_UNKNOWN, PCI_REGION_NOT_MAPPABLE } from './refusals.js'
import { type ConfigAccess, Regions } from './regions.js'
import { SetIrqs } from './set-irqs.js'

/** Pages are 4 KiB: how far a region's number lies in an offset counted in pages. */
const REGION_PAGES = 2 ** 28

export class VfioPci {
  readonly #engine: Iommufd
  readonly #fn: PciFunction
  readonly #config: ConfigSpace
  readonly #interrupts: Interrupts = new Interrupts()
  readonly #info: DeviceInfo
  readonly #regions: Regions
  readonly #setIrqs: SetIrqs
  #opens = 0

  /** Puts the function on a bus of its own. RangeError for one that cannot be. */
  constructor(engine: Iommufd, fn: PciFunction) {
    this.#engine = engine
    this.#fn = fn
    this.#config = new ConfigSpace(fn)
    this.#info = new DeviceInfo(engine, fn)
    this.#regions = new Regions(engine, fn, this.#configAccess())
    this.#setIrqs = new SetIrqs(engine, this.#interrupts, (index) => irqCount(fn, index))
    fn.plug(this.#port())
  }

  /** The operations of one more open of the device: `operations` of a VfioDevice. */
  open(): FileOperations {
    if (this.#opens === 0) this.#enable()
    this.#opens++
    const regions = this.#regions
    return {
      ioctl: (task, cmd, hi, lo) => this.#ioctl(task, cmd, hi, lo),
      pread: (task, hi, lo, length, offHi, offLo) =>
        regions.transfer(task, hi, lo, length, offHi, offLo, false),
      pwrite: (task, hi, lo, length, offHi, offLo) =>
        regions.transfer(task, hi, lo, length, offHi, offLo, true),
      mmap: (_task, _length, _prot, _shared, offsetPage) => this.#mmap(offsetPage),
      release: () => this.#release(),
    }
  }

  #ioctl(task: Task, cmd: number, hi: number, lo: number): number {
    switch (cmd) {
      case VFIO_DEVICE_GET_INFO:
        return this.#info.getInfo(task, hi, lo)
      case VFIO_DEVICE_GET_REGION_INFO:
        return this.#info.getRegionInfo(task, hi, lo)
      case VFIO_DEVICE_GET_IRQ_INFO:
        return this.#info.getIrqInfo(task, hi, lo)
      case VFIO_DEVICE_SET_IRQS:
        return this.#setIrqs.ioctl(task, hi, lo)
      case VFIO_DEVICE_RESET:
        this.#fn.reset()
        return 0
      case VFIO_DEVICE_FEATURE:
        return deviceFeature(this.#engine, task, hi, lo)
      case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
        return getHotResetInfo(this.#engine, task, hi, lo)
      case VFIO_DEVICE_PCI_HOT_RESET:
        return hotReset(this.#engine, task, hi, lo)
      default:
        return this.#engine.refusals.refuse(PCI_IOCTL_UNKNOWN, cmd | 0)
    }
  }

  /** Registers of a model cannot be mapped, and no other region can on Linux. */
  #mmap(offsetPage: number): number {
    const index = Math.floor(offsetPage / REGION_PAGES)
    return this.#engine.refusals.refuse(PCI_REGION_NOT_MAPPABLE, index)
  }

  #enable(): void {
    this.#fn.reset()
    this.#config.reset()
    this.#interrupts.intx.setDisabled(false)
  }

  #release(): void {
    this.#opens--
    if (this.#opens > 0) return
    this.#interrupts.close()
    this.#config.reset()
    this.#fn.reset()
  }

  #port(): PciPort {
    const [config, { intx, msi }] = [this.#config, this.#interrupts]
    return {
      get isBusMaster() {
        return config.isBusMaster
      },
      sendMsi: (vector) => msi.send(vector),
      setIntx(isAsserted) {
        config.setIntxStatus(isAsserted)
        intx.set(isAsserted)
      },
    }
  }

  #configAccess(): ConfigAccess {
    const config = this.#config
    return {
      get isMemoryEnabled() {
        return config.isMemoryEnabled
      },
      read: (offset, width) => config.read(offset, width),
      write: (offset, width, value) => this.#writeConfig(offset, width, value),
    }
  }

  #writeConfig(offset: number, width: AccessWidth, value: number): void {
    const config = this.#config
    const { intx, msi } = this.#interrupts
    config.write(offset, width, value)
    intx.setDisabled(config.isIntxDisabled)
    if (!config.touchesMsiFlags(offset, width)) return
    config.limitMsi(msi.vectors)
    msi.sends = config.isMsiEnabled
  }
}
