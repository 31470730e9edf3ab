// SPDX-License-Identifier: Apache-2.0
//
// A program that uses devices by /dev/vfio/devices and its own iommufd.

import { registerHwIommu } from '@iommufd/hw-iommu'
import {
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_IOAS_ALLOC,
  iommu_hwpt_alloc,
  type StructInput,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
  vfio_device_detach_iommufd_pt,
  writeStruct,
} from '@iommufd/uapi'
import { ARG, Column, type ColumnOptions, must } from './columns.js'
import type { PaperDeviceOptions } from './paper-driver.js'

export class CdevWorld {
  readonly column: Column
  /** Descriptor of /dev/iommu. */
  readonly iommufd: number

  constructor(options: ColumnOptions = {}) {
    this.column = new Column('iommufd', { path: '/dev/iommu', ...options })
    this.iommufd = this.column.container
    registerHwIommu(this.column.engine)
  }

  /** A new device behind the IOMMU: the number of its group. */
  device(name = 'nic', options: PaperDeviceOptions = {}): number {
    return this.column.device(name, options)
  }

  open(number = 0): number {
    return this.column.process.open(`/dev/vfio/devices/vfio${number}`)
  }

  ioctl(fd: number, cmd: number, bytes: Uint8Array): string {
    must(this.column.process.store(ARG, bytes))
    return this.column.outcome(this.column.process.ioctl(fd, cmd, ARG))
  }

  /** The device's id, or the errno's name. */
  bind(fd: number, iommufd: number = this.iommufd, flags = 0): string {
    const values = { argsz: 16, flags, iommufd, out_devid: 0 }
    const bytes = writeStruct(vfio_device_bind_iommufd, values)
    const outcome = this.ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, bytes)
    return outcome === 'ok' ? `id ${this.word(vfio_device_bind_iommufd.at.out_devid)}` : outcome
  }

  /** The table in use, or the errno's name. */
  attach(fd: number, ptId: number, pasid?: number): string {
    const values = { argsz: 16, flags: pasid === undefined ? 0 : 1, pt_id: ptId }
    const layout = vfio_device_attach_iommufd_pt
    const bytes = writeStruct(layout, { ...values, pasid: pasid ?? 0 })
    const outcome = this.ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, bytes)
    return outcome === 'ok' ? `table ${this.word(layout.at.pt_id)}` : outcome
  }

  detach(fd: number, pasid?: number): string {
    const values: StructInput<typeof vfio_device_detach_iommufd_pt> =
      pasid === undefined ? { argsz: 8, flags: 0 } : { argsz: 12, flags: 1, pasid }
    const bytes = writeStruct(vfio_device_detach_iommufd_pt, values)
    return this.ioctl(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, bytes)
  }

  /** A descriptor of a new device that is bound. */
  bound(name = 'nic', options: PaperDeviceOptions = {}): number {
    const number = this.column.vfio.groups.flatMap(({ devices }) => devices).length
    this.device(name, options)
    const fd = must(this.open(number))
    const outcome = this.bind(fd)
    if (!outcome.startsWith('id')) throw new Error(outcome)
    return fd
  }

  ioas(): number {
    this.iommu(IOMMU_IOAS_ALLOC, 12, 0, 0)
    return this.word(8)
  }

  /** A table for use with PASIDs, for a bound device on an IOAS: its id. */
  pasidTable(dev_id: number, pt_id: number): number {
    const values = { dev_id, pt_id, flags: IOMMU_HWPT_ALLOC_PASID }
    this.ioctl(this.iommufd, IOMMU_HWPT_ALLOC, writeStruct(iommu_hwpt_alloc, values))
    return this.word(iommu_hwpt_alloc.at.out_hwpt_id)
  }

  destroy(id: number): string {
    return this.iommu(IOMMU_DESTROY, 8, id)
  }

  /** Objects of the iommufd: `IOAS 1, DEVICE 2`. */
  objects(): string {
    const file = this.column.process.file(this.iommufd)
    const ctx = file && this.column.engine.contextOf(file)
    return [...(ctx?.objects ?? [])].map(({ id, typeName }) => `${typeName} ${id}`).join(', ')
  }

  close(fd: number): void {
    must(this.column.process.close(fd))
  }

  /** The id of the last refusal. */
  why(): string | undefined {
    return this.column.engine.refusals.last?.id
  }

  /** A u32 of the struct that was passed last. */
  word(at: number): number {
    return this.column.load(ARG + at, 4).getUint32(0, true)
  }

  /** A call on the iommufd with a struct of u32s. */
  iommu(cmd: number, ...words: number[]): string {
    return this.ioctl(this.iommufd, cmd, new Uint8Array(Uint32Array.from(words).buffer))
  }
}
