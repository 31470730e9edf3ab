// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO_DEVICE_SET_IRQS (SPEC section 7): which eventfd hears of which interrupt.
 *
 * Invariant: nothing changes before the call has been read whole. A descriptor among several that is
 * none leaves the vectors of the call without eventfd; a call that was to switch MSI on leaves it off.
 */
import type { Iommufd } from '@iommufd/core'
import type { EventFd, Task } from '@iommufd/host'
import {
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
} from '@iommufd/uapi'
import type { Interrupts } from './interrupts.js'
import { type IrqSet, IrqSetArg, isMeant, isSwitchOff } from './irq-set.js'
import {
  PCI_EVENTFD_NOT_OPEN,
  PCI_FD_IS_NO_EVENTFD,
  PCI_IRQ_ACTION,
  PCI_IRQ_BY_EVENTFD,
  PCI_IRQ_COUNT,
  PCI_IRQ_OFF,
  PCI_IRQ_OTHER_IN_USE,
  PCI_MSI_VECTOR_ABSENT,
  PCI_MSI_WITHOUT_VECTORS,
} from './refusals.js'

const INTX = VFIO_PCI_INTX_IRQ_INDEX
const MSI = VFIO_PCI_MSI_IRQ_INDEX
const REQ = VFIO_PCI_REQ_IRQ_INDEX

export class SetIrqs {
  readonly #engine: Iommufd
  readonly #interrupts: Interrupts
  readonly #arg: IrqSetArg

  /** `countOf`: how many interrupts an index has. */
  constructor(engine: Iommufd, interrupts: Interrupts, countOf: (index: number) => number) {
    this.#engine = engine
    this.#interrupts = interrupts
    this.#arg = new IrqSetArg(engine, countOf)
  }

  ioctl(task: Task, hi: number, lo: number): number {
    const set = this.#arg.read(task, hi, lo)
    return typeof set === 'number' ? set : this.#apply(set)
  }

  #apply(set: IrqSet): number {
    const { action, index } = set
    if (action === VFIO_IRQ_SET_ACTION_TRIGGER) {
      if (index === INTX) return this.#triggerIntx(set)
      if (index === MSI) return this.#triggerMsi(set)
      if (index === REQ) return this.#triggerRequest(set)
    }
    const isMask = action === VFIO_IRQ_SET_ACTION_MASK
    if (index === INTX && (isMask || action === VFIO_IRQ_SET_ACTION_UNMASK)) {
      return this.#maskIntx(set, isMask)
    }
    return this.#engine.refusals.refuse(PCI_IRQ_ACTION, action | set.kind, index)
  }

  /** Removing the eventfd that unmasks is nothing to do, as there never is one. */
  #maskIntx(set: IrqSet, isMask: boolean): number {
    const { refusals } = this.#engine
    const { count, data, kind } = set
    const { intx } = this.#interrupts
    if (!intx.isOn) return refusals.refuse(PCI_IRQ_OFF, INTX)
    if (count !== 1) return refusals.refuse(PCI_IRQ_COUNT, INTX, count)
    if (kind === VFIO_IRQ_SET_DATA_EVENTFD) {
      if (!isMask && data.getInt32(0, true) < 0) return 0
      return refusals.refuse(PCI_IRQ_BY_EVENTFD, set.action | kind)
    }
    if (!isMeant(set, 0)) return 0
    if (isMask) intx.mask()
    else intx.unmask()
    return 0
  }

  #triggerIntx(set: IrqSet): number {
    const { count, kind } = set
    const { intx } = this.#interrupts
    if (intx.isOn && isSwitchOff(set)) {
      intx.off()
      return 0
    }
    const rc = this.#checkFree(INTX)
    if (rc < 0) return rc
    if (count !== 1) return this.#engine.refusals.refuse(PCI_IRQ_COUNT, INTX, count)
    if (kind === VFIO_IRQ_SET_DATA_EVENTFD) return this.#setIntxTrigger(set)
    if (!intx.isOn) return this.#engine.refusals.refuse(PCI_IRQ_OFF, INTX)
    if (isMeant(set, 0)) intx.signal()
    return 0
  }

  /** The first descriptor switches the pin on, the next takes its place; -1 takes the eventfd away. */
  #setIntxTrigger({ task, data }: IrqSet): number {
    const { intx } = this.#interrupts
    const trigger = this.#eventfd(task, data.getInt32(0, true))
    if (typeof trigger === 'number') return trigger
    if (intx.isOn) {
      intx.setTrigger(trigger)
      return 0
    }
    const rc = this.#engine.allocate()
    if (rc < 0) trigger?.put()
    else intx.on(trigger)
    return rc
  }

  #triggerMsi(set: IrqSet): number {
    const { start, count, kind } = set
    const { msi } = this.#interrupts
    if (msi.vectors > 0 && isSwitchOff(set)) {
      msi.off()
      return 0
    }
    const rc = this.#checkFree(MSI)
    if (rc < 0) return rc
    if (kind === VFIO_IRQ_SET_DATA_EVENTFD) return this.#setMsiTriggers(set)
    if (msi.vectors === 0) return this.#engine.refusals.refuse(PCI_IRQ_OFF, MSI)
    for (let i = 0; i < count; i++) if (isMeant(set, i)) msi.signal(start + i)
    return 0
  }

  #setMsiTriggers(set: IrqSet): number {
    const { msi } = this.#interrupts
    if (msi.vectors > 0) return this.#setBlock(set)
    const vectors = set.start + set.count
    if (vectors === 0) return this.#engine.refusals.refuse(PCI_MSI_WITHOUT_VECTORS)
    const allocated = this.#engine.allocate()
    if (allocated < 0) return allocated
    msi.on(vectors)
    const rc = this.#setBlock(set)
    if (rc < 0) msi.off()
    return rc
  }

  #setBlock(set: IrqSet): number {
    const { msi } = this.#interrupts
    for (let i = 0; i < set.count; i++) {
      const rc = this.#setVector(set, i)
      if (rc === 0) continue
      for (let undone = set.start; undone < set.start + i; undone++) {
        msi.setTrigger(undone, undefined)
      }
      return rc
    }
    return 0
  }

  /** What the vector had is gone before the descriptor is looked at. */
  #setVector({ task, data, start }: IrqSet, i: number): number {
    const { msi } = this.#interrupts
    const vector = start + i
    const fd = data.getInt32(4 * i, true)
    if (vector < msi.vectors) msi.setTrigger(vector, undefined)
    if (fd < 0) return 0
    if (vector >= msi.vectors) {
      return this.#engine.refusals.refuse(PCI_MSI_VECTOR_ABSENT, vector, msi.vectors)
    }
    const allocated = this.#engine.allocate()
    if (allocated < 0) return allocated
    const trigger = this.#eventfd(task, fd)
    if (typeof trigger === 'number') return trigger
    msi.setTrigger(vector, trigger)
    return 0
  }

  #triggerRequest(set: IrqSet): number {
    const { refusals } = this.#engine
    const interrupts = this.#interrupts
    const { count, kind } = set
    if (kind === VFIO_IRQ_SET_DATA_NONE && interrupts.request === undefined) {
      return refusals.refuse(PCI_IRQ_OFF, REQ)
    }
    if (kind === VFIO_IRQ_SET_DATA_NONE && count === 0) {
      interrupts.setRequest(undefined)
      return 0
    }
    if (count === 0) return refusals.refuse(PCI_IRQ_COUNT, REQ, count)
    if (kind === VFIO_IRQ_SET_DATA_EVENTFD) return this.#setRequest(set)
    if (isMeant(set, 0)) interrupts.request?.signal()
    return 0
  }

  /** -1 takes the eventfd away; other negative numbers mean nothing. */
  #setRequest({ task, data }: IrqSet): number {
    const fd = data.getInt32(0, true)
    if (fd < -1) return 0
    const trigger = this.#eventfd(task, fd)
    if (typeof trigger === 'number') return trigger
    this.#interrupts.setRequest(trigger)
    return 0
  }

  /** Nothing but interrupts of this index may be on: 0 or -EINVAL. */
  #checkFree(index: number): number {
    const { active } = this.#interrupts
    if (active === undefined || active === index) return 0
    return this.#engine.refusals.refuse(PCI_IRQ_OTHER_IN_USE, index, active)
  }

  /** The eventfd, with a reference; undefined for a negative descriptor; -EBADF, -EINVAL. */
  #eventfd(task: Task, fd: number): EventFd | number | undefined {
    if (fd < 0) return undefined
    const { refusals } = this.#engine
    if (task.file(fd) === undefined) return refusals.refuse(PCI_EVENTFD_NOT_OPEN, fd)
    return task.eventfd(fd) ?? refusals.refuse(PCI_FD_IS_NO_EVENTFD, fd)
  }
}
