// SPDX-License-Identifier: Apache-2.0
//
// Random steps for address spaces: what user space and in-kernel users can do, with IOVAs at both ends of the u64 space and
// across 2^32, where they meet each other often.

import fc from 'fast-check'
import { CONSTANT, MEMORY, NOTHING, PAGE, PAGES, SHARED } from './harness.js'
import { clamp, type Range, U64_MAX } from './u64.js'

export const MAX_IOASES = 3

/** A range that lies on areas that exist: from the i-th to the j-th, its ends moved; or one of the window. */
export interface Pick {
  readonly from: number
  readonly to: number
  readonly moveStart: number
  readonly moveLast: number
  readonly free: Range
  readonly useFree: boolean
}

type Memory = { readonly region: number | 'file'; readonly offset: number }

export type Step =
  | { do: 'alloc' }
  | { do: 'destroy'; id: number }
  | {
      do: 'map'
      id: number
      fixed: boolean
      prot: number
      memory: Memory
      /** Right behind an area, if there is one. */
      behind: number | undefined
      iova: bigint
      length: bigint
    }
  | { do: 'copy'; id: number; src: number; fixed: boolean; prot: number; iova: bigint; pick: Pick }
  | { do: 'unmap'; id: number; pick: Pick; all: boolean }
  | { do: 'allow'; id: number; list: Range[] }
  | { do: 'reserve'; id: number; range: Range }
  | { do: 'small pages'; id: number; on: boolean }
  | { do: 'attach'; id: number; alignment: number }
  | { do: 'detach'; id: number }
  | { do: 'add domain'; id: number; granule: number; aperture: number; broken: bigint | undefined }
  | { do: 'remove domain'; id: number; which: number }
  | { do: 'pin'; id: number; pick: Pick; write: boolean }
  | { do: 'unpin'; id: number; which: number }
  | { do: 'rw'; id: number; pick: Pick; write: boolean }

/** Of domains; some leave IOVAs out that areas may have. */
export const APERTURES: Range[] = [
  { start: 0n, last: U64_MAX },
  { start: 0n, last: U64_MAX },
  { start: 0x1000n, last: U64_MAX },
  { start: 0n, last: 2n ** 48n - 1n },
  { start: 2n ** 31n, last: 2n ** 33n - 1n },
]

/** The first two address spaces exist at first; the last id never does. */
const id = fc.constantFrom(1, 1, 1, 1, 1, 2, 2, 2, 2, MAX_IOASES, MAX_IOASES + 1)
const sub = fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.constantFrom(1, 0x800, 0xfff))
const window = fc.constantFrom(0n, 2n ** 32n - 0x8000n, 2n ** 64n - 0x10000n)
const iova = fc
  .tuple(window, fc.nat(PAGES - 1), sub)
  .map(([base, page, offset]) => clamp(base + BigInt(page * PAGE + offset)))
const length = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 1, max: 5 }).map((pages) => BigInt(pages * PAGE)) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 3 * PAGE }).map(BigInt) },
  fc.constantFrom(U64_MAX, U64_MAX - 4096n, U64_MAX - 4095n, 2n ** 62n, 2n ** 63n - 1n),
)
const range = fc.tuple(iova, length).map(([start, bytes]): Range => {
  return { start, last: clamp(start + (bytes === 0n ? 0n : bytes - 1n)) }
})
const move = fc.oneof(
  { weight: 12, arbitrary: fc.constant(0) },
  fc.constantFrom(-PAGE, PAGE, 2 * PAGE, -1, 1, 0x800, 0x10),
)
const pick: fc.Arbitrary<Pick> = fc.record({
  from: fc.nat(7),
  to: fc.constantFrom(0, 0, 0, 1, 2),
  moveStart: move,
  moveLast: move,
  free: range,
  useFree: fc.nat(9).map((n) => n === 0),
})
const memory: fc.Arbitrary<Memory> = fc
  .tuple(
    fc.constantFrom(MEMORY, MEMORY, MEMORY, SHARED, CONSTANT, NOTHING, 'file', 'file'),
    fc.nat(PAGES - 1),
    sub,
  )
  .map(([region, page, offset]) => ({
    region: region as Memory['region'],
    offset: page * PAGE + offset,
  }))
const behind = fc.option(fc.nat(7), { nil: undefined })
const prot = fc.oneof({ weight: 6, arbitrary: fc.constant(3) }, fc.integer({ min: 0, max: 2 }))
const boolean = fc.boolean()

function step<const T extends string, M extends object>(
  name: T,
  members: { [K in keyof M]: fc.Arbitrary<M[K]> },
) {
  return fc.record({ do: fc.constant(name), ...members }) as unknown as fc.Arbitrary<{ do: T } & M>
}

function weighted(weight: number, arbitrary: fc.Arbitrary<unknown>): fc.WeightedArbitrary<Step> {
  return { weight, arbitrary: arbitrary as fc.Arbitrary<Step> }
}

const mapStep = step('map', { id, fixed: boolean, prot, memory, behind, iova, length })
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  weighted(1, step('alloc', {})),
  weighted(1, step('destroy', { id })),
  weighted(14, mapStep),
  weighted(6, step('copy', { id, src: id, fixed: boolean, prot, iova, pick })),
  weighted(3, step('unmap', { id, pick, all: fc.nat(9).map((n) => n === 0) })),
  weighted(1, step('allow', { id, list: fc.array(range, { maxLength: 3 }) })),
  weighted(1, step('reserve', { id, range })),
  weighted(1, step('small pages', { id, on: boolean })),
  weighted(
    3,
    step('add domain', {
      id,
      granule: fc.constantFrom(PAGE, PAGE, PAGE / 2),
      aperture: fc.nat(APERTURES.length - 1),
      broken: fc.option(
        iova.map((at) => at - (at % BigInt(PAGE))),
        { freq: 4, nil: undefined },
      ),
    }),
  ),
  weighted(2, step('remove domain', { id, which: fc.nat() })),
  weighted(2, step('attach', { id, alignment: fc.constantFrom(PAGE, PAGE, 1) })),
  weighted(1, step('detach', { id })),
  weighted(10, step('pin', { id, pick, write: boolean })),
  weighted(4, step('unpin', { id, which: fc.nat() })),
  weighted(6, step('rw', { id, pick, write: boolean })),
)

/** Some memory first, then anything. */
export const anySteps: fc.Arbitrary<Step[]> = fc
  .tuple(
    fc.array(mapStep as fc.Arbitrary<Step>, { minLength: 4, maxLength: 8 }),
    fc.array(anyStep, { minLength: 15, maxLength: 50, size: 'max' }),
  )
  .map((both) => both.flat())

/** Two address spaces with a user each. */
export const begin: Step[] = [
  { do: 'alloc' },
  { do: 'alloc' },
  { do: 'attach', id: 1, alignment: PAGE },
  { do: 'attach', id: 2, alignment: 1 },
]
