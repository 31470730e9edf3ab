// SPDX-License-Identifier: Apache-2.0
// Descriptors, identity, limits, fork and exit, and what devices see of a process.

import {
  CAP_IPC_LOCK,
  CAP_SYS_RESOURCE,
  EBADF,
  EFAULT,
  EINVAL,
  EMFILE,
  ENOENT,
  ENOTTY,
  ENXIO,
  EPERM,
  MAP_FIXED,
  MAP_SHARED,
  O_RDONLY,
  O_WRONLY,
  POLLERR,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  PROT_READ,
  RLIM_INFINITY,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { BASE, boot, hi, lo, load, mapped, PAGE, pin, RW, store } from '../test/fixtures.js'
import { type DeviceMapping, File, type FileOperations, type Task } from './host.js'
import { Machine } from './machine.js'

function bootWith(path: string, operations: FileOperations | number) {
  const { machine, process } = boot()
  machine.registerDevice(path, () => operations)
  return { machine, process }
}

describe('descriptors', () => {
  test('the lowest free, from 3', () => {
    const { process } = boot()
    expect([process.open('/dev/null'), process.dup(0), process.memfdCreate('x', 0)]).toEqual([
      3, 4, 5,
    ])
    expect(process.close(4)).toBe(0)
    expect(process.open('/dev/null')).toBe(4)
    expect(process.close(0)).toBe(0)
    expect(process.dup(5)).toBe(0)
  })

  test('unknown ones: -EBADF', () => {
    const { process } = boot()
    for (const fd of [3, -1, 1.5, 2 ** 31])
      expect([
        process.close(fd),
        process.dup(fd),
        process.ioctl(fd, 1, 0),
        process.read(fd, 0, 0),
        process.write(fd, 0, 0),
      ]).toEqual(new Array(5).fill(-EBADF))
  })

  test('at most 1024; what could not be installed is not kept open', () => {
    let open = 0
    const { machine, process } = boot()
    machine.registerDevice('/dev/count', () => {
      open++
      return { release: () => open-- }
    })
    while (process.dup(0) !== -EMFILE);
    expect(process.dup(0)).toBe(-EMFILE)
    expect(process.open('/dev/count')).toBe(-EMFILE)
    expect(open).toBe(0)
    const file = new File('mine', {})
    expect(process.installFile(file)).toBe(-EMFILE)
    process.close(700)
    expect(process.installFile(file)).toBe(700)
    expect(process.file(700)).toBe(file)
  })

  test('a file is released with its last descriptor in any process', () => {
    let released = 0
    const { process } = bootWith('/dev/x', { release: () => released++ })
    const fd = process.open('/dev/x')
    const copy = process.dup(fd)
    const child = process.fork()
    process.close(fd)
    process.close(copy)
    child.close(fd)
    expect(released).toBe(0)
    child.exit()
    expect(released).toBe(1)
  })

  test('descriptors opened after fork are the process’s own', () => {
    const { process } = boot()
    const child = process.fork()
    expect([process.open('/dev/null'), child.open('/dev/null'), child.open('/dev/null')]).toEqual([
      3, 3, 4,
    ])
    expect(process.file(4)).toBeUndefined()
  })
})

describe('open', () => {
  test('unknown paths and modes', () => {
    const { process } = bootWith('/dev/refuses', -EPERM)
    expect(process.open('/dev/iommu')).toBe(-ENOENT)
    expect(process.open('/proc/self/fd/9')).toBe(-ENOENT)
    expect(process.open('/dev/null', 3)).toBe(-EINVAL)
    expect(process.open('/dev/refuses')).toBe(-EPERM)
    expect(process.open('/dev/null')).toBe(3)
  })

  test('a device sees who opens it; opening its descriptor opens it anew', () => {
    const { machine, process } = boot()
    const openers: Task[] = []
    machine.registerDevice('/dev/x', (task) => {
      openers.push(task)
      return {}
    })
    const fd = process.open('/dev/x')
    const again = process.open(`/proc/self/fd/${fd}`)
    expect(process.file(again)).not.toBe(process.file(fd))
    expect(openers).toEqual([process, process])
  })

  test('/dev/null', () => {
    const { process } = boot()
    const fd = process.open('/dev/null')
    expect(process.read(fd, BASE, 100)).toBe(0)
    expect(process.write(fd, BASE, 100)).toBe(100)
    expect(process.ioctl(fd, 0x3b80, 0)).toBe(-ENOTTY)
  })
})

describe('calls that reach a file', () => {
  test('ioctl: the command as u32, the argument as two words', () => {
    const seen: number[][] = []
    const { process } = bootWith('/dev/x', {
      ioctl: (task, cmd, argHi, argLo) => {
        seen.push([task.pid, cmd, argHi, argLo])
        return 5
      },
    })
    const fd = process.open('/dev/x')
    expect(process.ioctl(fd, -1, 0x1_8000_0000)).toBe(5)
    process.ioctl(fd, 0x3b80, 0xffff_8000_0000_0001n)
    process.ioctl(fd, 0x3b80, -1)
    process.ioctl(fd, 0x3b80, -1n)
    expect(seen).toEqual([
      [1, 0xffffffff, 1, -0x80000000],
      [1, 0x3b80, -0x8000, 1],
      [1, 0x3b80, -1, -1],
      [1, 0x3b80, -1, -1],
    ])
  })

  test('an argument that is no 64-bit number is an error of the caller', () => {
    const { process } = bootWith('/dev/x', { ioctl: () => 0 })
    const fd = process.open('/dev/x')
    expect(() => process.ioctl(fd, 1, 0.5)).toThrow('0.5 is not a safe integer')
    expect(() => process.ioctl(fd, 1, 2 ** 53)).toThrow(RangeError)
    expect(() => process.ioctl(fd, 1, 2n ** 64n)).toThrow('does not fit in 64 bits')
    expect(() => process.ioctl(fd, 1, -(2n ** 63n) - 1n)).toThrow(RangeError)
  })

  test('read and write need the mode, the operation and user addresses', () => {
    const { machine, process } = bootWith('/dev/none', {})
    const moved: number[][] = []
    const move = (_task: Task, h: number, l: number, length: number): number => {
      moved.push([h, l, length])
      return 1
    }
    machine.registerDevice('/dev/x', () => ({ read: move, write: move }))
    const none = process.open('/dev/none')
    expect([process.read(none, 0, 1), process.write(none, 0, 1)]).toEqual([-EINVAL, -EINVAL])
    expect(process.read(process.open('/dev/x', O_WRONLY), BASE, 1)).toBe(-EBADF)
    expect(process.write(process.open('/dev/x', O_RDONLY), BASE, 1)).toBe(-EBADF)
    const fd = process.open('/dev/x')
    expect(process.read(fd, 2 ** 47, 1)).toBe(-EFAULT)
    expect(process.read(fd, BASE, -1)).toBe(-EFAULT)
    expect(process.write(fd, 0x7fff_ffff_eff8, 9)).toBe(-EFAULT)
    expect([process.read(fd, BASE, 3), process.write(fd, 0, 2 ** 40)]).toEqual([1, 1])
    expect(moved).toEqual([
      [hi(BASE), lo(BASE), 3],
      [0, 0, 0x7ffff000],
    ])
  })

  test('poll: what is ready and asked for; errors always', () => {
    const { machine, process } = bootWith('/dev/x', { poll: () => POLLIN | POLLERR })
    machine.registerDevice('/dev/always', () => ({}))
    const fd = process.open('/dev/x')
    const always = process.open('/dev/always')
    expect(process.poll(fd, POLLIN | POLLOUT)).toEqual({ ret: 1, revents: POLLIN | POLLERR })
    expect(process.poll(fd, 0)).toEqual({ ret: 1, revents: POLLERR })
    expect(process.poll(always, POLLIN | POLLOUT)).toEqual({ ret: 1, revents: POLLIN | POLLOUT })
    expect(process.poll(always, 0)).toEqual({ ret: 0, revents: 0 })
    expect(process.poll(77, POLLIN)).toEqual({ ret: 1, revents: POLLNVAL })
    expect(process.poll(-1, POLLIN)).toEqual({ ret: 0, revents: 0 })
  })
})

describe('memory of a device', () => {
  function withDeviceMemory() {
    const { machine, process } = boot()
    const frames = new Uint32Array(2)
    machine.allocate(2, frames, 0)
    const state = { mappings: 0, released: false, asked: [] as unknown[] }
    const memory: DeviceMapping = {
      frames,
      open: () => state.mappings++,
      close: () => state.mappings--,
    }
    machine.registerDevice('/dev/x', () => ({
      mmap: (_task, length, prot, shared, offsetPage) => {
        state.asked.push([length, prot, shared, offsetPage])
        return offsetPage === 1 ? memory : -ENXIO
      },
      release: () => {
        state.released = true
      },
    }))
    const fd = process.open('/dev/x')
    const map = (pages: number, offset: number): number =>
      process.mmap(BASE, pages * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, offset)
    return { machine, process, frames, state, fd, map }
  }

  test('the process reads and writes it; it cannot be pinned or looked up', () => {
    const { machine, process, frames, state, map } = withDeviceMemory()
    expect(map(2, PAGE)).toBe(BASE)
    expect(state.asked).toEqual([[2 * PAGE, RW, true, 1]])
    machine.writeFrame(frames[1] as number, 0, Uint8Array.of(1, 2), 0, 2)
    expect(load(process, BASE + PAGE, 2)).toEqual([1, 2])
    expect(store(process, BASE, 9)).toBe(0)
    expect(pin(process, BASE, 1, false)).toBe(-EFAULT)
    expect(pin(process, BASE, 1, true)).toBe(-EFAULT)
    expect(process.mm.lookup(hi(BASE), lo(BASE))).toBe(-EFAULT)
    process.mprotect(BASE, PAGE, PROT_READ)
    expect(store(process, BASE, 9)).toBe(-EFAULT)
  })

  test('mappings are counted through fork, split and exit, and keep the file open', () => {
    const { machine, process, frames, state, fd, map } = withDeviceMemory()
    map(2, PAGE)
    const child = process.fork()
    expect(state.mappings).toBe(2)
    process.munmap(BASE, PAGE)
    expect(state.mappings).toBe(2)
    child.mprotect(BASE, PAGE, PROT_READ)
    expect(state.mappings).toBe(3)
    store(child, BASE + PAGE, 4)
    expect(load(process, BASE + PAGE, 1)).toEqual([4])
    process.close(fd)
    child.exit()
    expect([state.mappings, state.released]).toEqual([1, false])
    mapped(process, 3)
    expect([state.mappings, state.released]).toEqual([0, true])
    machine.unpin(frames, 0, 2)
    expect(machine.framesInUse).toBe(0)
  })

  test('what the device refuses; the range is unmapped by then', () => {
    const { process, map } = withDeviceMemory()
    mapped(process, 2)
    expect(map(1, 0)).toBe(-ENXIO)
    expect([load(process, BASE, 1), load(process, BASE + PAGE, 1)]).toEqual([-EFAULT, [0]])
  })

  test('a mapping longer than the device’s memory faults at its end', () => {
    const { process, map } = withDeviceMemory()
    map(3, PAGE)
    expect(load(process, BASE + PAGE, 1)).toEqual([0])
    expect(load(process, BASE + 2 * PAGE, 1)).toBe(-EFAULT)
  })
})

describe('users, capabilities and limits', () => {
  test('root has every capability, others none; a uid is one user', () => {
    const { machine, process } = boot()
    const other = machine.spawn({ uid: 1000 })
    expect([process.capable(CAP_IPC_LOCK), other.capable(CAP_IPC_LOCK)]).toEqual([true, false])
    expect(machine.spawn({ uid: 1000 }).user).toBe(other.user)
    expect(machine.user(1000)).toBe(other.user)
    expect(process.user).toEqual({ uid: 0, lockedVm: 0 })
  })

  test('capabilities as asked for', () => {
    const process = boot().machine.spawn({ uid: 7, caps: [CAP_IPC_LOCK] })
    expect([process.capable(CAP_IPC_LOCK), process.capable(CAP_SYS_RESOURCE)]).toEqual([
      true,
      false,
    ])
  })

  test('leaving uid 0 gives up all capabilities, and there is no way back', () => {
    const { machine, process } = boot()
    expect(process.setresuid(0)).toBe(0)
    expect(process.setresuid(1000)).toBe(0)
    expect([process.user, process.capable(CAP_IPC_LOCK)]).toEqual([machine.user(1000), false])
    expect(process.setresuid(0)).toBe(-EPERM)
    expect(process.setresuid(1000)).toBe(0)
    expect(process.setresuid(2 ** 32 - 1)).toBe(0)
    expect(process.setresuid(-1)).toBe(-EINVAL)
    expect(process.fork().user).toBe(machine.user(1000))
  })

  test('RLIMIT_MEMLOCK: 8 MiB at first; raising the hard limit needs CAP_SYS_RESOURCE', () => {
    const { machine, process } = boot()
    expect(process.rlimitMemlock).toBe(8 << 20)
    expect(process.setrlimitMemlock(RLIM_INFINITY, RLIM_INFINITY)).toBe(0)
    expect(process.rlimitMemlock).toBe(Number.POSITIVE_INFINITY)
    expect(process.setrlimitMemlock(2, 1)).toBe(-EINVAL)
    const other = machine.spawn({ uid: 5, rlimitMemlock: 100 })
    expect(other.setrlimitMemlock(50, 101)).toBe(-EPERM)
    expect(other.setrlimitMemlock(102, 101)).toBe(-EINVAL)
    expect(other.setrlimitMemlock(50, 80)).toBe(0)
    expect(other.setrlimitMemlock(80, 80)).toBe(0)
    expect(other.setrlimitMemlock(80, 100)).toBe(-EPERM)
    const child = other.fork()
    expect(child.rlimitMemlock).toBe(80)
    child.setrlimitMemlock(1, 1)
    expect(other.rlimitMemlock).toBe(80)
    child.exit()
    expect(child.rlimitMemlock).toBe(1)
    expect(() => other.setrlimitMemlock(Number.NaN, 1)).toThrow(RangeError)
  })
})

describe('fork and exit', () => {
  test('pids ascend; the living are known in order of birth', () => {
    const { machine, process } = boot()
    const child = process.fork()
    const other = machine.spawn()
    expect(machine.processes).toEqual([process, child, other])
    process.exit()
    expect(machine.processes.map(({ pid }) => pid)).toEqual([2, 3])
    expect(other.fork().pid).toBe(4)
  })

  test('VmPin and VmLck are of one process, in kB, and begin at 0', () => {
    const { process } = boot()
    process.mm.pinnedVm = 3
    process.mm.lockedVm = -2
    expect(process.status()).toEqual({ VmPin: 12, VmLck: -8 })
    expect(process.fork().status()).toEqual({ VmPin: 0, VmLck: 0 })
  })

  test('memory goes before descriptors', () => {
    const { machine, process } = boot()
    const order: string[] = []
    machine.registerDevice('/dev/x', () => ({
      mmap: () => ({
        frames: new Uint32Array(1),
        open: () => order.push('map'),
        close: () => order.push('unmap'),
      }),
      release: () => order.push(`release, mm ${process.mm.alive ? 'alive' : 'gone'}`),
    }))
    const fd = process.open('/dev/x')
    process.mmap(BASE, PAGE, PROT_READ, MAP_SHARED, fd)
    process.exit()
    expect(order).toEqual(['map', 'unmap', 'release, mm gone'])
  })

  test('a process that has exited makes no more calls', () => {
    const { process } = boot()
    process.exit()
    expect(() => process.open('/dev/null')).toThrow('process 1 has exited')
    expect(() => process.exit()).toThrow('process 1 has exited')
    expect(() => process.store(0, new Uint8Array(1))).toThrow('process 1 has exited')
    expect(process.file(0)).toBeUndefined()
  })

  test('fork without frames for the pinned pages: an error, and nothing is left of the child', () => {
    const machine = new Machine({ memory: 4 * PAGE })
    const process = machine.spawn()
    mapped(process, 2)
    pin(process, BASE, 2, true)
    expect(() => process.fork()).toThrow('fork of process 1: the machine is out of memory')
    expect([machine.framesInUse, machine.processes.length]).toEqual([2, 1])
  })
})
