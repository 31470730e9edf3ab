// SPDX-License-Identifier: Apache-2.0
//
// The life of a context: it ends with the last reference to its file, and its objects with it.

import { IOMMU_DESTROY, IOMMU_IOAS_ALLOC, iommu_destroy, iommu_ioas_alloc } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { type Booted, boot, contextOf, ioctl, THING, Thing, why } from '../test/harness.js'

function allocate(booted: Booted): number {
  const { ret, out } = ioctl(booted, IOMMU_IOAS_ALLOC, iommu_ioas_alloc, {})
  if (ret !== 0) throw new Error(`IOAS_ALLOC: ${ret}`)
  return out.out_ioas_id
}

function destroy(booted: Booted, id: number): string {
  return why(booted.engine, ioctl(booted, IOMMU_DESTROY, iommu_destroy, { id }).ret)
}

/** A thing in the context; what ends is noted. */
function add({ ctx }: Booted, ended: Thing[] = []): Thing {
  const thing = new Thing((gone) => ended.push(gone))
  ctx.objects.reserve(thing)
  ctx.objects.finalize(thing)
  return thing
}

describe('C1: DESTROY', () => {
  test('C1: an id that does not exist is ENOENT', () => {
    const booted = boot()
    for (const id of [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]) {
      expect(destroy(booted, id)).toBe('ENOENT OBJECT_UNKNOWN')
      expect(booted.engine.refusals.last?.operands).toEqual({ id })
    }
  })

  test('C1: an object with users is EBUSY and stays', () => {
    const booted = boot()
    const thing = add(booted)
    thing.users = 2
    expect(destroy(booted, 1)).toBe('EBUSY OBJECT_BUSY')
    expect(booted.engine.refusals.last?.sentence).toBe('object 1 is in use 2 times')
    expect(booted.ctx.find(1, THING)).toBe(thing)
    thing.users = 0
    expect(destroy(booted, 1)).toBe('0')
    expect(destroy(booted, 1)).toBe('ENOENT OBJECT_UNKNOWN')
  })

  test('C1: an id that is reserved but not final is ENOENT', () => {
    const booted = boot()
    booted.ctx.objects.reserve(new Thing())
    expect(destroy(booted, 1)).toBe('ENOENT OBJECT_UNKNOWN')
  })

  test('F6: a destroyed id is the next one given', () => {
    const booted = boot()
    expect([allocate(booted), allocate(booted), allocate(booted)]).toEqual([1, 2, 3])
    expect([destroy(booted, 2), destroy(booted, 1)]).toEqual(['0', '0'])
    expect([allocate(booted), allocate(booted), allocate(booted)]).toEqual([1, 2, 4])
  })
})

describe('finding', () => {
  test('F6: an id of another kind is ENOENT', () => {
    const booted = boot()
    add(booted)
    const never = { name: 'NEVER', is: (_object: unknown): _object is Thing => false }
    expect(booted.ctx.find(1, THING)).toBeInstanceOf(Thing)
    expect(booted.ctx.find(1, never)).toBeUndefined()
    expect(booted.engine.refusals.last?.id).toBe('OBJECT_UNKNOWN')
  })

  test('F6: ids belong to one context', () => {
    const booted = boot()
    const other = contextOf(booted.engine, booted.process, booted.process.open('/dev/iommu'))
    add(booted)
    expect(other.find(1, THING)).toBeUndefined()
  })
})

describe('references', () => {
  test('F7: close destroys everything, leaves first', () => {
    const booted = boot()
    const { engine, process, fd, ctx } = booted
    const ended: Thing[] = []
    const root = add(booted, ended)
    const leaf = new Thing((gone) => {
      ended.push(gone)
      root.users--
    })
    ctx.objects.reserve(leaf)
    ctx.objects.finalize(leaf)
    root.users = 1
    expect(process.close(fd)).toBe(0)
    expect(ended).toEqual([leaf, root])
    expect([ctx.released, engine.contexts.size]).toEqual([true, 0])
  })

  test('F7: a context lives until its last descriptor in any process is closed', () => {
    const { process, fd, ctx, engine } = boot()
    const second = process.dup(fd)
    const child = process.fork()
    process.close(fd)
    process.exit()
    expect(ctx.released).toBe(false)
    child.close(fd)
    expect([ctx.released, engine.contexts.has(ctx)]).toEqual([false, true])
    child.close(second)
    expect([ctx.released, engine.contexts.has(ctx)]).toEqual([true, false])
  })

  test('F7: exit closes descriptors', () => {
    const booted = boot()
    const ended: Thing[] = []
    add(booted, ended)
    const child = booted.process.fork()
    booted.process.exit()
    expect(ended).toEqual([])
    child.exit()
    expect(ended).toHaveLength(1)
  })

  test('F7: a reference of the kernel keeps a context whose descriptors are closed', () => {
    const booted = boot()
    const { process, fd, ctx } = booted
    const thing = add(booted)
    expect(ctx.get()).toBe(ctx)
    ctx.get()
    process.close(fd)
    ctx.put()
    expect([ctx.released, ctx.find(thing.id, THING)]).toEqual([false, thing])
    ctx.put()
    expect([ctx.released, ctx.objects.isEmpty]).toEqual([true, true])
  })

  test('F7: objects see each other through dup and fork', () => {
    const booted = boot()
    const child = booted.process.fork()
    allocate(booted)
    expect(allocate({ ...booted, process: child })).toBe(2)
    expect(destroy({ ...booted, fd: booted.process.dup(booted.fd) }, 2)).toBe('0')
  })

  test('F7: objects that hold each other are a warning at the end, and the rest is destroyed', () => {
    const heard: string[] = []
    const booted = boot({ onWarning: (message) => heard.push(message) })
    const ended: Thing[] = []
    const held = add(booted, ended)
    const free = add(booted, ended)
    held.users = 1
    booted.process.close(booted.fd)
    expect(ended).toEqual([free])
    expect(heard).toEqual(['objects of a closed context hold each other'])
    expect(booted.ctx.released).toBe(true)
  })

  test('a context that no descriptor could be found for is gone again', () => {
    const { engine, process } = boot()
    while (process.dup(0) >= 0) {}
    expect(process.open('/dev/iommu')).toBeLessThan(0)
    expect(engine.contexts.size).toBe(1)
  })
})
