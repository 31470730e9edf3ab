// SPDX-License-Identifier: Apache-2.0
//
// vIOMMUs of the toy driver: every answer can be turned into a refusal, and what the engine asks for is written down.

import { EINVAL } from '@iommufd/uapi'
import type {
  IommufdHwQueue,
  IommufdVdevice,
  IommufdViommu,
  NestedDomain,
  UserData,
  UserDataArray,
  ViommuOps,
} from '../src/index.js'
import type { ToyDevice } from './toy-driver.js'

/** The type of everything that the toy has: vIOMMUs, queues, data. */
export const TOY_TYPE = 1
/** Bytes of an entry of IOMMU_HWPT_INVALIDATE. */
const TOY_ENTRY_BYTES = 8

export class ToyViommu implements ViommuOps {
  readonly viommu: IommufdViommu
  /** What has happened, and what is refused. */
  readonly log: string[]
  /** What the driver's functions answer, by their name. */
  readonly refuses: Map<string, number>

  constructor(viommu: IommufdViommu, log: string[], refuses: Map<string, number>) {
    this.viommu = viommu
    this.log = log
    this.refuses = refuses
  }

  destroy(): void {
    this.log.push('destroy')
  }

  allocDomainNested(flags: number, userData: UserData): NestedDomain | number {
    const rc = this.#answer('allocDomainNested') || userData.read(TOY_TYPE, new Uint8Array(4), 4)
    if (rc < 0) return rc
    this.log.push(`nested ${flags}`)
    const { iommu } = this.viommu
    const domain: NestedDomain = {
      type: 'nested',
      owner: iommu,
      attachDev: (dev) => (dev as ToyDevice).use(domain),
    }
    return domain
  }

  /** Entries that begin with 255 are refused. */
  cacheInvalidate(entries: UserDataArray): number {
    const all = entries.readAll(TOY_TYPE, TOY_ENTRY_BYTES)
    if (typeof all === 'number') return all
    for (let at = 0; at < all.length; at += TOY_ENTRY_BYTES) {
      if (all[at] === 255) return -EINVAL
      this.log.push(`invalidate ${all[at]}`)
      entries.handled++
    }
    return 0
  }

  vdeviceInit({ idev, virtId }: IommufdVdevice): number {
    const rc = this.#answer('vdeviceInit')
    if (rc === 0) this.log.push(`vdevice ${virtId} is ${idev.dev.name}`)
    return rc
  }

  vdeviceDestroy({ virtId }: IommufdVdevice): void {
    this.log.push(`vdevice ${virtId} ends`)
  }

  supportsHwQueue(type: number): boolean {
    return type === TOY_TYPE
  }

  hwQueueInit(_queue: IommufdHwQueue, index: number, base: number): number {
    const rc = this.#answer('hwQueueInit')
    if (rc === 0) this.log.push(`queue ${index} at byte ${base % 4096}`)
    return rc
  }

  hwQueueDestroy(): void {
    this.log.push('queue ends')
  }

  #answer(name: string): number {
    return this.refuses.get(name) ?? 0
  }
}
