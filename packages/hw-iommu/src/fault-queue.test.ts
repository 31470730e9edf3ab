// SPDX-License-Identifier: Apache-2.0
import {
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_FAULT_ID_VALID,
  iommu_fault_alloc,
  iommu_hwpt_page_response,
  POLLIN,
  POLLOUT,
  PROT_READ,
  type StructInput,
  writeStruct,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { ARG, DATA, PAGE, World } from '../test/harness.js'
import type { IommufdDevice } from './index.js'

/** Memory that is never mapped. */
const NOWHERE = 0x1000
const FAULT_ID_VALID = IOMMU_HWPT_FAULT_ID_VALID

class Scene {
  readonly world: World = new World()

  /** A new queue, or why there is none. */
  make(values: StructInput<typeof iommu_fault_alloc> = {}): {
    outcome: string
    id: number
    fd: number
  } {
    const answer = this.world.ioctl(IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc, values)
    const { ret, out_fault_id: id, out_fault_fd: fd } = answer
    return { outcome: this.world.outcome(ret), id, fd }
  }

  read(fd: number, length: number, addr = DATA): number | string {
    return this.#answer(this.world.process.read(fd, addr, length))
  }

  write(fd: number, length: number, addr = DATA): number | string {
    return this.#answer(this.world.process.write(fd, addr, length))
  }

  /** What a refused call must leave: objects, and the descriptor that comes next. */
  state(): unknown {
    return { ...(this.world.state() as object), fd: this.world.process.unusedFd() }
  }

  #answer(ret: number): number | string {
    const outcome = this.world.outcome(ret)
    return ret < 0 ? outcome : ret
  }
}

/** A scene with a device (2), a queue (3), and what makes tables with it on the IOAS (1). */
function withDevice(): {
  scene: Scene
  idev: IommufdDevice
  queue: { id: number; fd: number }
  alloc: (values?: Parameters<World['hwptAlloc']>[0]) => number | string
} {
  const scene = new Scene()
  const { world } = scene
  const pt_id = world.ioas().id
  const idev = world.bind(world.device('a'))
  const queue = scene.make()
  const defaults = { dev_id: idev.id, pt_id, flags: FAULT_ID_VALID, fault_id: queue.id }
  return { scene, idev, queue, alloc: (values) => world.hwptAlloc({ ...defaults, ...values }) }
}

describe('L6: IOMMU_FAULT_QUEUE_ALLOC', () => {
  test('gives an id and the next descriptor, with a file of its own', () => {
    const scene = new Scene()
    const { process, fd, ctx } = scene.world
    expect(scene.make()).toEqual({ outcome: 'ok', id: 1, fd: fd + 1 })
    expect(scene.make()).toEqual({ outcome: 'ok', id: 2, fd: fd + 2 })
    expect(process.file(fd + 1)?.name).toBe('[iommufd-pgfault]')
    expect(process.file(fd + 1)).not.toBe(process.file(fd + 2))
    expect([...ctx.objects].map(({ typeName }) => typeName)).toEqual(['FAULT', 'FAULT'])
  })

  test.each([
    ['EOPNOTSUPP FAULT_QUEUE_FLAGS_NOT_ZERO', { flags: 1 }],
    ['EINVAL STRUCT_TOO_SMALL', { size: 15 }],
    ['E2BIG STRUCT_TAIL_NOT_ZERO', { size: 17 }],
  ])('%s for %o, and nothing is left', (outcome, values) => {
    const scene = new Scene()
    scene.world.process.store(ARG + 16, Uint8Array.of(1))
    const before = scene.state()
    expect(scene.make(values).outcome).toBe(outcome)
    expect(scene.state()).toEqual(before)
  })

  test('without a free descriptor there is no queue', () => {
    const scene = new Scene()
    const { process, fd, ctx } = scene.world
    while (process.dup(fd) >= 0);
    expect(scene.make().outcome).toBe('EMFILE FAULT_QUEUE_NO_DESCRIPTOR')
    expect(ctx.objects.isEmpty).toBe(true)
    process.close(fd + 1)
    expect(scene.make()).toEqual({ outcome: 'ok', id: 1, fd: fd + 1 })
  })

  test('the answer cannot be written back: neither object nor descriptor nor reference is left', () => {
    const scene = new Scene()
    const { process, fd, ctx } = scene.world
    process.store(ARG, writeStruct(iommu_fault_alloc, { size: 16 }))
    process.mprotect(ARG, PAGE, PROT_READ)
    const ret = process.ioctl(fd, IOMMU_FAULT_QUEUE_ALLOC, ARG)
    expect(scene.world.outcome(ret)).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(ctx.objects.isEmpty).toBe(true)
    expect(process.unusedFd()).toBe(fd + 1)
    scene.world.close()
    expect(scene.world.engine.contexts.size).toBe(0)
  })

  test('every fault point leaves neither object nor descriptor; then the call is served', () => {
    const scene = new Scene()
    const { faults } = scene.world.engine
    const before = scene.state()
    for (let n = 1; ; n++) {
      faults.arm(n)
      const { outcome } = scene.make()
      const { fired } = faults
      faults.disarm()
      if (!fired) {
        expect([outcome, n]).toEqual(['ok', 5])
        break
      }
      expect(outcome).toMatch(/^E(NOMEM|FAULT) INJECTED/)
      expect(scene.state()).toEqual(before)
    }
  })

  test('DESTROY is EBUSY while the file is open in any process', () => {
    const scene = new Scene()
    const { world } = scene
    const { id, fd } = scene.make()
    expect(world.destroy(id)).toBe('EBUSY OBJECT_BUSY')
    const child = world.process.fork()
    world.process.close(fd)
    expect(world.destroy(id)).toBe('EBUSY OBJECT_BUSY')
    child.exit()
    expect(world.destroy(id)).toBe('ok')
    expect(world.destroy(id)).toBe('ENOENT OBJECT_UNKNOWN')
  })

  test('the file keeps the context, and its last close ends it', () => {
    const scene = new Scene()
    const { fd } = scene.make()
    const { ctx, process } = scene.world
    scene.world.close()
    expect(ctx.released).toBe(false)
    expect(scene.read(fd, 40)).toBe(0)
    process.close(fd)
    expect(ctx.released).toBe(true)
    expect(scene.world.warnings).toEqual([])
  })
})

describe('L1, L6: a table with a fault queue', () => {
  test('is one of its users until it is destroyed', () => {
    const { scene, queue, alloc } = withDevice()
    const { world } = scene
    const table = alloc() as number
    world.process.close(queue.fd)
    expect(world.destroy(queue.id)).toBe('EBUSY OBJECT_BUSY')
    expect(world.destroy(table)).toBe('ok')
    expect(world.destroy(queue.id)).toBe('ok')
  })

  test('can be a nested one, but not its parent', () => {
    const { scene, queue, alloc } = withDevice()
    const { world } = scene
    expect(alloc({ flags: FAULT_ID_VALID | IOMMU_HWPT_ALLOC_NEST_PARENT })).toBe(
      'EOPNOTSUPP NEST_PARENT_WITH_FAULTS',
    )
    const parent = alloc({ flags: IOMMU_HWPT_ALLOC_NEST_PARENT }) as number
    const nested = alloc({ pt_id: parent, data_type: 1, data_len: 4, data_uptr: DATA }) as number
    expect(world.ctx.objects.get(queue.id)?.users).toBe(2)
    expect(world.destroy(nested)).toBe('ok')
    expect(world.ctx.objects.get(queue.id)?.users).toBe(1)
  })

  test('without the flag fault_id means nothing; with it another object is no queue', () => {
    const { scene, queue, alloc } = withDevice()
    alloc({ flags: 0 })
    expect(scene.world.ctx.objects.get(queue.id)?.users).toBe(1)
    const before = scene.state()
    expect(alloc({ fault_id: 1 })).toBe('ENOENT FAULT_QUEUE_UNKNOWN')
    expect(alloc({ size: 24 })).toBe('ENOENT FAULT_QUEUE_UNKNOWN')
    expect(scene.state()).toEqual(before)
  })

  test('every fault point of its making leaves the queue as it was', () => {
    const { scene, alloc } = withDevice()
    const { faults } = scene.world.engine
    const before = scene.state()
    for (let n = 1; ; n++) {
      faults.arm(n)
      const outcome = alloc()
      const { fired } = faults
      faults.disarm()
      if (!fired) break
      expect(outcome).toMatch(/INJECTED/)
      expect(scene.state()).toEqual(before)
    }
    expect(scene.world.warnings).toEqual([])
  })

  test('closing everything ends table and queue', () => {
    const { scene, queue, idev, alloc } = withDevice()
    const { ctx, process } = scene.world
    alloc()
    idev.unbind()
    scene.world.close()
    process.close(queue.fd)
    expect(ctx.released).toBe(true)
    expect(ctx.objects.count).toBe(0)
  })
})

describe('L7: the file of an empty fault queue', () => {
  test('a read of whole faults gives none, wherever the buffer lies', () => {
    const scene = new Scene()
    const { fd } = scene.make()
    expect([0, 40, 80, 400].map((length) => scene.read(fd, length))).toEqual([0, 0, 0, 0])
    expect(scene.read(fd, 40, NOWHERE)).toBe(0)
  })

  test.each([1, 8, 39, 41])('a read of %i bytes', (length) => {
    const scene = new Scene()
    expect(scene.read(scene.make().fd, length)).toBe('ESPIPE FAULT_QUEUE_LENGTH')
  })

  test.each([1, 4, 7, 9, 12])('a write of %i bytes', (length) => {
    const scene = new Scene()
    expect(scene.write(scene.make().fd, length)).toBe('ESPIPE FAULT_QUEUE_LENGTH')
  })

  test('a response: memory, then code, then cookie decide; the first one does for all', () => {
    const scene = new Scene()
    const { process, engine } = scene.world
    const { fd } = scene.make()
    const respond = (code: number, length = 8): number | string => {
      process.store(DATA, writeStruct(iommu_hwpt_page_response, { cookie: 7, code }))
      process.store(DATA + 8, writeStruct(iommu_hwpt_page_response, { cookie: 8, code: 3 }))
      return scene.write(fd, length)
    }
    expect(scene.write(fd, 0)).toBe(0)
    expect(scene.write(fd, 8, NOWHERE)).toBe('EFAULT USER_UNREADABLE')
    expect(respond(2)).toBe('EINVAL FAULT_RESPONSE_CODE')
    expect(respond(0xffffffff)).toBe('EINVAL FAULT_RESPONSE_CODE')
    expect(engine.refusals.last?.sentence).toBe('a response cannot have code 4294967295')
    expect(respond(0)).toBe('EINVAL FAULT_RESPONSE_COOKIE')
    expect(respond(1, 16)).toBe('EINVAL FAULT_RESPONSE_COOKIE')
    expect(engine.refusals.last?.operands).toEqual({ cookie: 7 })
  })

  test('it is always ready for responses, and never for a read', () => {
    const scene = new Scene()
    const { process } = scene.world
    const { fd } = scene.make()
    expect(process.poll(fd, POLLIN | POLLOUT)).toEqual({ ret: 1, revents: POLLOUT })
    expect(process.poll(fd, POLLIN)).toEqual({ ret: 0, revents: 0 })
  })
})
