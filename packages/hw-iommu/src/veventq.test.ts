// SPDX-License-Identifier: Apache-2.0
import {
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VEVENTQ_FLAG_LOST_EVENTS,
  iommu_veventq_alloc,
  iommufd_vevent_header,
  POLLIN,
  POLLOUT,
  PROT_READ,
  readStruct,
  writeStruct,
} from '@iommufd/uapi'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ARG, DATA, PAGE } from '../test/harness.js'
import { TOY_TYPE } from '../test/toy-viommu.js'
import { ViommuScene } from '../test/viommu-scene.js'
import { iommufd_viommu_report_event } from './index.js'

/** Memory that is never mapped. */
const NOWHERE = 0x1000
/** Where one page of the program ends. */
const PAGE_END = ARG + PAGE
const LOST = IOMMU_VEVENTQ_FLAG_LOST_EVENTS
const HEADER = iommufd_vevent_header.size
/** A header and one byte. */
const EVENT = HEADER + 1

class Queue {
  readonly scene: ViommuScene = new ViommuScene()
  readonly viommu: number = this.scene.viommu() as number
  readonly id: number
  readonly fd: number

  constructor(depth: number) {
    const { id, fd } = this.scene.veventq(this.viommu, { veventq_depth: depth })
    this.id = id as number
    this.fd = fd
  }

  /** Each byte is an event, of type TOY_TYPE. */
  report(...events: number[]): void {
    for (const event of events) expect(this.tryReport(Uint8Array.of(event))).toBe('ok')
  }

  tryReport(data: Uint8Array, type: number = TOY_TYPE): string {
    this.scene.world.engine.refusals.clear()
    const rc = iommufd_viommu_report_event(this.scene.object(this.viommu), type, data)
    return this.scene.world.outcome(rc)
  }

  /** Up to `length` bytes: how many, or why none. */
  readBytes(length: number, addr = DATA): number | string {
    const ret = this.scene.world.process.read(this.fd, addr, length)
    return ret < 0 ? this.scene.world.outcome(ret) : ret
  }

  /** What was read: `sequence:byte`, or `sequence:lost`. */
  read(length = 1024): string[] {
    const done = this.readBytes(length)
    if (typeof done === 'string') return [done]
    const bytes = this.scene.world.process.load(DATA, done) as Uint8Array
    const events: string[] = []
    for (let at = 0; at < done; ) {
      const { flags, sequence } = readStruct(iommufd_vevent_header, bytes, at)
      events.push(`${sequence}:${flags === LOST ? 'lost' : bytes[at + HEADER]}`)
      at += flags === LOST ? HEADER : EVENT
    }
    return events
  }

  poll(): number {
    return this.scene.world.process.poll(this.fd, POLLIN | POLLOUT).revents
  }
}

describe('L12: IOMMU_VEVENTQ_ALLOC', () => {
  test('gives an id and the next descriptor, with a file of its own', () => {
    const { scene, id, fd } = new Queue(1)
    expect([id, fd]).toEqual([5, scene.world.fd + 1])
    expect(scene.world.process.file(fd)?.name).toBe('[iommufd-viommu-event]')
  })

  test('refusals in order, and nothing is left', () => {
    const { scene, viommu } = new Queue(1)
    const { world } = scene
    const before = [world.state(), world.process.unusedFd()]
    const outcomes = [
      scene.veventq(77, { flags: 1, veventq_depth: 0 }),
      scene.veventq(77, { type: 0, veventq_depth: 0 }),
      scene.veventq(77, { __reserved: 1, veventq_depth: 0 }),
      scene.veventq(77, { veventq_depth: 0 }),
      scene.veventq(77, { veventq_depth: 2 ** 19 + 1 }),
      scene.veventq(77, { veventq_depth: 2 ** 19 }),
      scene.veventq(viommu, { veventq_depth: 2 ** 19 }),
    ]
    expect(outcomes.map(({ id }) => id)).toEqual([
      'EOPNOTSUPP VEVENTQ_FLAGS_OR_TYPE',
      'EOPNOTSUPP VEVENTQ_FLAGS_OR_TYPE',
      'EOPNOTSUPP VEVENTQ_FLAGS_OR_TYPE',
      'EINVAL VEVENTQ_DEPTH',
      'EINVAL VEVENTQ_DEPTH',
      'ENOENT OBJECT_UNKNOWN',
      'EEXIST VEVENTQ_EXISTS',
    ])
    expect([world.state(), world.process.unusedFd()]).toEqual(before)
    expect(scene.veventq(viommu, { type: 0xffffffff }).id).toBe(6)
  })

  test('without a free descriptor there is no queue', () => {
    const { scene, viommu } = new Queue(1)
    const { fd, process } = scene.world
    while (process.dup(fd) >= 0);
    expect(scene.veventq(viommu, { type: 2 }).id).toBe('EMFILE VEVENTQ_NO_DESCRIPTOR')
  })

  test('the answer cannot be written back: neither object nor descriptor is left', () => {
    const { scene, viommu: viommu_id } = new Queue(1)
    const { world } = scene
    const values = { size: 32, viommu_id, type: 2, veventq_depth: 1 }
    world.process.store(ARG, writeStruct(iommu_veventq_alloc, values))
    const before = [world.state(), world.process.unusedFd()]
    world.process.mprotect(ARG, PAGE, PROT_READ)
    const ret = world.process.ioctl(world.fd, IOMMU_VEVENTQ_ALLOC, ARG)
    expect(world.outcome(ret)).toBe('EFAULT STRUCT_UNWRITABLE')
    expect([world.state(), world.process.unusedFd()]).toEqual(before)
  })

  test('DESTROY is EBUSY while the file is open; then the type is free again', () => {
    const { scene, viommu, id, fd } = new Queue(1)
    const { world } = scene
    const copy = world.process.dup(fd)
    world.process.close(fd)
    expect(world.destroy(id)).toBe('EBUSY OBJECT_BUSY')
    world.process.close(copy)
    expect(world.destroy(id)).toBe('ok')
    expect(scene.veventq(viommu).id).toBe(id)
  })

  test('an event of a type that nobody reads', () => {
    expect(new Queue(1).tryReport(Uint8Array.of(1), 2)).toBe('EOPNOTSUPP VEVENTQ_MISSING')
  })
})

describe('L13: reading events', () => {
  test('each behind its header, in order; poll says when', () => {
    const queue = new Queue(3)
    expect([queue.poll(), queue.read()]).toEqual([0, []])
    queue.report(10, 11)
    expect(queue.poll()).toBe(POLLIN)
    expect(queue.read()).toEqual(['0:10', '1:11'])
    expect([queue.poll(), queue.read()]).toEqual([0, []])
  })

  test('as many as fit whole', () => {
    const queue = new Queue(3)
    queue.report(10, 11, 12)
    expect(queue.read(2 * EVENT - 1)).toEqual(['0:10'])
    expect(queue.read(2 * EVENT + 3)).toEqual(['1:11', '2:12'])
  })

  test('less than a header, and less than the first event', () => {
    const queue = new Queue(3)
    expect(queue.readBytes(0)).toBe('EINVAL VEVENTQ_READ_TOO_SHORT')
    expect(queue.readBytes(HEADER)).toBe(0)
    queue.report(10)
    expect(queue.readBytes(HEADER - 1)).toBe('EINVAL VEVENTQ_READ_TOO_SHORT')
    expect(queue.readBytes(HEADER)).toBe('EINVAL VEVENT_TOO_LONG')
    expect(queue.read()).toEqual(['0:10'])
  })

  test('beyond the depth events are lost; the mark is the last, and counts', () => {
    const queue = new Queue(2)
    queue.report(10, 11, 12, 13)
    expect(queue.read(2 * EVENT)).toEqual(['0:10', '1:11'])
    expect(queue.readBytes(HEADER - 1)).toBe('EINVAL VEVENTQ_READ_TOO_SHORT')
    expect(queue.read(HEADER)).toEqual(['3:lost'])
    queue.report(14)
    expect(queue.read()).toEqual(['4:14'])
  })

  test('an event that follows takes the mark away: the sequence tells the same', () => {
    const queue = new Queue(2)
    queue.report(10, 11, 12)
    expect(queue.read(EVENT)).toEqual(['0:10'])
    queue.report(13)
    expect(queue.read()).toEqual(['1:11', '3:13'])
  })

  test('no memory for an event: it is lost', () => {
    const queue = new Queue(2)
    const { faults } = queue.scene.world.engine
    faults.arm(1)
    expect(queue.tryReport(Uint8Array.of(10))).toBe('ENOMEM INJECTED_ENOMEM')
    faults.disarm()
    expect(queue.read()).toEqual(['0:lost'])
  })

  test('what cannot be written waits; a header that could be counts, as in Linux', () => {
    const queue = new Queue(2)
    queue.report(10, 11)
    expect(queue.readBytes(64, NOWHERE)).toBe('EFAULT USER_UNWRITABLE')
    expect(queue.readBytes(64, PAGE_END - HEADER)).toBe(HEADER)
    expect(queue.readBytes(64, PAGE_END - EVENT - 3)).toBe(EVENT)
    expect(queue.read()).toEqual(['1:11'])
  })

  test('nothing is written to it, and nothing else done', () => {
    const { scene, fd } = new Queue(1)
    expect(scene.world.process.write(fd, DATA, 8)).toBe(-22)
    expect(scene.world.process.ioctl(fd, 0x3b80, ARG)).toBe(-25)
  })

  test('any events and reads: as a list of events would answer', () => {
    const step = fc.oneof(
      fc.record({ events: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ length: fc.integer({ min: 0, max: 5 * EVENT }) }),
    )
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(step, { maxLength: 20 }),
        (depth, steps) => {
          const queue = new Queue(depth)
          const model = new Model(depth)
          for (const each of steps) {
            if ('length' in each) expect(queue.read(each.length)).toEqual(model.read(each.length))
            else for (let i = 0; i < each.events; i++) queue.report(model.report())
            expect(queue.poll()).toBe(model.waits ? POLLIN : 0)
          }
        },
      ),
      { numRuns: 60 },
    )
  })
})

/** A queue as one would describe it: everything that happened, and what the reader may still see. */
class Model {
  readonly #depth: number
  #count = 0
  /** Numbers of events that wait. */
  #events: number[] = []
  /** The number of the last event that was lost, unless one followed. */
  #lost: number | undefined

  constructor(depth: number) {
    this.#depth = depth
  }

  get waits(): boolean {
    return this.#events.length > 0 || this.#lost !== undefined
  }

  /** One more event: its byte. */
  report(): number {
    const number = this.#count++
    if (this.#events.length === this.#depth) this.#lost = number
    else {
      this.#events.push(number)
      this.#lost = undefined
    }
    return number % 256
  }

  read(length: number): string[] {
    if (length < HEADER) return ['EINVAL VEVENTQ_READ_TOO_SHORT']
    const fits = Math.floor(length / EVENT)
    if (fits === 0 && this.#events.length > 0) return ['EINVAL VEVENT_TOO_LONG']
    const read = this.#events.slice(0, fits).map((number) => `${number}:${number % 256}`)
    this.#events = this.#events.slice(fits)
    const room = length - read.length * EVENT
    if (this.#events.length === 0 && this.#lost !== undefined && room >= HEADER) {
      read.push(`${this.#lost}:lost`)
      this.#lost = undefined
    }
    return read
  }
}
