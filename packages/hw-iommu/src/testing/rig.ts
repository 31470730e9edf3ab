// SPDX-License-Identifier: Apache-2.0
/**
 * What a check of a driver stands on: a machine with an engine, the driver, and a program that has
 * opened /dev/iommu.
 *
 * Invariant: it is used as any program and any driver of devices would: by ioctls, and by the
 * functions that this package exports.
 */
import { hiOf, Iommufd, type IommufdCtx, loOf } from '@iommufd/core'
import { Machine, type Process } from '@iommufd/host'
import { registerIoas } from '@iommufd/pages'
import {
  errnoName,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_UNMAP,
  iommu_hwpt_alloc,
  iommu_ioas_alloc,
  iommu_ioas_copy,
  iommu_ioas_map,
  iommu_ioas_unmap,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  readStruct,
  type StructInput,
  type StructLayout,
  type StructValue,
  writeStruct,
} from '@iommufd/uapi'
import {
  type Device,
  DeviceDma,
  HWPT,
  Iommu,
  type IommufdDevice,
  type IommuGroup,
  type IommuOps,
  iommufd_device_attach,
  iommufd_device_bind,
  iovaToPhys,
  type PagingDomain,
  registerHwIommu,
} from '../index.js'
import { broken } from './broken.js'
import type { DriverUnderTest } from './check.js'

const PROT_RW = PROT_READ | PROT_WRITE
const FLAGS = MAP_PRIVATE | MAP_ANONYMOUS
const MAP_RW = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE
const MEMORY = 128 << 20
/** Bytes of a large page. */
const LARGE = 2n << 20n

export class Rig {
  readonly subject: DriverUnderTest
  readonly machine: Machine = new Machine({ memory: MEMORY })
  readonly warnings: string[] = []
  readonly engine: Iommufd = new Iommufd(this.machine, {
    onWarning: (message) => this.warnings.push(message),
  })
  readonly iommu: Iommu
  readonly driver: IommuOps
  readonly process: Process
  readonly fd: number
  readonly #arg: number
  #groups = 0

  constructor(subject: DriverUnderTest) {
    this.subject = subject
    registerIoas(this.engine)
    registerHwIommu(this.engine)
    this.machine.registerDevice('/dev/iommu', () => this.engine.createContext('user'))
    this.iommu = new Iommu(this.engine, { allowUnsafeInterrupts: true })
    this.driver = subject.makeDriver(this.iommu)
    this.iommu.registerDriver(this.driver)
    this.process = this.machine.spawn()
    this.fd = this.process.open('/dev/iommu')
    this.#arg = this.process.mmap(0, PAGE_SIZE, PROT_RW, FLAGS)
  }

  get ctx(): IommufdCtx {
    const file = this.process.file(this.fd)
    return (file && this.engine.contextOf(file)) ?? broken('the context is gone')
  }

  /** Devices that are added, `count` of them in one group; each call makes a new group. */
  devices(count: number): Device[] {
    const number = this.#groups++
    return Array.from({ length: count }, (_, i) => {
      const dev = this.subject.makeDevice(`device${number}.${i}`, number)
      const rc = this.iommu.addDevice(dev)
      return rc === 0 ? dev : broken(`adding the device ${dev.name} answers ${nameOf(rc)}`)
    })
  }

  device(): Device {
    return this.devices(1)[0] as Device
  }

  /** A device that its group has been claimed for, and who did: it uses the blocked domain. */
  claimed(): { dev: Device; group: IommuGroup } {
    const dev = this.device()
    const group = groupOf(dev)
    const rc = group.claimDmaOwner(dev, this)
    return rc === 0 ? { dev, group } : broken(`claiming the group answers ${nameOf(rc)}`)
  }

  /** An empty domain for the device. */
  domain(dev: Device): PagingDomain {
    const domain = this.driver.domainAllocPaging(dev)
    if (typeof domain !== 'number') return domain
    return broken(`domainAllocPaging answers ${nameOf(domain)}`)
  }

  bind(dev: Device): IommufdDevice {
    const idev = iommufd_device_bind(this.ctx, dev)
    return typeof idev === 'number' ? this.refused('binding the device', idev) : idev
  }

  /** Attaches to an IOAS or a table: the id of the table. */
  attach(idev: IommufdDevice, id: number): number {
    const rc = iommufd_device_attach(idev, 0, id)
    return rc < 0 ? this.refused('attaching the device', rc) : rc
  }

  /** DMA of the device. */
  dma(dev: Device): DeviceDma {
    return new DeviceDma(dev, this.machine)
  }

  /** The domain of a table. */
  domainOf(hwpt: number): PagingDomain {
    return this.ctx.find(hwpt, HWPT)?.domain ?? broken(`there is no table ${hwpt}`)
  }

  /** Memory of the program, filled with the bytes that `at` gives for each page. */
  memory(bytes: number, byteOf: (page: number) => number): number {
    const va = this.process.mmap(0, bytes, PROT_RW, FLAGS)
    for (let page = 0; page < bytes / PAGE_SIZE; page++) {
      this.process.store(va + page * PAGE_SIZE, new Uint8Array(PAGE_SIZE).fill(byteOf(page)))
    }
    return va
  }

  ioas(): number {
    return this.#served(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, {}).out_ioas_id
  }

  /** IOAS_MAP of memory, at an IOVA or, without, where the engine chooses: the IOVA. */
  map(ioas_id: number, user_va: number, length: number, iova?: bigint): bigint {
    const flags = MAP_RW | (iova === undefined ? 0 : IOMMU_IOAS_MAP_FIXED_IOVA)
    const values = { flags, ioas_id, user_va, length, iova: iova ?? 0n }
    return this.#served(IOMMU_IOAS_MAP, iommu_ioas_map, values).iova
  }

  /** As map, but the answer: 0 or a negative errno. */
  tryMap(ioas_id: number, user_va: number, length: number, iova: bigint): number {
    const flags = MAP_RW | IOMMU_IOAS_MAP_FIXED_IOVA
    const values = { flags, ioas_id, user_va, length, iova }
    return this.ioctl(IOMMU_IOAS_MAP, iommu_ioas_map, values).ret
  }

  /**
   * Maps memory where IOVA and physical address are alike in their lowest 21 bits, so that pages of
   * up to 2 MiB fit: the IOVA. `domain` belongs to the IOAS.
   */
  mapAligned(ioas: number, domain: PagingDomain, va: number, bytes: number): bigint {
    const somewhere = this.map(ioas, va, bytes)
    const phys = BigInt(iovaToPhys(domain, hiOf(somewhere), loOf(somewhere)))
    this.unmap(ioas, somewhere, bytes)
    const first = somewhere - (somewhere % LARGE) + (phys % LARGE)
    for (let i = 1n; i < 64n; i++) {
      const iova = first + i * LARGE
      if (this.tryMap(ioas, va, bytes, iova) >= 0) return iova
    }
    return broken(`${bytes} bytes cannot be mapped anywhere above 0x${first.toString(16)}`)
  }

  copy(from: number, src_iova: bigint, to: number, length: number): bigint {
    const ids = { src_ioas_id: from, dst_ioas_id: to }
    const values = { flags: MAP_RW, ...ids, src_iova, length, dst_iova: 0n }
    return this.#served(IOMMU_IOAS_COPY, iommu_ioas_copy, values).dst_iova
  }

  unmap(ioas_id: number, iova: bigint, length: number): void {
    this.#served(IOMMU_IOAS_UNMAP, iommu_ioas_unmap, { ioas_id, iova, length })
  }

  /** IOMMU_HWPT_ALLOC: the id, or a negative errno. `data`: the driver's own. */
  hwpt(dev_id: number, pt_id: number, flags: number, type = 0, data?: Uint8Array): number {
    const data_uptr = this.#arg + PAGE_SIZE / 2
    if (data !== undefined) this.process.store(data_uptr, data)
    const own = data && { data_type: type, data_len: data.length, data_uptr }
    const values = { flags, dev_id, pt_id, ...own }
    const { ret, out_hwpt_id } = this.ioctl(IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, values)
    return ret < 0 ? ret : out_hwpt_id
  }

  ioctl<const L extends StructLayout>(
    cmd: number,
    layout: L,
    values: StructInput<L>,
  ): StructValue<L> & { readonly ret: number } {
    this.process.store(this.#arg, writeStruct(layout, values))
    const ret = this.process.ioctl(this.fd, cmd, this.#arg)
    const bytes = this.process.load(this.#arg, layout.size)
    if (typeof bytes === 'number') return broken('the program cannot read its own memory')
    return { ...readStruct(layout, bytes), ret }
  }

  /** Closes the context, to which no device is bound any more; then nothing may be pinned. */
  close(): void {
    this.process.close(this.fd)
    const { pinnedFrames } = this.machine
    if (pinnedFrames !== 0) broken(`${pinnedFrames} pages are pinned after everything was closed`)
  }

  /** Ends the check: something that must be served was refused. */
  refused(what: string, rc: number): never {
    const sentence = this.engine.refusals.last?.sentence
    return broken(`${what} answers ${nameOf(rc)}${sentence === undefined ? '' : `: ${sentence}`}`)
  }

  #served<const L extends StructLayout>(
    cmd: number,
    layout: L,
    values: StructInput<L>,
  ): StructValue<L> {
    const answer = this.ioctl(cmd, layout, values)
    return answer.ret < 0 ? this.refused('a command of the program', answer.ret) : answer
  }
}

export function groupOf(dev: Device): IommuGroup {
  return dev.group ?? broken(`the device ${dev.name} has no group`)
}

/** `-EINVAL` of -22. */
export function nameOf(rc: number): string {
  return rc < 0 ? `-${errnoName(-rc)}` : String(rc)
}
