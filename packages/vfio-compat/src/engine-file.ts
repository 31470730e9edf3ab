// SPDX-License-Identifier: Apache-2.0
/**
 * A file of VFIO that is not an iommufd's context: a group, a device, a type 1 container.
 *
 * Invariant: a call enters as a context's does: the last refusal is forgotten, the caller is
 * `engine.current` until the answer is there, and a served call leaves no refusal behind.
 */
import type { Iommufd } from '@iommufd/core'
import type { FileOperations, Task } from '@iommufd/host'

export abstract class EngineFile implements FileOperations {
  readonly engine: Iommufd

  constructor(engine: Iommufd) {
    this.engine = engine
  }

  /** Answers one ioctl: 0 or positive, or a negative errno. */
  protected abstract serve(task: Task, cmd: number, argHi: number, argLo: number): number

  ioctl(task: Task, cmd: number, argHi: number, argLo: number): number {
    this.#begin(task)
    try {
      return this.#end(this.serve(task, cmd, argHi, argLo))
    } finally {
      this.engine.current = undefined
    }
  }

  /** Lets another call than ioctl enter; what is no number is an answer that was served. */
  protected enter<T>(task: Task, call: () => T | number): T | number {
    this.#begin(task)
    try {
      return this.#end(call())
    } finally {
      this.engine.current = undefined
    }
  }

  #begin(task: Task): void {
    this.engine.refusals.clear()
    this.engine.current = task
  }

  #end<T>(answer: T): T {
    if (typeof answer !== 'number' || answer >= 0) this.engine.refusals.clear()
    return answer
  }
}
