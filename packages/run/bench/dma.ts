// SPDX-License-Identifier: Apache-2.0
// A device's reads and writes of pinned shared memory.

import { archOf } from '../src/arch.js'
import { LiveHost } from '../src/live-host.js'

const PAGE = 4096

/** Reads and writes whole pinned pages in turn, `ops` times. */
export class Dma {
  readonly #host: LiveHost
  readonly #frames: Uint32Array
  readonly #page: Uint8Array = new Uint8Array(PAGE)

  constructor(pages: number) {
    const arch = archOf(process.arch)
    if (arch === undefined) throw new Error(`not on ${process.arch}`)
    this.#host = new LiveHost(arch, () => undefined)
    const file = this.#host.memory.makeAnonymous(pages * PAGE)
    if (typeof file === 'number') throw new Error(`no memory: errno ${-file}`)
    this.#frames = new Uint32Array(pages)
    this.#host.memory.pinPages(file, 0, pages, this.#frames, 0)
  }

  run(ops: number): void {
    const frames = this.#frames
    for (let i = 0; i < ops; i++) {
      const frame = frames[(i * 7) % frames.length] as number
      if ((i & 1) === 0) this.#host.readFrame(frame, 0, this.#page, 0, PAGE)
      else this.#host.writeFrame(frame, 0, this.#page, 0, PAGE)
    }
  }
}
