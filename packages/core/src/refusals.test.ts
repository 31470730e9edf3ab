// SPDX-License-Identifier: Apache-2.0
//
// Every refusal of the core: well formed, listed in the README, and reached by a call.

import {
  IOMMU_DESTROY,
  IOMMU_IOAS_ALLOC,
  IOMMU_OPTION,
  iommu_destroy,
  iommu_ioas_alloc,
  iommu_option,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  writeStruct,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import readme from '../README.md?raw'
import {
  ARG,
  ARG_END,
  type Booted,
  boot,
  contextOf,
  ioctl,
  mapPage,
  PAGE,
} from '../test/harness.js'
import { complaints } from '../test/refusal-rules.js'
import { coreRefusals } from './index.js'
import type { RefusalSite } from './refusal.js'

const sites = Object.values(coreRefusals)
const ALLOC = IOMMU_IOAS_ALLOC

function alloc(booted: Booted, size: number): number {
  return ioctl(booted, ALLOC, iommu_ioas_alloc, { size }).ret
}

function option(booted: Booted, values: Parameters<typeof optionStruct>[0]): number {
  booted.process.store(ARG, optionStruct(values))
  return booted.process.ioctl(booted.fd, IOMMU_OPTION, ARG)
}

function optionStruct(values: Parameters<typeof writeStruct<typeof iommu_option>>[1]): Uint8Array {
  return writeStruct(iommu_option, values)
}

function readOnlyAlloc({ process, fd }: Booted): number {
  process.store(ARG, writeStruct(iommu_ioas_alloc, {}))
  process.mprotect(ARG, PAGE, PROT_READ)
  return process.ioctl(fd, ALLOC, ARG)
}

function dirtyTail({ process, fd }: Booted): number {
  process.store(ARG, writeStruct(iommu_ioas_alloc, { size: 16 }))
  process.store(ARG + 12, Uint8Array.of(1))
  return process.ioctl(fd, ALLOC, ARG)
}

function unprivilegedSet(booted: Booted): number {
  const process = booted.machine.spawn({ uid: 1 })
  mapPage(process, ARG)
  const fd = process.open('/dev/iommu')
  return option({ ...booted, process, fd, ctx: contextOf(booted.engine, process, fd) }, {})
}

function busyDestroy(booted: Booted): number {
  alloc(booted, 12)
  const [object] = booted.ctx.objects
  if (object) object.users = 1
  const { ret } = ioctl(booted, IOMMU_DESTROY, iommu_destroy, { id: 1 })
  if (object) object.users = 0
  return ret
}

function setWithObjects(booted: Booted): number {
  alloc(booted, 12)
  return option(booted, { val64: 1 })
}

function mmap({ process, fd }: Booted, prot: number, flags: number): number {
  return process.mmap(0, PAGE, prot, flags, fd, PAGE)
}

function armed(fail: (booted: Booted) => number): (booted: Booted) => number {
  return (booted) => {
    booted.engine.faults.arm(1)
    return fail(booted)
  }
}

const bytes = new Uint8Array(8)

/** A call that each site refuses. */
const provoked: Record<keyof typeof coreRefusals, (booted: Booted) => number> = {
  COMMAND_UNKNOWN: ({ process, fd }) => process.ioctl(fd, 0x1234, 0),
  STRUCT_UNREADABLE: ({ process, fd }) => process.ioctl(fd, ALLOC, ARG_END),
  STRUCT_TOO_SMALL: (booted) => alloc(booted, 11),
  STRUCT_TAIL_NOT_ZERO: dirtyTail,
  STRUCT_UNWRITABLE: readOnlyAlloc,
  USER_UNREADABLE: ({ engine, process }) => {
    process.mprotect(ARG, PAGE, PROT_NONE)
    return engine.copyFromUser(process, 1, 0, bytes, 0, 8)
  },
  USER_UNWRITABLE: ({ engine, process }) => {
    process.mprotect(ARG, PAGE, PROT_READ)
    return engine.copyToUser(process, 1, 0, bytes, 0, 8)
  },
  OBJECT_UNKNOWN: (booted) => ioctl(booted, IOMMU_DESTROY, iommu_destroy, { id: 1 }).ret,
  OBJECT_BUSY: busyDestroy,
  MMAP_NOT_SHARED: (booted) => mmap(booted, PROT_READ, MAP_PRIVATE),
  MMAP_EXECUTABLE: (booted) => mmap(booted, PROT_READ | PROT_EXEC, MAP_SHARED),
  MMAP_REGION_UNKNOWN: (booted) => mmap(booted, PROT_READ, MAP_SHARED),
  OPTION_RESERVED: (booted) => option(booted, { __reserved: 1 }),
  OPTION_UNKNOWN: (booted) => option(booted, { option_id: 2 }),
  OPTION_OP_UNKNOWN: (booted) => option(booted, { op: 2 }),
  RLIMIT_OBJECT_ID: (booted) => option(booted, { object_id: 1 }),
  RLIMIT_NOT_PRIVILEGED: unprivilegedSet,
  RLIMIT_HAS_OBJECTS: setWithObjects,
  RLIMIT_VALUE: (booted) => option(booted, { val64: 2 }),
  INJECTED_ENOMEM: armed(({ engine }) => engine.allocate()),
  INJECTED_EFAULT: armed((booted) => alloc(booted, 12)),
}

describe('every refusal', () => {
  test('has an errno, a row, a sentence and a remedy', () => {
    expect(complaints(coreRefusals)).toEqual([])
    expect(new Set(sites.map(({ id }) => id)).size).toBe(sites.length)
  })

  test('the rules see what is wrong', () => {
    const bad: RefusalSite = {
      id: 'bad',
      errno: 4096,
      spec: '',
      operands: { a: 'u64', b: 'u64', c: 'u64', d: 'u64', e: 'u32' },
      sentence: '',
      remedy: 'use {nothing} of this',
    }
    expect(complaints({ GOOD: bad })).toHaveLength(7)
  })

  test.each(sites)('$id is reached by a call', ({ id, errno }) => {
    const booted = boot()
    expect(provoked[id as keyof typeof provoked](booted)).toBe(-errno)
    const { last } = booted.engine.refusals
    expect(last?.id).toBe(id)
    expect(`${last?.sentence} ${last?.remedy}`).not.toMatch(/[{}]/)
  })

  test('stands in the README, and nothing else does', () => {
    const rows = [...readme.matchAll(/^\| `([A-Z_0-9]+)` \|.*$/gm)].map((match) => match[0])
    const booted = boot()
    const expected = sites.map((site) => {
      booted.engine.refusals.refuse(site)
      const { errnoName, spec } = booted.engine.refusals.last ?? {}
      return `| \`${site.id}\` | ${errnoName} | ${spec} | ${site.sentence} |`
    })
    expect(rows.sort()).toEqual(expected.sort())
  })
})
