// SPDX-License-Identifier: Apache-2.0
import type { Iommufd } from '@iommufd/core'
import { Machine, type Process, type SpawnOptions } from '@iommufd/host'
import { Iommu, iommufd_device_attach, iommufd_device_bind } from '@iommufd/hw-iommu'
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { IommuClient, IommufdError } from '../client.js'
import { PlainDevice, PlainDriver } from '../compat/plain-iommu.js'
import { attachIommufd } from '../engine.js'
import { explainLimit, type LimitExplanation, sizeText } from './limit.js'

const PAGE = 4096
const MEMORY = 0x1_1000_0000

class World {
  readonly machine: Machine = new Machine()
  readonly engine: Iommufd = attachIommufd(this.machine)
  readonly #iommu = new Iommu(this.engine)
  #devices = 0

  constructor() {
    this.#iommu.registerDriver(new PlainDriver(this.#iommu))
  }

  /** A process whose address space has a page table, so that mapping pins. */
  spawn(options: SpawnOptions, path = '/dev/iommu'): Program {
    const process = this.machine.spawn(options)
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    process.mmap(MEMORY, 64 * PAGE, PROT_READ | PROT_WRITE, flags)
    const client = new IommuClient(this.engine, process, path)
    const device = new PlainDevice(`dev${this.#devices++}`)
    this.#iommu.addDevice(device)
    const ioas = client.ioasAlloc()
    const ctx = [...this.engine.contexts].at(-1)
    const idev = ctx && iommufd_device_bind(ctx, device)
    if (idev === undefined || typeof idev === 'number') throw new Error('bind')
    iommufd_device_attach(idev, 0, ioas.id)
    return { process, map: (pages) => this.#map(process, ioas, pages) }
  }

  #map(process: Process, ioas: ReturnType<IommuClient['ioasAlloc']>, pages: number) {
    try {
      ioas.map({ user_va: MEMORY, length: pages * PAGE })
      return undefined
    } catch (error) {
      if (!(error instanceof IommufdError)) throw error
      return explainLimit(this.engine, process, this.engine.refusals.last)
    }
  }
}

interface Program {
  readonly process: Process
  map(pages: number): LimitExplanation | undefined
}

describe('E5 a call refused for RLIMIT_MEMLOCK', () => {
  const limit = { uid: 107, rlimitMemlock: 8 * PAGE }

  test('per user: every process that holds memory is named, with how much', () => {
    const world = new World()
    const [one, two] = [world.spawn(limit), world.spawn(limit)]
    expect([one.map(5), two.map(2)]).toEqual([undefined, undefined])
    const told = two.map(4)
    expect(told).toMatchObject({
      counted: 'user',
      uid: 107,
      pid: two.process.pid,
      lockedBytes: 7 * PAGE,
      askedBytes: 4 * PAGE,
      limitBytes: 8 * PAGE,
      holders: [
        { pid: one.process.pid, bytes: 5 * PAGE, hasExited: false },
        { pid: two.process.pid, bytes: 2 * PAGE, hasExited: false },
      ],
    })
    const text = told?.remedies.join('\n')
    expect(text).toContain(`prlimit --pid ${two.process.pid} --memlock=${11 * PAGE}`)
    expect(text).toContain('ulimit -l 44,')
    expect(text).toContain('IOMMU_OPTION_RLIMIT_MODE')
    expect(text).toContain(`let process ${one.process.pid} unmap (20 KiB)`)
  })

  test('a remedy that would not do is not named', () => {
    const world = new World()
    const [one, two] = [world.spawn(limit), world.spawn(limit)]
    one.map(1)
    two.map(6)
    const text = two.map(4)?.remedies.join('\n')
    expect(text).not.toContain('IOMMU_OPTION_RLIMIT_MODE')
    expect(text).not.toContain(`process ${one.process.pid} unmap`)
  })

  test('memory of a process that has exited is still held for it', () => {
    const world = new World()
    const [one, two] = [world.spawn(limit), world.spawn(limit)]
    one.map(6)
    one.process.fork()
    one.process.exit()
    const told = two.map(4)
    expect(told?.holders).toEqual([{ pid: one.process.pid, bytes: 6 * PAGE, hasExited: true }])
    expect(told?.remedies.join()).toContain('has left behind')
  })

  test('per process: that process alone', () => {
    const world = new World()
    const program = world.spawn(limit, '/dev/vfio/vfio')
    world.spawn(limit, '/dev/vfio/vfio').map(8)
    program.map(5)
    expect(program.map(4)).toMatchObject({
      counted: 'process',
      uid: undefined,
      lockedBytes: 5 * PAGE,
      holders: [{ pid: program.process.pid, bytes: 5 * PAGE }],
    })
  })

  test('other refusals are not about the limit', () => {
    const world = new World()
    const program = world.spawn(limit)
    expect(explainLimit(world.engine, program.process, undefined)).toBe(undefined)
    program.process.ioctl(9, 0, 0)
    expect(explainLimit(world.engine, program.process, world.engine.refusals.last)).toBe(undefined)
  })
})

test('sizes as people write them', () => {
  const sizes = [0, 1023, 4096, 1536 * 1024, 8 * 2 ** 30, 5 * 2 ** 40, -4096]
  expect(sizes.map(sizeText)).toEqual([
    '0 bytes',
    '1023 bytes',
    '4 KiB',
    '1.5 MiB',
    '8 GiB',
    '5 TiB',
    '-4 KiB',
  ])
})
