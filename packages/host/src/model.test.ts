// SPDX-License-Identifier: Apache-2.0
// Random sequences of calls by several processes, held against the naive model of test/model.ts: answers, memory, what
// pins see, which pins are of the same page, and that nothing is left in the end.

import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '@iommufd/uapi'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BASE, hi, lo, PAGE } from '../test/fixtures.js'
import { type Cell, ModelFile, ModelProcess, truncate } from '../test/model.js'
import { Machine } from './machine.js'
import type { Process } from './process.js'

/** Pages that the processes play with; they lie across two page table leaves. */
const WINDOW = 8
const FIRST = BASE / PAGE
const MAX_PROCESSES = 4
const RUNS = 120
const SEED = 20_260_101
const FILE_PAGES = 4

type Kind = 'private' | 'shared' | 'file' | 'private file'

type Step =
  | {
      do: 'mmap'
      who: number
      page: number
      pages: number
      prot: number
      kind: Kind
      index: number
    }
  | { do: 'munmap'; who: number; page: number; pages: number }
  | { do: 'mprotect'; who: number; page: number; pages: number; prot: number }
  | { do: 'store'; who: number; at: number; bytes: Uint8Array }
  | { do: 'load'; who: number; at: number; length: number }
  | { do: 'pin'; who: number; page: number; pages: number; write: boolean }
  | { do: 'pin file'; index: number; pages: number }
  | { do: 'write pin'; which: number; at: number; bytes: Uint8Array }
  | { do: 'unpin'; which: number }
  | { do: 'lookup'; who: number; page: number }
  | { do: 'truncate'; size: number }
  | { do: 'fork' | 'exit'; who: number }

const who = fc.nat(MAX_PROCESSES - 1)
const page = fc.nat(WINDOW - 1)
const pages = fc.integer({ min: 1, max: 4 })
const RW = PROT_READ | PROT_WRITE
// Not PROT_WRITE or PROT_EXEC alone: whether those can be pinned depends on whether the page is in the page table.
const prot = fc.constantFrom(RW, RW, RW, PROT_READ, PROT_NONE, RW | PROT_EXEC)
const at = fc.nat(WINDOW * PAGE - 1)
const bytes = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 9 }),
  fc.integer({ min: 0, max: 255 }).map((byte) => new Uint8Array(PAGE + 100).fill(byte)),
)
const KINDS: Kind[] = ['private', 'shared', 'private file', 'file']
const kind = fc.constantFrom<Kind>('private', ...KINDS)

function step<const T extends string, M extends object>(
  name: T,
  members: { [K in keyof M]: fc.Arbitrary<M[K]> },
) {
  return fc.record({ do: fc.constant(name), ...members }) as unknown as fc.Arbitrary<{ do: T } & M>
}

const steps: fc.Arbitrary<Step>[] = [
  step('mmap', { who, page, pages, prot, kind, index: fc.nat(FILE_PAGES - 1) }),
  step('munmap', { who, page, pages }),
  step('mprotect', { who, page, pages, prot }),
  step('store', { who, at, bytes }),
  step('store', { who, at, bytes }),
  step('load', { who, at, length: fc.integer({ min: 1, max: 2 * PAGE }) }),
  step('pin', { who, page, pages, write: fc.boolean() }),
  step('pin', { who, page, pages, write: fc.boolean() }),
  step('pin file', { index: fc.nat(FILE_PAGES - 1), pages }),
  step('write pin', {
    which: fc.nat(),
    at: fc.nat(PAGE - 16),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 9 }),
  }),
  step('unpin', { which: fc.nat() }),
  step('lookup', { who, page }),
  step('truncate', { size: fc.nat(FILE_PAGES * PAGE) }),
  step('fork', { who }),
  step('exit', { who }),
]

const FLAGS: Record<Kind, number> = {
  private: MAP_PRIVATE | MAP_ANONYMOUS,
  shared: MAP_SHARED | MAP_ANONYMOUS,
  file: MAP_SHARED,
  'private file': MAP_PRIVATE,
}

class Pair {
  readonly machine = new Machine()
  readonly file = new ModelFile(FILE_PAGES * PAGE)
  readonly #fd: number
  #processes: [Process, ModelProcess][]
  #pins: { frame: number; cell: Cell }[] = []

  constructor() {
    const first = this.machine.spawn()
    this.#fd = first.memfdCreate('model', 0)
    first.ftruncate(this.#fd, this.file.size)
    this.#processes = [[first, new ModelProcess()]]
    KINDS.forEach((kind, i) => {
      this.run({ do: 'mmap', who: 0, page: 2 * i, pages: 2, prot: RW, kind, index: i })
    })
  }

  run(step: Step): void {
    switch (step.do) {
      case 'pin file':
        this.#pinFile(step.index, step.pages)
        return
      case 'write pin':
        this.#writePin(step.which, step.at, step.bytes)
        return
      case 'unpin':
        this.#unpin(step.which)
        return
      case 'truncate':
        truncate(
          this.#processes.map(([, model]) => model),
          this.file,
          step.size,
        )
        expect(this.#processes[0]?.[0].ftruncate(this.#fd, step.size)).toBe(0)
        return
      default:
        this.#runIn(
          step,
          ...(this.#processes[step.who % this.#processes.length] as [Process, ModelProcess]),
        )
    }
  }

  #runIn(step: Extract<Step, { who: number }>, real: Process, model: ModelProcess): void {
    switch (step.do) {
      case 'mmap': {
        const ofFile = step.kind === 'file' || step.kind === 'private file'
        const shared = step.kind === 'shared' || step.kind === 'file'
        const args = ofFile ? ([this.#fd, step.index * PAGE] as const) : ([] as const)
        const address = BASE + step.page * PAGE
        const flags = FLAGS[step.kind] | MAP_FIXED
        expect(real.mmap(address, step.pages * PAGE, step.prot, flags, ...args)).toBe(address)
        model.map(
          FIRST + step.page,
          step.pages,
          step.prot,
          shared,
          ofFile ? this.file : undefined,
          ofFile ? step.index : 0,
        )
        return
      }
      case 'munmap':
        expect(real.munmap(BASE + step.page * PAGE, step.pages * PAGE)).toBe(0)
        model.unmap(FIRST + step.page, step.pages)
        return
      case 'mprotect': {
        const expected = model.protect(FIRST + step.page, step.pages, step.prot)
        expect(real.mprotect(BASE + step.page * PAGE, step.pages * PAGE, step.prot)).toBe(expected)
        return
      }
      case 'store':
        expect(real.store(BASE + step.at, step.bytes)).toBe(model.store(BASE + step.at, step.bytes))
        return
      case 'load':
        expectSame(real.load(BASE + step.at, step.length), model.load(BASE + step.at, step.length))
        return
      case 'pin':
        this.#pin(step, real, model)
        return
      case 'lookup':
        this.#lookup(step.page, real, model)
        return
      case 'fork':
        if (this.#processes.length < MAX_PROCESSES)
          this.#processes.push([real.fork(), model.fork()])
        return
      case 'exit':
        if (this.#processes.length === 1) return
        this.#processes = this.#processes.filter(([process]) => process !== real)
        real.exit()
        return
    }
  }

  #pin(step: Extract<Step, { do: 'pin' }>, real: Process, model: ModelProcess): void {
    const frames = new Uint32Array(step.pages)
    const address = BASE + step.page * PAGE
    const pinned = real.mm.pin(hi(address), lo(address), step.pages, step.write, frames, 0)
    this.#pinned(pinned, frames, model.pin(FIRST + step.page, step.pages, step.write))
  }

  #pinFile(index: number, pages: number): void {
    const file = this.#processes[0]?.[0].file(this.#fd)
    if (file === undefined) throw new Error('no memfd')
    const frames = new Uint32Array(pages)
    const pinned = this.machine.pinFile(file, 0, index * PAGE, pages, frames, 0)
    const fits = (index + pages) * PAGE <= this.file.size
    const indices = fits ? Array.from({ length: pages }, (_, i) => index + i) : []
    this.#pinned(
      pinned,
      frames,
      indices.map((i) => this.file.cell(i) as Cell),
    )
  }

  #pinned(pinned: number, frames: Uint32Array, cells: Cell[]): void {
    expect(Math.max(0, pinned)).toBe(cells.length)
    cells.forEach((cell, i) => {
      this.#pins.push({ frame: frames[i] as number, cell })
    })
  }

  #writePin(which: number, at: number, bytes: Uint8Array): void {
    const pin = this.#pins[which % this.#pins.length]
    if (pin === undefined) return
    this.machine.writeFrame(pin.frame, at, bytes, 0, bytes.length)
    pin.cell.bytes.set(bytes, at)
  }

  #unpin(which: number): void {
    const [pin] = this.#pins.splice(which % this.#pins.length, 1)
    if (pin !== undefined) this.machine.unpin(Uint32Array.of(pin.frame), 0, 1)
  }

  #lookup(number: number, real: Process, model: ModelProcess): void {
    const address = BASE + number * PAGE
    const frame = real.mm.lookup(hi(address), lo(address))
    const page = model.pages.get(FIRST + number)
    const seen = page && page.prot & PROT_READ ? model.seen(page) : undefined
    expect(frame >= 0).toBe(seen !== undefined)
    if (seen === 'zero') expect(frame).toBe(0)
    const pin = this.#pins.find(({ cell }) => cell === seen)
    if (pin !== undefined) expect(frame).toBe(pin.frame)
  }

  /** Every pin shows its page; pins have the same frame exactly when they are of the same page. */
  checkPins(): void {
    const frames = new Map<Cell, number>()
    const bytes = new Uint8Array(PAGE)
    for (const { frame, cell } of this.#pins) {
      expect(frames.get(cell) ?? frame).toBe(frame)
      frames.set(cell, frame)
      expect(this.machine.pins(frame)).toBe(this.#pins.filter((pin) => pin.cell === cell).length)
      this.machine.readFrame(frame, 0, bytes, 0, PAGE)
      expectSame(bytes, cell.bytes)
    }
    expect(new Set(frames.values()).size).toBe(frames.size)
    expect(this.machine.pinnedFrames).toBe(frames.size)
  }

  checkMemory(): void {
    for (const [real, model] of this.#processes)
      for (let i = 0; i < WINDOW + 3; i++)
        expectSame(real.load(BASE + i * PAGE, PAGE), model.load(BASE + i * PAGE, PAGE))
  }

  /** Everything ends; what is pinned outlives the processes. */
  end(): void {
    for (const [real] of this.#processes) real.exit()
    this.checkPins()
    expect(this.machine.framesInUse).toBe(this.machine.pinnedFrames)
    while (this.#pins.length > 0) this.#unpin(0)
    expect([this.machine.framesInUse, this.machine.pinnedFrames]).toEqual([0, 0])
  }
}

/** Both the same errno, or the same bytes. Pages are compared by hand: toEqual takes a millisecond for one. */
function expectSame(real: Uint8Array | number, model: Uint8Array | number): void {
  const both = typeof real === 'object' && typeof model === 'object'
  if (both && real.length === model.length && real.every((byte, i) => byte === model[i])) return
  expect(real).toEqual(model)
}

test('whatever several processes do, they see what the naive model says, and so do the pins', () => {
  const property = fc.property(
    fc.array(fc.oneof(...steps), { maxLength: 50, size: 'max' }),
    (sequence) => {
      const pair = new Pair()
      for (const step of sequence) {
        pair.run(step)
        pair.checkPins()
      }
      pair.checkMemory()
      pair.end()
    },
  )
  fc.assert(property, { numRuns: RUNS, seed: SEED })
}, 60_000)
