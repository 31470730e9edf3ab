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
    const { engine } = this
    engine.refusals.clear()
    engine.current = task
    try {
      const rc = this.serve(task, cmd, argHi, argLo)
      if (rc >= 0) engine.refusals.clear()
      return rc
    } finally {
      engine.current = undefined
    }
  }
}
