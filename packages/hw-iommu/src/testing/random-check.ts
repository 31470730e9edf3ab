// SPDX-License-Identifier: Apache-2.0
/**
 * Random sequences of maps and unmaps against a naive map (SPEC section 8).
 *
 * Invariant: a seed gives the same sequence everywhere, so a failure can be run again.
 */
import { PAGE_SIZE } from '@iommufd/uapi'
import { broken, ContractBroken } from './broken.js'
import type { DriverCheck } from './check.js'
import { nameOf, type Rig } from './rig.js'
import { hex, run, TrackedDomain } from './tracked-domain.js'

const SEEDS = [1, 2, 3, 4]
const STEPS = 120
const WINDOW = 4 << 20
const MOST_PAGES = 700
const FRAMES = 1 << 18
/** A boundary that arithmetic in 32 bits gets wrong. */
const FOUR_GIB = 1n << 32n

/** Something that is mapped: whether it can be unmapped in parts. */
interface Extent {
  readonly iova: bigint
  readonly pages: number
  readonly isWhole: boolean
}

class Sequence {
  readonly #domain: TrackedDomain
  readonly #windows: bigint[]
  readonly #extents: Extent[] = []
  #state: number

  constructor(domain: TrackedDomain, seed: number) {
    this.#domain = domain
    this.#state = seed
    this.#windows = windowsOf(domain)
  }

  run(): void {
    for (let step = 0; step < STEPS; step++) {
      if (this.#below(5) < 3 || this.#extents.length === 0) this.#map()
      else this.#unmap()
      for (const window of this.#windows) {
        this.#domain.checkAt(window + BigInt(this.#below(WINDOW)))
      }
    }
    for (const window of this.#windows) this.#domain.check(window, WINDOW)
  }

  #map(): void {
    const window = this.#windows[this.#below(this.#windows.length)] as bigint
    const first = this.#below(WINDOW / PAGE_SIZE)
    const most = Math.min(WINDOW / PAGE_SIZE - first, this.#below(3) === 0 ? MOST_PAGES : 9)
    const pages = 1 + this.#below(most)
    const iova = window + BigInt(first * PAGE_SIZE)
    if (!this.#domain.isFree(iova, pages * PAGE_SIZE)) return
    const isWhole = this.#below(4) !== 0
    const rc = this.#domain.map(iova, this.#frames(first, pages), { largePages: isWhole })
    if (rc < 0) broken(`map of ${pages} pages at ${hex(iova)} answers ${nameOf(rc)}`)
    this.#extents.push({ iova, pages, isWhole })
    this.#look(iova, pages)
  }

  /** Scattered, in a run, or in a run that is aligned as the IOVA is. */
  #frames(first: number, pages: number): number[] {
    const start = this.#below(FRAMES - MOST_PAGES)
    const kind = this.#below(3)
    if (kind === 0) return Array.from({ length: pages }, () => this.#below(FRAMES))
    return run(kind === 1 ? start : (start & ~1023) + (first & 1023), pages)
  }

  #unmap(): void {
    const [extent] = this.#extents.splice(this.#below(this.#extents.length), 1) as [Extent]
    const { iova, pages, isWhole } = extent
    const skipped = isWhole ? 0 : this.#below(pages)
    const taken = isWhole ? pages : 1 + this.#below(pages - skipped)
    const rest = pages - skipped - taken
    const at = iova + BigInt(skipped * PAGE_SIZE)
    const end = at + BigInt(taken * PAGE_SIZE)
    this.#domain.unmap(at, taken * PAGE_SIZE)
    if (skipped > 0) this.#extents.push({ iova, pages: skipped, isWhole })
    if (rest > 0) this.#extents.push({ iova: end, pages: rest, isWhole })
    this.#look(at, taken)
  }

  /** Looks at the ends of what was changed and at what lies beside it. */
  #look(iova: bigint, pages: number): void {
    const end = iova + BigInt(pages * PAGE_SIZE)
    for (const at of [iova - 1n, iova, end - 1n, end]) this.#domain.checkAt(at)
  }

  /** A number from 0 to `limit` - 1. */
  #below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit)
  }
}

/** At both ends of the aperture, and across 4 GiB. */
function windowsOf(domain: TrackedDomain): bigint[] {
  const size = BigInt(WINDOW)
  const first = domain.spot(WINDOW) ?? broken(`the aperture has no room for ${WINDOW} bytes`)
  const last = ((domain.apertureLast + 1n) / size - 1n) * size
  const across = FOUR_GIB - size / 2n
  const windows = [first]
  if (last >= first + size) windows.push(last)
  if (across >= first + size && across + size <= last) windows.push(across)
  return windows
}

function random(rig: Rig): undefined {
  for (const seed of SEEDS) {
    const domain = new TrackedDomain(rig.domain(rig.device()))
    try {
      new Sequence(domain, seed).run()
    } catch (error) {
      if (error instanceof ContractBroken) broken(`seed ${seed}: ${error.message}`)
      throw error
    }
  }
}

export const randomChecks: readonly DriverCheck[] = [
  {
    name: 'translate-follows-every-map-and-unmap',
    rule: 'After any sequence of maps and unmaps, translate tells what is mapped and nothing else.',
    run: random,
  },
]
