// SPDX-License-Identifier: Apache-2.0
/**
 * vIOMMUs of the mock IOMMU (SPEC section 10, L9, L5).
 *
 * Invariant: with data, a vIOMMU has two pages that the program can map, the first of which begins
 * with the caller's word; without, it has none.
 */
import type { Iommufd, MmapRegion } from '@iommufd/core'
import {
  type IommufdHwQueue,
  type IommufdViommu,
  iommufd_viommu_alloc_mmap,
  iommufd_viommu_destroy_mmap,
  iommufd_viommu_find_dev,
  type NestedDomain,
  type UserData,
  type UserDataArray,
  type ViommuOps,
} from '@iommufd/hw-iommu'
import {
  IOMMU_HW_QUEUE_TYPE_SELFTEST,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_TEST_INVALIDATE_FLAG_ALL,
  IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST,
  IOMMU_VIOMMU_TYPE_SELFTEST,
  iommu_viommu_invalidate_selftest,
  iommu_viommu_selftest,
  MOCK_DEV_CACHE_ID_MAX,
  PAGE_SIZE,
  readStruct,
  writeStruct,
} from '@iommufd/uapi'
import { MockDevice } from './mock-device.js'
import { MockHwQueues } from './mock-hw-queues.js'
import { readHwptData } from './mock-hwpt-data.js'
import { MockNestedDomain } from './mock-nested-domain.js'
import {
  MOCK_INVALIDATE_DEVICE,
  MOCK_INVALIDATE_ENTRY,
  MOCK_INVALIDATE_FLAGS,
  MOCK_INVALIDATE_TOO_MANY,
  MOCK_INVALIDATE_TYPE,
  MOCK_NESTED_FLAGS,
} from './refusals.js'

const INVALIDATE = IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST
const COMMAND_BYTES = iommu_viommu_invalidate_selftest.size
/** The mock takes all commands in one piece of memory, which is 4 MiB at most. */
const MAX_COMMANDS_BYTES = 4 << 20
const MMAP_PAGES = 2

export class MockViommu implements ViommuOps {
  readonly #engine: Iommufd
  readonly #viommu: IommufdViommu
  #pages: MmapRegion | undefined
  readonly #queues: MockHwQueues

  private constructor(viommu: IommufdViommu) {
    this.#engine = viommu.ctx.engine
    this.#viommu = viommu
    this.#queues = new MockHwQueues(this.#engine)
  }

  /** The mock's part of a new vIOMMU, or a negative errno. */
  static init(viommu: IommufdViommu, userData: UserData | undefined): MockViommu | number {
    const mock = new MockViommu(viommu)
    const rc = userData === undefined ? 0 : mock.#answer(userData)
    return rc < 0 ? rc : mock
  }

  destroy(): void {
    const pages = this.#pages
    if (pages === undefined) return
    iommufd_viommu_destroy_mmap(this.#viommu, pages)
    this.#engine.host.unpin(pages.frames, 0, MMAP_PAGES)
  }

  allocDomainNested(flags: number, userData: UserData): NestedDomain | number {
    const engine = this.#engine
    if ((flags & ~IOMMU_HWPT_ALLOC_PASID) !== 0) {
      return engine.refusals.refuse(MOCK_NESTED_FLAGS, flags)
    }
    const data = engine.allocate() || readHwptData(engine, userData)
    if (typeof data === 'number') return data
    return new MockNestedDomain(engine, this.#viommu.iommu, data.iotlb, this.#viommu)
  }

  /** All commands are read before the first one is done. */
  cacheInvalidate(entries: UserDataArray): number {
    const { refusals } = this.#engine
    if (entries.count === 0 && entries.type === INVALIDATE) return 0
    if (entries.count * COMMAND_BYTES > MAX_COMMANDS_BYTES) {
      // Linux leaves the number as it was.
      entries.handled = entries.count
      return refusals.refuse(MOCK_INVALIDATE_TOO_MANY, entries.count)
    }
    if (entries.type !== INVALIDATE) {
      return refusals.refuse(MOCK_INVALIDATE_TYPE, entries.type | 0, INVALIDATE | 0)
    }
    const commands = this.#engine.allocate() || entries.readAll(INVALIDATE, COMMAND_BYTES)
    if (typeof commands === 'number') return commands
    for (let at = 0; at < commands.length; at += COMMAND_BYTES) {
      const rc = this.#forget(commands, at)
      if (rc < 0) return rc
      entries.handled++
    }
    return 0
  }

  supportsHwQueue(type: number): boolean {
    return type === IOMMU_HW_QUEUE_TYPE_SELFTEST
  }

  hwQueueInit(queue: IommufdHwQueue, index: number): number {
    return this.#queues.add(queue, index)
  }

  hwQueueDestroy(queue: IommufdHwQueue): void {
    this.#queues.remove(queue)
  }

  /** Makes the pages, and tells the caller where to map them. */
  #answer(userData: UserData): number {
    const bytes = new Uint8Array(iommu_viommu_selftest.size)
    const rc = userData.read(IOMMU_VIOMMU_TYPE_SELFTEST, bytes, bytes.length)
    if (rc < 0) return rc
    const { in_data } = readStruct(iommu_viommu_selftest, bytes)
    const pages = this.#offerPages(in_data)
    if (typeof pages === 'number') return pages
    const answer = {
      in_data,
      out_data: in_data,
      out_mmap_offset: pages.page * PAGE_SIZE,
      out_mmap_length: MMAP_PAGES * PAGE_SIZE,
    }
    this.#pages = pages
    const written = userData.write(writeStruct(iommu_viommu_selftest, answer))
    if (written < 0) this.destroy()
    return written
  }

  #offerPages(word: number): MmapRegion | number {
    const { host } = this.#engine
    const frames = new Uint32Array(MMAP_PAGES)
    const rc = this.#engine.allocate() || host.allocate(MMAP_PAGES, frames, 0)
    if (rc < 0) return rc
    const pages = iommufd_viommu_alloc_mmap(this.#viommu, frames)
    if (typeof pages === 'number') {
      host.unpin(frames, 0, MMAP_PAGES)
      return pages
    }
    const bytes = new Uint8Array(Uint32Array.of(word).buffer)
    host.writeFrame(frames[0] as number, 0, bytes, 0, bytes.length)
    return pages
  }

  #forget(commands: Uint8Array, at: number): number {
    const { refusals } = this.#engine
    const { flags, vdev_id, cache_id } = readStruct(iommu_viommu_invalidate_selftest, commands, at)
    if ((flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL) !== 0) {
      return refusals.refuse(MOCK_INVALIDATE_FLAGS, flags | 0)
    }
    if (cache_id > MOCK_DEV_CACHE_ID_MAX) {
      return refusals.refuse(MOCK_INVALIDATE_ENTRY, cache_id | 0)
    }
    const dev = iommufd_viommu_find_dev(this.#viommu, BigInt(vdev_id))
    if (!(dev instanceof MockDevice)) return refusals.refuse(MOCK_INVALIDATE_DEVICE, vdev_id | 0)
    if (flags !== 0) dev.cache.fill(0)
    else dev.cache[cache_id] = 0
    return 0
  }
}
