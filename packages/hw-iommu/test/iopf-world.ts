// SPDX-License-Identifier: Apache-2.0
//
// A program with fault queues, and devices of the toy driver that ask for pages.

import {
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_FAULT_ID_VALID,
  iommu_fault_alloc,
  iommu_hwpt_page_response,
  iommu_hwpt_pgfault,
  POLLIN,
  POLLOUT,
  readStruct,
  type StructValue,
  writeStruct,
} from '@iommufd/uapi'
import { type IommufdDevice, iommu_report_device_fault, type PageRequest } from '../src/index.js'
import { DATA, World } from './harness.js'
import type { ToyDevice, ToyDeviceOptions } from './toy-driver.js'

export const FAULT_SIZE: number = iommu_hwpt_pgfault.size
const RESPONSE_SIZE: number = iommu_hwpt_page_response.size

export type Fault = StructValue<typeof iommu_hwpt_pgfault>

export interface Queue {
  readonly id: number
  readonly fd: number
}

export class IopfWorld extends World {
  readonly pt: number = this.ioas().id

  queue(): Queue {
    const answer = this.ioctl(IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc, {})
    return { id: answer.out_fault_id, fd: answer.out_fault_fd }
  }

  /** A bound device that sends PASIDs below 8. */
  asker(name: string, options: ToyDeviceOptions = {}): IommufdDevice {
    return this.bind(this.device(name, { pasids: 8, ...options }))
  }

  /** A table that can be used beside PASIDs, with a fault queue if one is given. */
  table(idev: IommufdDevice, queue?: Queue): number {
    const flags = IOMMU_HWPT_ALLOC_PASID | (queue === undefined ? 0 : IOMMU_HWPT_FAULT_ID_VALID)
    const values = { dev_id: idev.id, pt_id: this.pt, flags, fault_id: queue?.id ?? 0 }
    return this.hwptAlloc(values) as number
  }

  /** What reporting a request answers. */
  report(idev: IommufdDevice, request: Partial<PageRequest>): string {
    const defaults = { pasid: undefined, grpid: 1, perm: 1, addr: 0x1000n, lastPage: true }
    return this.outcome(iommu_report_device_fault(idev.dev, { ...defaults, ...request }))
  }

  /** What a read answers: bytes, or why not. */
  read(fd: number, length: number, addr: number = DATA): number | string {
    const ret = this.process.read(fd, addr, length)
    const outcome = this.outcome(ret)
    return ret < 0 ? outcome : ret
  }

  /** The faults that a read of so many gives. */
  faults(fd: number, count = 10): Fault[] {
    const ret = this.read(fd, count * FAULT_SIZE)
    if (typeof ret === 'string') throw new Error(ret)
    const bytes = this.process.load(DATA, ret) as Uint8Array
    return Array.from({ length: ret / FAULT_SIZE }, (_, i) => {
      return readStruct(iommu_hwpt_pgfault, bytes.subarray(i * FAULT_SIZE, (i + 1) * FAULT_SIZE))
    })
  }

  /** What a write of responses, cookie and code each, answers. */
  respond(fd: number, ...responses: readonly (readonly [number, number])[]): number | string {
    for (const [i, [cookie, code]] of responses.entries()) {
      const bytes = writeStruct(iommu_hwpt_page_response, { cookie, code })
      this.process.store(DATA + i * RESPONSE_SIZE, bytes)
    }
    const ret = this.process.write(fd, DATA, responses.length * RESPONSE_SIZE)
    const outcome = this.outcome(ret)
    return ret < 0 ? outcome : ret
  }

  /** Whether poll says that there is something to read. */
  isReadable({ fd }: Queue): boolean {
    const { ret, revents } = this.process.poll(fd, POLLIN | POLLOUT)
    if (ret !== 1 || (revents & POLLOUT) === 0) throw new Error('responses are not taken')
    return (revents & POLLIN) !== 0
  }
}

/** The answers that a device has got since the last look, `grpid:code`. */
export function answersOf({ dev }: IommufdDevice): string[] {
  return (dev as ToyDevice).answers.splice(0)
}
