// SPDX-License-Identifier: Apache-2.0
//
// An eventfd of a program, which a device of ours signals.
//
// Invariant: held by a descriptor of our own, it outlives the program's. A signal never waits: at the end of its counter an
// eventfd is readable already, so nothing is lost by leaving it as it is.

import type { EventFd } from '@iommufd/host'
import { POLLOUT } from '@iommufd/uapi'
import { close, poll, region, write } from './libc.js'

const one = region(8)
one.words[0] = 1
const polled = region(8)

export class LiveEventFd implements EventFd {
  readonly #fd: number

  /** @param fd our descriptor, which is closed by `put` */
  constructor(fd: number) {
    this.#fd = fd
  }

  signal(): void {
    polled.view.setInt32(0, this.#fd, true)
    polled.view.setInt16(4, POLLOUT, true)
    if (poll(polled.address, 1, 0) === 1) write(this.#fd, one.address, 8)
  }

  put(): void {
    close(this.#fd)
  }
}
