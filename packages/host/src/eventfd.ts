// SPDX-License-Identifier: Apache-2.0
//
// An eventfd of the simulated machine: a counter that writers raise and readers take.
//
// Invariant: the counter is 0 to 2^64 - 1, and only a signal from inside the kernel can bring it to the last value; a
// write that would go beyond 2^64 - 2 waits on Linux. A process here cannot wait, so a call that would is -EAGAIN whether
// or not the descriptor is non-blocking. Who holds the counter from inside the kernel is counted apart from descriptors:
// the counter outlives the last of them, and nobody reads it any more.

import { EAGAIN, EFAULT, EFD_SEMAPHORE, EINVAL, POLLERR, POLLIN, POLLOUT } from '@iommufd/uapi'
import type { EventFd, FileOperations, Task } from './host.js'

const MAX = 2n ** 64n - 1n
/** Bytes of the number that is read or written. */
const NUMBER = 8

const number = new DataView(new ArrayBuffer(NUMBER))
const bytes = new Uint8Array(number.buffer)

export class EventCounter implements FileOperations, EventFd {
  readonly #isSemaphore: boolean
  #count: bigint
  #holders = 0

  /** @param flags EFD_SEMAPHORE: a read takes 1 instead of everything; others have no effect */
  constructor(initial: number, flags: number) {
    this.#count = BigInt(initial)
    this.#isSemaphore = (flags & EFD_SEMAPHORE) !== 0
  }

  /** References from inside the kernel, each of which must be put. */
  get holders(): number {
    return this.#holders
  }

  /** Takes a reference from inside the kernel. */
  hold(): EventFd {
    this.#holders++
    return this
  }

  put(): void {
    if (this.#holders === 0) throw new Error('put of an eventfd that nobody holds')
    this.#holders--
  }

  signal(): void {
    if (this.#count < MAX) this.#count++
  }

  /** @returns 8, -EINVAL for less room, -EAGAIN for a counter of 0, -EFAULT */
  read(task: Task, hi: number, lo: number, length: number): number {
    if (length < NUMBER) return -EINVAL
    if (this.#count === 0n) return -EAGAIN
    const taken = this.#isSemaphore ? 1n : this.#count
    this.#count -= taken
    number.setBigUint64(0, taken, true)
    return task.mm.copyToUser(hi, lo, bytes, 0, NUMBER) < 0 ? -EFAULT : NUMBER
  }

  /** @returns 8, -EINVAL for another length or for 2^64 - 1, -EAGAIN when the counter has no room, -EFAULT */
  write(task: Task, hi: number, lo: number, length: number): number {
    if (length !== NUMBER) return -EINVAL
    if (task.mm.copyFromUser(hi, lo, bytes, 0, NUMBER) < 0) return -EFAULT
    const added = number.getBigUint64(0, true)
    if (added === MAX) return -EINVAL
    if (added > MAX - 1n - this.#count) return -EAGAIN
    this.#count += added
    return NUMBER
  }

  poll(): number {
    const readable = this.#count > 0n ? POLLIN : 0
    const writable = this.#count < MAX - 1n ? POLLOUT : 0
    return readable | writable | (this.#count === MAX ? POLLERR : 0)
  }
}
