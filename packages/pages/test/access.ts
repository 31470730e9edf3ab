// SPDX-License-Identifier: Apache-2.0
//
// An in-kernel user of an address space, as the layer above makes them: attached, it is one of the object's users; it
// pins, and lets go of what is being unmapped.

import { errnoName } from '@iommufd/uapi'
import type { IoptAccess } from '../src/io-pagetable.js'
import type { IommufdIoas } from '../src/ioas.js'
import { pinRange, rwRange, unpinRange } from '../src/iopt-access.js'
import { outcomeOf, PAGE, type World } from './harness.js'
import { hi, lo, overlap, type Range, u64 } from './u64.js'

export class Access implements IoptAccess {
  readonly alignment: number
  /** Ranges that are pinned now, each as often as it is pinned. */
  held: Range[] = []
  /** What the callback was called for. */
  readonly asked: Range[] = []
  /** Does not let go when asked. */
  isStubborn = false
  /** Runs at the beginning of each callback. */
  onUnmap: (() => void) | undefined
  readonly #world: World
  readonly #ioas: IommufdIoas

  constructor(world: World, ioas: IommufdIoas, alignment: number = PAGE) {
    this.#world = world
    this.#ioas = ioas
    this.alignment = alignment
  }

  /** A new user that is attached. */
  static attached(world: World, ioas: IommufdIoas, alignment?: number): Access {
    const access = new Access(world, ioas, alignment)
    if (access.attach() < 0) throw new Error(`attach: ${outcomeOf(world, -1)}`)
    return access
  }

  attach(): number {
    this.#world.engine.refusals.clear()
    const rc = this.#ioas.iopt.addAccess(this)
    if (rc === 0) this.#ioas.users++
    return rc
  }

  /** Lets everything go and leaves. */
  detach(): void {
    for (const range of [...this.held]) this.unpin(range)
    this.#ioas.iopt.removeAccess(this)
    this.#ioas.users--
  }

  /** The frames of [start, last], or the errno. */
  pin({ start, last }: Range, write = true): number[] | number {
    const frames = new Uint32Array(Number(last / 4096n - start / 4096n) + 2)
    const { iopt } = this.#ioas
    this.#world.engine.refusals.clear()
    const rc = pinRange(iopt, hi(start), lo(start), hi(last), lo(last), write, frames)
    if (rc < 0) return rc
    this.held.push({ start, last })
    return [...frames.subarray(0, Number((last - start) / 4096n) + 1)]
  }

  /** What `pin` came to: `'ok'` or errno and refusal. */
  tryPin(range: Range, write = true): string {
    const pinned = this.pin(range, write)
    return outcomeOf(this.#world, typeof pinned === 'number' ? pinned : 0)
  }

  unpin({ start, last }: Range): void {
    const at = this.held.findIndex((range) => range.start === start && range.last === last)
    if (at < 0) throw new Error('unpin of what is not pinned')
    this.held.splice(at, 1)
    unpinRange(this.#ioas.iopt, hi(start), lo(start), hi(last), lo(last))
  }

  rw(start: bigint, data: Uint8Array, flags = 0): number {
    this.#world.engine.refusals.clear()
    return rwRange(this.#ioas.iopt, hi(start), lo(start), data, 0, data.length, flags)
  }

  tryRw(start: bigint, data: Uint8Array, flags = 0): string {
    return outcomeOf(this.#world, this.rw(start, data, flags))
  }

  /** `length` bytes at the IOVA, or the name of the errno. */
  read(start: bigint, length: number, flags = 0): number[] | string {
    const data = new Uint8Array(length)
    const rc = this.rw(start, data, flags)
    return rc < 0 ? errnoName(rc) : [...data]
  }

  unmap(startHi: number, startLo: number, lastHi: number, lastLo: number): void {
    const range = { start: u64(startHi, startLo), last: u64(lastHi, lastLo) }
    this.asked.push(range)
    this.onUnmap?.()
    if (this.isStubborn) return
    for (const held of this.held.filter((pinned) => overlap(pinned, range))) this.unpin(held)
  }
}
