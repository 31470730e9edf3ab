// SPDX-License-Identifier: Apache-2.0
//
// The dispatcher around a command, and what the engine itself keeps.

import {
  EINVAL,
  ENOTTY,
  IOMMU_DESTROY,
  IOMMU_IOAS_ALLOC,
  IOMMU_OPTION,
  iommu_destroy,
  iommu_ioas_alloc,
  VFIO_GET_API_VERSION,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { ARG, ARG_END, boot, contextOf, ioctl, PAGE, why } from '../test/harness.js'
import { Iommufd } from './iommufd.js'
import { OBJECT_UNKNOWN } from './refusals.js'

/** Not mapped. */
const HOLE = ARG_END

describe('F1: contexts', () => {
  test('F1: a context of /dev/iommu counts per user, one of /dev/vfio/vfio per process', () => {
    const { engine, process, ctx } = boot()
    const other = contextOf(engine, process, process.open('/dev/vfio/vfio'))
    expect([ctx.accountMode, other.accountMode]).toEqual(['user', 'mm'])
    expect([...engine.contexts]).toEqual([ctx, other])
  })

  test('F1: each open is a context of its own', () => {
    const booted = boot()
    const { process } = booted
    const other = process.open('/dev/iommu')
    ioctl(booted, IOMMU_IOAS_ALLOC, iommu_ioas_alloc, {})
    const { ret, out } = ioctl({ process, fd: other }, IOMMU_IOAS_ALLOC, iommu_ioas_alloc, {})
    expect([ret, out.out_ioas_id]).toEqual([0, 1])
  })

  test('another file has no context', () => {
    const { engine, process } = boot()
    const file = process.file(0)
    if (file === undefined) throw new Error('unreachable')
    expect(engine.contextOf(file)).toBeUndefined()
  })
})

describe('F2: numbers', () => {
  test('F2: a number inside the table is unknown only after the size could be read', () => {
    const { engine, process, fd } = boot()
    const wrong = [0x81, 0x3c81, 0x4004_3b81, 0xc00c_3b81]
    for (const cmd of wrong) {
      expect(why(engine, process.ioctl(fd, cmd, HOLE))).toBe('EFAULT STRUCT_UNREADABLE')
      expect(why(engine, process.ioctl(fd, cmd, ARG))).toBe('ENOTTY COMMAND_UNKNOWN')
      expect(engine.refusals.last?.operands).toEqual({ cmd })
    }
  })

  test('F2: a number of the table that nobody serves is the same', () => {
    const { engine, process, fd } = boot()
    const unserved = 0x3b84
    expect(engine.commands.covers(unserved)).toBe(true)
    expect(why(engine, process.ioctl(fd, unserved, HOLE))).toBe('EFAULT STRUCT_UNREADABLE')
    expect(why(engine, process.ioctl(fd, unserved, ARG))).toBe('ENOTTY COMMAND_UNKNOWN')
  })

  test('F2: a number outside the table is unknown without a look at the argument', () => {
    const { engine, process, fd } = boot()
    for (const cmd of [VFIO_GET_API_VERSION, 0x3b7f, 0x3b88, 0x3ba0, 0x5401, 0, 0xffffffff]) {
      expect(why(engine, process.ioctl(fd, cmd, HOLE))).toBe('ENOTTY COMMAND_UNKNOWN')
    }
  })

  test('F2: numbers outside the table go to the layer that translates them', () => {
    const { engine, process, fd, ctx } = boot()
    const seen: unknown[] = []
    engine.foreignIoctl = (...call) => {
      seen.push(...call)
      return call[2] === VFIO_GET_API_VERSION ? 4 : engine.refusals.refuse(OBJECT_UNKNOWN, 9)
    }
    const addr = 0x8765_4321_9876_5432n
    expect(why(engine, process.ioctl(fd, VFIO_GET_API_VERSION, addr))).toBe('4')
    expect(seen).toEqual([ctx, process, VFIO_GET_API_VERSION, 0x87654321 | 0, 0x98765432 | 0])
    expect(why(engine, process.ioctl(fd, 0x3b70, 0))).toBe('ENOENT OBJECT_UNKNOWN')
    expect(why(engine, process.ioctl(fd, 0x81, ARG))).toBe('ENOTTY COMMAND_UNKNOWN')
  })

  test('a positive answer reaches the caller', () => {
    const { engine, process, fd } = boot()
    engine.commands.register(0x3b84, () => 42)
    const { ret } = ioctl({ process, fd }, 0x3b84, iommu_ioas_alloc, { size: 32 })
    expect(ret).toBe(42)
  })
})

describe('one call', () => {
  test('the refusal of a call is gone with the next', () => {
    const booted = boot()
    const { engine } = booted
    const { ret } = ioctl(booted, IOMMU_DESTROY, iommu_destroy, { id: 5 })
    expect(why(engine, ret)).toBe('ENOENT OBJECT_UNKNOWN')
    ioctl(booted, IOMMU_IOAS_ALLOC, iommu_ioas_alloc, {})
    expect(engine.refusals.last).toBeUndefined()
  })

  test('what was refused on the way does not explain a call that succeeds', () => {
    const booted = boot()
    const { engine } = booted
    engine.commands.register(0x3b84, () => {
      engine.refusals.refuse(OBJECT_UNKNOWN, 1)
      return 0
    })
    const { ret } = ioctl(booted, 0x3b84, iommu_ioas_alloc, { size: 32 })
    expect(why(engine, ret)).toBe('0')
  })

  test('the calling process is known during the call and nobody is outside of it', () => {
    const booted = boot()
    const { engine, process, ctx } = booted
    const seen: unknown[] = [engine.current]
    engine.commands.register(0x3b84, (ucmd) => {
      seen.push(engine.current, ucmd.task, ucmd.ctx)
      return 0
    })
    ioctl(booted, 0x3b84, iommu_ioas_alloc, { size: 32 })
    seen.push(engine.current)
    expect(seen).toEqual([undefined, process, process, ctx, undefined])
  })

  test('a call that ends by a warning leaves nobody behind', () => {
    const booted = boot()
    const { engine } = booted
    engine.commands.register(0x3b84, () => {
      engine.warn('something broke')
      return 0
    })
    expect(() => ioctl(booted, 0x3b84, iommu_ioas_alloc, { size: 32 })).toThrow(
      'iommufd warning: something broke',
    )
    expect(engine.current).toBeUndefined()
  })
})

describe('user memory', () => {
  test('F5: copies say what could not be read or written', () => {
    const { engine, process } = boot()
    const bytes = new Uint8Array(8)
    const [hi, lo] = [1, PAGE]
    expect(engine.copyFromUser(process, 1, 0, bytes, 0, 8)).toBe(0)
    expect(why(engine, engine.copyFromUser(process, hi, lo, bytes, 0, 8))).toBe(
      'EFAULT USER_UNREADABLE',
    )
    expect(engine.refusals.last?.sentence).toBe(
      '8 bytes of user memory at 0x100001000 cannot be read',
    )
    expect(why(engine, engine.copyToUser(process, hi, lo, bytes, 0, 8))).toBe(
      'EFAULT USER_UNWRITABLE',
    )
  })

  test('F5: an armed fault point fails a copy, and only that one', () => {
    const { engine, process } = boot()
    const bytes = new Uint8Array(8)
    engine.faults.arm(2)
    const copies = [1, 2, 3].map(() => engine.copyToUser(process, 1, 0, bytes, 0, 8))
    expect(copies).toEqual([0, -14, 0])
    engine.faults.arm(1)
    expect(why(engine, engine.copyFromUser(process, 1, 0, bytes, 0, 8))).toBe(
      'EFAULT INJECTED_EFAULT',
    )
  })
})

describe('options of the engine', () => {
  test('C7: the largest automatic alignment is a power of two from a page to 1 GiB', () => {
    const { machine } = boot()
    expect(new Iommufd(machine).maxIovaAlignment).toBe(0x200000)
    for (const bytes of [4096, 0x10000, 0x4000_0000]) {
      expect(new Iommufd(machine, { maxIovaAlignment: bytes }).maxIovaAlignment).toBe(bytes)
    }
    for (const bytes of [0, 1, 2048, 4097, 12288, 0x8000_0000, -4096, Number.NaN, 4096.5]) {
      expect(() => new Iommufd(machine, { maxIovaAlignment: bytes })).toThrow(RangeError)
    }
  })

  test('warnings throw unless somebody listens', () => {
    const heard: string[] = []
    boot({ onWarning: (message) => heard.push(message) }).engine.warn('odd')
    expect(heard).toEqual(['odd'])
    expect(() => boot().engine.warn('odd')).toThrow('iommufd warning: odd')
  })

  test('the core serves DESTROY and OPTION and nothing else', () => {
    const engine = new Iommufd(boot().machine)
    expect(engine.commands.all().map(({ info }) => info.cmd)).toEqual([IOMMU_DESTROY, IOMMU_OPTION])
  })

  test('an ioctl may be answered without a descriptor', () => {
    const { engine, process, ctx } = boot()
    expect(engine.ioctl(ctx, process, 0x3b70, 0, 0)).toBe(-ENOTTY)
    expect(engine.ioctl(ctx, process, IOMMU_DESTROY, 1, 0)).toBe(-EINVAL)
  })
})
