// SPDX-License-Identifier: Apache-2.0
/**
 * The hardware queues of one vIOMMU of the mock (SPEC section 10, L14).
 *
 * Invariant: queues are made in the order of their indices, and each needs the one before it, which
 * outlives it. Linux 7.3 forgets the index of a queue, so the end of any queue frees index 0, and
 * no other index is ever free again; so it is here.
 */
import type { Iommufd } from '@iommufd/core'
import {
  type IommufdHwQueue,
  iommufd_hw_queue_depend,
  iommufd_hw_queue_undepend,
} from '@iommufd/hw-iommu'
import { IOMMU_TEST_HW_QUEUE_MAX } from '@iommufd/uapi'
import { MOCK_HW_QUEUE_EXISTS, MOCK_HW_QUEUE_INDEX, MOCK_HW_QUEUE_ORDER } from './refusals.js'

export class MockHwQueues {
  readonly #engine: Iommufd
  /** By index: what a new queue finds. */
  readonly #queues: (IommufdHwQueue | undefined)[] = []
  /** The queue that a queue needs. */
  readonly #needs = new Map<IommufdHwQueue, IommufdHwQueue>()

  constructor(engine: Iommufd) {
    this.#engine = engine
  }

  /** 0, -EINVAL (no such index), -EEXIST, -EIO (the queue before it is missing). */
  add(queue: IommufdHwQueue, index: number): number {
    const { refusals } = this.#engine
    if (index >= IOMMU_TEST_HW_QUEUE_MAX) {
      return refusals.refuse(MOCK_HW_QUEUE_INDEX, index | 0, IOMMU_TEST_HW_QUEUE_MAX)
    }
    if (this.#queues[index] !== undefined) return refusals.refuse(MOCK_HW_QUEUE_EXISTS, index)
    const rc = index === 0 ? 0 : this.#depend(queue, index)
    if (rc < 0) return rc
    this.#queues[index] = queue
    return 0
  }

  remove(queue: IommufdHwQueue): void {
    this.#queues[0] = undefined
    const before = this.#needs.get(queue)
    if (before !== undefined) iommufd_hw_queue_undepend(queue, before)
    this.#needs.delete(queue)
  }

  #depend(queue: IommufdHwQueue, index: number): number {
    const before = this.#queues[index - 1]
    if (before === undefined) {
      return this.#engine.refusals.refuse(MOCK_HW_QUEUE_ORDER, index, index - 1)
    }
    this.#needs.set(queue, before)
    return iommufd_hw_queue_depend(queue, before)
  }
}
