// SPDX-License-Identifier: Apache-2.0
//
// The form of Linux 6.2: an access is created attached. And the form of a kernel without iommufd.

import { EOPNOTSUPP } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import {
  allocIoas,
  BUFFER,
  boot,
  destroyId,
  IOVA,
  map,
  PAGE,
  Pins,
  pinOps,
  why,
} from '../test/harness.js'
import apiSource from './api.ts?raw'
import * as disabled from './disabled.js'
import disabledSource from './disabled.ts?raw'
import * as current from './index.js'
import * as v62 from './v6.2.js'

/** What a driver of 6.2 calls, whether or not its kernel has iommufd. */
type Header = Pick<
  typeof v62,
  | 'IOMMUFD_ACCESS_RW_KTHREAD'
  | 'IOMMUFD_ACCESS_RW_READ'
  | 'IOMMUFD_ACCESS_RW_WRITE'
  | 'iommufd_access_pin_pages'
  | 'iommufd_access_rw'
  | 'iommufd_access_unpin_pages'
  | 'iommufd_ctx_from_file'
  | 'iommufd_ctx_put'
>

// All three entries fit in the same place, without a cast; that is checked when this file is compiled.
const entries = { current, 'v6.2': v62, disabled } satisfies Record<string, Header>
const names: Record<keyof Header, true> = {
  IOMMUFD_ACCESS_RW_KTHREAD: true,
  IOMMUFD_ACCESS_RW_READ: true,
  IOMMUFD_ACCESS_RW_WRITE: true,
  iommufd_access_pin_pages: true,
  iommufd_access_rw: true,
  iommufd_access_unpin_pages: true,
  iommufd_ctx_from_file: true,
  iommufd_ctx_put: true,
}

describe('v6.2', () => {
  test('section 5: create attaches, destroy detaches', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    map(booted, ioas, { length: PAGE })
    booted.process.store(BUFFER, Uint8Array.of(4))
    const pins = new Pins()
    const access = v62.iommufd_access_create(booted.ctx, ioas, pinOps, pins)
    if (typeof access === 'number') throw new Error(`${access}`)
    pins.access = access
    const data = new Uint8Array(1)
    expect([access.id, access.ioas?.id, access.data]).toEqual([2, ioas, pins])
    expect(v62.iommufd_access_rw(access, IOVA, data, v62.IOMMUFD_ACCESS_RW_READ)).toBe(0)
    expect(data[0]).toBe(4)
    expect(destroyId(booted, ioas)).toBe('EBUSY OBJECT_BUSY')
    v62.iommufd_access_destroy(access)
    expect(pins.asked).toEqual([[0n, 2n ** 64n - 1n]])
    expect([destroyId(booted, ioas), booted.ctx.objects.isEmpty]).toEqual(['0', true])
  })

  test('section 5: an unknown IOAS is ENOENT, a misaligned area EADDRINUSE, and nothing is made', () => {
    const booted = boot()
    const { engine, ctx, process, fd } = booted
    const ioas = allocIoas(booted)
    map(booted, ioas, { length: 100 })
    const create = (id: number): string => {
      const access = v62.iommufd_access_create(ctx, id, pinOps, new Pins())
      return why(engine, access as number)
    }
    expect(create(9)).toBe('ENOENT OBJECT_UNKNOWN')
    expect(create(ioas)).toBe('EADDRINUSE ALIGNMENT_BREAKS_AREA')
    expect(ctx.objects.count).toBe(1)
    process.close(fd)
    expect(ctx.released).toBe(true)
  })

  test('section 5: every fault point of create leaves nothing', () => {
    const booted = boot()
    const { engine, ctx } = booted
    const ioas = allocIoas(booted)
    let failures = 0
    for (; ; failures++) {
      engine.faults.arm(failures + 1)
      const access = v62.iommufd_access_create(ctx, ioas, pinOps, new Pins())
      if (typeof access !== 'number') break
      expect(why(engine, access)).toBe('ENOMEM INJECTED_ENOMEM')
      expect([ctx.objects.count, ctx.objects.get(ioas)?.users]).toEqual([1, 0])
    }
    expect(failures).toBe(2)
  })
})

describe('disabled', () => {
  test('section 5: whatever returns is EOPNOTSUPP', () => {
    const booted = boot()
    const { engine, process, fd, ctx } = booted
    const { access } = v62Access(booted)
    const file = process.file(fd)
    if (file === undefined) throw new Error('unreachable')
    expect([
      disabled.iommufd_ctx_from_file(engine, file),
      disabled.iommufd_access_pin_pages(access, IOVA, PAGE, new Uint32Array(1), 0),
      disabled.iommufd_access_rw(access, IOVA, new Uint8Array(1), 0),
      disabled.iommufd_vfio_compat_ioas_id(ctx),
    ]).toEqual([-EOPNOTSUPP, -EOPNOTSUPP, -EOPNOTSUPP, -EOPNOTSUPP])
  })

  test('section 5: whatever returns nothing does nothing', () => {
    const booted = boot()
    const { ctx, machine } = booted
    const { access } = v62Access(booted)
    v62.iommufd_access_pin_pages(access, IOVA, PAGE, new Uint32Array(1), 0)
    expect(disabled.iommufd_ctx_put(ctx)).toBeUndefined()
    expect(disabled.iommufd_access_unpin_pages(access, IOVA, PAGE)).toBeUndefined()
    expect([ctx.released, machine.pinnedFrames]).toEqual([false, 1])
  })

  test('section 5: it has the header and nothing else, and imports nothing that is the engine', () => {
    const own = Object.keys(disabled).filter((name) => name !== 'iommufd_vfio_compat_ioas_id')
    expect(own.sort()).toEqual(Object.keys(names).sort())
    expect(importsOf(disabledSource).sort()).toEqual(['./api.js', '@iommufd/uapi'])
    expect(importsOf(apiSource)).toEqual([])
  })
})

test('section 5: flags are the same numbers in every form', () => {
  for (const entry of Object.values(entries)) {
    const flags = [
      entry.IOMMUFD_ACCESS_RW_READ,
      entry.IOMMUFD_ACCESS_RW_WRITE,
      entry.IOMMUFD_ACCESS_RW_KTHREAD,
    ]
    expect(flags).toEqual([0, 1, 2])
  }
})

function v62Access(booted: ReturnType<typeof boot>): Pins {
  const ioas = allocIoas(booted)
  map(booted, ioas, { length: PAGE })
  const pins = new Pins()
  const access = v62.iommufd_access_create(booted.ctx, ioas, pinOps, pins)
  if (typeof access === 'number') throw new Error(`${access}`)
  pins.access = access
  return pins
}

/** Modules that are there when the source runs: imports and exports of types alone do not count. */
function importsOf(source: string): string[] {
  const statements = source.matchAll(/^(?:import|export)\s+(type\s)?[^;=]*?from '(.*?)'/gms)
  return [...statements].filter((match) => !match[1]).map((match) => match[2] as string)
}
