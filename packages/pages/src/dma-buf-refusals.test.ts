// SPDX-License-Identifier: Apache-2.0
// Every refusal of a dma-buf is reached by a call, with its own errno and with all its words filled in.

import { expect, test } from 'vitest'
import { Access } from '../test/access.js'
import { Exporter } from '../test/dma-buf.js'
import { boot, PAGE, Program, RW_FIXED, type World } from '../test/harness.js'
import { dmaBufRefusals } from './index.js'

type Name = keyof typeof dmaBufRefusals

/** A dma-buf of one page is mapped at 0x1000 of address space 1. */
class Scene {
  readonly world: World = boot()
  readonly program = Program.start(this.world)
  readonly id = this.program.alloc()
  readonly opened = Exporter.open(this.program.process, 1)

  constructor() {
    this.map({ iova: 0x1000 })
  }

  map(values: object): number {
    const defaults = { flags: RW_FIXED, ioas_id: this.id, fd: this.opened.fd, length: PAGE }
    return this.program.mapFile({ ...defaults, iova: 0x2000, ...values }).ret
  }
}

/** A call that each site refuses. */
const provoked: Record<Name, (scene: Scene) => number> = {
  DMABUF_TOO_SHORT: (scene) => scene.map({ start: 1 }),
  DMABUF_GONE: (scene) => {
    scene.opened.exporter.revoke()
    return scene.map({})
  },
  DMABUF_SCATTERED: (scene) => {
    scene.opened.exporter.ranges = []
    return scene.map({})
  },
  DMABUF_NOT_FOR_CPU: ({ world, program, id }) =>
    Access.attached(world, program.ioas(id)).rw(0x1000n, new Uint8Array(1)),
  AREA_OF_DMABUF: ({ program }) => program.changeProcess().ret,
}

test.each(Object.keys(dmaBufRefusals) as Name[])('L8: %s is reached by a call', (name) => {
  const scene = new Scene()
  expect(provoked[name](scene)).toBe(-dmaBufRefusals[name].errno)
  const { last } = scene.world.engine.refusals
  expect(last?.id).toBe(name)
  expect(`${last?.sentence} ${last?.remedy}`).not.toMatch(/[{}]/)
})
