// SPDX-License-Identifier: Apache-2.0
// Eventfds as programs and devices see them, and reads and writes at a position.

import {
  EAGAIN,
  EBADF,
  EFAULT,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EFD_SEMAPHORE,
  EINVAL,
  ESPIPE,
  O_RDONLY,
  O_WRONLY,
  POLLERR,
  POLLIN,
  POLLOUT,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { BASE, boot, mapped, PAGE } from '../test/fixtures.js'
import type { FileOperations } from './host.js'
import type { Process } from './process.js'

const ALL = POLLIN | POLLOUT | POLLERR
const MAX = 2n ** 64n - 1n

/** A process with a page at BASE and an eventfd. */
function withEventfd(initial = 0, flags = 0): { process: Process; fd: number } {
  const { process } = boot()
  mapped(process, 1)
  return { process, fd: process.eventfd2(initial, flags) }
}

function add(process: Process, fd: number, value: bigint): number {
  process.store(BASE, new Uint8Array(BigUint64Array.of(value).buffer))
  return process.write(fd, BASE, 8)
}

/** What a read gives, or -errno. */
function take(process: Process, fd: number): bigint | number {
  const rc = process.read(fd, BASE, 8)
  if (rc < 0) return rc
  return new BigUint64Array((process.load(BASE, 8) as Uint8Array).slice().buffer)[0] as bigint
}

describe('eventfd', () => {
  test('a read takes everything, of a semaphore 1; nothing there is -EAGAIN', () => {
    const { process, fd } = withEventfd(3, EFD_NONBLOCK | EFD_CLOEXEC)
    expect([add(process, fd, 4n), take(process, fd), take(process, fd)]).toEqual([8, 7n, -EAGAIN])
    const semaphore = process.eventfd2(2, EFD_SEMAPHORE)
    expect([1, 2, 3].map(() => take(process, semaphore))).toEqual([1n, 1n, -EAGAIN])
  })

  test('the counter ends at 2^64 - 2 for writers, at 2^64 - 1 for the kernel', () => {
    const { process, fd } = withEventfd()
    expect(process.poll(fd, ALL).revents).toBe(POLLOUT)
    expect(add(process, fd, MAX)).toBe(-EINVAL)
    expect(add(process, fd, MAX - 1n)).toBe(8)
    expect(add(process, fd, 0n)).toBe(8)
    expect(add(process, fd, 1n)).toBe(-EAGAIN)
    expect(process.poll(fd, ALL).revents).toBe(POLLIN)
    const counter = process.eventfd(fd)
    counter?.signal()
    counter?.signal()
    expect(process.poll(fd, ALL).revents).toBe(POLLIN | POLLERR)
    expect(take(process, fd)).toBe(MAX)
  })

  test('lengths, addresses and flags that are refused', () => {
    const { process, fd } = withEventfd(1)
    expect(process.eventfd2(0, 2)).toBe(-EINVAL)
    expect([process.read(fd, BASE, 7), process.write(fd, BASE, 7)]).toEqual([-EINVAL, -EINVAL])
    expect([process.write(fd, BASE, 9), process.write(fd, BASE + PAGE, 8)]).toEqual([
      -EINVAL,
      -EFAULT,
    ])
    expect(process.read(fd, BASE + PAGE, 8)).toBe(-EFAULT)
  })

  test('a device holds the counter after the descriptor is closed, and puts it once', () => {
    const { process, fd } = withEventfd()
    expect([process.eventfd(0), process.eventfd(77)]).toEqual([undefined, undefined])
    const counter = process.eventfd(fd)
    process.close(fd)
    counter?.signal()
    counter?.put()
    expect(() => counter?.put()).toThrow('nobody holds')
  })
})

describe('pread and pwrite', () => {
  test('the offset arrives whole, and what is refused is refused in the order of Linux', () => {
    const { machine, process } = boot()
    const seen: unknown[] = []
    const operations: FileOperations = {
      pread: (_task, _hi, lo, length, offHi, offLo) => seen.push([lo, length, offHi, offLo]),
      pwrite: (_task, _hi, lo, length, offHi, offLo) => seen.push([lo, length, offHi, offLo]),
    }
    machine.registerDevice('/dev/x', () => operations)
    const fd = process.open('/dev/x')
    expect(process.pread(fd, 0x1000, 3, 2n ** 41n + 5n)).toBe(1)
    expect(process.pwrite(fd, 0x2000, 4, 0xffff_ffff)).toBe(2)
    expect(seen).toEqual([
      [0x1000, 3, 0x200, 5],
      [0x2000, 4, 0, -1],
    ])
    expect(process.pread(77, 0, 1, -1)).toBe(-EINVAL)
    expect(process.pread(77, 0, 1, 0)).toBe(-EBADF)
    expect(process.pread(0, 0, 1, 0)).toBe(-ESPIPE)
    expect(process.pread(process.open('/dev/x', O_WRONLY), 0, 1, 0)).toBe(-EBADF)
    expect(process.pwrite(process.open('/dev/x', O_RDONLY), 0, 1, 0)).toBe(-EBADF)
    expect(process.pread(fd, 2n ** 63n, 1, 0)).toBe(-EFAULT)
  })
})
