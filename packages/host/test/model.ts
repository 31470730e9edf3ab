// SPDX-License-Identifier: Apache-2.0
//
// The naive model that the simulated machine is held against: a process is a map from page to what is mapped there, and
// fork copies every private page at once. No frames, no page tables, no sharing before a write: only what a program could see.
//
// A Cell is the identity of a page. A pin is a reference to a cell, so that what the pin must show is the cell's bytes.

import { EFAULT, ENOMEM, PROT_READ, PROT_WRITE } from '@iommufd/uapi'
import { PAGE } from './fixtures.js'

export interface Cell {
  readonly bytes: Uint8Array
}

function newCell(bytes?: Uint8Array): Cell {
  return { bytes: bytes?.slice() ?? new Uint8Array(PAGE) }
}

/** A file of memory: cells by index, made when needed. */
export class ModelFile {
  size: number
  readonly cells = new Map<number, Cell>()

  constructor(size: number) {
    this.size = size
  }

  /** Undefined beyond the end. */
  cell(index: number): Cell | undefined {
    if (index * PAGE >= this.size) return undefined
    let cell = this.cells.get(index)
    if (cell === undefined) {
      cell = newCell()
      this.cells.set(index, cell)
    }
    return cell
  }
}

interface ModelPage {
  prot: number
  readonly shared: boolean
  readonly file: ModelFile | undefined
  readonly index: number
  /** The private copy. */
  own: Cell | undefined
}

export class ModelProcess {
  readonly pages = new Map<number, ModelPage>()

  map(
    first: number,
    pages: number,
    prot: number,
    shared: boolean,
    file?: ModelFile,
    index = 0,
  ): void {
    const backing = file ?? (shared ? new ModelFile(pages * PAGE) : undefined)
    for (let i = 0; i < pages; i++)
      this.pages.set(first + i, { prot, shared, file: backing, index: index + i, own: undefined })
  }

  unmap(first: number, pages: number): void {
    for (let i = 0; i < pages; i++) this.pages.delete(first + i)
  }

  protect(first: number, pages: number, prot: number): number {
    for (let i = 0; i < pages; i++) {
      const page = this.pages.get(first + i)
      if (page === undefined) return -ENOMEM
      page.prot = prot
    }
    return 0
  }

  /** The cell as it is for reading: undefined beyond a file's end, 'zero' for a private page that nothing has touched. */
  seen(page: ModelPage): Cell | 'zero' | undefined {
    if (page.own !== undefined) return page.own
    return page.file === undefined ? 'zero' : page.file.cell(page.index)
  }

  /** The cell for writing or pinning: a private page becomes the process's own. */
  owned(page: ModelPage): Cell | undefined {
    const seen = this.seen(page)
    if (seen === undefined || page.shared || page.own !== undefined) return seen as Cell | undefined
    page.own = newCell(seen === 'zero' ? undefined : seen.bytes)
    return page.own
  }

  store(address: number, bytes: Uint8Array): number {
    for (let i = 0; i < bytes.length; i++) {
      const page = this.pages.get(Math.floor((address + i) / PAGE))
      const cell = page && page.prot & PROT_WRITE ? this.owned(page) : undefined
      if (cell === undefined) return -EFAULT
      cell.bytes[(address + i) % PAGE] = bytes[i] as number
    }
    return 0
  }

  load(address: number, length: number): Uint8Array | number {
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i++) {
      const page = this.pages.get(Math.floor((address + i) / PAGE))
      const cell = page && page.prot !== 0 ? this.seen(page) : undefined
      if (cell === undefined) return -EFAULT
      bytes[i] = cell === 'zero' ? 0 : (cell.bytes[(address + i) % PAGE] as number)
    }
    return bytes
  }

  pin(first: number, pages: number, write: boolean): Cell[] {
    const cells: Cell[] = []
    for (let i = 0; i < pages; i++) {
      const page = this.pages.get(first + i)
      const may = page !== undefined && (page.prot & (write ? PROT_WRITE : PROT_READ)) !== 0
      const cell = may ? this.owned(page) : undefined
      if (cell === undefined) break
      cells.push(cell)
    }
    return cells
  }

  fork(): ModelProcess {
    const child = new ModelProcess()
    for (const [number, page] of this.pages)
      child.pages.set(number, { ...page, own: page.own && newCell(page.own.bytes) })
    return child
  }

  /** What ftruncate does to a mapping: pages beyond the end are gone, private copies too. */
  truncated(file: ModelFile, firstGone: number): void {
    for (const page of this.pages.values())
      if (page.file === file && page.index >= firstGone) page.own = undefined
  }
}

export function truncate(processes: Iterable<ModelProcess>, file: ModelFile, size: number): void {
  const firstGone = Math.ceil(size / PAGE)
  if (size < file.size) {
    for (const process of processes) process.truncated(file, firstGone)
    for (const index of [...file.cells.keys()]) if (index >= firstGone) file.cells.delete(index)
    file.cells.get(Math.floor(size / PAGE))?.bytes.fill(0, size % PAGE)
  }
  file.size = size
}
