// SPDX-License-Identifier: Apache-2.0
/**
 * The engine for one host: contexts, the dispatcher, and what every layer shares.
 *
 * Invariant: one entry. A process's ioctl comes in as numbers and an answer goes out as a number;
 * whatever was refused is explained by `refusals.last` until the next call. Nothing is asynchronous
 * and nothing reads a clock or a random number: same calls, same answers. Upper layers fill in the
 * command, option and object tables; the dispatcher knows none of them.
 */
import type { File, Host, Task } from '@iommufd/host'
import { IOMMU_DESTROY, IOMMU_OPTION, iommu_destroy } from '@iommufd/uapi'
import { CommandTable } from './commands.js'
import { type AccountMode, IommufdCtx } from './context.js'
import { FaultPoints } from './fault-points.js'
import { iommuOption, type OptionHandler, RLIMIT_MODE, rlimitMode } from './option.js'
import { Refusals } from './refusal.js'
import {
  COMMAND_UNKNOWN,
  INJECTED_EFAULT,
  INJECTED_ENOMEM,
  USER_UNREADABLE,
  USER_UNWRITABLE,
} from './refusals.js'
import { Ucmd } from './ucmd.js'

/** Serves ioctl numbers that are not iommufd's own (the VFIO container's). */
export type ForeignIoctl = (
  ctx: IommufdCtx,
  task: Task,
  cmd: number,
  argHi: number,
  argLo: number,
) => number

export interface IommufdOptions {
  /**
   * Largest alignment, in bytes, that an automatically chosen IOVA gets: the huge page size where
   * transparent huge pages are configured (2 MiB on x86-64, the default), else the page size.
   */
  readonly maxIovaAlignment?: number
  /** Told of states that would be a kernel WARN: an engine bug. Throws unless given. */
  readonly onWarning?: (message: string) => void
}

export class Iommufd {
  readonly host: Host
  readonly refusals: Refusals = new Refusals()
  readonly faults: FaultPoints = new FaultPoints()
  readonly commands: CommandTable = new CommandTable()
  /** Handlers of IOMMU_OPTION by option number. */
  readonly options: Map<number, OptionHandler> = new Map()
  /** Contexts that are open. */
  readonly contexts: Set<IommufdCtx> = new Set()
  readonly maxIovaAlignment: number
  /** Set by the layer that translates foreign ioctls; without it they are unknown. */
  foreignIoctl: ForeignIoctl | undefined
  /**
   * The process on whose behalf the engine runs, undefined outside of a call: what a kernel thread
   * or an interrupt sees. Whoever enters on behalf of a process other than by `ioctl` sets it.
   */
  current: Task | undefined
  readonly #ucmd = new Ucmd()
  readonly #onWarning: ((message: string) => void) | undefined

  constructor(host: Host, options: IommufdOptions = {}) {
    this.host = host
    this.maxIovaAlignment = checkAlignment(options.maxIovaAlignment ?? 0x200000)
    this.#onWarning = options.onWarning
    this.options.set(RLIMIT_MODE, rlimitMode)
    this.commands.register(IOMMU_DESTROY, iommuDestroy)
    this.commands.register(IOMMU_OPTION, iommuOption)
  }

  /** A new context: the operations of a file that the host is opening. */
  createContext(accountMode: AccountMode): IommufdCtx {
    const ctx = new IommufdCtx(this, accountMode)
    this.contexts.add(ctx)
    return ctx
  }

  /** The context behind an open file, or undefined when the file is something else. */
  contextOf(file: File): IommufdCtx | undefined {
    return file.ops instanceof IommufdCtx ? file.ops : undefined
  }

  /** Answers one ioctl: 0 or positive, or a negative errno explained by `refusals.last`. */
  ioctl(ctx: IommufdCtx, task: Task, cmd: number, argHi: number, argLo: number): number {
    this.refusals.clear()
    this.current = task
    try {
      const rc = this.#dispatch(ctx, task, cmd, argHi, argLo)
      // What was refused on the way (to an in-kernel user's callback, say) does not explain success.
      if (rc >= 0) this.refusals.clear()
      return rc
    } finally {
      this.current = undefined
    }
  }

  #dispatch(ctx: IommufdCtx, task: Task, cmd: number, argHi: number, argLo: number): number {
    if (!this.commands.covers(cmd)) return this.#foreign(ctx, task, cmd, argHi, argLo)
    const ucmd = this.#ucmd
    const command = this.commands.find(cmd)
    const begun = ucmd.begin(ctx, task, argHi, argLo, command?.info.struct.size ?? 0)
    if (begun < 0) return begun
    if (command === undefined) return this.refusals.refuse(COMMAND_UNKNOWN, cmd | 0)
    const read = ucmd.read(command.info.struct.size, command.info.minSize)
    return read < 0 ? read : command.execute(ucmd)
  }

  /** Copies user memory of `task` in; a fault point. 0 or -EFAULT. */
  copyFromUser(
    task: Task,
    hi: number,
    lo: number,
    dst: Uint8Array,
    at: number,
    length: number,
  ): number {
    if (this.faults.hit()) return this.injectFault()
    if (task.mm.copyFromUser(hi, lo, dst, at, length) === 0) return 0
    return this.refusals.refuse(USER_UNREADABLE, hi, lo, length)
  }

  /** Copies out to user memory of `task`; a fault point. 0 or -EFAULT. */
  copyToUser(
    task: Task,
    hi: number,
    lo: number,
    src: Uint8Array,
    at: number,
    length: number,
  ): number {
    if (this.faults.hit()) return this.injectFault()
    if (task.mm.copyToUser(hi, lo, src, at, length) === 0) return 0
    return this.refusals.refuse(USER_UNWRITABLE, hi, lo, length)
  }

  /** Passes the fault point of an allocation: 0 or -ENOMEM. */
  allocate(): number {
    return this.faults.hit() ? this.refusals.refuse(INJECTED_ENOMEM, this.faults.passed) : 0
  }

  /** Records that the armed fault point failed a user copy or a pin: -EFAULT. */
  injectFault(): number {
    return this.refusals.refuse(INJECTED_EFAULT, this.faults.passed)
  }

  /** A state that the kernel would WARN about. */
  warn(message: string): void {
    if (this.#onWarning === undefined) throw new Error(`iommufd warning: ${message}`)
    this.#onWarning(message)
  }

  /** Called by a context whose file is gone. */
  contextReleased(ctx: IommufdCtx): void {
    this.contexts.delete(ctx)
  }

  #foreign(ctx: IommufdCtx, task: Task, cmd: number, argHi: number, argLo: number): number {
    if (this.foreignIoctl) return this.foreignIoctl(ctx, task, cmd, argHi, argLo)
    return this.refusals.refuse(COMMAND_UNKNOWN, cmd | 0)
  }
}

function iommuDestroy(ucmd: Ucmd): number {
  return ucmd.ctx.destroyId(ucmd.word(iommu_destroy.at.id))
}

function checkAlignment(bytes: number): number {
  const isPowerOfTwo =
    Number.isSafeInteger(bytes) && bytes > 0 && Number.isInteger(Math.log2(bytes))
  if (!isPowerOfTwo || bytes < 4096 || bytes > 0x40000000) {
    throw new RangeError(
      `maxIovaAlignment is ${bytes}; it must be a power of two from 4096 to 1 GiB`,
    )
  }
  return bytes
}
