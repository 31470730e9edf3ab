// SPDX-License-Identifier: Apache-2.0
/**
 * A pleasant way to make the calls: typed methods instead of structs, exceptions instead of errnos.
 *
 * Invariant: every method is one ioctl of the process, through its own memory, so it is judged as
 * any other call is. A negative answer becomes an IommufdError that carries the engine's reason.
 */
import type { Iommufd, Refusal } from '@iommufd/core'
import type { Process } from '@iommufd/host'
import {
  commands,
  errnoName,
  IOMMU_DESTROY,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_UNMAP,
  iommu_destroy,
  iommu_ioas_alloc,
  iommu_ioas_allow_iovas,
  iommu_ioas_copy,
  iommu_ioas_iova_ranges,
  iommu_ioas_map,
  iommu_ioas_unmap,
  iommu_iova_range,
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

/** A call that was refused; shaped like the system errors of Node. */
export class IommufdError extends Error {
  override readonly name: string = 'IommufdError'
  /** Positive errno number. */
  readonly errno: number
  /** For example `EINVAL`. */
  readonly code: string
  readonly syscall: string
  /** Why, with the row of the acceptance table and a remedy; undefined where the host refused. */
  readonly refusal: Refusal | undefined

  constructor(errno: number, syscall: string, refusal: Refusal | undefined) {
    const reason = refusal === undefined ? '' : `: ${refusal.sentence} (${refusal.remedy})`
    super(`${syscall}: ${errnoName(errno)}${reason}`)
    this.errno = errno
    this.code = errnoName(errno)
    this.syscall = syscall
    this.refusal = refusal
  }
}

/** Bytes from `start` to `last`, both inclusive. */
export interface IovaRange {
  readonly start: bigint
  readonly last: bigint
}

/** What to map. Addresses and lengths in bytes, 0 to 2^64 - 1. */
export interface MapOptions {
  readonly user_va: bigint | number
  readonly length: bigint | number
  /** Where; left out, the kernel chooses. */
  readonly iova?: bigint | number
  /** Default: readable and writeable. */
  readonly access?: 'read' | 'write' | 'read-write'
}

/** One open of /dev/iommu (or /dev/vfio/vfio) by a process. */
export class IommuClient {
  readonly engine: Iommufd
  readonly process: Process
  readonly fd: number
  /** A page of the process for structs and lists. */
  readonly #page: number

  /** @throws IommufdError when the device cannot be opened */
  constructor(engine: Iommufd, process: Process, path = '/dev/iommu') {
    this.engine = engine
    this.process = process
    this.fd = checked(process.open(path), 'open', undefined)
    const prot = PROT_READ | PROT_WRITE
    const page = process.mmap(0, PAGE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS)
    this.#page = checked(page, 'mmap', undefined)
  }

  /** Makes one call with a struct; returns the struct as the kernel left it. */
  call<L extends StructLayout>(cmd: number, layout: L, values: StructInput<L>): StructValue<L> {
    this.process.store(this.#page, writeStruct(layout, values))
    const rc = this.process.ioctl(this.fd, cmd, this.#page)
    checked(rc, nameOf(cmd), this.engine.refusals.last)
    return readStruct(layout, this.#load(this.#page, layout.size))
  }

  /** A new address space. */
  ioasAlloc(): IoasClient {
    const { out_ioas_id } = this.call(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, {})
    return new IoasClient(this, out_ioas_id)
  }

  /** Destroys the object with this id. */
  destroy(id: number): void {
    this.call(IOMMU_DESTROY, iommu_destroy, { id })
  }

  /** Closes the descriptor; the last one destroys every object. */
  close(): void {
    this.process.munmap(this.#page, PAGE_SIZE)
    checked(this.process.close(this.fd), 'close', undefined)
  }

  /** Puts a list behind the struct; returns its address. */
  storeList(ranges: readonly IovaRange[]): number {
    const list = this.#page + LIST_OFFSET
    if (ranges.length > LIST_ENTRIES) {
      throw new RangeError(`${ranges.length} ranges: at most ${LIST_ENTRIES} fit into one call`)
    }
    ranges.forEach((range, i) => {
      this.process.store(list + i * iommu_iova_range.size, writeStruct(iommu_iova_range, range))
    })
    return list
  }

  /** Reads `count` entries of the list behind the struct. */
  loadList(count: number): IovaRange[] {
    const list = this.#page + LIST_OFFSET
    return Array.from({ length: count }, (_, i) =>
      readStruct(iommu_iova_range, this.#load(list + i * iommu_iova_range.size, 16)),
    )
  }

  #load(address: number, length: number): Uint8Array {
    const bytes = this.process.load(address, length)
    if (typeof bytes === 'number') throw new IommufdError(-bytes, 'load', undefined)
    return bytes
  }
}

const LIST_OFFSET = 256
const LIST_ENTRIES = (PAGE_SIZE - LIST_OFFSET) / iommu_iova_range.size

/** One I/O address space. */
export class IoasClient {
  readonly id: number
  readonly #iommu: IommuClient

  constructor(iommu: IommuClient, id: number) {
    this.#iommu = iommu
    this.id = id
  }

  /** Maps memory of the process; returns the IOVA. */
  map({ user_va, length, iova, access }: MapOptions): bigint {
    const flags = flagsOf(access, iova)
    const values = { flags, ioas_id: this.id, user_va, length, iova: iova ?? 0 }
    return this.#iommu.call(IOMMU_IOAS_MAP, iommu_ioas_map, values).iova
  }

  /** Maps what another address space (or this one) has mapped; returns the IOVA here. */
  copy(
    source: IoasClient,
    src_iova: bigint | number,
    length: bigint | number,
    options: Pick<MapOptions, 'iova' | 'access'> = {},
  ): bigint {
    const flags = flagsOf(options.access, options.iova)
    const ids = { dst_ioas_id: this.id, src_ioas_id: source.id }
    const values = { flags, ...ids, length, dst_iova: options.iova ?? 0, src_iova }
    return this.#iommu.call(IOMMU_IOAS_COPY, iommu_ioas_copy, values).dst_iova
  }

  /** Unmaps whole areas in the range; returns how many bytes. */
  unmap(iova: bigint | number, length: bigint | number): bigint {
    const values = { ioas_id: this.id, iova, length }
    return this.#iommu.call(IOMMU_IOAS_UNMAP, iommu_ioas_unmap, values).length
  }

  /** Where IOVAs can lie: what is not reserved. */
  iovaRanges(): IovaRange[] {
    const allowed_iovas = this.#iommu.storeList([])
    const values = { ioas_id: this.id, num_iovas: LIST_ENTRIES, allowed_iovas }
    const answer = this.#iommu.call(IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges, values)
    return this.#iommu.loadList(answer.num_iovas)
  }

  /** Restricts automatic IOVAs to these ranges; an empty list lifts the restriction. */
  allowIovas(ranges: readonly IovaRange[]): void {
    const allowed_iovas = this.#iommu.storeList(ranges)
    const values = { ioas_id: this.id, num_iovas: ranges.length, allowed_iovas }
    this.#iommu.call(IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas, values)
  }

  destroy(): void {
    this.#iommu.destroy(this.id)
  }
}

function flagsOf(access: MapOptions['access'] = 'read-write', iova?: bigint | number): number {
  const fixed = iova === undefined ? 0 : IOMMU_IOAS_MAP_FIXED_IOVA
  const read = access === 'write' ? 0 : IOMMU_IOAS_MAP_READABLE
  const write = access === 'read' ? 0 : IOMMU_IOAS_MAP_WRITEABLE
  return fixed | read | write
}

function checked(rc: number, syscall: string, refusal: Refusal | undefined): number {
  if (rc < 0) throw new IommufdError(-rc, syscall, refusal)
  return rc
}

function nameOf(cmd: number): string {
  return commands.find((command) => command.cmd === cmd)?.name ?? `ioctl 0x${cmd.toString(16)}`
}
