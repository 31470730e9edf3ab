// SPDX-License-Identifier: Apache-2.0
/**
 * The struct of VFIO_DEVICE_SET_IRQS with its data (SPEC section 7).
 *
 * Invariant: the struct is judged whole before its data are read; what `read` gives names interrupts
 * that the device has, and has as many data as its kind asks for.
 */
import { type Iommufd, sumHi } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import {
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_TYPE_MASK,
  VFIO_PCI_NUM_IRQS,
  vfio_irq_set,
} from '@iommufd/uapi'
import { ContainerArg } from '../container-arg.js'
import { PCI_ARGSZ_TOO_SMALL, PCI_IRQ_FLAGS, PCI_IRQ_RANGE, PCI_IRQ_UNKNOWN } from './refusals.js'

const { at: IRQ_SET, size: IRQ_SET_SIZE } = vfio_irq_set
const FLAGS = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK

/** Bytes of data per interrupt, by VFIO_IRQ_SET_DATA_*. */
const DATA_BYTES = new Map([
  [VFIO_IRQ_SET_DATA_NONE, 0],
  [VFIO_IRQ_SET_DATA_BOOL, 1],
  [VFIO_IRQ_SET_DATA_EVENTFD, 4],
])

/** A call that was judged. */
export interface IrqSet {
  readonly task: Task
  readonly index: number
  readonly start: number
  readonly count: number
  /** VFIO_IRQ_SET_ACTION_* */
  readonly action: number
  /** One of VFIO_IRQ_SET_DATA_* */
  readonly kind: number
  readonly data: DataView
}

export class IrqSetArg {
  readonly #engine: Iommufd
  /** How many interrupts an index has. */
  readonly #countOf: (index: number) => number
  readonly #arg: ContainerArg

  constructor(engine: Iommufd, countOf: (index: number) => number) {
    this.#engine = engine
    this.#countOf = countOf
    this.#arg = new ContainerArg(engine, IRQ_SET_SIZE)
  }

  /** The call, or -EFAULT, -EINVAL, -ENOMEM. */
  read(task: Task, hi: number, lo: number): IrqSet | number {
    const arg = this.#arg
    const rc = arg.read(task, hi, lo, IRQ_SET_SIZE)
    const judged = rc < 0 ? rc : this.#judge()
    if (judged < 0) return judged
    const data = this.#readData(task, hi, lo, judged)
    if (typeof data === 'number') return data
    const flags = arg.lo(IRQ_SET.flags)
    return {
      task,
      index: arg.lo(IRQ_SET.index),
      start: arg.lo(IRQ_SET.start),
      count: arg.lo(IRQ_SET.count),
      action: flags & VFIO_IRQ_SET_ACTION_TYPE_MASK,
      kind: flags & VFIO_IRQ_SET_DATA_TYPE_MASK,
      data,
    }
  }

  /** The bytes of data that the call brings, or -EINVAL. */
  #judge(): number {
    const { refusals } = this.#engine
    const arg = this.#arg
    const argsz = arg.lo(IRQ_SET.argsz) >>> 0
    const flags = arg.lo(IRQ_SET.flags)
    const index = arg.lo(IRQ_SET.index)
    const [start, count] = [arg.lo(IRQ_SET.start), arg.lo(IRQ_SET.count)]
    if (argsz < IRQ_SET_SIZE) return refusals.refuse(PCI_ARGSZ_TOO_SMALL, argsz, IRQ_SET_SIZE)
    if (index >>> 0 >= VFIO_PCI_NUM_IRQS) return refusals.refuse(PCI_IRQ_UNKNOWN, index)
    const bytes = DATA_BYTES.get(flags & VFIO_IRQ_SET_DATA_TYPE_MASK)
    if ((flags & ~FLAGS) !== 0) return refusals.refuse(PCI_IRQ_FLAGS, flags)
    const interrupts = this.#countOf(index)
    if (start >>> 0 >= interrupts || (start >>> 0) + (count >>> 0) > interrupts) {
      return refusals.refuse(PCI_IRQ_RANGE, start, count, index, interrupts)
    }
    if (bytes === undefined) return refusals.refuse(PCI_IRQ_FLAGS, flags)
    const needed = IRQ_SET_SIZE + count * bytes
    return argsz < needed
      ? refusals.refuse(PCI_ARGSZ_TOO_SMALL, argsz | 0, needed)
      : needed - IRQ_SET_SIZE
  }

  #readData(task: Task, hi: number, lo: number, length: number): DataView | number {
    const bytes = new Uint8Array(length)
    const view = new DataView(bytes.buffer)
    if (length === 0) return view
    const engine = this.#engine
    const at = sumHi(hi, lo, 0, IRQ_SET_SIZE)
    const rc =
      engine.allocate() || engine.copyFromUser(task, at, (lo + IRQ_SET_SIZE) | 0, bytes, 0, length)
    return rc < 0 ? rc : view
  }
}

/** Count 0 without data: all interrupts of the index go off. */
export function isSwitchOff({ count, kind }: IrqSet): boolean {
  return count === 0 && kind === VFIO_IRQ_SET_DATA_NONE
}

/** Whether the action is for interrupt `i` of the call: with DATA_BOOL if its byte is not 0. */
export function isMeant({ kind, data }: IrqSet, i: number): boolean {
  return kind !== VFIO_IRQ_SET_DATA_BOOL || data.getUint8(i) !== 0
}
