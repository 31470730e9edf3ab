// SPDX-License-Identifier: Apache-2.0
//
// Dma-bufs in address spaces beside a naive model of them: a list of areas, each with the import it shows; what a domain
// must hold is counted up from that list, page by page.

import { expect } from 'vitest'
import { addDomain, removeDomain } from '../src/iopt-domains.js'
import { Exporter, REGISTERS } from './dma-buf.js'
import { TestDomain } from './domain.js'
import { boot, must, PAGE, Program, RW_FIXED, type World } from './harness.js'
import { U64_MAX } from './u64.js'

export const SPACES = 3
export const BUFFERS = 2
export const BUFFER_PAGES = 4
export const IOVA_PAGES = 16

const iovaOf = (page: number): bigint => BigInt((0x100 + page) * PAGE)

/** What one IOAS_MAP_FILE imported; copies share it. */
interface Import {
  readonly exporter: Exporter
  isRevoked: boolean
}

interface Area {
  readonly space: number
  readonly page: number
  readonly npages: number
  readonly shown: Import
  /** First page of the dma-buf that it shows. */
  readonly start: number
}

export class DmaBufModel {
  readonly #world: World = boot()
  readonly #program = Program.start(this.#world, { uid: 1000, rlimitMemlock: 0 })
  readonly #ids = Array.from({ length: SPACES }, () => this.#program.alloc())
  readonly #buffers = Array.from({ length: BUFFERS }, (_, i) =>
    Exporter.open(this.#program.process, BUFFER_PAGES, REGISTERS + i * 1000),
  )
  readonly #domains = this.#ids.map((): TestDomain[] => [])
  #areas: Area[] = []

  map(space: number, buffer: number, start: number, npages: number, page: number): void {
    const { exporter, fd } = this.#buffers[buffer] as { exporter: Exporter; fd: number }
    const range = { start: start * PAGE, length: npages * PAGE, iova: iovaOf(page) }
    const values = { flags: RW_FIXED, ioas_id: this.#ids[space] as number, fd }
    const { outcome } = this.#program.mapFile({ ...values, ...range })
    if (start + npages > BUFFER_PAGES) expect(outcome).toBe('EINVAL DMABUF_TOO_SHORT')
    else if (exporter.isGone) expect(outcome).toBe('ENODEV DMABUF_GONE')
    else if (this.#overlaps(space, page, npages)) expect(outcome).toBe('EEXIST AREA_OVERLAPS')
    else {
      expect(outcome).toBe('ok')
      this.#areas.push({ space, page, npages, shown: { exporter, isRevoked: false }, start })
    }
  }

  /** Copies a part of the n-th area. */
  copy(n: number, skip: number, space: number, page: number): void {
    const from = this.#areas[n % (this.#areas.length || 1)]
    if (from === undefined || skip >= from.npages) return
    const npages = from.npages - skip
    const ids = {
      src_ioas_id: this.#ids[from.space] as number,
      dst_ioas_id: this.#ids[space] as number,
    }
    const iovas = { src_iova: iovaOf(from.page + skip), dst_iova: iovaOf(page) }
    const values = { ...ids, ...iovas, length: npages * PAGE, flags: RW_FIXED }
    const isFree = !this.#overlaps(space, page, npages)
    expect(this.#program.copy(values).outcome).toBe(isFree ? 'ok' : 'EEXIST AREA_OVERLAPS')
    const { shown, start } = from
    if (isFree) this.#areas.push({ space, page, npages, shown, start: start + skip })
  }

  /** Unmaps the n-th area. */
  unmap(n: number): void {
    const area = this.#areas[n % (this.#areas.length || 1)]
    if (area === undefined) return
    const id = this.#ids[area.space] as number
    expect(this.#program.unmap(id, iovaOf(area.page), area.npages * PAGE).outcome).toBe('ok')
    this.#areas = this.#areas.filter((other) => other !== area)
  }

  /** Takes the memory away from who has it; `isGone`: and gives it to nobody. */
  revoke(buffer: number, isGone: boolean): void {
    const { exporter } = this.#buffers[buffer] as { exporter: Exporter }
    exporter.revoke()
    exporter.isGone = isGone
    for (const { shown } of this.#areas) shown.isRevoked ||= shown.exporter === exporter
  }

  addDomain(space: number): void {
    const domain = new TestDomain(this.#world, space === 0 ? 1024 : PAGE)
    must(addDomain(this.#program.ioas(this.#ids[space] as number).iopt, domain))
    this.#domains[space]?.push(domain)
  }

  removeDomain(space: number, n: number): void {
    const domains = this.#domains[space] as TestDomain[]
    const [domain] = domains.splice(n % (domains.length || 1), 1)
    if (domain === undefined) return
    removeDomain(this.#program.ioas(this.#ids[space] as number).iopt, domain)
    expect(domain.entries.size).toBe(0)
  }

  compare(): void {
    for (const [space, domains] of this.#domains.entries()) {
      for (const domain of domains) expect(held(domain)).toEqual(this.#expected(space))
    }
    for (const { exporter } of this.#buffers) {
      const imports = this.#areas.filter(({ shown }) => shown.exporter === exporter)
      expect(exporter.importers.size).toBe(new Set(imports.map(({ shown }) => shown)).size)
    }
    expect(this.#world.tables.pages.pinnedCount).toBe(0)
  }

  finish(): void {
    for (const { fd } of this.#buffers) must(this.#program.process.close(fd))
    for (const id of this.#ids) must(this.#program.unmap(id, 0, U64_MAX).ret)
    expect(this.#buffers.map(({ exporter }) => exporter.isReleased)).toEqual([true, true])
    for (const domain of this.#domains.flat()) expect(domain.entries.size).toBe(0)
    expect(this.#world.tables.pages.count).toBe(0)
  }

  #overlaps(space: number, page: number, npages: number): boolean {
    return this.#areas.some(
      (area) => area.space === space && area.page < page + npages && page < area.page + area.npages,
    )
  }

  /** Frames by page of IOVA. */
  #expected(space: number): [number, number][] {
    const live = this.#areas.filter((area) => area.space === space && !area.shown.isRevoked)
    const pages = live.flatMap(({ page, npages, shown, start }): [number, number][] => {
      const first = shown.exporter.ranges[0]?.frame ?? 0
      return Array.from({ length: npages }, (_, i) => [page + i, first + start + i])
    })
    return pages.sort(([a], [b]) => a - b)
  }
}

function held(domain: TestDomain): [number, number][] {
  const iovas = [...domain.entries.keys()].filter((iova) => iova % BigInt(PAGE) === 0n)
  expect(domain.entries.size).toBe((iovas.length * PAGE) / domain.minPageSize)
  const pages = iovas.map((iova): [number, number] => {
    return [Number(iova / BigInt(PAGE)) - 0x100, domain.frameAt(iova)]
  })
  return pages.sort(([a], [b]) => a - b)
}
