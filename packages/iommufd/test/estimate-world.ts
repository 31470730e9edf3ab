// SPDX-License-Identifier: Apache-2.0
// A described setup, really set up on a simulated machine: users, processes, devices, mappings.

import type { Iommufd, IommufdCtx } from '@iommufd/core'
import { Machine, type Process } from '@iommufd/host'
import { Iommu, iommufd_device_attach, iommufd_device_bind } from '@iommufd/hw-iommu'
import {
  CAP_IPC_LOCK,
  IOMMU_IOAS_COPY,
  iommu_ioas_copy,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_IOMMU_MAP_DMA,
  VFIO_SET_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  vfio_iommu_type1_dma_map,
  writeStruct,
} from '@iommufd/uapi'
import { PhysicalVfioDevice, Vfio } from '@iommufd/vfio-compat/group'
import { IommuClient, IommufdError } from '../src/client.js'
import { PlainDevice, PlainDriver } from '../src/compat/plain-iommu.js'
import { attachIommufd } from '../src/engine.js'
import type { Setup } from '../src/estimate/setup.js'

const ARG = 0x1_0000_0000
const MEMORY = 0x1_1000_0000
const IOVA = 0x100_0000

/** Bytes, as the machine counts them; `refused` when a mapping ran into the limit. */
export interface Measured {
  readonly refused: boolean
  readonly vmPin: number
  readonly vmLck: number
  readonly perUser: number
}

/** Sets everything up with RLIMIT_MEMLOCK `limit` for every process. */
export function measure(setup: Setup, limit: number): Measured {
  return new EstimateWorld(setup, limit).run()
}

class EstimateWorld {
  readonly #setup: Setup
  readonly #limit: number
  readonly #machine = new Machine()
  readonly #engine: Iommufd
  readonly #vfio: Vfio
  readonly #iommu: Iommu
  #devices = 0

  constructor(setup: Setup, limit: number) {
    this.#setup = setup
    this.#limit = limit
    const as = setup.backEnd === 'type1' ? 'type1' : 'iommufd'
    this.#engine = attachIommufd(this.#machine, { as })
    this.#vfio = new Vfio(this.#engine, this.#machine)
    this.#iommu = new Iommu(this.#engine)
    this.#iommu.registerDriver(new PlainDriver(this.#iommu))
  }

  run(): Measured {
    const { processes, users } = this.#setup
    let refused = false
    const all: Process[] = []
    for (let uid = 1000; uid < 1000 + users; uid++) {
      for (let i = 0; i < processes; i++) {
        const process = this.#spawn(uid)
        all.push(process)
        refused = !this.#start(process) || refused
      }
    }
    const [first] = all as [Process]
    const { VmPin, VmLck } = first.status()
    const perUser = first.user.lockedVm * 4096
    return { refused, vmPin: VmPin * 1024, vmLck: VmLck * 1024, perUser }
  }

  #spawn(uid: number): Process {
    const caps = this.#setup.accounting === 'none' ? [CAP_IPC_LOCK] : []
    const process = this.#machine.spawn({ uid, rlimitMemlock: this.#limit, caps })
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    process.mmap(ARG, 4096, PROT_READ | PROT_WRITE, flags)
    process.mmap(MEMORY, this.#bytes, PROT_READ | PROT_WRITE, flags)
    return process
  }

  /** What the mappings span: whole pages of the memory. */
  get #bytes(): number {
    const { memory, pageSize } = this.#setup
    return Number(((memory + pageSize - 1n) / pageSize) * pageSize)
  }

  #device(): PlainDevice {
    const device = new PlainDevice(`dev${this.#devices++}`)
    this.#iommu.addDevice(device)
    return device
  }

  /** One process maps its memory for its devices: whether it could. */
  #start(process: Process): boolean {
    const { addressSpaces, backEnd, devices } = this.#setup
    if (backEnd === 'iommufd') return this.#startNative(process)
    if (addressSpaces === 'shared') return this.#startContainer(process, devices)
    return Array.from({ length: devices }, () => this.#startContainer(process, 1)).every(Boolean)
  }

  #startContainer(process: Process, devices: number): boolean {
    const { accounting, backEnd } = this.#setup
    const isUser = backEnd === 'vfio-compat' && accounting === 'user'
    const container = process.open(isUser ? '/dev/iommu' : '/dev/vfio/vfio')
    const groups = Array.from({ length: devices }, () => {
      const device = this.#device()
      const fd = process.open(`/dev/vfio/${this.#vfio.addDevice(new PhysicalVfioDevice(device))}`)
      process.store(ARG, Uint8Array.of(container, 0, 0, 0))
      must(process.ioctl(fd, VFIO_GROUP_SET_CONTAINER, ARG))
      return { fd, device }
    })
    must(process.ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
    for (const { fd, device } of groups) {
      process.store(
        ARG,
        Uint8Array.from(`${device.name}\0`, (char) => char.charCodeAt(0)),
      )
      must(process.ioctl(fd, VFIO_GROUP_GET_DEVICE_FD, ARG))
    }
    const flags = VFIO_DMA_MAP_FLAG_READ
    const values = { flags, vaddr: MEMORY, iova: IOVA, size: this.#bytes }
    process.store(ARG, writeStruct(vfio_iommu_type1_dma_map, values))
    return process.ioctl(container, VFIO_IOMMU_MAP_DMA, ARG) === 0
  }

  #startNative(process: Process): boolean {
    const { accounting, addressSpaces, devices } = this.#setup
    const path = accounting === 'process' ? '/dev/vfio/vfio' : '/dev/iommu'
    const client = new IommuClient(this.#engine, process, path)
    const ctx = [...this.#engine.contexts].at(-1) as IommufdCtx
    const count = addressSpaces === 'shared' ? 1 : devices
    const spaces = Array.from({ length: count }, () => client.ioasAlloc())
    for (let i = 0; i < devices; i++) {
      const idev = iommufd_device_bind(ctx, this.#device())
      if (typeof idev === 'number') throw new Error('bind')
      must(iommufd_device_attach(idev, 0, (spaces[i] ?? spaces[0])?.id as number))
    }
    try {
      const [first, ...others] = spaces
      first?.map({ user_va: MEMORY, length: this.#bytes, iova: IOVA })
      for (const space of others) {
        if (addressSpaces === 'copy') this.#copy(process, first?.id ?? 0, space.id)
        else space.map({ user_va: MEMORY, length: this.#bytes, iova: IOVA })
      }
      return true
    } catch (error) {
      if (error instanceof IommufdError) return false
      throw error
    }
  }

  #copy(process: Process, src_ioas_id: number, dst_ioas_id: number): void {
    const where = { length: this.#bytes, src_iova: IOVA, dst_iova: IOVA }
    const values = { flags: 7, dst_ioas_id, src_ioas_id, ...where }
    process.store(ARG, writeStruct(iommu_ioas_copy, { size: iommu_ioas_copy.size, ...values }))
    must(process.ioctl(3, IOMMU_IOAS_COPY, ARG))
  }
}

function must(ret: number): void {
  if (ret < 0) throw new Error(`unexpected ${ret}`)
}
