// SPDX-License-Identifier: Apache-2.0
//
// Contexts, and the life of an access: create, attach, replace, detach, destroy.

import type { File, Task } from '@iommufd/host'
import { describe, expect, test } from 'vitest'
import {
  alignment,
  allocIoas,
  BUFFER,
  boot,
  destroyId,
  IOVA,
  map,
  newAccess,
  PAGE,
  Pins,
  pinOps,
  why,
} from '../test/harness.js'
import {
  IommufdAccess,
  iommufd_access_attach,
  iommufd_access_create,
  iommufd_access_destroy,
  iommufd_access_detach,
  iommufd_access_pin_pages,
  iommufd_access_replace,
  iommufd_access_rw,
  iommufd_access_unpin_pages,
  iommufd_ctx_from_fd,
  iommufd_ctx_from_file,
  iommufd_ctx_get,
  iommufd_ctx_put,
} from './index.js'

/** The whole space, as a detach names it. */
const EVERYTHING = [0n, 2n ** 64n - 1n]

function fileOf(task: Task, fd: number): File {
  const file = task.file(fd)
  if (file === undefined) throw new Error(`descriptor ${fd} is not open`)
  return file
}

describe('contexts', () => {
  test('section 5: a context is found by its file, with a reference of the caller', () => {
    const { engine, process, fd, ctx } = boot()
    expect(iommufd_ctx_from_file(engine, fileOf(process, fd))).toBe(ctx)
    process.close(fd)
    expect(ctx.released).toBe(false)
    iommufd_ctx_put(ctx)
    expect(ctx.released).toBe(true)
  })

  test('section 5: another file is EBADFD', () => {
    const { engine, process } = boot()
    const memfd = process.memfdCreate('m', 0)
    for (const fd of [0, memfd]) {
      const ret = iommufd_ctx_from_file(engine, fileOf(process, fd))
      expect(why(engine, ret as number)).toBe('EBADFD FILE_IS_NO_IOMMUFD')
      expect(why(engine, iommufd_ctx_from_fd(engine, process, fd) as number)).toBe(
        'EBADFD FILE_IS_NO_IOMMUFD',
      )
    }
  })

  test('section 5: a descriptor that is not open is EBADF', () => {
    const { engine, process, fd } = boot()
    for (const wrong of [fd + 1, -1, 1000, 2 ** 31 - 1]) {
      const ret = iommufd_ctx_from_fd(engine, process, wrong)
      expect(why(engine, ret as number)).toBe('EBADF FD_IS_NOT_OPEN')
      expect(engine.refusals.last?.operands).toEqual({ fd: wrong })
    }
  })

  test('section 5: from_fd looks at the descriptors of the task that it is given', () => {
    const { engine, machine, process, fd, ctx } = boot()
    const stranger = machine.spawn()
    expect(why(engine, iommufd_ctx_from_fd(engine, stranger, fd) as number)).toBe(
      'EBADF FD_IS_NOT_OPEN',
    )
    expect(iommufd_ctx_from_fd(engine, process.fork(), fd)).toBe(ctx)
    expect(engine.refusals.last).toBeUndefined()
  })

  test('section 5: get and put count', () => {
    const { process, fd, ctx } = boot()
    iommufd_ctx_get(ctx)
    iommufd_ctx_get(ctx)
    iommufd_ctx_put(ctx)
    process.close(fd)
    expect(ctx.released).toBe(false)
    iommufd_ctx_put(ctx)
    expect(ctx.released).toBe(true)
  })
})

describe('create and destroy', () => {
  test('section 5: an access is an object with the lowest free id', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    const { access } = newAccess(booted)
    expect([ioas, access.id, access.ioas]).toEqual([1, 2, undefined])
    expect(access).toBeInstanceOf(IommufdAccess)
    destroyId(booted, ioas)
    expect(newAccess(booted).access.id).toBe(1)
  })

  test('C1: user space cannot destroy an access by its id', () => {
    const booted = boot()
    const { access } = newAccess(booted)
    expect(destroyId(booted, access.id)).toBe('EBUSY OBJECT_BUSY')
    iommufd_access_attach(access, allocIoas(booted))
    expect(destroyId(booted, access.id)).toBe('EBUSY OBJECT_BUSY')
    const { id } = access
    iommufd_access_destroy(access)
    expect(destroyId(booted, id)).toBe('ENOENT OBJECT_UNKNOWN')
  })

  test('F7: an access keeps its context and its IOAS after the last close', () => {
    const booted = boot()
    const { process, fd, ctx, engine } = booted
    const ioas = allocIoas(booted)
    map(booted, ioas, { length: PAGE })
    const { access } = newAccess(booted, ioas)
    process.store(BUFFER, Uint8Array.of(7))
    process.close(fd)
    const data = new Uint8Array(1)
    expect(iommufd_access_rw(access, IOVA, data, 0)).toBe(0)
    expect([data[0], ctx.released]).toEqual([7, false])
    iommufd_access_destroy(access)
    expect([ctx.released, engine.contexts.size]).toEqual([true, 0])
  })

  test('section 5: destroy detaches, and has the callback let everything go first', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    map(booted, ioas, { length: 2 * PAGE })
    const pins = newAccess(booted, ioas)
    iommufd_access_pin_pages(pins.access, IOVA, PAGE, new Uint32Array(1), 0)
    pins.held.push([BigInt(IOVA), BigInt(PAGE)])
    iommufd_access_destroy(pins.access)
    expect([pins.asked, pins.held]).toEqual([[EVERYTHING], []])
    expect(booted.machine.pinnedFrames).toBe(0)
    expect([destroyId(booted, ioas), booted.ctx.objects.isEmpty]).toEqual(['0', true])
  })

  test('an access that is gone cannot be destroyed again', () => {
    const booted = boot()
    const { access } = newAccess(booted)
    iommufd_access_destroy(access)
    const other = newAccess(booted).access
    expect(() => iommufd_access_destroy(access)).toThrow('destroy of an access that is gone')
    expect([other.id, newAccess(booted).access.id]).toEqual([1, 2])
  })

  test('F9: no access is made when its allocation fails', () => {
    const { engine, ctx, process, fd } = boot()
    engine.faults.arm(1)
    const ret = iommufd_access_create(ctx, pinOps, new Pins())
    expect(why(engine, ret as number)).toBe('ENOMEM INJECTED_ENOMEM')
    expect(ctx.objects.isEmpty).toBe(true)
    process.close(fd)
    expect(ctx.released).toBe(true)
  })
})

describe('attach and detach', () => {
  test('section 5: an unknown id, or one of another kind, is ENOENT', () => {
    const booted = boot()
    const { engine } = booted
    const { access } = newAccess(booted)
    for (const id of [0, 9, access.id, 2 ** 31 - 1, 0xffffffff]) {
      expect(why(engine, iommufd_access_attach(access, id))).toBe('ENOENT OBJECT_UNKNOWN')
    }
    expect(access.ioas).toBeUndefined()
  })

  test('section 5: an access is attached once', () => {
    const booted = boot()
    const { engine } = booted
    const [first, second] = [allocIoas(booted), allocIoas(booted)]
    const { access } = newAccess(booted, first)
    for (const id of [first, second, 99]) {
      expect(why(engine, iommufd_access_attach(access, id))).toBe('EINVAL ACCESS_ATTACHED_ALREADY')
    }
    expect(access.ioas?.id).toBe(first)
  })

  test('C1: an IOAS with an access is EBUSY until the access has left', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    const [a, b] = [newAccess(booted, ioas), newAccess(booted, ioas)]
    expect(destroyId(booted, ioas)).toBe('EBUSY OBJECT_BUSY')
    iommufd_access_detach(a.access)
    expect(destroyId(booted, ioas)).toBe('EBUSY OBJECT_BUSY')
    iommufd_access_destroy(b.access)
    expect(destroyId(booted, ioas)).toBe('0')
  })

  test('section 5: detach asks the callback to let everything go, and pins no more', () => {
    const booted = boot()
    const { engine } = booted
    const ioas = allocIoas(booted)
    map(booted, ioas, { length: PAGE })
    const frames = new Uint32Array(1)
    const answers: string[] = []
    const pins = newAccess(booted, ioas, {
      needs_pin_pages: true,
      unmap: ({ access }, iova, length) => {
        answers.push(`${iova} ${length}`)
        answers.push(why(engine, iommufd_access_pin_pages(access, IOVA, PAGE, frames, 0)))
        answers.push(why(engine, iommufd_access_rw(access, IOVA, new Uint8Array(1), 0)))
        answers.push(why(engine, iommufd_access_attach(access, ioas)))
        answers.push(why(engine, iommufd_access_replace(access, ioas)))
        iommufd_access_unpin_pages(access, IOVA, PAGE)
      },
    })
    iommufd_access_pin_pages(pins.access, IOVA, PAGE, frames, 0)
    iommufd_access_detach(pins.access)
    expect(answers).toEqual([
      EVERYTHING.join(' '),
      'ENOENT ACCESS_NOT_ATTACHED',
      'ENOENT ACCESS_NOT_ATTACHED',
      'EBUSY ACCESS_LEAVING',
      'ENOENT ACCESS_NOT_ATTACHED',
    ])
    expect(booted.machine.pinnedFrames).toBe(0)
    expect(destroyId(booted, ioas)).toBe('0')
  })

  test('section 5: a detached access may be attached again', () => {
    const booted = boot()
    const [first, second] = [allocIoas(booted), allocIoas(booted)]
    const { access } = newAccess(booted, first)
    iommufd_access_detach(access)
    expect(access.ioas).toBeUndefined()
    expect(iommufd_access_attach(access, second)).toBe(0)
    expect(destroyId(booted, first)).toBe('0')
    expect(destroyId(booted, second)).toBe('EBUSY OBJECT_BUSY')
  })

  test('an access without a callback comes and goes', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    const { access } = newAccess(booted, ioas, {})
    iommufd_access_detach(access)
    iommufd_access_destroy(access)
    expect(destroyId(booted, ioas)).toBe('0')
  })

  test('leaving what it is not attached to is a warning', () => {
    const heard: string[] = []
    const booted = boot({ onWarning: (message) => heard.push(message) })
    const { access } = newAccess(booted)
    iommufd_access_detach(access)
    iommufd_access_unpin_pages(access, IOVA, PAGE)
    expect(heard).toEqual([
      'detach of an access that is not attached',
      'unpin by an access that is not attached',
    ])
  })
})

describe('alignment', () => {
  test('E2: an access that pins aligns the IOAS to pages while it is attached', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    const plain = newAccess(booted, ioas, {})
    expect(alignment(booted, ioas)).toBe(1n)
    const { access } = newAccess(booted, ioas)
    expect(alignment(booted, ioas)).toBe(4096n)
    expect(map(booted, ioas, { length: 100 })).toBe('EINVAL LENGTH_MISALIGNED')
    expect(map(booted, ioas, { iova: IOVA + 1, length: PAGE })).toBe('EINVAL IOVA_MISALIGNED')
    expect(map(booted, ioas, { va: BUFFER + 1, length: PAGE })).toBe('EINVAL OFFSET_MISALIGNED')
    iommufd_access_detach(access)
    expect(alignment(booted, ioas)).toBe(1n)
    expect(map(booted, ioas, { iova: IOVA + 1, va: BUFFER + 3, length: 100 })).toBe('0')
    iommufd_access_destroy(plain.access)
  })

  test('E2: it cannot be attached over a misaligned area', () => {
    for (const mapping of [
      { length: 100 },
      { iova: IOVA + 1, length: 4095 },
      { va: BUFFER + 8, length: PAGE },
    ]) {
      const booted = boot()
      const ioas = allocIoas(booted)
      map(booted, ioas, mapping)
      const { access } = newAccess(booted)
      const ret = iommufd_access_attach(access, ioas)
      expect(why(booted.engine, ret)).toBe('EADDRINUSE ALIGNMENT_BREAKS_AREA')
      expect([access.ioas, alignment(booted, ioas)]).toEqual([undefined, 1n])
      expect(destroyId(booted, ioas)).toBe('0')
      iommufd_access_destroy(access)
    }
  })
})

describe('replace', () => {
  test('section 5: without an IOAS, or with an unknown one, it is ENOENT', () => {
    const booted = boot()
    const { engine } = booted
    const ioas = allocIoas(booted)
    const { access } = newAccess(booted)
    expect(why(engine, iommufd_access_replace(access, ioas))).toBe('ENOENT ACCESS_NOT_ATTACHED')
    iommufd_access_attach(access, ioas)
    expect(why(engine, iommufd_access_replace(access, 99))).toBe('ENOENT OBJECT_UNKNOWN')
    expect(access.ioas?.id).toBe(ioas)
  })

  test('section 5: it joins the new IOAS and leaves the old one', () => {
    const booted = boot()
    const [first, second] = [allocIoas(booted), allocIoas(booted)]
    map(booted, first, { length: PAGE })
    const pins = newAccess(booted, first)
    iommufd_access_pin_pages(pins.access, IOVA, PAGE, new Uint32Array(1), 0)
    pins.held.push([BigInt(IOVA), BigInt(PAGE)])
    expect(why(booted.engine, iommufd_access_replace(pins.access, second))).toBe('0')
    expect([pins.asked, booted.machine.pinnedFrames]).toEqual([[EVERYTHING], 0])
    expect([alignment(booted, first), alignment(booted, second)]).toEqual([1n, 4096n])
    expect(destroyId(booted, first)).toBe('0')
    expect(destroyId(booted, second)).toBe('EBUSY OBJECT_BUSY')
  })

  test('section 5: by the same IOAS nothing happens, and nobody is asked', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    const { access, asked } = newAccess(booted, ioas)
    expect(iommufd_access_replace(access, ioas)).toBe(0)
    expect([asked, access.ioas?.users]).toEqual([[], 1])
  })

  test('section 5: when the new IOAS is refused, it stays with all its pins', () => {
    const booted = boot()
    const { engine, machine } = booted
    const [first, second] = [allocIoas(booted), allocIoas(booted)]
    map(booted, first, { length: PAGE })
    map(booted, second, { length: 100 })
    const { access, asked } = newAccess(booted, first)
    iommufd_access_pin_pages(access, IOVA, PAGE, new Uint32Array(1), 0)
    const ret = iommufd_access_replace(access, second)
    expect(why(engine, ret)).toBe('EADDRINUSE ALIGNMENT_BREAKS_AREA')
    expect([access.ioas?.id, asked, machine.pinnedFrames]).toEqual([first, [], 1])
    expect(destroyId(booted, second)).toBe('0')
    iommufd_access_unpin_pages(access, IOVA, PAGE)
    expect(machine.pinnedFrames).toBe(0)
  })
})

test('addresses and lengths that are no u64 throw', () => {
  const booted = boot()
  const { access } = newAccess(booted, allocIoas(booted))
  const frames = new Uint32Array(1)
  expect(() => iommufd_access_rw(access, 2n ** 64n, new Uint8Array(1), 0)).toThrow(RangeError)
  expect(() => iommufd_access_pin_pages(access, 0, -1, frames, 0)).toThrow(RangeError)
  expect(() => iommufd_access_unpin_pages(access, 0.5, 1)).toThrow(RangeError)
})
