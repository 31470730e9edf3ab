// SPDX-License-Identifier: Apache-2.0
//
// A naive model of DMA: pages of memory are arrays, an address space is a map from pages of IOVAs to them. It runs beside
// an engine with two devices, each with a domain of its own, and an in-kernel user that pins; every byte, every fault and
// every count is compared.

import { hiOf, loOf } from '@iommufd/core'
import { IOAS, type IoptAccess, pinRange, unpinRange } from '@iommufd/pages'
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@iommufd/uapi'
import { expect } from 'vitest'
import type { DeviceDma } from '../src/index.js'
import { DmaWorld, faultsOf, IOVA, PAGE, READ, WRITE } from './dma-world.js'

export const MEMORY_PAGES = 12
export const IOVA_PAGES = 24
const PROT_RW = PROT_READ | PROT_WRITE

interface Shown {
  readonly bytes: Uint8Array
  readonly prot: number
}

interface Area {
  readonly first: number
  readonly pages: number
}

export class DmaModel {
  readonly world: DmaWorld
  readonly #ioas: number
  readonly #va: number
  readonly #dmas: DeviceDma[]
  readonly #memory = Array.from({ length: MEMORY_PAGES }, () => new Uint8Array(PAGE))
  readonly #shown = new Map<number, Shown>()
  readonly #areas: Area[] = []
  /** Ranges of pages that the in-kernel user has pinned. */
  readonly #pinned: Area[] = []

  constructor(format: 'amdv1_mock' | 'vtdss') {
    this.world = new DmaWorld(format)
    this.#ioas = this.world.ioas()
    this.#va = this.world.memory(MEMORY_PAGES * PAGE, () => 0)
    this.#dmas = [0, 1].map(() => this.#device())
    const rc = this.#iopt.addAccess(this.#access)
    if (rc !== 0) throw new Error(`addAccess: ${rc}`)
  }

  /** IOAS_MAP of `pages` pages from page `from` of the memory on, at page `first`; prot READ | WRITE. */
  map(first: number, from: number, pages: number, prot: number): void {
    const n = Math.min(pages, MEMORY_PAGES - from, IOVA_PAGES - first)
    for (let i = 0; i < n; i++) if (this.#shown.has(first + i)) return
    this.world.mapAs(this.#ioas, this.#va + from * PAGE, n, iovaOf(first), prot)
    for (let i = 0; i < n; i++) {
      this.#shown.set(first + i, { bytes: this.#memory[from + i] as Uint8Array, prot })
    }
    this.#areas.push({ first, pages: n })
  }

  /** IOAS_UNMAP of one of the areas; whoever has pinned pages of it lets them go. */
  unmap(which: number): void {
    const [area] = this.#areas.splice(which % Math.max(this.#areas.length, 1), 1)
    if (area === undefined) return
    this.world.unmap(this.#ioas, iovaOf(area.first), area.pages * PAGE)
    for (let i = 0; i < area.pages; i++) this.#shown.delete(area.first + i)
  }

  /** A device writes `length` bytes of `value` at a byte offset. */
  deviceWrites(which: number, at: number, length: number, value: number): void {
    const dma = this.#dmas[which] as DeviceDma
    const data = new Uint8Array(length).fill(value)
    const wanted = this.#reach(at, length, WRITE)
    expect(dma.write(IOVA + BigInt(at), data)).toBe(wanted)
    this.#eachByte(at, wanted, (page, offset) => {
      page[offset] = value
    })
    this.#compareFault(dma, 'write', at, wanted, length)
  }

  deviceReads(which: number, at: number, length: number): void {
    const dma = this.#dmas[which] as DeviceDma
    const data = new Uint8Array(length)
    const wanted = this.#reach(at, length, READ)
    expect(dma.read(IOVA + BigInt(at), data)).toBe(wanted)
    const bytes: number[] = []
    this.#eachByte(at, wanted, (page, offset) => bytes.push(page[offset] as number))
    expect([...data.subarray(0, wanted)]).toEqual(bytes)
    this.#compareFault(dma, 'read', at, wanted, length)
  }

  /** The program writes to a page of its memory. */
  programWrites(page: number, value: number): void {
    this.world.process.store(this.#va + page * PAGE, new Uint8Array(PAGE).fill(value))
    this.#memory[page]?.fill(value)
  }

  /** The program gets a new page in the place of one; devices keep the old one. */
  programReplaces(page: number): void {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    this.world.process.mmap(this.#va + page * PAGE, PAGE, PROT_RW, flags)
    this.#memory[page] = new Uint8Array(PAGE)
  }

  /** The in-kernel user pins pages, where all are mapped for reading. */
  pin(first: number, pages: number): void {
    const [start, last] = [iovaOf(first), iovaOf(first + pages) - 1n]
    const frames = new Uint32Array(pages)
    const words = [hiOf(start), loOf(start), hiOf(last), loOf(last)] as const
    const rc = pinRange(this.#iopt, ...words, false, frames)
    const reached = this.#reach(first * PAGE, pages * PAGE, READ)
    expect(rc === 0).toBe(reached === pages * PAGE)
    if (rc === 0) this.#pinned.push({ first, pages })
  }

  unpin(which: number): void {
    const [area] = this.#pinned.splice(which % Math.max(this.#pinned.length, 1), 1)
    if (area !== undefined) this.#giveBack(area)
  }

  /** What devices and program see of all memory, and that each page is pinned once. */
  compare(): void {
    for (const [i, bytes] of this.#memory.entries()) {
      expect(this.world.load(this.#va + i * PAGE, 8)).toEqual([...bytes.subarray(0, 8)])
    }
    for (const [page, { bytes, prot }] of this.#shown) {
      if ((prot & READ) !== 0) expect(this.#frameByte(page)).toBe(bytes[0])
    }
    for (const dma of this.#dmas) expect(this.#bytesOf(dma)).toEqual(this.#bytesShown())
    expect(this.world.warnings).toEqual([])
  }

  /** Everything is given back. */
  finish(): void {
    while (this.#areas.length > 0) this.unmap(0)
    expect(this.#pinned).toEqual([])
    expect(this.world.machine.pinnedFrames).toBe(0)
    this.#iopt.removeAccess(this.#access)
    this.world.close()
    expect(this.world.process.status()).toEqual({ VmPin: 0, VmLck: 0 })
  }

  readonly #access: IoptAccess = {
    alignment: PAGE,
    unmap: (startHi, startLo, lastHi, lastLo) => {
      const [start, last] = [indexOf(startHi, startLo), indexOf(lastHi, lastLo)]
      for (const area of this.#pinned.filter((a) => a.first <= last && a.first + a.pages > start)) {
        this.#pinned.splice(this.#pinned.indexOf(area), 1)
        this.#giveBack(area)
      }
    },
  }

  get #iopt() {
    const ioas = this.world.ctx.find(this.#ioas, IOAS)
    if (ioas === undefined) throw new Error('the IOAS is gone')
    return ioas.iopt
  }

  #giveBack({ first, pages }: Area): void {
    const [start, last] = [iovaOf(first), iovaOf(first + pages) - 1n]
    unpinRange(this.#iopt, hiOf(start), loOf(start), hiOf(last), loOf(last))
  }

  /** The first byte of each page of IOVAs as a device finds it, or why it does not. */
  #bytesOf(dma: DeviceDma): unknown[] {
    const byte = new Uint8Array(1)
    return pages(IOVA_PAGES).map((page) =>
      dma.read(iovaOf(page), byte) === 1 ? byte[0] : dma.takeFaults()[0]?.reason,
    )
  }

  #bytesShown(): unknown[] {
    return pages(IOVA_PAGES).map((page) => {
      const shown = this.#shown.get(page)
      if (shown === undefined) return 'NOT_MAPPED'
      return (shown.prot & READ) === 0 ? 'NOT_READABLE' : shown.bytes[0]
    })
  }

  /** The first byte of a page as the in-kernel user finds it by pinning it for a moment. */
  #frameByte(page: number): number | undefined {
    const [start, last] = [iovaOf(page), iovaOf(page + 1) - 1n]
    const words = [hiOf(start), loOf(start), hiOf(last), loOf(last)] as const
    const frames = new Uint32Array(1)
    if (pinRange(this.#iopt, ...words, false, frames) < 0) return undefined
    const byte = new Uint8Array(1)
    this.world.machine.readFrame(frames[0] as number, 0, byte, 0, 1)
    unpinRange(this.#iopt, ...words)
    return byte[0]
  }

  /** A device with a table of its own. */
  #device(): DeviceDma {
    const dev = this.world.device()
    const idev = this.world.bind(dev)
    this.world.attach(idev, this.world.hwpt(idev.id, this.#ioas, 0))
    return this.world.dma(dev)
  }

  /** How many bytes can be accessed. */
  #reach(at: number, length: number, prot: number): number {
    let done = 0
    while (done < length) {
      const shown = this.#shown.get(Math.floor((at + done) / PAGE))
      if (shown === undefined || (shown.prot & prot) === 0) break
      done += PAGE - ((at + done) % PAGE)
    }
    return Math.min(done, length)
  }

  #eachByte(at: number, length: number, use: (page: Uint8Array, offset: number) => void): void {
    for (let i = at; i < at + length; i++) {
      use(this.#shown.get(Math.floor(i / PAGE))?.bytes as Uint8Array, i % PAGE)
    }
  }

  #compareFault(
    dma: DeviceDma,
    direction: 'read' | 'write',
    at: number,
    done: number,
    length: number,
  ): void {
    const iova = IOVA + BigInt(at + done)
    const isMapped = this.#shown.has(Math.floor((at + done) / PAGE))
    const forbidden = direction === 'read' ? 'NOT_READABLE' : 'NOT_WRITABLE'
    const reason = isMapped ? forbidden : 'NOT_MAPPED'
    const fault = `${direction} ${reason} at 0x${iova.toString(16)}`
    expect(faultsOf(dma)).toEqual(done === length ? [] : [fault])
  }
}

function pages(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}

function iovaOf(page: number): bigint {
  return IOVA + BigInt(page * PAGE)
}

function indexOf(hi: number, lo: number): number {
  return Number((((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)) - IOVA) / BigInt(PAGE))
}
