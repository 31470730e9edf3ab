// SPDX-License-Identifier: Apache-2.0
//
// System calls that change mappings.
//
// Invariant: shared anonymous memory has a file of ours behind it, so that its pages can be kept and shared; all other
// memory is mapped by the program itself. Where that file cannot be had the program's own call goes on.

import type { Caller } from './caller.js'
import { O_CLOEXEC } from './caller.js'
import { MMAP_FLAGS_MASK, SHARED_ANONYMOUS } from './filter.js'
import { OUR_MMAP, PAGE_SIZE } from './limits.js'
import type { CallObserver } from './served-call.js'

const MAP_FIXED = 0x10
const MAP_ANONYMOUS = 0x20
const MOST_BYTES = 2 ** 46

export class MemoryCalls {
  readonly #caller: Caller
  readonly #observer: CallObserver | undefined

  constructor(caller: Caller, observer: CallObserver | undefined) {
    this.#caller = caller
    this.#observer = observer
  }

  mmap(): undefined {
    const { listener } = this.#caller
    const length = listener.arg(1)
    if ((listener.argLo(3) & MAP_FIXED) !== 0) this.#remapped(listener.arg(0), length)
    const isOurs = (listener.argLo(3) & MMAP_FLAGS_MASK) === SHARED_ANONYMOUS
    const rounded = Math.ceil(length / PAGE_SIZE) * PAGE_SIZE
    const fd = isOurs && rounded > 0 && rounded < MOST_BYTES ? this.#giveMemory(rounded) : -1
    const holder = fd < 0 ? undefined : this.#caller.hold()
    if (holder === undefined) return listener.goOn()
    const { nr } = this.#caller.arch
    const flags = OUR_MMAP * 0x100000000 + (listener.argLo(3) & ~MAP_ANONYMOUS)
    const [address, prot] = [listener.arg(0), listener.argLo(2)]
    const result = holder.call(nr.mmap, address, length, prot, flags, fd, 0)
    holder.call(nr.close, fd)
    this.#caller.reply(result)
  }

  /** munmap and mremap. */
  unmap(): undefined {
    const { listener } = this.#caller
    this.#remapped(listener.arg(0), listener.arg(1))
    listener.goOn()
  }

  /** Gives the caller a file of so many bytes, when it can be held to map it: the descriptor, or -1. */
  #giveMemory(bytes: number): number {
    if (!this.#caller.canBeHeld) return -1
    const file = this.#caller.host.memory.makeAnonymous(bytes)
    return typeof file === 'number' ? -1 : this.#caller.listener.addFd(file.fd, O_CLOEXEC)
  }

  #remapped(address: number, length: number): void {
    const { host, listener } = this.#caller
    const mm = host.processOf(listener.tid)?.mm
    if (mm !== undefined) this.#observer?.remapped?.(mm, address, length)
  }
}
