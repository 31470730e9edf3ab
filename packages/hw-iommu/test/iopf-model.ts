// SPDX-License-Identifier: Apache-2.0
//
// A naive model of page faults beside the engine: two devices, with and without a PASID, two queues. Lists of groups are
// all that it has; it knows what every read and every write must give, and what each device has been told.

import { expect } from 'vitest'
import type { IommufdDevice } from '../src/index.js'
import { answersOf, FAULT_SIZE, IopfWorld, type Queue } from './iopf-world.js'
import type { ToyDevice } from './toy-driver.js'

interface Group {
  readonly device: number
  readonly pasid: number
  readonly grpid: number
  readonly addrs: readonly bigint[]
}

interface QueueModel {
  readonly queue: Queue
  queued: Group[]
  /** By cookie less 1; undefined: free. */
  delivered: (Group | undefined)[]
}

const INVALID = 1
/** Tables by number: two of the first queue, one of the second, one without. */
export const TABLES = 4
const QUEUE_OF = [0, 0, 1, undefined]

export class IopfModel {
  readonly #world = new IopfWorld()
  readonly #devices: IommufdDevice[] = ['a', 'b'].map((name) => this.#world.asker(name))
  readonly #queues: QueueModel[] = [0, 1].map(() => {
    return { queue: this.#world.queue(), queued: [], delivered: [] }
  })
  readonly #tables: number[] = QUEUE_OF.map((queue) => {
    const { queue: of } = this.#queues[queue ?? -1] ?? {}
    return this.#world.table(this.#devices[0] as IommufdDevice, of)
  })
  /** Number of the table by device and PASID. */
  readonly #attached = new Map<string, number>()
  /** Requests of incomplete groups, by device. */
  #partial: { device: number; grpid: number; addr: bigint }[] = []
  readonly #told: string[][] = [[], []]
  #nextAddr = 0n
  reports = 0

  /** Attaches, or replaces. */
  attach(device: number, pasid: number, table: number): void {
    const idev = this.#devices[device] as IommufdDevice
    const key = `${device}:${pasid}`
    const old = this.#attached.get(key)
    const id = this.#tables[table] as number
    const ret = old === undefined ? idev.attach(id, pasid) : idev.replace(id, pasid)
    expect(ret).toBe(id)
    this.#attached.set(key, table)
    if (old !== undefined && old !== table) this.#leave(device, pasid, old)
  }

  detach(device: number, pasid: number): void {
    this.#devices[device]?.detach(pasid)
    const key = `${device}:${pasid}`
    const old = this.#attached.get(key)
    this.#attached.delete(key)
    if (old !== undefined) this.#leave(device, pasid, old)
  }

  report(device: number, pasid: number, grpid: number, lastPage: boolean): void {
    const idev = this.#devices[device] as IommufdDevice
    const addr = this.#nextAddr++
    const answer = this.#world.report(idev, { pasid: pasid || undefined, grpid, addr, lastPage })
    const queue = this.#queues[QUEUE_OF[this.#attached.get(`${device}:${pasid}`) ?? -1] ?? -1]
    expect(answer).toBe(queue === undefined ? 'EINVAL FAULT_UNHANDLED' : 'ok')
    if (lastPage) this.reports++
    if (queue === undefined) {
      if (lastPage) this.#told[device]?.push(`${grpid}:${INVALID}`)
      return
    }
    if (!lastPage) {
      this.#partial.push({ device, grpid, addr })
      return
    }
    const isOfGroup = (of: { device: number; grpid: number }): boolean =>
      of.device === device && of.grpid === grpid
    const before = this.#partial.filter(isOfGroup).map((of) => of.addr)
    this.#partial = this.#partial.filter((of) => !isOfGroup(of))
    queue.queued.push({ device, pasid, grpid, addrs: [...before.reverse(), addr] })
  }

  read(which: number, count: number): void {
    const model = this.#queues[which] as QueueModel
    const { fd } = model.queue
    const first = model.queued[0]
    if (first !== undefined && first.addrs.length > count) {
      expect(this.#world.read(fd, count * FAULT_SIZE)).toBe('EINVAL FAULT_GROUP_TOO_LARGE')
      return
    }
    const expected: unknown[] = []
    for (;;) {
      const group = model.queued[0]
      if (group === undefined || expected.length + group.addrs.length > count) break
      model.queued.shift()
      const free = model.delivered.indexOf(undefined)
      const index = free < 0 ? model.delivered.length : free
      model.delivered[index] = group
      for (const addr of group.addrs) expected.push([group.grpid, addr, index + 1])
    }
    const got = this.#world.faults(fd, count)
    expect(got.map(({ grpid, addr, cookie }) => [grpid, addr, cookie])).toEqual(expected)
  }

  respond(which: number, cookie: number, code: number): void {
    const model = this.#queues[which] as QueueModel
    const group = model.delivered[cookie - 1]
    const answer = this.#world.respond(model.queue.fd, [cookie, code])
    if (group === undefined) {
      expect(answer).toBe('EINVAL FAULT_RESPONSE_COOKIE')
      return
    }
    expect(answer).toBe(8)
    this.#answered(group, code)
    model.delivered[cookie - 1] = undefined
  }

  /** What has been told to the devices, and what poll says. */
  compare(): void {
    for (const { queue, queued } of this.#queues) {
      expect(this.#world.isReadable(queue)).toBe(queued.length > 0)
    }
    for (const [device, idev] of this.#devices.entries()) {
      expect([...(idev.dev as ToyDevice).answers].sort()).toEqual(this.#told[device]?.sort())
    }
  }

  /** Everybody leaves: each group has been answered, once. */
  finish(): void {
    for (const key of [...this.#attached.keys()]) {
      const [device, pasid] = key.split(':').map(Number) as [number, number]
      this.detach(device, pasid)
    }
    this.compare()
    const answers = this.#devices.flatMap((idev) => answersOf(idev))
    expect(answers).toHaveLength(this.reports)
    for (const idev of this.#devices) idev.unbind()
    this.#world.close()
    for (const { queue } of this.#queues) this.#world.process.close(queue.fd)
    expect(this.#world.engine.contexts.size).toBe(0)
    expect(this.#world.warnings).toEqual([])
  }

  #answered({ device, grpid }: Group, code: number): void {
    this.#told[device]?.push(`${grpid}:${code}`)
  }

  /** An attachment to a table ends. */
  #leave(device: number, pasid: number, table: number): void {
    const isLeaving = (group: Group | undefined): group is Group =>
      group?.device === device && group.pasid === pasid
    const model = this.#queues[QUEUE_OF[table] ?? -1]
    if (model !== undefined) {
      for (const group of [...model.queued, ...model.delivered].filter(isLeaving)) {
        this.#answered(group, INVALID)
      }
      model.queued = model.queued.filter((group) => !isLeaving(group))
      model.delivered = model.delivered.map((group) => (isLeaving(group) ? undefined : group))
    }
    const hasQueue = [0, 1].some((other) => {
      return QUEUE_OF[this.#attached.get(`${device}:${other}`) ?? -1] !== undefined
    })
    if (!hasQueue) this.#partial = this.#partial.filter((of) => of.device !== device)
  }
}
