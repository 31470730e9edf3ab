// SPDX-License-Identifier: Apache-2.0
// Regions of a PCI device: which accesses reach the function, at the edges too; configuration space.

import { describe, expect, test } from 'vitest'
import { MEMORY, NOTHING } from '../test/columns.js'
import { BAR_SIZE, CONFIG_OFFSET, PciWorld } from '../test/pci-world.js'

const BAR2 = 2n << 40n

describe('section 7: BARs', () => {
  test('an access is cut into aligned pieces, in order', () => {
    const world = new PciWorld()
    expect(world.read(BAR2, 4)).toEqual([0x11, 0x22, 0x33, 0x44])
    expect(world.read(BAR2 + 1n, 8)).toEqual([0x11, 0x11, 0x22, 0x11, 0x22, 0x33, 0x44, 0x11])
    expect(world.taken()).toEqual([
      'read 2:0/4',
      'read 2:1/1',
      'read 2:2/2',
      'read 2:4/4',
      'read 2:8/1',
    ])
    expect(world.write(2n, 1, 2, 3, 4, 5)).toBe('5')
    expect(world.taken()).toEqual(['write 0:2/2=201', 'write 0:4/2=403', 'write 0:6/1=5'])
  })

  test('an access ends with the BAR; behind it is EINVAL', () => {
    const world = new PciWorld()
    expect(world.read(BAR2 + BigInt(BAR_SIZE - 4), 8)).toHaveLength(4)
    expect(world.write(13n, 1, 2, 3, 4)).toBe('3')
    expect(world.read(16n, 1)).toBe('EINVAL')
    expect(world.read(BAR2 + (1n << 39n), 1)).toBe('EINVAL')
  })

  test('no bytes are 0 wherever; a region that is not there, the ROM and VGA are EINVAL', () => {
    const world = new PciWorld()
    expect(world.read(1n << 62n, 0)).toEqual([])
    for (const index of [1n, 3n, 6n, 8n, 9n, 300n]) {
      expect([world.read(index << 40n, 1), world.write(index << 40n, 1)]).toEqual([
        'EINVAL',
        'EINVAL',
      ])
    }
  })

  test('bad memory is EFAULT; the pieces before it have been accessed', () => {
    const world = new PciWorld()
    const { process } = world.column
    const end = MEMORY + 16 * 4096 - 2
    expect(world.column.outcome(process.pread(world.fd, end, 4, 2n ** 41n + 2n))).toBe('EFAULT')
    expect(world.column.outcome(process.pwrite(world.fd, NOTHING, 4, 2n ** 41n))).toBe('EFAULT')
    expect(world.taken()).toEqual(['read 2:2/2', 'read 2:4/2'])
  })

  test('every fault point: one for each piece, which the device sees when it is written only', () => {
    const world = new PciWorld()
    const { faults } = world.column.engine
    const seen = (n: number, access: () => unknown): unknown[] => {
      faults.arm(n)
      const outcome = access()
      faults.disarm()
      return [outcome, ...world.taken()]
    }
    const read = () => world.read(BAR2 + 2n, 6)
    const write = () => world.write(BAR2 + 2n, 1, 0, 2, 0, 0, 0)
    expect(seen(1, read)).toEqual(['EFAULT', 'read 2:2/2'])
    expect(seen(2, read)).toEqual(['EFAULT', 'read 2:2/2', 'read 2:4/4'])
    expect(seen(3, read)[0]).toHaveLength(6)
    expect(seen(1, write)).toEqual(['EFAULT'])
    expect(seen(2, write)).toEqual(['EFAULT', 'write 2:2/2=1'])
    expect(seen(3, write)).toEqual(['6', 'write 2:2/2=1', 'write 2:4/4=2'])
  })

  test('memory that is not decoded is EIO, for a write after its data were read', () => {
    const world = new PciWorld()
    world.setConfig(4, 0)
    expect([world.read(0n, 4), world.write(0n, 1)]).toEqual(['EIO', 'EIO'])
    expect(world.column.process.pwrite(world.fd, NOTHING, 1, 0)).toBe(-14)
    expect(world.taken()).toEqual([])
    world.setConfig(4, 2)
    expect(world.write(0n, 1)).toBe('1')
  })

  test('read and write without an offset go on where the last one of the file ended', () => {
    const world = new PciWorld()
    const { process } = world.column
    expect(process.read(world.fd, MEMORY, 4)).toBe(4)
    expect(process.write(world.fd, MEMORY, 2)).toBe(2)
    expect(process.pread(world.fd, MEMORY, 4, 0)).toBe(4)
    expect(process.read(world.fd, NOTHING, 2)).toBe(-14)
    expect(process.read(world.fd, MEMORY, 2)).toBe(2)
    expect(world.taken()).toEqual([
      'read 0:0/4',
      'write 0:4/2=2211',
      'read 0:0/4',
      'read 0:6/2',
      'read 0:6/2',
    ])
  })

  test('no region can be mapped', () => {
    const world = new PciWorld()
    expect(world.column.process.mmap(0, 4096, 1, 1, world.fd, BAR2)).toBe(-22)
    expect(world.column.engine.refusals.last).toMatchObject({
      id: 'PCI_REGION_NOT_MAPPABLE',
      operands: { index: 2 },
    })
  })
})

describe('section 7: configuration space', () => {
  test('a header of type 0 with the capability MSI', () => {
    const world = new PciWorld()
    expect(world.config(0)).toBe(0x56781234)
    expect(world.config(4)).toBe(0x00100002)
    expect(world.config(8)).toBe(0x08800009)
    expect(world.config(0x10)).toBe(0xfe000000)
    expect(world.config(0x34)).toBe(0x40)
    expect(world.config(0x3c)).toBe(0x0100)
    // Identifier 5, no next one, 64 bits, 4 vectors.
    expect(world.config(0x40)).toBe(0x00840005)
    const bare = new PciWorld({ interruptPin: 0, msiVectors: 0 })
    expect([bare.config(4), bare.config(0x34), bare.config(0x40)]).toEqual([2, 0, 0])
  })

  test('a BAR reads its size back after all ones; one that is not there reads 0', () => {
    const world = new PciWorld()
    for (const at of [0x10, 0x14, 0x18, 0x30]) expect(world.setConfig(at, 0xffffffff)).toBe('4')
    expect([0x10, 0x14, 0x18, 0x30].map((at) => world.config(at))).toEqual([
      0xfffffff0, 0, 0xfffff000, 0,
    ])
    world.setConfig(0x18, 0x12345678)
    expect(world.config(0x18)).toBe(0x12345000)
  })

  test('what the function is cannot be written', () => {
    const world = new PciWorld()
    const before = [0, 8, 0x2c, 0x34].map((at) => world.config(at))
    for (const at of [0, 8, 0x2c, 0x34]) world.setConfig(at, 0xffffffff)
    expect([0, 8, 0x2c, 0x34].map((at) => world.config(at))).toEqual(before)
    world.setConfig(4, 0xffffffff)
    expect(world.config(4)).toBe(0x00100546)
    world.setConfig(0x3c, 0xffffffff)
    expect(world.config(0x3c)).toBe(0x01ff)
  })

  test('an access that goes beyond the end is EFAULT as a whole', () => {
    const world = new PciWorld()
    expect(world.read(CONFIG_OFFSET + 252n, 4)).toHaveLength(4)
    expect(world.read(CONFIG_OFFSET + 253n, 4)).toBe('EFAULT')
    expect(world.write(CONFIG_OFFSET + 256n, 0)).toBe('EFAULT')
    expect(world.write(CONFIG_OFFSET + 0x3en, ...new Array(8).fill(255))).toBe('8')
  })

  test('bus mastering is off when the device is opened, and again when it was closed', () => {
    const world = new PciWorld()
    expect(world.fn.port.isBusMaster).toBe(false)
    world.setConfig(4, 6)
    expect(world.fn.port.isBusMaster).toBe(true)
    world.close()
    expect(world.fn.port.isBusMaster).toBe(false)
    expect(world.taken()).toEqual(['reset'])
  })

  test('writes anywhere of any length: byte by byte as at once, and what is fixed stays', () => {
    const [whole, single] = [new PciWorld(), new PciWorld()]
    const all = (world: PciWorld): number[] =>
      [0, 64, 128, 192].flatMap((at) => world.read(CONFIG_OFFSET + BigInt(at), 64) as number[])
    for (let at = 0; at < 256; at++) {
      for (let length = 1; length <= Math.min(9, 256 - at); length++) {
        const bytes = Array.from({ length }, (_, i) => (at * 37 + length * 101 + i * 59) & 0xff)
        whole.write(CONFIG_OFFSET + BigInt(at), ...bytes)
        bytes.forEach((byte, i) => {
          single.write(CONFIG_OFFSET + BigInt(at + i), byte)
        })
        expect(all(single)).toEqual(all(whole))
      }
    }
    expect([whole.config(0), whole.config(0x34)]).toEqual([0x56781234, 0x40])
  })
})
