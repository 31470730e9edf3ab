// SPDX-License-Identifier: Apache-2.0
//
// SPEC section 8: what devices reach by DMA, and the fault records of what they do not.

import { describe, expect, test } from 'vitest'
import { DmaWorld, faultsOf, IOVA, PAGE, READ, WRITE } from '../test/dma-world.js'
import { TableDevice } from '../test/table-driver.js'
import { ToyDevice, ToyDriver } from '../test/toy-driver.js'
import {
  Device,
  DeviceDma,
  IOMMU_RESV_SW_MSI,
  iommufd_device_attach,
  iommufd_device_detach,
  iommufd_sw_msi,
  MsiDesc,
} from './index.js'
import { Rig } from './testing/rig.js'

describe('section 8: reading and writing', () => {
  test('across pages that lie behind one another, and across pages that do not', () => {
    const world = new DmaWorld()
    const { dma, ioas } = world.attached()
    const [va, other] = [world.numbered(4), world.numbered(4)]
    world.map(ioas, va, 2 * PAGE, IOVA)
    world.map(ioas, other + PAGE, 2 * PAGE, IOVA + BigInt(2 * PAGE))
    const data = new Uint8Array(3 * PAGE)
    expect(dma.read(IOVA + 100n, data)).toBe(data.length)
    const at = (i: number): number | undefined => data[i - 100]
    expect([at(100), at(PAGE - 1), at(PAGE), at(2 * PAGE), at(3 * PAGE)]).toEqual([1, 1, 2, 2, 3])
    const sent = Uint8Array.from({ length: 2 * PAGE }, (_, i) => i % 251)
    expect(dma.write(IOVA + BigInt(PAGE + 10), sent)).toBe(sent.length)
    expect(world.load(va + PAGE + 10, PAGE - 10)).toEqual([...sent.subarray(0, PAGE - 10)])
    expect(world.load(other + PAGE, PAGE + 10)).toEqual([...sent.subarray(PAGE - 10)])
    expect(world.load(va + PAGE, 10)).toEqual(Array(10).fill(2))
    expect(dma.faults).toEqual([])
  })

  test('half a page twice is no run', () => {
    const world = new DmaWorld('amdv1_mock')
    const { dma, ioas } = world.attached()
    const va = world.numbered(1)
    world.process.store(va, Uint8Array.of(77))
    for (const at of [0n, 2048n]) world.map(ioas, va, 2048, IOVA + at)
    const data = new Uint8Array(4096)
    expect(dma.read(IOVA, data)).toBe(4096)
    expect([data[0], data[1], data[2048], data[2049]]).toEqual([77, 1, 77, 1])
  })

  test('a part of an array, and nothing', () => {
    const world = new DmaWorld()
    const { dma, ioas } = world.attached()
    world.map(ioas, world.numbered(1), PAGE, IOVA)
    const data = new Uint8Array(6)
    expect(dma.read(IOVA, data, 2, 3)).toBe(3)
    expect([...data]).toEqual([0, 0, 1, 1, 1, 0])
    expect(dma.read(0, data, 6)).toBe(0)
    expect(dma.write(0, data, 0, 0)).toBe(0)
    expect(dma.faults).toEqual([])
  })

  test('bytes that the array does not have, and IOVAs that are none, are mistakes', () => {
    const dma = new DeviceDma(new Device('alone'), new DmaWorld().machine)
    const data = new Uint8Array(4)
    expect(() => dma.read(0, data, 0, 5)).toThrow(RangeError)
    expect(() => dma.write(0, data, 3, 2)).toThrow(RangeError)
    expect(() => dma.read(0, data, -1, 2)).toThrow(RangeError)
    expect(() => dma.read(0, data, 5)).toThrow(RangeError)
    expect(() => dma.readList([{ iova: 0, length: 5 }], data)).toThrow(RangeError)
    expect(() => dma.read(-1, data)).toThrow(/the IOVA -1 is not in/)
    expect(() => dma.read(1n << 64n, data)).toThrow(RangeError)
    expect(dma.faults).toEqual([])
  })

  test('scatter lists go piece by piece and end at the first fault', () => {
    const world = new DmaWorld()
    const { dma, ioas } = world.attached()
    const va = world.numbered(3)
    world.map(ioas, va, 3 * PAGE, IOVA)
    const pieces = [
      { iova: IOVA + BigInt(2 * PAGE), length: 2 },
      { iova: IOVA + BigInt(PAGE - 1), length: 2 },
      { iova: Number(IOVA), length: 1 },
    ]
    const data = new Uint8Array(5)
    expect(dma.readList(pieces, data)).toBe(5)
    expect([...data]).toEqual([3, 3, 1, 2, 1])
    expect(dma.writeList(pieces, Uint8Array.of(10, 11, 12, 13, 14))).toBe(5)
    expect([world.load(va + 2 * PAGE, 2), world.load(va + PAGE - 1, 2), world.load(va, 1)]).toEqual(
      [[10, 11], [12, 13], [14]],
    )
    const end = IOVA + BigInt(3 * PAGE)
    const beyond = [pieces[0], { iova: end - 1n, length: 2 }, pieces[2]] as typeof pieces
    expect(dma.readList(beyond, data)).toBe(3)
    expect(dma.writeList(beyond, data)).toBe(3)
    const at = `at 0x${end.toString(16)}`
    expect(faultsOf(dma)).toEqual([`read NOT_MAPPED ${at}`, `write NOT_MAPPED ${at}`])
  })
})

describe('section 8: what is not permitted is a fault record', () => {
  test('reading what may only be written, writing what may only be read', () => {
    const world = new DmaWorld()
    const { dma, ioas } = world.attached()
    const va = world.numbered(3)
    world.mapAs(ioas, va, 1, IOVA, READ | WRITE)
    world.mapAs(ioas, va + PAGE, 1, IOVA + BigInt(PAGE), READ)
    world.mapAs(ioas, va + 2 * PAGE, 1, IOVA + BigInt(2 * PAGE), WRITE)
    const data = new Uint8Array(3 * PAGE).fill(9)
    expect(dma.write(IOVA, data)).toBe(PAGE)
    expect(dma.read(IOVA, data)).toBe(2 * PAGE)
    expect(faultsOf(dma)).toEqual([
      'write NOT_WRITABLE at 0x1001000',
      'read NOT_READABLE at 0x1002000',
    ])
    expect(world.load(va, 3 * PAGE)).toEqual([
      ...Array(PAGE).fill(9),
      ...Array(PAGE).fill(2),
      ...Array(PAGE).fill(3),
    ])
    // Asked once more, the IOTLB gives the same answers.
    expect(dma.write(IOVA + BigInt(PAGE), data, 0, 1)).toBe(0)
    expect(dma.read(IOVA + BigInt(2 * PAGE), data, 0, 1)).toBe(0)
    expect(faultsOf(dma)).toHaveLength(2)
  })

  test('a record names the device, the PASID and the first IOVA', () => {
    const world = new DmaWorld()
    const { dev, dma, ioas } = world.attached()
    world.map(ioas, world.numbered(1), PAGE, IOVA)
    expect(dma.read(IOVA + 4000n, new Uint8Array(200))).toBe(96)
    expect(dma.takeFaults()).toEqual([
      { device: dev, pasid: 0, iova: IOVA + 4096n, direction: 'read', reason: 'NOT_MAPPED' },
    ])
    expect(dma.faults).toEqual([])
  })

  test('outside of the aperture, and across its end', () => {
    const world = new DmaWorld('vtdss')
    const { dma, ioas } = world.attached()
    const end = 1n << 39n
    world.map(ioas, world.numbered(1), PAGE, end - BigInt(PAGE))
    expect(dma.read(end - 1n, new Uint8Array(2))).toBe(1)
    expect(dma.write((1n << 64n) - 1n, new Uint8Array(1))).toBe(0)
    expect(faultsOf(dma)).toEqual([
      'read OUTSIDE_APERTURE at 0x8000000000',
      'write OUTSIDE_APERTURE at 0xffffffffffffffff',
    ])
  })

  test('an access does not go on at 0 behind the last IOVA', () => {
    const world = new DmaWorld('amdv1')
    const { dma, ioas } = world.attached()
    const last = (1n << 64n) - BigInt(PAGE)
    const va = world.numbered(2)
    world.map(ioas, va, PAGE, last)
    world.map(ioas, va + PAGE, PAGE, 0n)
    expect(dma.read(0, new Uint8Array(1))).toBe(1)
    const data = new Uint8Array(PAGE + 7)
    expect(dma.read(last, data)).toBe(PAGE)
    expect(dma.write(last + 4090n, data)).toBe(6)
    expect(faultsOf(dma)).toEqual(['read OUTSIDE_APERTURE at 0x0', 'write OUTSIDE_APERTURE at 0x0'])
    expect(world.load(va + PAGE, 1)).toEqual([2])
  })

  test('without a domain, blocked, and behind a table of a guest', () => {
    const world = new DmaWorld()
    const byte = new Uint8Array(1)
    const unknown = world.dma(new TableDevice('unknown', 9, false))
    expect(unknown.read(IOVA, byte)).toBe(0)
    expect(faultsOf(unknown)).toEqual(['read NO_DOMAIN at 0x1000000'])
    const dev = world.device()
    world.bind(dev)
    expect(world.dma(dev).read(IOVA, byte)).toBe(0)
    const blocked = world.dma(dev)
    blocked.write(IOVA, byte)
    expect(faultsOf(blocked)).toEqual(['write BLOCKED at 0x1000000'])
  })

  test('a table of a guest is not walked', () => {
    const world = new Rig({
      makeDriver: (iommu) => new ToyDriver(iommu),
      makeDevice: (name) => new ToyDevice(name),
    })
    const dev = world.device()
    const idev = world.bind(dev)
    const parent = world.hwpt(idev.id, world.ioas(), 1)
    world.attach(idev, world.hwpt(idev.id, parent, 0, 1, new Uint8Array(8)))
    const dma = world.dma(dev)
    expect(dma.read(IOVA, new Uint8Array(1))).toBe(0)
    expect(faultsOf(dma)).toEqual(['read NESTED_NOT_WALKED at 0x1000000'])
  })

  test('the identity domain leads to memory that is held, and to nothing else', () => {
    const world = new DmaWorld()
    const dma = world.dma(world.device())
    const frames = new Uint32Array(2)
    world.machine.allocate(2, frames, 0)
    const address = (frames[0] as number) * PAGE
    expect(frames[1]).toBe((frames[0] as number) + 1)
    expect(dma.write(address + PAGE - 1, Uint8Array.of(5, 6))).toBe(2)
    const data = new Uint8Array(2)
    world.machine.readFrame(frames[0] as number, PAGE - 1, data, 0, 2)
    expect([...data]).toEqual([5, 6])
    world.machine.unpin(frames, 1, 1)
    expect(dma.read(address + PAGE - 1, data)).toBe(1)
    expect(dma.read(1n << 44n, data)).toBe(0)
    const next = `0x${(address + PAGE).toString(16)}`
    expect(faultsOf(dma)).toEqual([`read NO_MEMORY at ${next}`, 'read NO_MEMORY at 0x100000000000'])
  })

  test('an interrupt page is no memory', () => {
    const regions = [{ start: 0x800_0000n, length: 0x10_0000n, type: IOMMU_RESV_SW_MSI }]
    const world = new Rig({
      makeDriver: (iommu) => new ToyDriver(iommu),
      makeDevice: (name) => new ToyDevice(name, { regions }),
    })
    const dev = world.device()
    world.attach(world.bind(dev), world.ioas())
    const desc = new MsiDesc(dev)
    expect(iommufd_sw_msi(desc, 0xfee_0000_0000n)).toBe(0)
    const dma = world.dma(dev)
    expect(dma.write(desc.pageIova as bigint, new Uint8Array(4))).toBe(0)
    expect(faultsOf(dma)).toEqual(['write NO_MEMORY at 0x8000000'])
  })

  test('64 records are kept, the others counted', () => {
    const world = new DmaWorld()
    const { dma } = world.attached()
    const byte = new Uint8Array(1)
    for (let i = 0; i < 70; i++) dma.read(IOVA + BigInt(i), byte)
    expect(dma.faults).toHaveLength(64)
    expect(dma.faults.at(-1)?.iova).toBe(IOVA + 63n)
    expect(dma.lostFaults).toBe(6)
    expect(dma.takeFaults()).toHaveLength(64)
    expect(dma.lostFaults).toBe(0)
    dma.read(IOVA, byte)
    expect(faultsOf(dma)).toEqual(['read NOT_MAPPED at 0x1000000'])
  })
})

test('E10: DMA with a PASID goes through the table of the PASID', () => {
  const world = new DmaWorld()
  const { dev, idev, dma, ioas } = world.attached()
  const other = world.ioas()
  const table = world.hwpt(idev.id, other, 8)
  world.map(other, world.numbered(2), 2 * PAGE, IOVA)
  const marked = new DeviceDma(dev, world.machine, 3)
  const byte = new Uint8Array(1)
  expect(marked.read(IOVA, byte)).toBe(0)
  // A table made for PASIDs is needed on both sides.
  const plain = world.hwpt(idev.id, ioas, 8)
  idev.replace(plain)
  expect(iommufd_device_attach(idev, 3, table)).toBe(table)
  expect(marked.read(IOVA + BigInt(PAGE), byte)).toBe(1)
  expect(byte[0]).toBe(2)
  expect(dma.read(IOVA, byte)).toBe(0)
  expect(new DeviceDma(dev, world.machine, 4).read(IOVA, byte)).toBe(0)
  dev.maxPasids = 3
  expect(marked.read(IOVA, byte)).toBe(0)
  dev.maxPasids = 16
  iommufd_device_detach(idev, 3)
  expect(marked.read(IOVA, byte)).toBe(0)
  expect(faultsOf(dma)).toEqual(['read NOT_MAPPED at 0x1000000'])
  expect(marked.faults.every(({ pasid }) => pasid === 3)).toBe(true)
  expect(faultsOf(marked)).toEqual(Array(3).fill('read NO_DOMAIN at 0x1000000'))
})
