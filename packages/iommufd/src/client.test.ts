// SPDX-License-Identifier: Apache-2.0
import { Machine } from '@iommufd/host'
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { IommuClient, IommufdError } from './client.js'
import { attachIommufd } from './engine.js'

const LENGTH = 0x4000

function open(): { iommu: IommuClient; buffer: number; machine: Machine } {
  const machine = new Machine()
  const engine = attachIommufd(machine)
  const process = machine.spawn()
  const buffer = process.mmap(0, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)
  return { iommu: new IommuClient(engine, process), buffer, machine }
}

test('C6, C8: a mapping has the IOVA that was asked for, or one that the kernel chose', () => {
  const { iommu, buffer } = open()
  const ioas = iommu.ioasAlloc()
  expect(ioas.map({ user_va: buffer, length: LENGTH, iova: 0x100000 })).toBe(0x100000n)
  const chosen = ioas.map({ user_va: buffer, length: LENGTH })
  expect(chosen % 0x1000n).toBe(0n)
  expect(ioas.unmap(chosen, LENGTH)).toBe(BigInt(LENGTH))
  expect(ioas.unmap(0, 2n ** 64n - 1n)).toBe(BigInt(LENGTH))
})

test('C4: a copy shows the same memory in another address space', () => {
  const { iommu, buffer } = open()
  const [from, to] = [iommu.ioasAlloc(), iommu.ioasAlloc()]
  from.map({ user_va: buffer, length: LENGTH, iova: 0x100000, access: 'read' })
  expect(to.copy(from, 0x101000, 0x1000, { iova: 0x5000, access: 'read' })).toBe(0x5000n)
  expect(() => to.copy(from, 0x101000, 0x1000, { access: 'write' })).toThrow(/EPERM/)
})

test('C3, C5: ranges are inclusive; automatic IOVAs keep to the allowed ones', () => {
  const { iommu, buffer } = open()
  const ioas = iommu.ioasAlloc()
  expect(ioas.iovaRanges()).toEqual([{ start: 0n, last: 2n ** 64n - 1n }])
  ioas.allowIovas([{ start: 0x800000n, last: 0x8fffffn }])
  expect(ioas.map({ user_va: buffer, length: LENGTH })).toBe(0x800000n)
  ioas.allowIovas([])
})

test('a refusal is an error with errno, code, reason and remedy', () => {
  const { iommu, buffer } = open()
  const ioas = iommu.ioasAlloc()
  ioas.map({ user_va: buffer, length: LENGTH, iova: 0x100000 })
  const again = (): bigint => ioas.map({ user_va: buffer, length: LENGTH, iova: 0x101000 })
  expect(again).toThrow(IommufdError)
  expect(again).toThrow(
    expect.objectContaining({
      errno: 17,
      code: 'EEXIST',
      syscall: 'IOMMU_IOAS_MAP',
      refusal: expect.objectContaining({ id: 'AREA_OVERLAPS' }),
    }),
  )
  expect(again).toThrow(/overlaps the area mapped at \[0x100000, 0x103fff\]/)
})

test('C1, F7: destroy and close take everything away', () => {
  const { iommu, buffer, machine } = open()
  const ioas = iommu.ioasAlloc()
  ioas.map({ user_va: buffer, length: LENGTH })
  ioas.destroy()
  expect(() => ioas.destroy()).toThrow(/ENOENT/)
  iommu.ioasAlloc()
  iommu.close()
  expect(iommu.engine.contexts.size).toBe(0)
  iommu.process.exit()
  expect(machine.framesInUse).toBe(0)
})

test('a device that is not there', () => {
  const machine = new Machine()
  const engine = attachIommufd(machine)
  expect(() => new IommuClient(engine, machine.spawn(), '/dev/nothing')).toThrow(/open: ENOENT/)
})
