// SPDX-License-Identifier: Apache-2.0
//
// The memory of the program that is held against the model: what its bytes must be, which frame is behind each page, and
// how often each must be pinned.

import { expect } from 'vitest'
import { CONSTANT, FILE, MEMORY, PAGE, PAGES, type Program, SHARED } from './harness.js'
import type { Copied, Model } from './model.js'
import type { ModelArea, ModelMemory } from './model-state.js'
import { hi, lo } from './u64.js'

const REGIONS = [MEMORY, SHARED, CONSTANT, FILE]
export const REGION_BYTES: number = PAGES * PAGE
/** Bytes that tell where they lie. */
export const PATTERN: Uint8Array = new Uint8Array(2 * REGION_BYTES).map((_, i) => i * 31 + (i >> 8))

/** What the model may know of it. */
export const memoryRules: ModelMemory = {
  fileSize: BigInt(REGION_BYTES),
  mayAccess(address, write) {
    const region = regionOf(Number(address))
    return region !== undefined && !(write && region === CONSTANT)
  },
}

export class PairMemory {
  readonly #program: Program
  /** What each region must hold. */
  readonly #bytes = new Map<number, Uint8Array>()
  /** The frames of each region; they stay the same, as nothing is mapped anew. */
  readonly #frames = new Map<number, number[]>()

  constructor(program: Program) {
    this.#program = program
    for (const region of REGIONS) {
      this.#bytes.set(region, this.#fill(region))
      this.#frames.set(region, this.#framesOf(region))
    }
  }

  /** What must be where an rw has copied; writing to it changes what must be. */
  bytesAt({ isFile, address, length }: Copied): Uint8Array {
    const at = Number(address) + (isFile ? FILE : 0)
    const region = regionOf(at) as number
    const bytes = this.#bytes.get(region) as Uint8Array
    return bytes.subarray(at - region, at - region + length)
  }

  /** Where a byte of an area lies in the machine's memory. */
  physical({ pages }: ModelArea, byte: bigint): number {
    const address = Number(pages.base + byte) + (pages.isFile ? FILE : 0)
    const region = regionOf(address) as number
    const offset = address - region
    const frame = this.#frames.get(region)?.[Math.floor(offset / PAGE)] as number
    return frame * PAGE + (offset % PAGE)
  }

  /** Each page must have as many pins as there are pinned pages of the model that show it. */
  comparePins(model: Model): void {
    const { machine } = this.#program.world
    for (const [region, frames] of this.#frames) {
      const isFile = region === FILE
      const expected = model.pins(isFile)
      for (const [page, frame] of frames.entries()) {
        const pins = machine.pins(frame)
        const wanted = expected.get(BigInt((isFile ? 0 : region) + page * PAGE)) ?? 0
        if (pins !== wanted) expect({ region, page, pins }).toEqual({ region, page, pins: wanted })
      }
    }
  }

  compareBytes(): void {
    for (const [region, bytes] of this.#bytes) {
      expect(isSame(this.#load(region), bytes)).toBe(true)
    }
  }

  /** In memory that cannot be written, what is there. */
  #fill(region: number): Uint8Array {
    const at = REGIONS.indexOf(region) * PAGE
    this.#program.process.store(region, PATTERN.subarray(at, at + REGION_BYTES))
    return this.#load(region)
  }

  #load(region: number): Uint8Array {
    return this.#program.process.load(region, REGION_BYTES) as Uint8Array
  }

  #framesOf(region: number): number[] {
    const { mm } = this.#program.process
    return Array.from({ length: PAGES }, (_, page) => {
      const address = BigInt(region + page * PAGE)
      return mm.lookup(hi(address), lo(address))
    })
  }
}

export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) return false
  return a.length === b.length
}

function regionOf(address: number): number | undefined {
  return REGIONS.find((start) => start <= address && address < start + REGION_BYTES)
}
