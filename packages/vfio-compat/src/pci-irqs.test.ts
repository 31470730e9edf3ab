// SPDX-License-Identifier: Apache-2.0
// VFIO_DEVICE_SET_IRQS: what is judged in which order, and which eventfd hears of what.

import { describe, expect, test } from 'vitest'
import { ARG, MEMORY } from '../test/columns.js'
import { PciWorld } from '../test/pci-world.js'
import type { VfioPci } from './pci.js'

const [NONE, BOOL, EVENTFD] = [1, 2, 4] as const
const [MASK, UNMASK, TRIGGER] = [0x08, 0x10, 0x20] as const
const [INTX, MSI, MSIX, ERR, REQ] = [0, 1, 2, 3, 4] as const
const OFF = NONE | TRIGGER

/** The id of the last refusal. */
const why = (world: PciWorld): string | undefined => world.column.engine.refusals.last?.id

/** References to eventfds from inside the kernel. */
function held(world: PciWorld, ...fds: number[]): number[] {
  return fds.map((fd) => {
    const ops = world.column.process.file(fd)?.ops as unknown as { holders: number }
    return ops.holders
  })
}

describe('section 7: SET_IRQS, the argument', () => {
  const header = (world: PciWorld, ...words: number[]): string | undefined => {
    world.column.process.store(ARG, new Uint8Array(Uint32Array.from(words).buffer))
    const outcome = world.ioctl(0x3b6e)
    return outcome === 'ok' ? outcome : `${outcome} ${why(world)}`
  }

  test.each([
    ['argsz below 20', [19, 0xff, 9, 9, 9], 'EINVAL PCI_ARGSZ_TOO_SMALL'],
    ['an unknown index', [20, 0xff, 5, 9, 9], 'EINVAL PCI_IRQ_UNKNOWN'],
    ['an unknown flag', [20, 0x41, 0, 9, 9], 'EINVAL PCI_IRQ_FLAGS'],
    ['a start beyond', [20, 0, 1, 4, 0], 'EINVAL PCI_IRQ_RANGE'],
    ['an end beyond', [20, 0, 1, 3, 2], 'EINVAL PCI_IRQ_RANGE'],
    ['a count that wraps', [20, 0, 1, 1, 0xffffffff], 'EINVAL PCI_IRQ_RANGE'],
    ['interrupts that there are none of', [20, OFF, MSIX, 0, 0], 'EINVAL PCI_IRQ_RANGE'],
    ['errors, which PCIe has', [20, OFF, ERR, 0, 0], 'EINVAL PCI_IRQ_RANGE'],
    ['no data type', [20, TRIGGER, 1, 0, 1], 'EINVAL PCI_IRQ_FLAGS'],
    ['two data types', [20, TRIGGER | 3, 1, 0, 1], 'EINVAL PCI_IRQ_FLAGS'],
    ['too short for its bytes', [21, BOOL | TRIGGER, 1, 0, 2], 'EINVAL PCI_ARGSZ_TOO_SMALL'],
    ['too short for its words', [27, EVENTFD | TRIGGER, 1, 0, 2], 'EINVAL PCI_ARGSZ_TOO_SMALL'],
    ['no action', [20, NONE, 0, 0, 0], 'ENOTTY PCI_IRQ_ACTION'],
    ['two actions', [20, NONE | MASK | TRIGGER, 0, 0, 0], 'ENOTTY PCI_IRQ_ACTION'],
    ['masking of messages', [20, NONE | MASK, 1, 0, 1], 'ENOTTY PCI_IRQ_ACTION'],
    ['masking of the request', [20, NONE | MASK, 4, 0, 1], 'ENOTTY PCI_IRQ_ACTION'],
  ] as const)('%s', (_, words, outcome) => {
    expect(header(new PciWorld(), ...words)).toBe(outcome)
  })

  test('data that cannot be read are EFAULT', () => {
    const world = new PciWorld()
    const end = MEMORY + 16 * 4096 - 20
    const words = Uint32Array.of(24, EVENTFD | TRIGGER, 0, 0, 1)
    world.column.process.store(end, new Uint8Array(words.buffer))
    expect(world.ioctl(0x3b6e, end)).toBe('EFAULT')
  })

  test('descriptors: not open is EBADF, no eventfd EINVAL, and nothing is on then', () => {
    const world = new PciWorld()
    for (const index of [INTX, MSI, REQ]) {
      expect(world.listen(index, [77])).toBe('EBADF')
      expect(world.listen(index, [0])).toBe('EINVAL')
      expect(why(world)).toBe('PCI_FD_IS_NO_EVENTFD')
    }
    expect(world.setIrqs(MSI, OFF, 0, 1)).toBe('EINVAL')
    expect(world.setIrqs(INTX, OFF, 0, 1)).toBe('EINVAL')
  })
})

describe('section 7: the interrupt pin', () => {
  const world = (): { world: PciWorld; fd: number } => {
    const made = new PciWorld()
    const fd = made.eventfd()
    expect(made.listen(INTX, [fd])).toBe('ok')
    return { world: made, fd }
  }

  test('an assertion is told once and masks; unmasking tells again while it lasts', () => {
    const { world: w, fd } = world()
    w.fn.port.setIntx(true)
    w.fn.port.setIntx(true)
    expect(w.signals(fd)).toBe(1)
    expect(w.config(4) >>> 16).toBe(0x18)
    expect(w.setIrqs(INTX, NONE | UNMASK, 0, 1)).toBe('ok')
    expect(w.signals(fd)).toBe(1)
    w.fn.port.setIntx(false)
    expect(w.config(4) >>> 16).toBe(0x10)
    expect(w.setIrqs(INTX, BOOL | UNMASK, 0, 1, [0])).toBe('ok')
    w.fn.port.setIntx(true)
    expect(w.signals(fd)).toBe(0)
    expect(w.setIrqs(INTX, BOOL | UNMASK, 0, 1, [1])).toBe('ok')
    expect(w.signals(fd)).toBe(1)
  })

  test('masking holds it back', () => {
    const { world: w, fd } = world()
    expect(w.setIrqs(INTX, BOOL | MASK, 0, 1, [1])).toBe('ok')
    w.fn.port.setIntx(true)
    expect(w.signals(fd)).toBe(0)
    w.setIrqs(INTX, NONE | UNMASK, 0, 1)
    expect(w.signals(fd)).toBe(1)
  })

  test('the command register disables it, and masks what comes meanwhile', () => {
    const { world: w, fd } = world()
    w.setConfig(4, 0x402)
    w.fn.port.setIntx(true)
    expect(w.setIrqs(INTX, NONE | UNMASK, 0, 1)).toBe('ok')
    expect(w.setIrqs(INTX, OFF, 0, 1)).toBe('ok')
    expect(w.signals(fd)).toBe(0)
    w.setConfig(4, 2)
    expect(w.signals(fd)).toBe(1)
  })

  test('a pin that is asserted already is told when it is switched on', () => {
    const w = new PciWorld()
    w.fn.port.setIntx(true)
    const fd = w.eventfd()
    w.listen(INTX, [fd])
    expect(w.signals(fd)).toBe(1)
  })

  test('DATA_NONE and DATA_BOOL tell without the pin', () => {
    const { world: w, fd } = world()
    expect(w.setIrqs(INTX, OFF, 0, 1)).toBe('ok')
    expect(w.setIrqs(INTX, BOOL | TRIGGER, 0, 1, [0])).toBe('ok')
    expect(w.setIrqs(INTX, BOOL | TRIGGER, 0, 1, [2])).toBe('ok')
    expect(w.signals(fd)).toBe(2)
  })

  test('another eventfd takes its place, -1 none; count 0 switches it off', () => {
    const { world: w, fd } = world()
    const other = w.eventfd()
    w.listen(INTX, [other])
    expect(held(w, fd, other)).toEqual([0, 1])
    expect(w.listen(INTX, [-1])).toBe('ok')
    expect(held(w, fd, other)).toEqual([0, 0])
    expect(w.setIrqs(INTX, NONE | MASK, 0, 1)).toBe('ok')
    expect(w.setIrqs(INTX, OFF, 0, 0)).toBe('ok')
    expect(w.setIrqs(INTX, NONE | MASK, 0, 1)).toBe('EINVAL')
    expect(why(w)).toBe('PCI_IRQ_OFF')
  })

  test('masking by an eventfd is ENOTTY, unmasking too; to stop that is nothing to do', () => {
    const { world: w, fd } = world()
    expect(w.setIrqs(INTX, EVENTFD | MASK, 0, 1, [fd, 0, 0, 0])).toBe('ENOTTY')
    expect(w.setIrqs(INTX, EVENTFD | UNMASK, 0, 1, [fd, 0, 0, 0])).toBe('ENOTTY')
    expect(w.setIrqs(INTX, EVENTFD | UNMASK, 0, 1, [255, 255, 255, 255])).toBe('ok')
  })

  test('count 0 with anything else is EINVAL', () => {
    const { world: w } = world()
    for (const flags of [EVENTFD | TRIGGER, BOOL | TRIGGER, NONE | MASK, NONE | UNMASK]) {
      expect([w.setIrqs(INTX, flags, 0, 0), why(w)]).toEqual(['EINVAL', 'PCI_IRQ_COUNT'])
    }
    const idle = new PciWorld()
    expect([idle.setIrqs(INTX, OFF, 0, 0), why(idle)]).toEqual(['EINVAL', 'PCI_IRQ_COUNT'])
  })
})

describe('section 7: messages', () => {
  const on = (count = 2): { world: PciWorld; fds: number[] } => {
    const world = new PciWorld()
    const fds = Array.from({ length: count }, () => world.eventfd())
    expect(world.listen(MSI, fds)).toBe('ok')
    return { world, fds }
  }

  test('each vector tells its eventfd; others are not there', () => {
    const { world, fds } = on()
    expect([0, 1, 1, 2].map((vector) => world.fn.port.sendMsi(vector))).toEqual([
      true,
      true,
      true,
      false,
    ])
    expect(fds.map((fd) => world.signals(fd))).toEqual([1, 2])
    expect(new PciWorld().fn.port.sendMsi(0)).toBe(false)
  })

  test('the number of vectors stays; their eventfds change one by one', () => {
    const { world, fds } = on()
    const other = world.eventfd()
    expect(world.listen(MSI, [-1], 0)).toBe('ok')
    expect(world.listen(MSI, [other], 1)).toBe('ok')
    expect(held(world, ...fds, other)).toEqual([0, 0, 1])
    expect(world.fn.port.sendMsi(0)).toBe(true)
    expect([world.listen(MSI, [other], 2), why(world)]).toEqual(['EINVAL', 'PCI_MSI_VECTOR_ABSENT'])
    expect(world.listen(MSI, [-1], 2)).toBe('ok')
  })

  test('a bad descriptor among several takes those of the call away', () => {
    const { world, fds } = on(3)
    expect(world.listen(MSI, [fds[0] as number, 77, fds[2] as number])).toBe('EBADF')
    expect(held(world, ...fds)).toEqual([0, 0, 1])
    expect(world.fn.port.sendMsi(2)).toBe(true)
    const fresh = new PciWorld()
    const fd = fresh.eventfd()
    expect(fresh.listen(MSI, [fd, 0])).toBe('EINVAL')
    expect([held(fresh, fd), fresh.fn.port.sendMsi(0)]).toEqual([[0], false])
  })

  test('a first call may begin behind vector 0; no vectors at all are ERANGE', () => {
    const world = new PciWorld()
    const fd = world.eventfd()
    expect(world.listen(MSI, [])).toBe('ERANGE')
    expect(world.listen(MSI, [fd], 2)).toBe('ok')
    expect([world.fn.port.sendMsi(2), world.fn.port.sendMsi(3)]).toEqual([true, false])
  })

  test('DATA_NONE and DATA_BOOL tell without the device', () => {
    const { world, fds } = on()
    expect(world.setIrqs(MSI, OFF, 0, 2)).toBe('ok')
    expect(world.setIrqs(MSI, BOOL | TRIGGER, 0, 2, [0, 1])).toBe('ok')
    expect(fds.map((fd) => world.signals(fd))).toEqual([1, 2])
  })

  test('pin and messages exclude each other until count 0', () => {
    const { world, fds } = on()
    expect([world.listen(INTX, fds.slice(0, 1)), why(world)]).toEqual([
      'EINVAL',
      'PCI_IRQ_OTHER_IN_USE',
    ])
    expect(world.setIrqs(INTX, OFF, 0, 0)).toBe('EINVAL')
    expect(world.setIrqs(MSI, OFF, 0, 0)).toBe('ok')
    expect(held(world, ...fds)).toEqual([0, 0])
    expect(world.listen(INTX, fds.slice(0, 1))).toBe('ok')
    expect(world.listen(MSI, fds)).toBe('EINVAL')
  })

  test('the enable bit is set by ioctls only, and a program can clear it', () => {
    const before = new PciWorld()
    before.setConfig(0x40, 0x00710000)
    expect(before.config(0x40) >>> 16).toBe(0)
    const { world } = on(2)
    world.setConfig(0x40, 0x00310000)
    // More vectors were chosen than are on: 2, which is 1 in the register.
    expect(world.config(0x40) >>> 16).toBe(0x11)
    expect(world.fn.port.sendMsi(1)).toBe(true)
    world.setConfig(0x40, 0)
    expect(world.fn.port.sendMsi(1)).toBe(false)
    world.setConfig(0x44, 0xfee00000)
    expect([world.config(0x44), world.config(0x40) >>> 24]).toEqual([0xfee00000, 0])
  })
})

describe('section 7: the request to give the device back', () => {
  test('an eventfd that is told by DATA_NONE and DATA_BOOL, replaced and taken away', () => {
    const world = new PciWorld()
    const [fd, other] = [world.eventfd(), world.eventfd()]
    expect([world.setIrqs(REQ, OFF, 0, 1), why(world)]).toEqual(['EINVAL', 'PCI_IRQ_OFF'])
    expect(world.setIrqs(REQ, BOOL | TRIGGER, 0, 1, [1])).toBe('ok')
    expect(world.listen(REQ, [fd])).toBe('ok')
    expect(world.setIrqs(REQ, OFF, 0, 1)).toBe('ok')
    expect(world.setIrqs(REQ, BOOL | TRIGGER, 0, 1, [1])).toBe('ok')
    expect(world.signals(fd)).toBe(2)
    expect(world.listen(REQ, [other])).toBe('ok')
    expect(world.listen(REQ, [-2])).toBe('ok')
    expect(held(world, fd, other)).toEqual([0, 1])
    expect([world.setIrqs(REQ, BOOL | TRIGGER, 0, 0), why(world)]).toEqual([
      'EINVAL',
      'PCI_IRQ_COUNT',
    ])
    expect(world.listen(REQ, [-1])).toBe('ok')
    expect(held(world, other)).toEqual([0])
    world.listen(REQ, [other])
    expect(world.setIrqs(REQ, OFF, 0, 0)).toBe('ok')
    expect(held(world, other)).toEqual([0])
  })
})

test('section 7: the last close of a device gives every eventfd back; there is one state', () => {
  const world = new PciWorld()
  const { column } = world
  const fds = [world.eventfd(), world.eventfd(), world.eventfd()]
  world.listen(MSI, fds.slice(0, 2))
  world.listen(REQ, fds.slice(2))
  const twice = column.openDevice(world.group, 'function')
  expect(world.taken()).toEqual([])
  column.process.close(twice)
  expect(held(world, ...fds)).toEqual([1, 1, 1])
  world.close()
  expect(held(world, ...fds)).toEqual([0, 0, 0])
  expect((world.pci as VfioPci).open()).toBeDefined()
})

test('section 7: every fault point of SET_IRQS: nothing is held, nothing is on', () => {
  const world = new PciWorld()
  const { faults } = world.column.engine
  const fds = [world.eventfd(), world.eventfd()]
  const points = [INTX, MSI, REQ].map((index) => {
    const some = index === MSI ? fds : fds.slice(0, 1)
    for (let n = 1; ; n++) {
      faults.arm(n)
      const outcome = world.listen(index, some)
      const { fired } = faults
      faults.disarm()
      if (!fired) {
        expect(outcome).toBe('ok')
        world.setIrqs(index, OFF, 0, 0)
        return n - 1
      }
      expect(outcome).toMatch(/^E(NOMEM|FAULT)$/)
      expect(held(world, ...fds)).toEqual([0, 0])
      expect(world.setIrqs(index, OFF, 0, 1)).toBe('EINVAL')
    }
  })
  // Header, room for the data, the data; the pin, or the vectors and each of them.
  expect(points).toEqual([4, 6, 3])
})
